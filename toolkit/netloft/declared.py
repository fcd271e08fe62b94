"""Inputs for files that nobody gave any for, from what the files say of themselves."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import onnx
import torch

from netloft.errors import InputError, UsageError
from netloft.onnx_graph.load import load_structure

if TYPE_CHECKING:
    from netloft.models.loaded import InputSpec

__all__ = ["declared_example", "declared_inputs", "described"]

_BATCH = 2
"""Items of the example; a comparison takes other batches of its own."""
_PICTURE, _OTHER = 64, 16
"""Length of an open axis: of height and width, and of anything else."""
_MOST = 2**28
"""Elements of an example that is made: 1 GiB of float32."""
_PASSING = {"Cast", "Reshape", "Unsqueeze", "Squeeze", "Identity", "Flatten", "Transpose"}
"""Operators that leave whole numbers as they are."""
_FULL = {"uint8": (0, 256), "int8": (-128, 128)}
"""Types whose every value is usual: pixels, quantised numbers."""


def declared_inputs(graph: onnx.GraphProto) -> list[onnx.ValueInfoProto]:
    """Return the inputs that a caller gives; old files list their weights among them."""
    weights = {tensor.name for tensor in graph.initializer}
    return [value for value in graph.input if value.name not in weights]


def declared_example(
    path: Path, other: Path, given: Sequence[InputSpec] = (), seed: int = 0
) -> dict[str, torch.Tensor]:
    """Make inputs for two files that are to be compared.

    Lengths are those that either file declares, and then those that are given. What is still open
    is 2 for the first axis, 64 for the height and width of a picture, and 16 otherwise. Real
    numbers are N(0, 1). Whole ones are below the length of the table that they are looked up in,
    or else 0 and 1.

    Args:
        path: The file.
        other: What it is compared with.
        given: Shapes, by the file's own names or in order.
        seed: Of the numbers.

    Returns:
        Tensors by the file's names, in its order.

    Raises:
        InputError: A file cannot be read, a shape is not that of an input, or it is too large.
        UsageError: An input is no tensor, or of a type that no values are known for.
    """
    mine, theirs = load_structure(path).graph, load_structure(other).graph
    inputs, alike = declared_inputs(mine), declared_inputs(theirs)
    specs = _by_name([value.name for value in inputs], given)
    generator = torch.Generator().manual_seed(seed)
    made: dict[str, torch.Tensor] = {}
    for index, value in enumerate(inputs):
        second = alike[index] if index < len(alike) else value
        shape = _shape(value, second, specs.get(value.name))
        limits = (_limit(graph, each.name) for graph, each in ((mine, value), (theirs, second)))
        most = min((limit for limit in limits if limit is not None), default=2)
        made[value.name] = _values(value, shape, most, generator)
    return made


def described(example: Mapping[str, torch.Tensor]) -> str:
    """Say what inputs look like, in a note."""
    return "; ".join(f"'{name}' is {_words(tensor)}" for name, tensor in example.items())


def _words(tensor: torch.Tensor) -> str:
    shape = "x".join(map(str, tensor.shape)) or "a number"
    dtype = str(tensor.dtype).removeprefix("torch.")
    whole = not tensor.dtype.is_floating_point and tensor.dtype is not torch.bool
    limits = f", {int(tensor.min())} to {int(tensor.max())}" if whole and tensor.numel() else ""
    return f"{shape} {dtype}{limits}"


def _by_name(names: Sequence[str], given: Sequence[InputSpec]) -> dict[str, InputSpec]:
    free = iter([name for name in names if name not in {spec.name for spec in given}])
    found = {spec.name or next(free, ""): spec for spec in given}
    for name in found:
        if name not in names:
            raise InputError(
                f"the file has no input '{name}'" if name else f"{len(given)} inputs are given",
                remedy=f"it takes {', '.join(names)}",
            )
    return found


def _shape(
    value: onnx.ValueInfoProto, other: onnx.ValueInfoProto, spec: InputSpec | None
) -> tuple[int, ...]:
    dims = _dims(value)
    seconds = _dims(other) if len(_dims(other)) == len(dims) else dims
    known = [dim.dim_value or second.dim_value for dim, second in zip(dims, seconds, strict=True)]
    if spec is None:
        return tuple(length or _usual(axis, len(dims)) for axis, length in enumerate(known))
    fits = len(spec.shape) == len(known) and all(
        not length or length == wanted or axis == 0
        for axis, (length, wanted) in enumerate(zip(known, spec.shape, strict=True))
    )
    if not fits:
        told = "x".join(str(length or "?") for length in known)
        raise InputError(
            f"input '{value.name}' is given as {'x'.join(map(str, spec.shape))}, and the file "
            f"takes {told}",
            remedy="give the lengths that the file leaves open",
        )
    # as for a module, the first length of a shape stands for the batch
    return (known[0] or max(spec.shape[0], _BATCH), *spec.shape[1:]) if known else ()


def _dims(value: onnx.ValueInfoProto) -> list[onnx.TensorShapeProto.Dimension]:
    return list(value.type.tensor_type.shape.dim)


def _usual(axis: int, rank: int) -> int:
    if axis == 0:
        return _BATCH
    return _PICTURE if rank == 4 and axis > 1 else _OTHER


def _values(
    value: onnx.ValueInfoProto, shape: tuple[int, ...], most: int, generator: torch.Generator
) -> torch.Tensor:
    name = _type_name(value)
    dtype = getattr(torch, name, None)
    if dtype is None or dtype.is_complex or name.startswith(("bfloat", "float8")):
        raise UsageError(
            f"input '{value.name}' takes {name}, for which no values are known",
            remedy="compare it with a module, from Python",
        )
    if math.prod(shape) > _MOST or min(shape, default=0) < 0:
        raise InputError(
            f"input '{value.name}' is declared as {'x'.join(map(str, shape))}, and {_MOST:,} "
            "elements are the most",
            remedy="give smaller lengths with --input, where the file leaves them open",
        )
    if dtype.is_floating_point:
        return torch.randn(shape, generator=generator).to(dtype)
    low, high = _FULL.get(name, (0, most))
    made = torch.randint(low, high, shape, generator=generator)
    if made.numel() > 1:  # the noise of the comparison is drawn between the least and the largest
        made.view(-1)[0], made.view(-1)[1] = low, high - 1
    return made.to(dtype)


def _type_name(value: onnx.ValueInfoProto) -> str:
    kind = value.type.WhichOneof("value") or "nothing"
    if kind != "tensor_type":
        return kind.removesuffix("_type")
    return str(onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type).name)


def _limit(graph: onnx.GraphProto, name: str) -> int | None:
    """Return the length of the shortest table that whole numbers are looked up in."""
    lengths = {tensor.name: list(tensor.dims) for tensor in graph.initializer}
    found, reached = list[int](), {name}
    for node in graph.node:
        if node.op_type in _PASSING and node.input and node.input[0] in reached:
            reached |= set(node.output)
        if node.op_type == "Gather" and set(node.input[1:2]) & reached:
            table, axis = lengths.get(node.input[0], []), _axis(node)
            found += table[axis : axis + 1 or None]  # none for an axis that is not there
    return min(found, default=None)


def _axis(node: onnx.NodeProto) -> int:
    return next((a.i for a in node.attribute if a.name == "axis"), 0)
