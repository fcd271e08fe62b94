"""What ONNX Runtime makes of a file, saved: it starts sooner, and is kept where that surely pays.

The file has ONNX Runtime's own operators and weights in the order of its kernels, which lie in a
file beside it: a session maps them into memory, and neither reads nor orders them.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netloft.errors import NetloftError
from netloft.runtime.devices import cpu_instructions
from netloft.runtime.integrity import sha256_of
from netloft.runtime.providers import start_session
from netloft.runtime.scan import scan
from netloft.runtime.tuning import SavedFile, machine, weights_of
from netloft.speed.contestants import run_of
from netloft.speed.measure import Plan, Run, ratio_of
from netloft.speed.settings import Setting, session_of
from netloft.speed.stats import Interval

if TYPE_CHECKING:
    import onnxruntime as ort

__all__ = ["LEVEL", "Optimised", "optimised", "why_not"]

LEVEL = "none"
"""How far a session optimises a file that is optimised already."""

_PLAN = Plan(budget_s=4.0, rounds=20, warmup_s=0.3, width=0.05, patience=4.0)
_QUICK = Plan(budget_s=1.0, rounds=8, warmup_s=0.1)
"""Of loading a file, which a batch has nothing to do with."""


@dataclass(frozen=True)
class Optimised:
    """A file as ONNX Runtime saved it.

    Attributes:
        source: What it was made of.
        path: The file; weights may be beside it.
        name: In the bundle.
        load: Time to check and to start it over that for what it was made of.
    """

    source: Path
    path: Path
    name: str
    load: Interval

    @property
    def files(self) -> dict[str, Path]:
        """Where its files are, by their names in the bundle."""
        both = {self.name: self.path, weights_of(self.name): _weights(self.path)}
        return {name: path for name, path in both.items() if path.exists()}

    def run_ratio(
        self, feeds: Mapping[str, Any], provider: str, setting: Setting, plan: Plan
    ) -> Interval:
        """Return the time of a run over that of a run of what it was made of."""

        def started(path: Path, level: str = "") -> Run:
            return run_of(session_of(path, provider, setting, level), feeds, provider)

        of_saved = functools.partial(started, self.path, LEVEL)
        of_plain = functools.partial(started, self.source)
        return ratio_of(of_saved(), of_plain(), plan, agains=(of_saved, of_plain))

    def kept(self) -> SavedFile:
        """Return what the manifest says of it."""
        ends = (round(end, 4) for end in (self.load.value, self.load.low, self.load.high))
        return SavedFile(self.name, cpu_instructions(), *ends)


def optimised(
    source: Path, folder: Path, provider: str, setting: Setting, *, quick: bool = False
) -> Optimised | str:
    """Save what ONNX Runtime makes of a file, and see how long both take to load.

    Each is loaded as `netloft.runtime.load` does it: the SHA-256 of its files is taken and a
    session is started, which ends within the time too. What is saved comes on top of the bundle,
    so that its side pays for the hashes of both.

    Args:
        source: A file of the bundle, or one that is to be.
        folder: Where to put the file.
        provider: What runs it.
        setting: How.
        quick: Measure for a second.

    Returns:
        The file; or else why there is none.
    """
    reason = _refusal(source, provider)
    if reason:
        return reason
    level = setting.optimisation
    name = _name(source, level)
    path = folder / Path(name).name
    try:
        start_session(source, provider, optimisation=level, save_to=path, weights_beside=True)
        ratio = _load_ratio(source, path, provider, setting, _QUICK if quick else _PLAN)
    except NetloftError as error:  # it does not save everything, nor load all that it saves
        return error.problem
    return Optimised(source, path, name, ratio)


def why_not(load: Interval, run: Interval) -> str:
    """Return why a saved file is not kept; empty where it is.

    Args:
        load: Time to load it over that for what it was made of.
        run: The same of a run.
    """
    for ratio, pays, what in (
        (load, load.high < 1, "it does not surely load faster"),
        (run, run.low <= 1, "it runs more slowly"),
    ):
        if not pays:
            return f"{what}: {ratio.value:.3f} of the time ({ratio.low:.3f} to {ratio.high:.3f})"
    return ""


def _refusal(source: Path, provider: str) -> str:
    if provider != "cpu":
        return "what ONNX Runtime saves for another provider than the CPU is not bound to a device"
    if not cpu_instructions():
        return "this system does not say which instructions its processors have"
    if scan(source, values=False).outside:
        return "its weights are in a file beside it"
    return ""


def _name(source: Path, level: str) -> str:
    """Return the name of what is saved: one for each file, level and kind of machine."""
    made_of = (sha256_of(source), level, *machine(), cpu_instructions())
    digest = hashlib.sha256("\n".join(map(str, made_of)).encode()).hexdigest()
    return f"variants/{digest[:12]}.onnx"


def _load_ratio(source: Path, path: Path, provider: str, setting: Setting, plan: Plan) -> Interval:
    """Return the time to load a saved file over that to load what it was made of."""
    weights = [each for each in (_weights(path),) if each.exists()]
    plain = functools.partial(session_of, source, provider, setting)
    saved = functools.partial(session_of, path, provider, setting, LEVEL)
    return ratio_of(_loading([source, path, *weights], saved), _loading([source], plain), plan)


def _loading(files: list[Path], start: Callable[[], ort.InferenceSession]) -> Callable[[], object]:
    def load() -> ort.InferenceSession:
        for file in files:
            sha256_of(file)
        return start()

    return load


def _weights(path: Path) -> Path:
    return path.with_name(weights_of(path.name))
