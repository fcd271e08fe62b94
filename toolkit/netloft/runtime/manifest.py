"""Read `manifest.json`, which says what a bundle is; nothing in it is taken on trust."""

from __future__ import annotations

import json
import os
from pathlib import Path, PurePosixPath
from typing import Any

from netloft.errors import IntegrityError
from netloft.runtime.tuning import MODEL, problem_of

__all__ = ["AGAIN", "FORMAT", "read_manifest"]

FORMAT = 1
"""Version of the schema that this netloft writes and reads."""

AGAIN = "export the model again, or fetch the bundle again"
"""What to do with a bundle that is not what it should be."""

_LARGEST_TOLERANCE = 0.1  # a scaled error; beyond it nothing would be checked


def read_manifest(folder: Path) -> dict[str, Any]:
    """Read `manifest.json` and check that what the runtime needs is in it.

    Raises:
        IntegrityError: There is none, or it is not a manifest.
    """
    file = folder / "manifest.json"
    if not os.path.isdir(folder):  # unlike Path.is_dir it bears a name that is too long
        raise IntegrityError(f"there is no bundle {folder}", remedy="name a bundle's folder")
    if file.is_symlink() or not file.is_file():
        raise IntegrityError(
            f"{folder} has no manifest.json", remedy="name a folder that netloft export wrote"
        )
    try:
        manifest = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise IntegrityError(f"manifest.json cannot be read: {error}", remedy=AGAIN) from error
    problem = _manifest_problem(manifest)
    if problem:
        raise IntegrityError(f"manifest.json {problem}", remedy=AGAIN)
    return dict(manifest)


def _manifest_problem(manifest: object) -> str:
    if not isinstance(manifest, dict):
        return "is not a JSON object"
    if manifest.get("format") != FORMAT:
        return f"has format {manifest.get('format')}, and this netloft reads {FORMAT}"
    kinds = {"name": str, "inputs": list, "outputs": list, "files": dict, "tolerances": dict}
    for key, kind in kinds.items():
        if not isinstance(manifest.get(key), kind):
            return f"has no '{key}'"
    if not all(map(_is_tensor, (*manifest["inputs"], *manifest["outputs"]))):
        return "describes an input or output in an unknown way"
    for name, tolerance in manifest["tolerances"].items():
        if not _is_tolerance(tolerance):
            return f"has the tolerance {tolerance!r} for '{name}', which is none"
    if not all(_is_file(name, facts) for name, facts in manifest["files"].items()):
        return "lists a file in an unknown way, or outside of the bundle"
    if MODEL not in manifest["files"]:
        return f"does not list {MODEL}"
    return problem_of(manifest.get("tuning", []), manifest["files"])


def _is_tensor(value: object) -> bool:
    return (
        isinstance(value, dict)
        and isinstance(value.get("name"), str)
        and isinstance(value.get("dtype"), str)
        and isinstance(value.get("shape"), list)
        and all(isinstance(length, int | str) for length in value["shape"])
    )


def _is_tolerance(value: object) -> bool:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    return 0 <= value <= _LARGEST_TOLERANCE  # which NaN is not


def _is_file(name: str, facts: object) -> bool:
    path = PurePosixPath(name)
    inside = not path.is_absolute() and ".." not in path.parts and path.as_posix() == name
    known = isinstance(facts, dict) and isinstance(facts.get("sha256"), str)
    return inside and known and isinstance(facts, dict) and isinstance(facts.get("bytes"), int)
