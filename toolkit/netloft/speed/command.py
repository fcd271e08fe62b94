"""Anything that runs as a command of its own, as a contestant.

The command is started once for each batch, with `NETLOFT_BATCH` and `NETLOFT_THREADS` in its
environment. For each run it gets a line on its standard input, and writes a line to its standard
output when the result is there; at the end its standard input is closed.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import subprocess
import weakref

from netloft.errors import CheckError, UsageError
from netloft.speed.contestants import Contestant
from netloft.speed.setup import Setup

__all__ = ["COMMAND", "check_command", "command_contestant"]

COMMAND = "command"

_PATIENCE_S = 5.0
"""How long it may take to end once its standard input is closed."""


def check_command(command: str) -> None:
    """Check that a command names a program, before anything is measured.

    Raises:
        UsageError: It does not.
    """
    try:
        words = shlex.split(command)
    except ValueError:
        words = []
    if not words or shutil.which(words[0]) is None:
        raise UsageError(
            f"the command '{command}' names no program that is here",
            remedy="give a program and its arguments, as in a shell",
        )


def command_contestant(command: str, setup: Setup) -> Contestant:
    """Start a command as a contestant.

    Args:
        command: Words as in a shell; no shell runs them.
        setup: Its batch and threads; what it runs on is its own affair.

    Raises:
        CheckError: When it runs: it ended, or gave no line.
    """
    told = {"NETLOFT_BATCH": str(setup.batch), "NETLOFT_THREADS": str(setup.threads)}
    process = subprocess.Popen(
        shlex.split(command),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **told},
    )

    def run() -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write("run\n")
            process.stdin.flush()
            answer = process.stdout.readline()
        except (OSError, UnicodeDecodeError) as error:
            raise CheckError(f"the command '{command}' failed: {error}") from error
        if not answer:
            raise CheckError(f"the command '{command}' ended with code {process.wait()}")

    weakref.finalize(run, _end, process)  # when nothing will run it any more
    return Contestant(COMMAND, setup.provider, setup.batch, setup.threads, run, command, own=False)


def _end(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    assert process.stdout is not None
    with contextlib.suppress(OSError):  # it has ended, and what it had not read is lost
        process.stdin.close()
    try:
        process.wait(_PATIENCE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    process.stdout.close()
