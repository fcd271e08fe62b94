"""Python's garbage collector, which walks every object there is while a graph is being built."""

from __future__ import annotations

import contextlib
import gc
import itertools
from collections.abc import Iterator

__all__ = ["collector_paused"]

_EVERY = 16
"""Pauses after which all is collected."""
_pauses = itertools.count(1)


@contextlib.contextmanager
def collector_paused() -> Iterator[None]:
    """Put the collector off; what no reference holds is freed all the same.

    With PyTorch loaded, a full collection takes 0.1 to 0.4 s, and building a graph sets off some.
    What was made meanwhile counts as old, since the walk over it that comes first is a tenth of the
    time of a drawing; so that circles among it do not pile up, every 16th time all is collected.
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
    elif not gc.get_freeze_count():  # what somebody else has frozen stays so
        gc.freeze()
        gc.unfreeze()
