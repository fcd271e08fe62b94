"""The bundle that is published: checked against its manifest, and what every target asks of it."""

from __future__ import annotations

import dataclasses
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy.typing as npt

from netloft.batching import items_are_apart
from netloft.bundle.vectors import read_vectors
from netloft.errors import IntegrityError, UsageError
from netloft.parity.rerun.known import known_alone
from netloft.runtime.integrity import check_files, sha256_of
from netloft.runtime.load import Tensor, tensors_of
from netloft.runtime.manifest import AGAIN, read_manifest
from netloft.runtime.tuning import MODEL, TunedRow, rows_of

__all__ = ["WEIGHTS", "Source", "check_name", "copy_model", "read_source"]

WEIGHTS = "model.onnx.data"
"""Where the weights of a file past protobuf's limit are."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")

Arrays = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Source:
    """A bundle, and the name that it is published under.

    Attributes:
        folder: The bundle.
        name: Of the published model: letters, digits, `_`, `.` and `-`.
        manifest: The contents of `manifest.json`.
        sha256: Of `manifest.json`.
        inputs: In order.
        outputs: In order.
        given: Inputs of the test vectors, by name.
        wanted: Outputs of the test vectors, by name.
        labels: Names of the classes; empty where they are not known.
    """

    folder: Path
    name: str
    manifest: Mapping[str, Any]
    sha256: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    given: Arrays
    wanted: Arrays
    labels: tuple[str, ...]

    @property
    def is_batched(self) -> bool:
        """Whether items are apart, and every tensor has another axis behind that of the batch."""
        tensors = (*self.inputs, *self.outputs)
        return items_are_apart(self.manifest) and all(len(tensor.shape) > 1 for tensor in tensors)

    @property
    def origin(self) -> dict[str, str]:
        """Which bundle this is."""
        return {"name": str(self.manifest["name"]), "manifest_sha256": self.sha256}

    def tuned(self, provider: str) -> TunedRow | None:
        """Return the session options that were found to be best for the published file.

        They are for one kind of machine and one file: where rows are of several machines, or of
        another file of the bundle, nothing is known of the machine that will serve this one.
        Options of CUDA are for one kind of GPU, and stay in the bundle.
        """
        rows = [
            row for row in rows_of(self.manifest) if row.provider == provider and not row.options
        ]
        machines = {(row.cpu, row.cpus, row.onnxruntime) for row in rows}
        best = min(rows, key=lambda row: row.batch, default=None)
        if best is None or len(machines) > 1 or best.file != MODEL:
            return None
        # the model itself is published, for a server that does not lay its memory out
        best = dataclasses.replace(best, saved=None, huge_pages=None)
        return None if best.is_own_choice else best

    def rows(self) -> dict[str, dict[str, Any]]:
        """Return what the outputs are judged by: the parity row of each that is, by name."""
        known = known_alone(self.folder, self.manifest)
        return {row["output"]: row for row in known.rows(0, "", self.wanted)}


def check_name(name: str) -> str:
    """Return a model's name: it is a folder, a part of an address and text in a configuration.

    Raises:
        UsageError: It is none.
    """
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} cannot be the name of a published model",
            remedy="give a --name of letters, digits, '_', '.' and '-', a letter or digit first, "
            "100 at most",
        )
    return name


def read_source(folder: Path, name: str | None) -> Source:
    """Read a bundle, with every file checked.

    Args:
        folder: The bundle.
        name: To publish it under; None for its own.

    Raises:
        UsageError: There is no such folder, or the name is none.
        IntegrityError: A file is missing, was changed, was added or is a link; or the test vectors
            are not those of the manifest.
    """
    if not os.path.isdir(folder):
        raise UsageError(f"there is no bundle {folder}", remedy="name a bundle's folder")
    manifest = read_manifest(folder)
    named = check_name(str(manifest["name"]) if name is None else name)
    check_files(folder, manifest["files"])
    vectors = folder / "test_data_set_0"
    source = Source(
        folder=folder,
        name=named,
        manifest=manifest,
        sha256=sha256_of(folder / "manifest.json"),
        inputs=tensors_of(manifest["inputs"]),
        outputs=tensors_of(manifest["outputs"]),
        given=read_vectors(vectors, "input"),
        wanted=read_vectors(vectors, "output"),
        labels=tuple(manifest.get("labels", ())),
    )
    _check_text(source)
    _check_vectors(source)
    return source


def copy_model(source: Source, folder: Path, *names: str) -> None:
    """Copy files of a bundle, and look at the copies: what is published is what was checked.

    Args:
        source: The bundle.
        folder: Where to, which is made.
        names: Of the files; the model, with its weights, where there are none.

    Raises:
        IntegrityError: A file was changed while it was read.
    """
    files = source.manifest["files"]
    for name in names or (MODEL, *(key for key in (WEIGHTS,) if key in files)):
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source.folder / name, place)
        wanted = source.sha256 if name == "manifest.json" else files[name]["sha256"]
        if sha256_of(place) != wanted:
            raise IntegrityError(f"{name} was changed while it was published", remedy=AGAIN)


def _check_text(source: Source) -> None:
    """Refuse text that no file can hold: half of a character that JSON writes as two."""
    names = [tensor.name for tensor in (*source.inputs, *source.outputs)]
    for text in (source.origin["name"], *names, *source.labels):
        if any("\ud800" <= character <= "\udfff" for character in text):
            raise IntegrityError(f"manifest.json has {text!r}, which is no text", remedy=AGAIN)


def _check_vectors(source: Source) -> None:
    """Refuse vectors of other tensors: targets write them down beside the model."""
    for kind, declared, found in (
        ("input", source.inputs, source.given),
        ("output", source.outputs, source.wanted),
    ):
        fits = [t.name in found and _fits(t, found[t.name]) for t in declared]
        if len(found) != len(declared) or not all(fits):
            raise IntegrityError(
                f"the {kind} test vectors are not of the {kind}s in manifest.json", remedy=AGAIN
            )
    for tensor in source.outputs:
        if tensor.name not in source.manifest["tolerances"]:
            raise IntegrityError(
                f"manifest.json has no tolerance for '{tensor.name}'", remedy=AGAIN
            )


def _fits(tensor: Tensor, array: npt.NDArray[Any]) -> bool:
    """Tell whether a vector is of a tensor, with one item or more."""
    pairs = zip(tensor.shape, array.shape, strict=False)
    return (
        array.dtype.name == tensor.dtype
        and array.ndim == len(tensor.shape)
        and array.size > 0
        and all(wanted == length for wanted, length in pairs if isinstance(wanted, int))
    )
