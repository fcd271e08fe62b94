"""Compare a bundle's files with its manifest."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from netloft.errors import IntegrityError
from netloft.runtime.manifest import AGAIN

__all__ = ["SIGNATURE", "check_files", "sha256_of"]

SIGNATURE = "signature.json"
"""A file of a bundle that its manifest does not list: it signs the manifest too."""

_CHUNK = 1 << 20


def check_files(folder: Path, files: Mapping[str, Mapping[str, Any]]) -> None:
    """Compare a bundle's files with the manifest's list of them.

    Args:
        folder: The bundle.
        files: Size and SHA-256 by path, with `/` between folders.

    Raises:
        IntegrityError: One is missing, was changed, was added or is a link; it is named.
    """
    present = set(_files_below(folder))
    for name in sorted(set(files) - present):
        raise IntegrityError(f"{name} is missing", remedy=AGAIN)
    for name in sorted(present - set(files) - {"manifest.json", SIGNATURE}):
        raise IntegrityError(f"{name} is not in the manifest", remedy="remove it")
    for name, facts in files.items():
        path = folder / name
        if path.stat().st_size != facts["bytes"] or sha256_of(path) != facts["sha256"]:
            raise IntegrityError(f"{name} was changed after the export", remedy=AGAIN)


def _files_below(folder: Path) -> Iterator[str]:
    # os.walk lists a link to a folder among the folders and does not enter it
    for root, folders, names in os.walk(folder):
        for name in (*folders, *names):
            path = Path(root, name)
            relative = path.relative_to(folder).as_posix()
            if path.is_symlink():
                raise IntegrityError(f"{relative} is a link", remedy=AGAIN)
            if name in names and not stat.S_ISREG(path.lstat().st_mode):  # a pipe would never end
                raise IntegrityError(f"{relative} is no file", remedy=AGAIN)
            if name in names:
                yield relative
            elif not any(path.iterdir()):  # it belongs to no file that could be listed
                yield f"{relative}/"


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, read in pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
