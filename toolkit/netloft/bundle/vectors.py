"""Test vectors in ONNX's own layout: `test_data_set_0/input_0.pb` and so on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from netloft.errors import IntegrityError, OutputError
from netloft.runtime.tensor import whole_tensor

__all__ = ["check_keep", "read_vectors", "write_vectors"]

Arrays = Mapping[str, npt.NDArray[Any]]

_LARGEST = 1 << 31
"""Bytes of a test vector, as protobuf holds them."""


def check_keep(folder: Path) -> None:
    """Refuse, before any work, a place for test vectors that is not ours to write.

    Raises:
        OutputError: It is no folder, or lies in a bundle, whose manifest names all its files.
    """
    whole = folder.resolve()
    for parent in (whole, *whole.parents):
        if (parent / "manifest.json").is_file() and (parent / "model.onnx").is_file():
            raise OutputError(
                f"{folder} is in the bundle {parent}, whose manifest names every file of it",
                remedy="name a folder outside the bundle with --keep",
            )
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder} is not a folder", remedy="name another one with --keep")


def write_vectors(folder: Path, inputs: Arrays, outputs: Arrays) -> None:
    """Write one test data set; names are kept inside the tensors.

    Args:
        folder: `test_data_set_0`, which is made.
        inputs: By input name, in order.
        outputs: By output name, in order; what the source module gave.
    """
    from onnx import numpy_helper  # reading does without it

    folder.mkdir()
    for kind, arrays in (("input", inputs), ("output", outputs)):
        for index, (name, array) in enumerate(arrays.items()):
            tensor = numpy_helper.from_array(np.asarray(array, order="C"), name)
            (folder / f"{kind}_{index}.pb").write_bytes(
                tensor.SerializeToString(deterministic=True)
            )


def read_vectors(folder: Path, kind: str) -> dict[str, npt.NDArray[Any]]:
    """Read the `input` or `output` tensors of a test data set, by name.

    Raises:
        IntegrityError: A file is not a tensor, is not numbered, or repeats a name.
    """
    found = {}
    for path in sorted(folder.glob(f"{kind}_*.pb"), key=_number):
        try:
            if path.stat().st_size > _LARGEST:
                raise ValueError(f"it has more than {_LARGEST} bytes")
            name, array = whole_tensor(path.read_bytes())
        except (ValueError, OverflowError, OSError) as error:
            raise IntegrityError(f"{path.name} is not a tensor: {error}") from error
        if name in found:
            raise IntegrityError(f"{path.name} is a second {kind} '{name}'")
        found[name] = array
    return found


def _number(path: Path) -> int:
    number = path.stem.rpartition("_")[2]
    if not (number.isascii() and number.isdecimal() and len(number) < 9):
        raise IntegrityError(f"{path.name} is no test vector", remedy="name it as input_0.pb")
    return int(number)
