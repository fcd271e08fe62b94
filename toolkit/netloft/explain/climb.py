"""Climb: take a step uphill again and again, and go back where it led down.

NumPy and ONNX Runtime alone: what `netloft.explain.ascent` wrote needs no torch to be climbed with.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from netloft.errors import UsageError
from netloft.runtime.providers import start_session

__all__ = ["Climbed", "Run", "check_climb", "climb", "onnx_run"]

Floats = npt.NDArray[np.float32]
Whole = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

Run = Callable[[Floats, Whole, Floats], tuple[Floats, Floats]]
"""Takes pictures (n, channels, height, width), units (n,) and sizes of steps (n,); gives the
pictures one step on, and the objective (n,) of those that it took."""


@dataclass(frozen=True, eq=False)
class Climbed:
    """Where a climb has led, and how.

    Attributes:
        x: The pictures (n, channels, height, width) of the highest objective that was met.
        history: Objective (steps + 1, n) of the start, and of what each item stood at after each
            step. It never falls, and rises with every step that was kept.
        kept: Whether a step was kept (steps, n); where not, its evaluation was rejected.
        step: Size of the next step of each item (n,): halved as often as one was rejected.
    """

    x: Floats
    history: Floats
    kept: Bools
    step: Floats


def climb(
    run: Run,
    x0: Floats,
    units: Whole,
    steps: int,
    step: float,
    jitter: int = 0,
    seed: int = 0,
) -> Climbed:
    """Climb with many pictures at once, each for itself.

    A step is kept for an item only where its objective rose. Where it did not, the item goes back,
    halves its step, and tries the middle of the way that led down: the same direction for half the
    size, and inside of the bounds as both ends are (a backtracking search along the projected
    gradient; Bertsekas, Nonlinear Programming, 1999, section 2.3). Each of the `steps` costs one
    evaluation, whether it is kept or rejected.

    With jitter (Mordvintsev et al., Inceptionism, 2015) the direction is that of the picture moved
    by up to so many pixels, what leaves it on one side coming back on the other; it is moved back
    before it is judged. So the objective of the picture as it stands rises here too, but a step
    costs two evaluations, and more are rejected: one picture's best direction is not the other's.

    Args:
        run: Takes one step; see `onnx_run`.
        x0: Where to start (n, channels, height, width).
        units: What each climbs for (n,).
        steps: How often to try.
        step: Size of the first step, as root mean square of the change.
        jitter: Pixels, 0 for none.
        seed: Of the moves; the same for all items, however many climb together.

    Raises:
        UsageError: There are no steps, or a size is not one.
    """
    check_climb(steps, step, jitter)
    sizes = np.full(len(x0), step, np.float32)
    ahead, objective = run(x0, units, sizes)
    here = _Here(x0, objective, sizes)
    moves = np.random.default_rng(seed).integers(-jitter, jitter + 1, (steps, 2))
    for move in moves:
        if jitter:
            moved, _ = run(_rolled(here.x, move), units, here.step)
            ahead = _rolled(moved, -move)
        beyond, objective = run(ahead, units, here.step)
        ahead = here.judged(ahead, objective, beyond)
    return Climbed(here.x, np.stack(here.history), np.stack(here.kept), here.step)


def check_climb(steps: int, step: float, jitter: int) -> None:
    """Refuse what leads nowhere, before the work.

    Raises:
        UsageError: There are no steps, or a size is not one.
    """
    if steps < 1 or jitter < 0 or not 0 < step < float("inf"):
        raise UsageError(
            f"{steps} steps of {step} with a jitter of {jitter} lead nowhere",
            remedy="give one step or more, a size above 0, and a jitter of 0 or more pixels",
        )


class _Here:
    """Where each item stands.

    The size of a step is halved where one is rejected, before the middle is tried: what lies beyond
    the middle is then reached with the new size.
    """

    def __init__(self, x: Floats, objective: Floats, step: Floats) -> None:
        self.x, self.step = x, step
        self.history, self.kept = [objective], list[Bools]()

    def judged(self, ahead: Floats, objective: Floats, beyond: Floats) -> Floats:
        """Go ahead where that is higher; return what to try next."""
        best = self.history[-1]
        rose = np.isfinite(objective) & (objective > best)
        self.kept.append(rose)
        self.history.append(np.where(rose, objective, best))
        self.step = np.where(rose, self.step, self.step / 2)
        wide = rose.reshape(-1, 1, 1, 1)
        middle = self.x + (ahead - self.x) / 2
        self.x = np.where(wide, ahead, self.x)
        return np.where(wide, beyond, middle)


def _rolled(x: Floats, move: Whole) -> Floats:
    """Return pictures moved down and to the right, contiguous as ONNX Runtime wants them."""
    return np.roll(x, (int(move[0]), int(move[1])), axis=(2, 3))


def onnx_run(file: Path, threads: int | None = None) -> Run:
    """Return a step file as what `climb` climbs with, on ONNX Runtime's CPU provider.

    Args:
        file: An `Ascent`, exported.
        threads: For one operation; None for ONNX Runtime's own choice.

    Raises:
        UsageError: ONNX Runtime cannot load it.
    """
    session = start_session(file, "cpu", threads=threads)

    def run(x: Floats, unit: Whole, step: Floats) -> tuple[Floats, Floats]:
        feeds = {"x": x, "unit": unit, "step": step}
        ahead, objective = session.run(["x_next", "objective"], feeds)
        return ahead, objective

    return run
