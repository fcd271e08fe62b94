"""Files whole or not at all."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from netloft.bundle.atomic import write_file
from netloft.errors import OutputError

__all__ = ["check_writable", "write_all"]


def check_writable(path: Path) -> None:
    """Refuse a place that cannot hold a file.

    Raises:
        OutputError: The folder does not exist, the path is a folder, or its name is too long.
    """
    try:
        path.lstat()  # a name that is too long raises here
        is_folder, has_parent = path.is_dir(), True
    except (FileNotFoundError, NotADirectoryError):
        is_folder, has_parent = False, path.parent.is_dir()
    except OSError as error:
        raise OutputError(
            f"{path} cannot be written: {error.strerror}", remedy="choose another place with -o"
        ) from error
    if is_folder:
        raise OutputError(f"{path} is a folder", remedy="give the name of a file")
    if not has_parent and path.parent.exists():
        raise OutputError(f"{path.parent} is a file", remedy="choose another place with -o")
    if not has_parent:
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
        write_file(path, data)
