"""`manifest.json`: what a bundle is, and the SHA-256 of every file in it.

`netloft.runtime.load` reads it back.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from netloft.runtime.integrity import sha256_of
from netloft.runtime.manifest import FORMAT, sealed

__all__ = ["FileFacts", "Manifest", "TensorSpec", "hash_files"]


@dataclass(frozen=True)
class TensorSpec:
    """An input or output; a symbolic length is text such as `batch`."""

    name: str
    dtype: str
    shape: tuple[int | str, ...]


@dataclass(frozen=True)
class FileFacts:
    """What a file has to be."""

    sha256: str
    bytes: int


@dataclass(frozen=True)
class Manifest:
    """The contents of `manifest.json`.

    Attributes:
        netloft: Version that wrote the bundle.
        name: Short name of the model.
        class_name: Class of the module; `class` in the file.
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
        preprocess: The preprocessing that is in the graph; empty where there is none.
        labels: Names of the classes, where they are known.
        precision: `fp32`, `fp16` or `int8`, whose tolerances are root mean square errors.
        format: Version of this schema.
    """

    netloft: str
    name: str
    class_name: str
    model: str
    arguments: Mapping[str, object]
    weights: str
    seed: int
    graph_hash: str
    opset: int
    ir_version: int
    batch: int | str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    tolerances: Mapping[str, float]
    files: Mapping[str, FileFacts]
    preprocess: Mapping[str, object] = field(default_factory=dict)
    labels: tuple[str, ...] = ()
    precision: str = "fp32"
    format: int = FORMAT

    def to_json(self) -> bytes:
        """Return the file's bytes, the same for the same manifest."""
        facts = dataclasses.asdict(self)
        renamed = {"class" if key == "class_name" else key: facts[key] for key in facts}
        return sealed(renamed)


def hash_files(folder: Path) -> dict[str, FileFacts]:
    """Return the facts of every file below `folder`, but for the manifest itself."""
    return {
        path.relative_to(folder).as_posix(): FileFacts(sha256_of(path), path.stat().st_size)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path != folder / "manifest.json"
    }
