"""Files whole or not at all."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from netloft.errors import OutputError

__all__ = ["check_writable", "write_all"]


def check_writable(path: Path) -> None:
    """Refuse a place that cannot hold a file.

    Raises:
        OutputError: The folder does not exist, or the path is a folder.
    """
    if path.is_dir():
        raise OutputError(f"{path} is a folder", remedy="give the name of a file")
    if not path.parent.is_dir():
        raise OutputError(
            f"the folder {path.parent} does not exist", remedy=f"mkdir -p {path.parent}"
        )


def write_all(contents: Mapping[Path, bytes]) -> None:
    """Write files; each takes its place only when it is complete.

    Raises:
        OutputError: A file cannot be written.
    """
    for path in contents:
        check_writable(path)
    for path, data in contents.items():
        try:
            _write(path, data)
        except OSError as error:
            raise OutputError(
                f"{path} cannot be written: {error.strerror}", remedy="choose another place with -o"
            ) from error


def _write(path: Path, data: bytes) -> None:
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".netloft-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        # mkstemp makes a private file; give it the rights that any new file would have
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(name, 0o666 & ~mask)
        os.replace(name, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)
        raise
