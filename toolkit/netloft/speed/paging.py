"""What it gives a session to have its memory on huge pages, over processes of their own.

Where its pages lie is settled when a process starts, so that one process tells of its own luck
alone.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from netloft.errors import CheckError
from netloft.runtime.huge_pages import HugePages, settled
from netloft.runtime.providers import start_session
from netloft.runtime.tuning import PagesRatio
from netloft.speed import fresh
from netloft.speed.contestants import Arrays
from netloft.speed.fresh import ask, shapes_of
from netloft.speed.measure import Plan, ratio_of
from netloft.speed.stats import fewest_for, median

__all__ = ["surely_faster"]

_PLAN = Plan(budget_s=0.5, rounds=10, warmup_s=0.2, patience=3.0)
_QUICK = Plan(budget_s=0.1, rounds=8, warmup_s=0.05, patience=3.0)
"""Of one process."""


def surely_faster(
    file: Path, options: Mapping[str, Any], feeds: Arrays, *, quick: bool = False
) -> PagesRatio:
    """Return the time of a run on huge pages over that on usual ones, where that is surely less.

    Each process starts the file twice, puts the memory of one session on huge pages, and times both
    in turns; which of them is started first alternates. Of eight processes the median counts, and
    the least and the most are an interval of 99 %. The first that does not gain ends it.

    Args:
        file: What runs on the CPU.
        options: Of `start_session`.
        feeds: Inputs by the file's names, of which the shapes and element types count.
        quick: Time both for a tenth of a second in each process, not for half of one.

    Raises:
        CheckError: It is not, or a process came to an end without an answer.
    """
    asked = {"path": str(file), "options": {**options, "resting": True}, "quick": quick}
    asked["inputs"] = shapes_of(feeds)
    each = list[float]()
    while len(each) < fewest_for(50) and max(each, default=0.0) < 1:
        each.append(ask(__name__, {**asked, "huge_first": len(each) % 2 == 1}, ["ratio"])["ratio"])
    found = PagesRatio(*(round(ratio, 4) for ratio in (median(each), min(each), max(each))))
    if found.run_high >= 1:
        told = f"{found.run_ratio:.3f} of the time ({found.run_low:.3f} to {found.run_high:.3f})"
        raise CheckError(f"not surely faster: {told}")
    return found


def _measured(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Do it, in the process that was started for it."""
    feeds = {name: np.ones(shape, kind) for name, (shape, kind) in asked["inputs"].items()}
    runs = dict[bool, Callable[[], object]]()
    for huge in (asked["huge_first"], not asked["huge_first"]):
        pages = HugePages(wanted=huge)
        with pages.watching():
            session = start_session(asked["path"], **asked["options"])
        runs[huge] = functools.partial(session.run, None, feeds)
        settled(pages, session, feeds)
    return {"ratio": ratio_of(runs[True], runs[False], _QUICK if asked["quick"] else _PLAN).value}


def answer() -> None:
    """Answer one request, in a process that was started for it."""
    fresh.answer(_measured)
