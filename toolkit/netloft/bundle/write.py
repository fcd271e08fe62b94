"""Write a folder whole or not at all."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from netloft.errors import OutputError

__all__ = ["check_target", "staged_bundle", "write_file"]


def check_target(target: Path) -> None:
    """Refuse a place that is not ours to write, before any work is done.

    Raises:
        OutputError: Something other than a bundle stands there, or it cannot be written.
    """
    if target.is_symlink():
        raise OutputError(f"{target} is a link", remedy="name the folder itself with -o")
    if target.exists() and not _is_bundle(target):
        raise OutputError(
            f"{target} exists and is not a netloft bundle; it was left as it was",
            remedy="name another folder with -o, or move that one away",
        )
    parent = _existing_parent(target)
    if not parent.is_dir():
        raise OutputError(f"{parent} is not a folder", remedy="name another folder with -o")
    _probe_writable(parent, target)


def _is_bundle(folder: Path) -> bool:
    try:
        manifest = json.loads((folder / "manifest.json").read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(manifest, dict) and "netloft" in manifest


def _existing_parent(target: Path) -> Path:
    parent = target.parent
    while not parent.exists() and parent != parent.parent:
        parent = parent.parent
    return parent


def _probe_writable(parent: Path, target: Path) -> None:
    # asking the file system is the only sure test: root may write where the mode bits say no,
    # and may not where the file system is read-only
    probe = parent / f".netloft-{secrets.token_hex(4)}"
    try:
        probe.mkdir()
        probe.rmdir()
    except OSError as error:
        raise OutputError(
            f"{target} cannot be written: {error.strerror}", remedy="name another folder with -o"
        ) from error


@contextlib.contextmanager
def staged_bundle(target: Path) -> Iterator[Path]:
    """Give a private folder beside `target`, and put it in its place when all went well.

    The folder is synced to disk and renamed at the end; when the block raises, it is removed and
    what stood at `target` stays as it was.

    Raises:
        OutputError: The place is not ours to write, or the disk refuses.
    """
    check_target(target)
    created = _make_parents(target.parent)
    staging = target.parent / f".{target.name}.netloft-{secrets.token_hex(4)}"
    try:
        staging.mkdir()
        yield staging
        _sync_tree(staging)
        _replace(staging, target)
    except OSError as error:
        raise OutputError(
            f"{target} could not be written: {error.strerror or error}",
            remedy="free some space, or name another folder with -o",
        ) from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)
        for folder in reversed(created):
            if not any(folder.iterdir()):
                folder.rmdir()


def _make_parents(parent: Path) -> list[Path]:
    missing = []
    folder = parent
    while not folder.exists():
        missing.append(folder)
        folder = folder.parent
    created = list(reversed(missing))
    for folder in created:
        folder.mkdir(exist_ok=True)
    return created


def _replace(staging: Path, target: Path) -> None:
    """Put `staging` at `target`; a bundle there moves aside first, and back on error."""
    if not target.exists():
        staging.rename(target)
    else:
        aside = target.parent / f".{target.name}.old-{secrets.token_hex(4)}"
        target.rename(aside)
        try:
            staging.rename(target)
        except OSError:
            aside.rename(target)
            raise
        shutil.rmtree(aside)
    _sync(target.parent)


def _sync_tree(folder: Path) -> None:
    for path in (*folder.rglob("*"), folder):
        _sync(path)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_file(path: Path, data: bytes) -> None:
    """Write one file whole or not at all.

    Raises:
        OutputError: The disk refuses; what stood at `path` stays as it was.
    """
    temporary = path.parent / f".{path.name}.netloft-{secrets.token_hex(4)}"
    try:
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise OutputError(
            f"{path} could not be written: {error.strerror or error}",
            remedy="name another file with -o",
        ) from error
