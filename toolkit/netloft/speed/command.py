"""Anything that runs as a command of its own, as a contestant.

The command is started once for each batch, with `NETLOFT_BATCH` and `NETLOFT_THREADS` in its
environment. For each run it gets a line on its standard input, and writes a line to its standard
output when the result is there; at the end its standard input is closed.
"""

from __future__ import annotations

import contextlib
import os
import select
import shlex
import shutil
import subprocess
import time
import weakref
from typing import IO

from netloft.errors import CheckError, UsageError
from netloft.speed.contestants import Contestant
from netloft.speed.setup import Setup

__all__ = ["COMMAND", "check_command", "command_contestant"]

COMMAND = "command"

LONGEST_S = 600.0
"""How long a run may take."""

_BLOCK = 1 << 16
_MORE = "wrote more than one line for a run: it is not known which ends it"
_ENDED = "ended"

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
        CheckError: When it runs: it ended, or gave no line, or more than one for a run.
    """
    told = {"NETLOFT_BATCH": str(setup.batch), "NETLOFT_THREADS": str(setup.threads)}
    process = subprocess.Popen(
        shlex.split(command),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        bufsize=0,  # what is not read yet is in the pipe, where it can be seen
        env={**os.environ, **told},
    )

    def run() -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        if not end.alive:
            raise CheckError(f"the command '{command}' ended with code {process.returncode}")
        try:
            waits = _readable(process.stdout, 0)
            early = os.read(process.stdout.fileno(), _BLOCK) if waits else None
            if early is None:
                process.stdin.write(b"run\n")
            answer = _line(process.stdout) if early is None else early
        except OSError as error:
            end()
            raise CheckError(f"the command '{command}' failed: {error}") from error
        problem = _problem(answer, early=bool(early))
        if problem:
            end()
            code = f" with code {process.returncode}" if problem == _ENDED else ""
            raise CheckError(f"the command '{command}' {problem}{code}")

    end = weakref.finalize(run, _end, process)  # when nothing will run it any more
    return Contestant(COMMAND, setup.provider, setup.batch, setup.threads, run, command, own=False)


def _problem(answer: bytes | None, *, early: bool) -> str:
    """Return what is wrong with what a command wrote for a run; empty where nothing is."""
    if answer is None:
        return f"gave no line within {LONGEST_S:g} s"
    _, end, more = answer.partition(b"\n")
    if more or early:
        return _MORE
    return "" if end else _ENDED


def _line(stream: IO[bytes]) -> bytes | None:
    """Return what there is up to the end of a line, or of all; None where time is up before it."""
    read = b""
    until = time.monotonic() + LONGEST_S
    while b"\n" not in read:
        if not _readable(stream, until - time.monotonic()):
            return None
        some = os.read(stream.fileno(), _BLOCK)
        if not some:
            break
        read += some
    return read


def _readable(stream: IO[bytes], seconds: float) -> bool:
    """Tell whether there is something to read, or the end, within some time."""
    if os.name == "nt":  # which waits for sockets alone
        return seconds > 0
    return bool(select.select([stream], [], [], max(0.0, seconds))[0])


def _end(process: subprocess.Popen[bytes]) -> None:
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
