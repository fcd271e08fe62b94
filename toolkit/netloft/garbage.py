"""Python's garbage collector, which walks every object there is while a graph is being built."""

from __future__ import annotations

import contextlib
import gc
import itertools
from collections.abc import Iterator

__all__ = ["collector_paused", "kept_for_good"]

_EVERY = 16
"""Pauses after which all is collected."""
_pauses = itertools.count(1)

_kept = False
"""Something is kept for good here; to ask the collector, it counts all that is, for 0.02 s."""


@contextlib.contextmanager
def collector_paused() -> Iterator[None]:
    """Put the collector off; what no reference holds is freed all the same.

    With PyTorch loaded, a full collection takes 0.1 to 0.4 s, and building a graph sets off some.
    What was made meanwhile counts as old, since the walk over it that comes first is a tenth of the
    time of a drawing; so that circles among it do not pile up, every 16th time all is collected.
    Where something is kept for good, it does not.
    Not for code that copies weights: a graph and its module refer to each other in a circle, and
    the copies would stay.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            _age()
            gc.enable()


def _age() -> None:
    if next(_pauses) % _EVERY == 0:
        gc.collect()
    elif not _kept and not gc.get_freeze_count():  # what is frozen stays so
        gc.freeze()
        gc.unfreeze()


@contextlib.contextmanager
def kept_for_good() -> Iterator[None]:
    """Let the collector take all that is there at the end for what stays to the end of the process.

    Half a million objects of torch and others are made while they are imported, and looked through
    time and again: a twentieth of the time of a small export. Not for a process that goes on to do
    other things, nor for code that makes networks: circles that nothing refers to any more would
    stay as well.
    """
    global _kept
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        _kept = True
        if was_on:
            gc.enable()
