"""The command line as a process of its own, which ends when its work is done.

The interpreter takes what it has imported apart before it ends: half a second for torch and
torchvision, for memory that the system takes back anyway.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
import threading
from contextlib import AbstractContextManager

import click

from netloft.cli import main
from netloft.garbage import kept_for_good

__all__ = ["long_lived", "run"]

_OWN = "a process of its own"
"""What click is given as its object."""


def run() -> None:
    """Run the command line and end the process.

    Raises:
        SystemExit: The interpreter has to end it, because somebody waits for that.
    """
    try:
        main(obj=_OWN)
    except SystemExit as end:
        if isinstance(end.code, int | None) and _nobody_waits():
            _leave(end.code or 0)
        raise


def long_lived() -> AbstractContextManager[None]:
    """Return what is active while things are imported and made that stay to the process's end."""
    context = click.get_current_context(silent=True)
    own = context is not None and context.obj == _OWN
    return kept_for_good() if own else contextlib.nullcontext()


def _nobody_waits() -> bool:
    """Tell whether there is no thread to wait for, and no debugger or profiler to return to."""
    threads = (t for t in threading.enumerate() if t is not threading.main_thread())
    watched = sys.gettrace() or sys.getprofile() or sys.flags.inspect
    return not watched and all(thread.daemon for thread in threads)


def _leave(code: int) -> None:
    """End the process once all that is to be done at its end is done, and told; else return."""
    try:
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
    except Exception:  # noqa: BLE001 - the interpreter meets it again, and tells of it in its way
        return
    os._exit(code)
