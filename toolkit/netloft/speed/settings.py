"""Options of a session that may be best on a machine, and what they take, measured side by side."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netloft.runtime.providers import start_session
from netloft.speed.measure import Plan, measure
from netloft.speed.stats import Interval, median, paired_ratio

if TYPE_CHECKING:
    import onnxruntime as ort

__all__ = ["OWN", "Setting", "TriedRow", "session_of", "settings_here", "try_all"]

_SCREEN = Plan(budget_s=1.0, rounds=12, warmup_s=0.3)
"""For a first look at all; only those that may be the best are measured until it is known."""

Sessions = Mapping["Setting", "ort.InferenceSession"]


@dataclass(frozen=True)
class Setting:
    """What runs, and how.

    Attributes:
        threads: For one operation; None for ONNX Runtime's own choice.
        spinning: Whether idle threads wait in a loop within a run. With its own choice of threads
            they wait so between runs too, as is its habit; else they sleep there.
        rewritten: Whether the file is a variant of the bundle's model (`variants.py`).
    """

    threads: int | None
    spinning: bool
    rewritten: bool = False

    def __str__(self) -> str:
        if self.threads is None:
            return "ONNX Runtime's own choice"
        waiting = "waiting in a loop" if self.spinning else "sleeping"
        file = ", rewritten" if self.rewritten else ""
        return f"{self.threads} thread{'s' * (self.threads > 1)}, {waiting}{file}"


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


def session_of(model: Path | bytes, provider: str, setting: Setting) -> ort.InferenceSession:
    """Start a session with these options."""
    resting = setting.threads is not None
    return start_session(
        model, provider, threads=setting.threads, spinning=setting.spinning, resting=resting
    )


def try_all(
    sessions: Sessions, feeds: Mapping[str, Any], provider: str, batch: int, plan: Plan
) -> list[TriedRow]:
    """Measure sessions side by side.

    Args:
        sessions: By setting; the first is what the others are compared with.
        feeds: Inputs that they run on.
        provider: Where they run.
        batch: Items in a run.
        plan: For those that may be the best after a first look at all.

    Returns:
        A row for each, of which one is chosen: the fastest of those that are surely faster than the
        first, or else the first.
    """
    found = _measured(sessions, feeds, _SCREEN)
    bound = min(ratio.high for _, ratio in found.values())
    left = [s for s, (_, ratio) in found.items() if s == next(iter(found)) or ratio.low <= bound]
    again = _measured({setting: sessions[setting] for setting in left}, feeds, plan)
    sure = [setting for setting, (_, ratio) in again.items() if ratio.high < 1]
    best = min(sure, key=lambda setting: again[setting][1].value, default=left[0])
    return [
        TriedRow(
            provider, batch, setting, round(p50 / 1e6, 4), round(ratio.value, 4),
            round(ratio.low, 4), round(ratio.high, 4), setting == best,
        )
        for setting, (p50, ratio) in {**found, **again}.items()
    ]  # fmt: skip


def _measured(
    sessions: Sessions, feeds: Mapping[str, Any], plan: Plan
) -> dict[Setting, tuple[float, Interval]]:
    """Return the median time of each, in nanoseconds, and its ratio to the first."""
    runs = [functools.partial(session.run, None, dict(feeds)) for session in sessions.values()]
    samples = [taken.wall_ns for taken in measure(runs, plan)]
    return {
        setting: (median(taken), paired_ratio(taken, samples[0]))
        for setting, taken in zip(sessions, samples, strict=True)
    }
