"""The files that a cell's name is a hash of: where they are, and whether they are still the same.

A plan is read at the beginning, and a cell may wait for hours: what its files hold by then is
another network, whose result must not be kept under the name of the first.
"""

from __future__ import annotations

import contextlib
import importlib.util
import re
import sys
from importlib.machinery import PathFinder
from pathlib import Path
from typing import TYPE_CHECKING

from netloft.errors import MissingError, NetloftError, UsageError
from netloft.runtime.integrity import sha256_of

if TYPE_CHECKING:
    from netloft.matrix.cell import Cell

__all__ = ["ChangedError", "changed", "loaded_before", "local_module", "module_file"]

_INSTALLED = ("site-packages", "dist-packages")

# module: SHA-256 of what this process has imported. Python does not import it again, and a
# cluster's worker lives on when the file is edited for the next run.
_LOADED = dict[str, str]()


class ChangedError(UsageError):
    """A file is not what it was when the plan was read."""


def local_module(spec: str) -> Path | None:
    """Return the file of a MODEL `package.module:Net`, where it may change as a package does not.

    Args:
        spec: MODEL as the file names it.

    Returns:
        None for any other kind of MODEL, for an installed package, and where there is no file.
    """
    module = _module(spec)
    file = module_file(module) if module else None
    if file is None or set(file.parts) & set(_INSTALLED):
        return None
    return file if file.is_file() else None  # it may lie in a zip file


def module_file(name: str) -> Path | None:
    """Return the file that importing a module would run; nothing is imported for it.

    `importlib.util.find_spec` imports the packages around a module, which runs the user's code.
    """
    importlib.invalidate_caches()
    search = [str(Path.cwd()), *sys.path]  # as the import itself looks for it
    parts = name.split(".")
    spec = PathFinder.find_spec(parts[0], search)
    if spec is None:  # an editable install has a finder of its own
        with contextlib.suppress(ImportError, ValueError):
            spec = importlib.util.find_spec(parts[0])
    for end in range(2, len(parts) + 1):
        if spec is None or spec.submodule_search_locations is None:
            return None
        spec = PathFinder.find_spec(".".join(parts[:end]), list(spec.submodule_search_locations))
    if spec is None or not spec.has_location or spec.origin is None:
        return None
    return Path(spec.origin).resolve()


def changed(cell: Cell) -> NetloftError | None:
    """Say where a file of a cell is not what its hash was taken of; None where all are."""
    checks = [(_code(cell), cell.code_sha256), (Path(cell.weights or ""), cell.weights_sha256)]
    for file, sha256 in checks:
        if not sha256:
            continue
        if file is None:
            return _unreadable(_module(cell.target), "there is no such module")
        try:
            found = sha256_of(file)
        except OSError as error:
            return _unreadable(str(file), error.strerror or str(error))
        if found != sha256:
            return ChangedError(
                f"{file.name} was changed while the matrix ran",
                remedy="run the matrix again, which takes it as it is now",
            )
    return None


def loaded_before(cell: Cell) -> MissingError | None:
    """Say where this process holds an earlier version of a cell's module; None where it does not.

    What it is about to import is noted.
    """
    module = _module(cell.target)
    if not (module and cell.code_sha256):
        return None
    if module in sys.modules and _LOADED.get(module, cell.code_sha256) != cell.code_sha256:
        return MissingError(
            f"this worker has imported {module} as it was before",
            remedy="start the cluster's workers again, and run the matrix again",
        )
    _LOADED[module] = cell.code_sha256
    return None


def _code(cell: Cell) -> Path | None:
    module = _module(cell.target)
    # wherever it lies: it may be installed on another machine
    return module_file(module) if module else Path(cell.target.rpartition(":")[0])


def _module(spec: str) -> str:
    """Return the module of a MODEL; empty where that names a file or a catalogue's network."""
    left, _, _ = spec.rpartition(":")
    is_module = re.fullmatch(r"\w+(\.\w+)*", left) and left not in ("torchvision", "timm")
    return left if is_module and not left.endswith(".py") else ""


def _unreadable(what: str, why: str) -> MissingError:
    return MissingError(
        f"{what} cannot be read: {why}",
        remedy="see that it is there on every machine, and run the matrix again",
    )
