"""Read `manifest.json`, which says what a bundle is; nothing in it is taken on trust."""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from netloft.errors import IntegrityError, NetloftError
from netloft.runtime.tuning import MODEL, problem_of

__all__ = [
    "AGAIN",
    "FORMAT",
    "KEYS",
    "read_json_bytes",
    "read_manifest",
    "sealed",
    "steady",
]

FORMAT = 1
"""Version of the schema that this netloft writes and reads."""

AGAIN = "export the model again, or fetch the bundle again"
"""What to do with a bundle that is not what it should be."""

_LARGEST_TOLERANCE = 0.1  # a scaled error; beyond it nothing would be checked


KEYS = frozenset({
    "netloft", "name", "class", "model", "arguments", "weights", "seed", "graph_hash", "opset",
    "ir_version", "batch", "inputs", "outputs", "tolerances", "files", "preprocess", "labels",
    "precision", "format", "tuning", "digest",
})  # fmt: skip
"""What a manifest of this format may say; another key is damage, or a format that is not known."""

_NEEDED = {"name": str, "inputs": list, "outputs": list, "files": dict, "tolerances": dict}
_OPTIONAL: dict[str, type | tuple[type, ...]] = {
    "netloft": str, "class": str, "model": str, "arguments": dict, "weights": str, "seed": int,
    "graph_hash": str, "opset": int, "ir_version": int, "batch": (int, str), "preprocess": dict,
    "labels": list, "precision": str,
}  # fmt: skip
_UNSEALED = "0" * 64
_DIGEST = re.compile("[0-9a-f]{64}")
_TRIES, _PAUSE_S = 10, 0.02
LARGEST_JSON = 1 << 26
"""Bytes of a manifest, or of a report, that are read."""
_T = TypeVar("_T")


def steady(folder: Path, read: Callable[[], _T]) -> _T:
    """Read a bundle, and read it again where another one took its place meanwhile.

    A bundle is replaced in one step, but is read file by file.

    Args:
        folder: The bundle.
        read: Reads what is wanted of it.

    Raises:
        IntegrityError: It never stays as it is for long enough.
        NetloftError: What `read` raised of a bundle that stayed as it was.
    """
    for _ in range(_TRIES):
        before = _stamp(folder)
        try:
            found = read()
        except (NetloftError, OSError) as error:
            if before and _stamp(folder) == before:
                if isinstance(error, NetloftError):
                    raise
                raise IntegrityError(f"{folder} cannot be read: {error}", remedy=AGAIN) from error
            absent = None if before else error
        else:
            if _stamp(folder) == before:
                return found
            absent = None
        time.sleep(_PAUSE_S)  # where two folders cannot be exchanged there is none for a moment
    if absent is not None:
        raise absent
    raise IntegrityError(
        f"{folder} was replaced {_TRIES} times while it was read", remedy="try again later"
    )


def _stamp(folder: Path) -> tuple[tuple[int, ...], ...]:
    """Return what tells a bundle, or a file, from what takes its place; empty for none."""
    try:
        paths = [folder] if folder.is_file() else sorted(folder.rglob("*"))
        facts = [path.lstat() for path in paths]
    except OSError:
        return ()
    return tuple((f.st_dev, f.st_ino, f.st_size, f.st_mtime_ns, f.st_ctime_ns) for f in facts)


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
        content = read_json_bytes(file)
        manifest = json.loads(content, parse_constant=_refused, parse_float=_finite)
    except (OSError, ValueError, RecursionError) as error:
        raise IntegrityError(f"manifest.json cannot be read: {error}", remedy=AGAIN) from error
    problem = _manifest_problem(manifest) or _damage(content, manifest)
    if problem:
        raise IntegrityError(f"manifest.json {problem}", remedy=AGAIN)
    return dict(manifest)


def read_json_bytes(file: Path) -> bytes:
    """Return the bytes of a JSON file, if they are not too many.

    Raises:
        OSError: It cannot be read.
        ValueError: They are.
    """
    size = file.stat().st_size
    if size > LARGEST_JSON:
        raise ValueError(f"it has {size:,} bytes")
    return file.read_bytes()


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        _refused(text)
    return number


def _refused(constant: str) -> None:
    raise ValueError(f"{constant} is no number")


def sealed(facts: Mapping[str, Any]) -> bytes:
    """Return a manifest's bytes with their own SHA-256 in them, taken with zeros in its place.

    It shows damage, and is no signature: who changes a manifest can seal it again.

    Raises:
        ValueError: A number in it is none.
    """
    last = {key: value for key, value in facts.items() if key != "digest"} | {"digest": _UNSEALED}
    content = json.dumps(last, indent=2, allow_nan=False).encode() + b"\n"
    return _with_digest(content, _UNSEALED, hashlib.sha256(content).hexdigest())


def _with_digest(content: bytes, old: str, new: str) -> bytes:
    before, _, after = content.rpartition(old.encode())
    return before + new.encode() + after


def _damage(content: bytes, manifest: Mapping[str, Any]) -> str:
    digest = manifest.get("digest")
    if not isinstance(digest, str) or not _DIGEST.fullmatch(digest):
        return "has no 'digest'"
    found = hashlib.sha256(_with_digest(content, digest, _UNSEALED)).hexdigest()
    return "" if found == digest else "was changed after the export"


def _manifest_problem(manifest: object) -> str:
    if not isinstance(manifest, dict):
        return "is not a JSON object"
    if manifest.get("format") != FORMAT:
        return f"has format {manifest.get('format')}, and this netloft reads {FORMAT}"
    unknown = sorted(map(str, manifest.keys() - KEYS))
    if unknown:
        return f"has an unknown key {unknown[0]!r}"
    for key, kind in _NEEDED.items():
        if not isinstance(manifest.get(key), kind):
            return f"has no '{key}'"
    for key, kinds in _OPTIONAL.items():
        if key in manifest and not isinstance(manifest[key], kinds):
            return f"has a '{key}' that is none"
    if not all(isinstance(label, str) for label in manifest.get("labels", ())):
        return "has labels that are no text"
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
