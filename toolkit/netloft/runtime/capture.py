"""Catch what other libraries print while they start."""

from __future__ import annotations

import contextlib
import io
import os
import sys
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

__all__ = ["Captured", "captured_output"]

_STDERR = 2
_LOCK = threading.RLock()  # the descriptor belongs to the process, so one thread at a time


@dataclass
class Captured:
    """What was printed; complete when the block has ended."""

    text: str = ""


@contextlib.contextmanager
def captured_output() -> Iterator[Captured]:
    """Keep Python's standard output and the process's standard error off the terminal.

    ONNX Runtime gives the reason why a provider does not start as log lines on the C++ standard
    error, and partly with Python's `print`; neither can be read in another way. Both are put back
    whatever happens. What other threads write to standard error meanwhile is caught as well.
    """
    captured, printed = Captured(), io.StringIO()
    with _LOCK, _scratch() as file:
        saved = _redirect(file.fileno())
        try:
            with contextlib.redirect_stdout(printed):
                yield captured
        finally:
            _restore(saved)
            file.seek(0)
            captured.text = file.read().decode(errors="replace") + printed.getvalue()


def _scratch() -> IO[bytes]:
    # in memory where that exists: a server's file system may be read-only
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("netloft"), "w+b")
    return tempfile.TemporaryFile()


def _redirect(target: int) -> int | None:
    _flush()
    try:
        saved = os.dup(_STDERR)
    except OSError:  # a service may run without a standard error; then there is nothing to keep
        return None
    os.dup2(target, _STDERR)
    return saved


def _restore(saved: int | None) -> None:
    _flush()
    if saved is not None:
        os.dup2(saved, _STDERR)
        os.close(saved)


def _flush() -> None:
    if sys.stderr is not None:
        sys.stderr.flush()
