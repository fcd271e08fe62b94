"""Options of a session that may be best on a machine, and what they take, measured side by side."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netloft.runtime.huge_pages import everything_on_huge_pages
from netloft.runtime.placed import placed_session
from netloft.runtime.tuning import ALLOWED
from netloft.speed.contestants import run_of
from netloft.speed.measure import Again, Plan, Run, Samples, measure, named, ratio_between
from netloft.speed.stats import Interval, median

if TYPE_CHECKING:
    import onnxruntime as ort

__all__ = [
    "OWN",
    "Sessions",
    "Setting",
    "TriedRow",
    "alternatives",
    "screened",
    "session_of",
    "settings_here",
    "try_all",
]

_SCREEN = Plan(budget_s=1.0, rounds=12, warmup_s=0.3)
"""For a first look at all; only those that may be the best are measured until it is known."""

_SPINS_S = 0.03
"""How long threads of ONNX Runtime wait in a loop after a run, as is its habit: 26 ms on a Xeon."""

Sessions = Mapping["Setting", "ort.InferenceSession"]
"""Sessions by setting."""

Start = Callable[["Setting"], "ort.InferenceSession"]
"""Starts a session once more."""


@dataclass(frozen=True)
class Setting:
    """What runs, and how.

    Attributes:
        threads: For one operation; None for ONNX Runtime's own choice.
        spinning: Whether idle threads wait in a loop within a run. With its own choice of threads
            they wait so between runs too, as is its habit; else they sleep there.
        rewritten: Whether the file is a variant of the bundle's model (`variants.py`).
        optimisation: How far ONNX Runtime optimises it: as of `start_session`.
        arena: Whether memory is kept between runs.
        options: Of the provider, in its own words.
    """

    threads: int | None
    spinning: bool
    rewritten: bool = False
    optimisation: str = "all"
    arena: bool = True
    options: tuple[tuple[str, str], ...] = ()

    @property
    def usual(self) -> bool:
        """Whether threads alone differ from what ONNX Runtime does."""
        return (self.optimisation, self.arena, self.options) == ("all", True, ())

    def __str__(self) -> str:
        told = ["ONNX Runtime's own choice"]
        if self.threads is not None:
            waiting = "waiting in a loop" if self.spinning else "sleeping"
            told = [f"{self.threads} thread{'s' * (self.threads > 1)}, {waiting}"]
        told += ["rewritten"] * self.rewritten
        told += ["values in the file's layout"] * (self.optimisation == _PLAIN)
        told += ["without an arena of memory"] * (not self.arena)
        return ", ".join([*told, *(f"{key}={value}" for key, value in self.options)])


_PLAIN = "extended"
"""All optimisations but those that lay values out in blocks for the kernels of this processor."""

OWN = Setting(None, True)
"""What ONNX Runtime does unless it is told otherwise."""


@dataclass(frozen=True)
class TriedRow:
    """One setting at one batch; the first of each batch is ONNX Runtime's own choice.

    Attributes:
        provider: Where it ran.
        batch: Items in a run.
        setting: The options.
        p50_ms: Median time of a run.
        ratio: Its time over that with ONNX Runtime's own choice.
        low: Lower end of its interval.
        high: Upper end.
        chosen: Whether it is the one that was kept.
    """

    provider: str
    batch: int
    setting: Setting
    p50_ms: float
    ratio: float
    low: float
    high: float
    chosen: bool


def settings_here(cpus: int) -> list[Setting]:
    """Return the settings to try, ONNX Runtime's own choice first; threads are powers of two."""
    counts = {cpus, *(1 << n for n in range(cpus.bit_length()) if 1 << n <= cpus)}
    several = [Setting(n, spins) for n in sorted(counts - {1}) for spins in (True, False)]
    return [OWN, Setting(1, False), *several]


def alternatives(setting: Setting, provider: str) -> list[Setting]:
    """Return a setting with one more thing changed in each.

    Args:
        setting: The best so far.
        provider: Where it runs.
    """
    if provider == "cpu":
        changes: list[dict[str, Any]] = [{"optimisation": _PLAIN}, {"arena": False}]
    else:
        changes = [{"options": (option,)} for option in ALLOWED if provider == "cuda"]
    return [dataclasses.replace(setting, **change) for change in changes]


def session_of(
    model: Path | bytes, provider: str, setting: Setting, optimisation: str = ""
) -> ort.InferenceSession:
    """Start a session with these options, or of an optimised file as far as that is told.

    Raises:
        ProviderError: The provider does not start, or runs nothing of the file.
    """
    return placed_session(
        model,
        provider,
        threads=setting.threads,
        spinning=setting.spinning,
        resting=setting.threads is not None,
        optimisation=optimisation or setting.optimisation,
        arena=setting.arena,
        provider_options=dict(setting.options),
    )


def screened(
    sessions: Sessions, feeds: Mapping[str, Any], provider: str, batch: int
) -> list[TriedRow]:
    """Return a row for each session after a first look; those that may be the best are chosen.

    Args:
        sessions: By setting; the first is what the others are compared with, and always chosen.
        feeds: Inputs that they run on.
        provider: Where they run.
        batch: Items in a run.
    """
    samples, ratios = _measured(sessions, feeds, provider, _SCREEN)
    first, *_ = samples
    bound = min(ratio.high for ratio in ratios.values())
    return [
        _row(provider, batch, s, samples[s], ratio, chosen=s == first or ratio.low <= bound)
        for s, ratio in ratios.items()
    ]


def try_all(
    sessions: Sessions,
    feeds: Mapping[str, Any],
    provider: str,
    batch: int,
    plan: Plan,
    start: Start | None = None,
) -> list[TriedRow]:
    """Measure sessions side by side; where runs are short, many of each.

    Args:
        sessions: By setting; the first is what the others are compared with.
        feeds: Inputs that they run on.
        provider: Where they run.
        batch: Items in a run.
        plan: How long to measure.
        start: Starts one of them once more.

    Returns:
        A row for each, of which one is chosen: the fastest of those that are surely faster than the
        first, or else the first; one with something unusual, and a rewritten file, only where it is
        surely faster than the best without it too.
    """
    samples, ratios = _measured(sessions, feeds, provider, plan, start)
    first, *_ = samples

    def better(new: Setting | None, old: Setting | None) -> Setting | None:
        if new is None or old is None:
            return new or old
        return new if ratio_between(samples[new], samples[old]).high < 1 else old

    def best(rewritten: bool, usual: bool) -> Setting | None:
        sure = [
            s for s, ratio in ratios.items()
            if ratio.high < 1 and (s.rewritten, s.usual) == (rewritten, usual)
        ]  # fmt: skip
        return min(sure, key=lambda s: ratios[s].value, default=None)

    own, other = (better(best(file, usual=False), best(file, usual=True)) for file in (False, True))
    chosen = better(other, own or first)
    return [
        _row(provider, batch, s, samples[s], ratio, chosen=s == chosen)
        for s, ratio in ratios.items()
    ]


def _measured(
    sessions: Sessions,
    feeds: Mapping[str, Any],
    provider: str,
    plan: Plan,
    start: Start | None = None,
) -> tuple[dict[Setting, Samples], dict[Setting, Interval]]:
    """Return the times of each, and its ratio to the first; where memory lies matters little."""
    runs = list[Run]()
    for index, session in enumerate(sessions.values()):
        with named(index):  # a GPU's memory may not hold the inputs once more
            runs.append(run_of(session, feeds, provider))

    def again(setting: Setting) -> Run:
        assert start is not None
        return run_of(start(setting), feeds, provider)

    on_cpu = provider == "cpu"
    agains: list[Again | None] = [functools.partial(again, setting) for setting in sessions]
    ready = everything_on_huge_pages if on_cpu else None
    pauses = [_SPINS_S if on_cpu and setting.threads is None else 0.0 for setting in sessions]
    anew = agains if on_cpu and start else ()
    taken = measure(runs, plan, ready=ready, agains=anew, pauses=pauses)
    ratios = [ratio_between(samples, taken[0]) for samples in taken]
    return dict(zip(sessions, taken, strict=True)), dict(zip(sessions, ratios, strict=True))


def _row(
    provider: str,
    batch: int,
    setting: Setting,
    samples: Samples,
    ratio: Interval,
    *,
    chosen: bool,
) -> TriedRow:
    return TriedRow(
        provider, batch, setting, round(median(samples.wall_ns) / 1e6, 4), round(ratio.value, 4),
        round(ratio.low, 4), round(ratio.high, 4), chosen,
    )  # fmt: skip
