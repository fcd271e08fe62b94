"""What a file system can do in one step: a whole file, and two folders that change places."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import secrets
from pathlib import Path

from netloft.errors import OutputError

__all__ = ["exchange", "sync", "sync_tree", "write_file"]

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
_UNSUPPORTED = {errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EPERM}


def exchange(first: Path, second: Path) -> bool:
    """Let two folders change places in one step.

    Returns:
        Whether it was done; False where the system or the file system has no such step.

    Raises:
        OSError: It has, and the step failed.
    """
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError, TypeError):  # not Linux, or an old C library
        return False
    names = os.fsencode(first), os.fsencode(second)
    if rename(_AT_FDCWD, names[0], _AT_FDCWD, names[1], _RENAME_EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in _UNSUPPORTED:
        return False
    raise OSError(number, os.strerror(number), str(second))


def write_file(path: Path, data: bytes) -> None:
    """Write one file whole or not at all.

    Raises:
        OutputError: The disk refuses; what stood at `path` stays as it was.
    """
    temporary = path.parent / f".netloft-{secrets.token_hex(8)}"
    try:
        try:
            with temporary.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise OutputError(
            f"{path} cannot be written: {error.strerror or error}",
            remedy="choose another place with -o",
        ) from error


def sync_tree(folder: Path) -> None:
    """Wait until every file below a folder is on the disk.

    Raises:
        OSError: The disk refuses a file.
    """
    for path in (*folder.rglob("*"), folder):
        sync(path)


def sync(path: Path) -> None:
    """Wait until a file, or a folder's list of names, is on the disk.

    Raises:
        OSError: The disk refuses a file; some file systems cannot sync a folder, and need not.
    """
    with contextlib.suppress(OSError) if path.is_dir() else contextlib.nullcontext():
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
