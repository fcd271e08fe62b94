"""Say what is being done: a spinner on a terminal, one line a step in a log, nothing when quiet."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from netloft.report.table import printable

if TYPE_CHECKING:
    from rich.progress import Progress

__all__ = ["counted", "progress"]


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
        from rich.text import Text

        with Console(stderr=True).status("starting") as status:
            yield lambda what: status.update(Text(f"{printable(what)} …"))
    else:
        yield _lines()


@contextmanager
def counted(total: int, *, quiet: bool = False) -> Iterator[Callable[[str, int], None]]:
    """Give a function that tells what is done, and how many of all that were: a bar, or lines.

    Args:
        total: How many there are.
        quiet: Tell nothing.
    """
    if quiet:
        yield lambda _what, _count: None
    elif sys.stderr.isatty():
        with _bar() as bar:
            task = bar.add_task("", total=total)
            yield lambda what, count: bar.update(task, advance=count, description=what)
    else:
        line, done = _lines(), 0

        def tell(what: str, count: int) -> None:
            nonlocal done
            done += count
            line(f"{done}/{total} {what}")

        yield tell


def _bar() -> Progress:
    from rich import progress as parts
    from rich.console import Console

    return parts.Progress(
        parts.BarColumn(),
        parts.MofNCompleteColumn(),
        parts.TimeElapsedColumn(),
        parts.TimeRemainingColumn(),
        parts.TextColumn("{task.description}", markup=False),
        console=Console(stderr=True),
    )


def _lines() -> Callable[[str], None]:
    start = time.monotonic()

    def line(what: str) -> None:
        sys.stderr.write(f"[{time.monotonic() - start:6.1f} s] {printable(what)}\n")
        sys.stderr.flush()

    return line
