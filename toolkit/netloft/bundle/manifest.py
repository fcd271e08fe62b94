"""`manifest.json`: what a bundle is, and the SHA-256 of every file in it."""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec

from netloft.errors import IntegrityError

__all__ = ["FORMAT", "FileFacts", "Manifest", "TensorSpec", "hash_files", "read_manifest"]

FORMAT = 1
"""Version of the manifest's schema."""

_CHUNK = 1 << 20


class TensorSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An input or output; a symbolic length is text such as `batch`."""

    name: str
    dtype: str
    shape: list[int | str]


class FileFacts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a file has to be."""

    sha256: str
    bytes: int


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The contents of `manifest.json`.

    Attributes:
        netloft: Version that wrote the bundle.
        format: Version of this schema.
        name: Short name of the model.
        class_name: Class of the module.
        model: MODEL spec as it was given.
        arguments: Constructor arguments that were given.
        weights: Where the weights came from.
        seed: Of random weights and inputs.
        graph_hash: SHA-256 of the graph's text.
        opset: ONNX operator set.
        ir_version: ONNX format version.
        batch: `dynamic` or the one batch size.
        inputs: In order.
        outputs: In order.
        tolerances: Largest scaled error that is still noise, by output.
        files: Every file of the bundle but this one, by path with `/`.
    """

    netloft: str
    format: int
    name: str
    class_name: str = msgspec.field(name="class")
    model: str
    arguments: dict[str, object]
    weights: str
    seed: int
    graph_hash: str
    opset: int
    ir_version: int
    batch: int | str
    inputs: list[TensorSpec]
    outputs: list[TensorSpec]
    tolerances: dict[str, float]
    files: dict[str, FileFacts]

    def to_json(self) -> bytes:
        """Return the file's bytes, the same for the same manifest."""
        return msgspec.json.format(msgspec.json.encode(self), indent=2) + b"\n"


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, read in pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def hash_files(folder: Path) -> dict[str, FileFacts]:
    """Return the facts of every file below `folder`, but for the manifest itself."""
    return {
        path.relative_to(folder).as_posix(): FileFacts(sha256_of(path), path.stat().st_size)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "manifest.json"
    }


def read_manifest(folder: Path) -> Manifest:
    """Read and check the manifest of a bundle.

    Raises:
        IntegrityError: There is none, or it is not one.
    """
    path = folder / "manifest.json"
    try:
        manifest = msgspec.json.decode(path.read_bytes(), type=Manifest)
    except FileNotFoundError as error:
        raise IntegrityError(
            f"{folder} has no manifest.json", remedy="export the model again"
        ) from error
    except (msgspec.DecodeError, OSError) as error:
        raise IntegrityError(
            f"the manifest of {folder} cannot be read: {error}", remedy="export the model again"
        ) from error
    if manifest.format != FORMAT:
        raise IntegrityError(
            f"{folder} has manifest format {manifest.format}, and this netloft reads {FORMAT}",
            remedy="use the netloft version that wrote it, or export the model again",
        )
    return manifest
