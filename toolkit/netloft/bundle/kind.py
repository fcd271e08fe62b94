"""Which folders are ours to replace: those whose own record lists every file in them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from netloft.errors import OutputError
from netloft.runtime.integrity import SIGNATURE
from netloft.runtime.manifest import read_json_bytes

__all__ = ["BUNDLE", "FolderKind", "check_ours"]


@dataclass(frozen=True)
class FolderKind:
    """A kind of folder that netloft writes whole, and replaces by another of its kind.

    Attributes:
        what: What it is called, such as `netloft bundle`.
        short: The same in one word.
        record: File in it that lists the others, as an object `files` by path.
        keys: That the record has besides.
        unlisted: Files that may be there and are not in the record, which they are made from.
        elsewhere: How to name another place, as an instruction.
        has_caches: Python runs what is in it, and leaves `.pyc` files in folders `__pycache__`.
    """

    what: str
    short: str
    record: str
    keys: frozenset[str]
    elsewhere: str
    unlisted: frozenset[str] = frozenset()
    has_caches: bool = False


BUNDLE = FolderKind(
    what="netloft bundle",
    short="bundle",
    record="manifest.json",
    keys=frozenset({"netloft", "format"}),
    elsewhere="name another folder with -o",
    unlisted=frozenset({SIGNATURE}),
)


def check_ours(folder: Path, target: Path, kind: FolderKind) -> None:
    """Refuse what may not be replaced.

    Args:
        folder: Where it stands now.
        target: What it is called in the message.
        kind: What it has to be, if it is there.

    Raises:
        OutputError: It is there, and is not of this kind and nothing but that.
    """
    if folder.is_symlink():
        raise OutputError(f"{target} is a link", remedy=kind.elsewhere)
    if not folder.exists():
        return
    files = _listed_files(folder, kind)
    if files is None:
        raise OutputError(
            f"{target} exists and is not a {kind.what}; it was left as it was",
            remedy=f"{kind.elsewhere}, or move that one away",
        )
    foreign = _foreign(folder, files, kind)
    if foreign:
        raise OutputError(
            f"{target} holds {foreign}, which is no part of the {kind.short} there; it was left "
            "as it was",
            remedy=f"move {foreign} away, or {kind.elsewhere}",
        )


def _listed_files(folder: Path, kind: FolderKind) -> Mapping[str, Any] | None:
    """Return what a folder's record lists; None where it has no such record."""
    try:
        record = json.loads(read_json_bytes(folder / kind.record))
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(record, dict) or not kind.keys <= record.keys():
        return None
    files = record.get("files")
    return files if isinstance(files, dict) else None


def _foreign(folder: Path, files: Mapping[str, Any], kind: FolderKind) -> str:
    """Return the first path below a folder that its record does not account for."""
    folders = {parent.as_posix() for name in files for parent in Path(name).parents}
    known = {kind.record, *kind.unlisted, *files, *folders}
    below = sorted(path.relative_to(folder) for path in folder.rglob("*"))
    foreign = (path.as_posix() for path in below if not (kind.has_caches and _is_cache(path)))
    return next((name for name in foreign if name not in known), "")


def _is_cache(path: Path) -> bool:
    """Tell whether Python made a file or folder, from a file that is beside it."""
    return path.name == "__pycache__" or (
        path.parent.name == "__pycache__" and path.suffix == ".pyc"
    )
