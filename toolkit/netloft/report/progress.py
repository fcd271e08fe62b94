"""Say what is being done: a spinner on a terminal, one line a step in a log, nothing when quiet."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["progress"]


@contextmanager
def progress(*, quiet: bool = False) -> Iterator[Callable[[str], None]]:
    """Give a function that tells the user, on standard error, what is being done.

    Args:
        quiet: Tell nothing.
    """
    if quiet:
        yield lambda _: None
    elif sys.stderr.isatty():
        from rich.console import Console

        with Console(stderr=True).status("starting") as status:
            yield lambda what: status.update(f"{what} …")
    else:
        start = time.monotonic()

        def line(what: str) -> None:
            sys.stderr.write(f"[{time.monotonic() - start:6.1f} s] {what}\n")
            sys.stderr.flush()

        yield line
