"""Inputs of the user's own: arrays, ONNX tensors and pictures from files."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, UnidentifiedImageError

from netloft.bundle.vectors import read_vectors
from netloft.errors import InputError, NetloftError
from netloft.models.inputs import bind_names
from netloft.models.loaded import InputSpec, LoadedModel
from netloft.models.photographs import normalised, picture

__all__ = ["given_data", "picture_files"]

Tensors = dict[str, torch.Tensor]

_PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".webp")
_AT_A_TIME = 8
MOST = 1024
"""Items that are read at most: all results are held to be compared."""


def given_data(
    path: Path, model: LoadedModel, batch: str | int = "dynamic"
) -> Iterator[tuple[Tensors, str]]:
    """Read inputs from a file or a folder, a batch at a time.

    Args:
        path: `.npy` for a model of one input; `.npz` by the names of the inputs; a folder with
            ONNX's `input_0.pb` …; a picture, or a folder of pictures, prepared as the model states.
        model: Says names, shapes, element types and preprocessing.
        batch: `dynamic`, or the one size that is taken: what is left over is an error.

    Yields:
        Tensors by name of `forward`'s argument, and what they are.

    Raises:
        InputError: They cannot be read, or do not fit the model.
    """
    inputs = bind_names(model.module, model.inputs)
    arrays, what = _read(path, inputs, model)
    items = {name: len(array) for name, array in arrays.items()}
    count = next(iter(items.values()))
    if len(set(items.values())) != 1 or not 0 < count <= MOST:
        told = ", ".join(f"'{name}' {n}" for name, n in items.items())
        raise InputError(
            f"{path} holds {told} items", remedy=f"give as many of each input, 1 to {MOST:,}"
        )
    size = batch if isinstance(batch, int) else min(count, _AT_A_TIME)
    if isinstance(batch, int) and count % batch:
        raise InputError(
            f"{path} holds {count} items, and the file takes {batch} at a time",
            remedy=f"give a multiple of {batch}",
        )
    for start in range(0, count, size):
        part = {name: a[start : start + size].copy() for name, a in arrays.items()}
        yield {name: torch.from_numpy(a) for name, a in part.items()}, what


def picture_files(path: Path) -> list[Path]:
    """Return a picture's path, or those of the pictures in a folder, by name.

    Raises:
        InputError: There is none.
    """
    kinds = f"give a file that ends in {', '.join(_PICTURES)}, or a folder of such"
    if os.path.isdir(path):
        found = _pictures_in(path)
        if not found:
            raise InputError(f"there is no picture in {path}", remedy=kinds)
        return found
    if not path.exists():
        raise InputError(f"there is no file {path}", remedy="check the path of the picture")
    if path.suffix.lower() not in _PICTURES:
        raise InputError(f"{path} is no picture", remedy=kinds)
    return [path]


def _pictures_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in _PICTURES)


Arrays = dict[str, npt.NDArray[Any]]


def _read(path: Path, inputs: tuple[InputSpec, ...], model: LoadedModel) -> tuple[Arrays, str]:
    """Return arrays by name, in the order of the inputs, and what they are."""
    if os.path.isdir(path) and any(path.glob("input_*.pb")):
        return _fitted(_opened(path, lambda p: read_vectors(p, "input")), inputs, path), path.name
    if os.path.isdir(path) or path.suffix.lower() in _PICTURES:
        return _pictures(path, inputs, model)
    if path.suffix in (".npy", ".npz"):
        return _fitted(_opened(path, _numpy), inputs, path), path.name
    raise InputError(
        f"{path} is no data that is known here",
        remedy="give an .npy or .npz file, a folder with input_0.pb …, or pictures",
    )


def _numpy(path: Path) -> Arrays:
    with path.open("rb") as file:
        found = np.load(file, allow_pickle=False)
        if isinstance(found, np.ndarray):
            return {"": found}
        return {name: found[name] for name in found.files}


def _opened(path: Path, read: Callable[[Path], Arrays]) -> Arrays:
    try:
        return read(path)
    except NetloftError:
        raise
    except Exception as error:  # NumPy and zipfile raise a dozen kinds
        raise InputError(f"{path} cannot be read: {error}", remedy="write it again") from error


def _fitted(found: Arrays, inputs: tuple[InputSpec, ...], path: Path) -> Arrays:
    """Return arrays under the names of the inputs; without any of these they go by their order."""
    names = [spec.name for spec in inputs]
    if len(found) == len(names) and not set(found) & set(names):
        found = dict(zip(names, found.values(), strict=True))
    if set(found) != set(names):
        raise InputError(
            f"{path} holds {', '.join(map(repr, found))}, and the model takes {', '.join(names)}",
            remedy="name the arrays of an .npz as the arguments of forward",
        )
    return {spec.name: _checked(found[spec.name], spec, path) for spec in inputs}


def _checked(array: npt.NDArray[Any], spec: InputSpec, path: Path) -> npt.NDArray[Any]:
    wanted = np.dtype(spec.dtype)
    real = np.issubdtype(wanted, np.floating)
    alike = array.dtype == wanted or (real and np.issubdtype(array.dtype, np.floating))
    if array.ndim != len(spec.shape) or array.shape[1:] != spec.shape[1:] or not alike:
        sizes = ["x".join(map(str, shape)) for shape in (array.shape, ("N", *spec.shape[1:]))]
        raise InputError(
            f"{path} holds {sizes[0]} {array.dtype} for '{spec.name}', which is {sizes[1]} "
            f"{spec.dtype}",
            remedy="give items of the model's shape and type, batch first",
        )
    return np.ascontiguousarray(array, dtype=wanted)


def _pictures(path: Path, inputs: tuple[InputSpec, ...], model: LoadedModel) -> tuple[Arrays, str]:
    files = _pictures_in(path) if os.path.isdir(path) else [path]
    spec, shape = inputs[0], inputs[0].shape[1:]
    last = spec.dtype == "uint8" and len(shape) == 3 and shape[-1] in (1, 3)
    planes = (shape[-1], *shape[:-1]) if last else shape
    if len(inputs) != 1 or len(planes) != 3 or planes[0] not in (1, 3):
        raise InputError(
            f"{model.name} takes no pictures", remedy="give its inputs as .npy or .npz"
        )
    if not 0 < len(files) <= MOST:
        raise InputError(
            f"{path} holds {len(files)} pictures", remedy=f"give 1 to {MOST:,} of them"
        )
    made = torch.from_numpy(np.stack([_bytes(file, planes, model.preprocess) for file in files]))
    values = made.permute(0, 2, 3, 1) if last else made
    if spec.dtype != "uint8":
        values = normalised(made, model.preprocess).to(getattr(torch, spec.dtype))
    what = files[0].name if len(files) == 1 else f"{len(files)} pictures of {path.name}"
    return {spec.name: np.ascontiguousarray(values.numpy())}, what


def _bytes(
    file: Path, planes: tuple[int, ...], preprocess: Mapping[str, object]
) -> npt.NDArray[np.uint8]:
    try:
        with Image.open(file) as image:
            return picture(image.convert("RGB"), planes, preprocess)
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError, ValueError) as error:
        raise InputError(
            f"{file} is no picture that can be read: {error}",
            remedy="open it elsewhere and save it anew, as PNG or JPEG",
        ) from error
