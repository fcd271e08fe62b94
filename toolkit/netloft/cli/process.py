"""The command line as a process of its own, which ends when its work is done.

The interpreter takes what it has imported apart before it ends: half a second for torch and
torchvision, for memory that the system takes back anyway. Files that nobody has closed are closed
by that, so a command that has run a user's code ends in the interpreter's way.
"""

from __future__ import annotations

import atexit
import gc
import os
import sys
import threading

from netloft.cli import main
from netloft.cli.own_process import OWN

__all__ = ["run"]

_TOOLS = range(6)
"""Numbers of debuggers, profilers and the like in `sys.monitoring`, of Python 3.12."""


def run() -> None:
    """Run the command line and end the process.

    Raises:
        SystemExit: The interpreter has to end it, because somebody waits for that.
    """
    try:
        main(obj=OWN)
    except SystemExit as end:
        if isinstance(end.code, int | None) and not (_is_waited_for() or _ran_users_code()):
            _leave(end.code or 0)
        gc.unfreeze()  # what refers to a file that is open may have been kept
        raise


def _is_waited_for() -> bool:
    """Tell whether there is a thread to wait for, or a debugger or a profiler to return to."""
    threads = (t for t in threading.enumerate() if t is not threading.main_thread())
    if sys.gettrace() or sys.getprofile() or sys.flags.inspect:
        return True
    monitoring = getattr(sys, "monitoring", None)
    watched = monitoring is not None and any(map(monitoring.get_tool, _TOOLS))
    return watched or not all(thread.daemon for thread in threads)


def _ran_users_code() -> bool:
    usercode = sys.modules.get("netloft.models.usercode")
    return usercode is not None and usercode.has_run()


def _leave(code: int) -> None:
    """End the process once all that is to be done at its end is done, and told; else return."""
    try:
        atexit._run_exitfuncs()
        for stream in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__):
            if stream is not None:
                stream.flush()
    except Exception:  # noqa: BLE001 - the interpreter meets it again, and tells of it in its way
        return
    os._exit(code)
