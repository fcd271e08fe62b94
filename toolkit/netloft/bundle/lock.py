"""One process at a time that writes a folder."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from netloft.errors import OutputError

__all__ = ["exclusive"]


@contextlib.contextmanager
def exclusive(lock: Path, target: Path, elsewhere: str) -> Iterator[bool]:
    """Hold a lock file; the system lets go of it when the process ends, however it ends.

    Args:
        lock: The file, which is made, and removed at the end.
        target: What is being written, for the message.
        elsewhere: How to name another place, for the message.

    Yields:
        Whether the lock is held; False where the file system knows no locks.

    Raises:
        OutputError: Another process holds it.
        OSError: The file cannot be made.
    """
    descriptor, held = _acquire(lock, target, elsewhere)
    try:
        yield held
    finally:
        # removed while it is held: who waits for it finds that its file is gone and makes another
        if held:
            with contextlib.suppress(OSError):
                lock.unlink()
        os.close(descriptor)
        if not held:  # an open file cannot be removed on Windows
            with contextlib.suppress(OSError):
                lock.unlink()


def _acquire(lock: Path, target: Path, elsewhere: str) -> tuple[int, bool]:
    while True:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666)
        try:
            held = _flock(descriptor)
            if not held or _is_file_of(descriptor, lock):
                return descriptor, held
        except BlockingIOError as error:
            os.close(descriptor)
            raise OutputError(
                f"another process is writing {target}",
                remedy=f"wait until it has ended, or {elsewhere}",
            ) from error
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # the holder before us removed this file


def _flock(descriptor: int) -> bool:
    if sys.platform == "win32":
        return False
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError:  # a network file system without locks
        return False
    return True


def _is_file_of(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
