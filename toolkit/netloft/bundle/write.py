"""Write a folder whole or not at all."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from netloft.bundle.atomic import exchange, sync, sync_tree
from netloft.bundle.lock import exclusive
from netloft.errors import OutputError
from netloft.runtime.integrity import SIGNATURE

__all__ = ["check_target", "staged_bundle"]

_ELSEWHERE = "name another folder with -o"
_LONG = 200  # bytes of a name to which a prefix and a suffix can be added on any file system


def check_target(target: Path) -> None:
    """Refuse a place that is not ours to write, before any work is done.

    Raises:
        OutputError: Something other than a bundle stands there, the bundle there holds files of
            somebody else, or it cannot be written.
    """
    with _reported(target):
        _check_ours(target, target)
        parent = _existing_parent(target)
        if not parent.is_dir():
            raise OutputError(f"{parent} is not a folder", remedy=_ELSEWHERE)
        _probe_writable(parent, target)


@contextlib.contextmanager
def staged_bundle(target: Path) -> Iterator[Path]:
    """Give a private folder beside `target`, and put it in its place when all went well.

    The folder is synced to disk and renamed at the end; when the block raises, it is removed and
    what stood at `target` stays as it was.

    Raises:
        OutputError: The place is not ours to write, another export writes it, or the disk refuses.
    """
    check_target(target)
    place = Path(os.path.abspath(target))
    prefix = _prefix(place)
    created = list[Path]()
    try:
        with _reported(target):
            _make_parents(place.parent, created)
            with exclusive(place.parent / f"{prefix}lock", target) as held:
                if held:
                    _sweep(place)
                with _private(place.parent / f"{prefix}{secrets.token_hex(4)}") as staging:
                    yield staging
                    sync_tree(staging)
                    _replace(staging, place, target)
    finally:
        for folder in reversed(created):
            with contextlib.suppress(OSError):  # it holds something now
                folder.rmdir()


@contextlib.contextmanager
def _private(folder: Path) -> Iterator[Path]:
    """Make a folder, and remove it at the end, but never another one that got its name."""
    folder.mkdir()
    made = folder.stat()
    try:
        yield folder
    finally:
        if folder.exists() and os.path.samestat(folder.stat(), made):
            shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _reported(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"{target} cannot be written: {error.strerror or error}",
            remedy=f"free some space, or {_ELSEWHERE}",
        ) from error


def _check_ours(folder: Path, target: Path) -> None:
    """Refuse what may not be replaced.

    Args:
        folder: Where it stands now.
        target: What it is called in the message.

    Raises:
        OutputError: It is there, and is not a bundle and nothing but a bundle.
    """
    if folder.is_symlink():
        raise OutputError(f"{target} is a link", remedy="name the folder itself with -o")
    if not folder.exists():
        return
    files = _listed_files(folder)
    if files is None:
        raise OutputError(
            f"{target} exists and is not a netloft bundle; it was left as it was",
            remedy=f"{_ELSEWHERE}, or move that one away",
        )
    foreign = _foreign(folder, files)
    if foreign:
        raise OutputError(
            f"{target} holds {foreign}, which is no part of the bundle there; it was left as it "
            "was",
            remedy=f"move {foreign} away, or {_ELSEWHERE}",
        )


def _listed_files(folder: Path) -> dict[str, Any] | None:
    """Return what a bundle's manifest lists; None where this is not a bundle."""
    try:
        manifest = json.loads((folder / "manifest.json").read_bytes())
    except (OSError, ValueError):
        return None
    if not isinstance(manifest, dict) or not {"netloft", "format"} <= manifest.keys():
        return None
    files = manifest.get("files")
    return files if isinstance(files, dict) else None


def _foreign(folder: Path, files: dict[str, Any]) -> str:
    """Return the first path below a bundle that its manifest does not account for."""
    folders = {parent.as_posix() for name in files for parent in Path(name).parents}
    known = {"manifest.json", SIGNATURE, *files, *folders}
    below = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))
    return next((name for name in below if name not in known), "")


def _existing_parent(target: Path) -> Path:
    parent = target.parent
    while not parent.exists() and parent != parent.parent:
        parent = parent.parent
    return parent


def _probe_writable(parent: Path, target: Path) -> None:
    # asking the file system is the only sure test: root may write where the mode bits say no,
    # and may not where the file system is read-only
    probe = parent / f".netloft-{secrets.token_hex(4)}"
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        target.lstat()  # a name that is too long raises here
    try:
        probe.mkdir()
        probe.rmdir()
    except OSError as error:
        raise OutputError(
            f"{target} cannot be written: {error.strerror}", remedy=_ELSEWHERE
        ) from error


def _make_parents(parent: Path, created: list[Path]) -> None:
    """Make the folders that are missing, and list each as soon as it is there."""
    missing = []
    while not parent.exists():
        missing.append(parent)
        parent = parent.parent
    for folder in reversed(missing):
        with contextlib.suppress(FileExistsError):  # somebody else was faster
            folder.mkdir()
            created.append(folder)


def _prefix(place: Path) -> str:
    name = place.name
    if len(os.fsencode(name)) > _LONG:
        name = hashlib.sha256(os.fsencode(name)).hexdigest()[:16]
    return f".{name}.netloft-"


def _old(place: Path) -> Path:
    return place.parent / f"{_prefix(place)}old"


def _sweep(place: Path) -> None:
    """Clear up after an export that was killed; the caller holds the lock, so it is dead."""
    old = _old(place)
    if old.exists() and not place.exists():  # killed between two renames
        old.rename(place)
    for path in place.parent.iterdir():
        if path.name.startswith(_prefix(place)) and path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)


def _replace(staging: Path, place: Path, target: Path) -> None:
    """Put `staging` at `place`; the bundle that stood there is deleted last.

    The work took minutes, and anything may have happened there meanwhile.
    """
    _check_ours(place, target)
    if not place.exists():
        staging.rename(place)
    elif not _exchanged(staging, place, target):
        _move_aside(staging, place, target)
    sync(place.parent)


def _exchanged(staging: Path, place: Path, target: Path) -> bool:
    """Exchange the two folders, and back when what was there turns out not to be ours."""
    new = staging.stat()
    try:
        done = exchange(staging, place)
        if done:
            _check_ours(staging, target)
    except BaseException:
        # Ctrl-C may come at any point of this, so ask the disk how far it got
        if os.path.samestat(place.stat(), new):
            exchange(staging, place)
        raise
    if done:
        shutil.rmtree(staging, ignore_errors=True)  # what is left is swept by the next export
    return done


def _move_aside(staging: Path, place: Path, target: Path) -> None:
    """Do the same in two renames, where there is no exchange."""
    aside = _old(place)
    try:
        place.rename(aside)
        _check_ours(aside, target)
        staging.rename(place)
    except BaseException:
        if aside.exists() and not place.exists():
            aside.rename(place)
        raise
    shutil.rmtree(aside, ignore_errors=True)
