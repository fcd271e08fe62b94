"""Write a folder whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from netloft.bundle.atomic import exchange, sync, sync_tree
from netloft.bundle.kind import BUNDLE, FolderKind, check_ours
from netloft.bundle.lock import exclusive
from netloft.errors import OutputError

__all__ = ["check_target", "default_target", "staged_bundle", "staged_folder"]

_LONG = 200  # bytes of a name to which a prefix and a suffix can be added on any file system


def default_target(name: str) -> Path:
    """Return where a model's bundle goes if nobody says: `out/NAME`, whatever the name is."""
    folder = re.sub(r"[^\w.-]+", "_", name)[:100].strip(". ") or "net"
    return Path("out") / folder


def check_target(target: Path, kind: FolderKind = BUNDLE) -> None:
    """Refuse a place that is not ours to write, before any work is done.

    Raises:
        OutputError: Something of another kind stands there, the folder there holds files of
            somebody else, or it cannot be written.
    """
    with _reported(target, kind):
        check_ours(target, target, kind)
        parent = _existing_parent(target)
        if not parent.is_dir():
            raise OutputError(f"{parent} is not a folder", remedy=kind.elsewhere)
        _probe_writable(parent, target, kind)


def staged_bundle(target: Path) -> contextlib.AbstractContextManager[Path]:
    """Give a private folder that becomes the bundle at `target`; see `staged_folder`."""
    return staged_folder(target, BUNDLE)


@contextlib.contextmanager
def staged_folder(target: Path, kind: FolderKind) -> Iterator[Path]:
    """Give a private folder beside `target`, and put it in its place when all went well.

    The folder is synced to disk and renamed at the end; when the block raises, it is removed and
    what stood at `target` stays as it was. What is written has to hold the record of its kind.

    Args:
        target: Its place.
        kind: What may be replaced there.

    Raises:
        OutputError: The place is not ours to write, another process writes it, or the disk
            refuses.
    """
    check_target(target, kind)
    place = Path(os.path.abspath(target))
    prefix = _prefix(place)
    created = list[Path]()
    try:
        with _reported(target, kind):
            _make_parents(place.parent, created)
            with exclusive(place.parent / f"{prefix}lock", target, kind.elsewhere) as held:
                if held:
                    _sweep(place)
                with _private(place.parent / f"{prefix}{secrets.token_hex(4)}") as staging:
                    yield staging
                    sync_tree(staging)
                    _replace(staging, place, target, kind)
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
def _reported(target: Path, kind: FolderKind) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"{target} cannot be written: {error.strerror or error}",
            remedy=f"free some space, or {kind.elsewhere}",
        ) from error


def _existing_parent(target: Path) -> Path:
    parent = target.parent
    while not parent.exists() and parent != parent.parent:
        parent = parent.parent
    return parent


def _probe_writable(parent: Path, target: Path, kind: FolderKind) -> None:
    # asking the file system is the only sure test: root may write where the mode bits say no,
    # and may not where the file system is read-only
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        target.lstat()  # a name that is too long raises here
    try:
        if not _nameless(parent):
            probe = parent / f"{_prefix(target.absolute())}{secrets.token_hex(4)}"
            probe.mkdir()  # the next one sweeps it away if we are killed now
            probe.rmdir()
    except OSError as error:
        raise OutputError(
            f"{target} cannot be written: {error.strerror}", remedy=kind.elsewhere
        ) from error


def _nameless(folder: Path) -> bool:
    """Make a file without a name, of which nothing can be left; False where there are none.

    Raises:
        OSError: The file system refuses to hold one.
    """
    if not hasattr(os, "O_TMPFILE"):
        return False
    try:
        os.close(os.open(folder, os.O_TMPFILE | os.O_WRONLY, 0o600))
    except OSError as error:
        if error.errno in (errno.EOPNOTSUPP, errno.EISDIR, errno.ENOENT, errno.EINVAL):
            return False
        raise
    return True


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


def _replace(staging: Path, place: Path, target: Path, kind: FolderKind) -> None:
    """Put `staging` at `place`; the folder that stood there is deleted last.

    The work took minutes, and anything may have happened there meanwhile.
    """
    check_ours(place, target, kind)
    if not place.exists():
        staging.rename(place)
    elif not _exchanged(staging, place, target, kind):
        _move_aside(staging, place, target, kind)
    sync(place.parent)


def _exchanged(staging: Path, place: Path, target: Path, kind: FolderKind) -> bool:
    """Exchange the two folders, and back when what was there turns out not to be ours."""
    new = staging.stat()
    try:
        done = exchange(staging, place)
        if done:
            check_ours(staging, target, kind)
    except BaseException:
        # Ctrl-C may come at any point of this, so ask the disk how far it got
        if os.path.samestat(place.stat(), new):
            exchange(staging, place)
        raise
    if done:
        shutil.rmtree(staging, ignore_errors=True)  # what is left is swept by the next export
    return done


def _move_aside(staging: Path, place: Path, target: Path, kind: FolderKind) -> None:
    """Do the same in two renames, where there is no exchange."""
    aside = _old(place)
    try:
        place.rename(aside)
        check_ours(aside, target, kind)
        staging.rename(place)
    except BaseException:
        if aside.exists() and not place.exists():
            aside.rename(place)
        raise
    shutil.rmtree(aside, ignore_errors=True)
