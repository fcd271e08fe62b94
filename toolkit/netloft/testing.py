"""For other people's test suites: one line that fails where a file is another function.

>>> from netloft.testing import assert_parity
>>> def test_the_deployed_file_is_the_trained_network():
...     assert_parity(net, "deploy/net.onnx")
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import onnx
import torch
from torch import Tensor, nn

from netloft.declared import declared_inputs
from netloft.errors import UsageError
from netloft.parity.verdict import counts, told
from netloft.tracing.faithful import fresh_inputs
from netloft.verification import Verification, verify

__all__ = ["assert_parity"]

_BATCH = 2
"""Items in the inputs that are made; the comparison takes other batches of its own."""


def assert_parity(
    module: nn.Module,
    path: str | os.PathLike[str],
    example_inputs: tuple[Tensor, ...] | Mapping[str, Tensor] | None = None,
    *,
    providers: Sequence[str] = (),
    threads: int | None = None,
) -> Verification:
    """Assert that an ONNX file, or a bundle, computes what a module computes.

    The comparison is that of `netloft verify --against`: ONNX Runtime against the module in
    float64, with PyTorch's own float32 error as the measure, at batches 1, 2 and 5 where the file
    leaves the batch open, on noise, extremes, zeros and the quick stress set (`docs/parity.md`).

    Args:
        module: The source, in eval mode.
        path: An `.onnx` file, whoever wrote it, or a bundle's folder.
        example_inputs: Inputs of the right shapes, batch first; made from what the file declares
            where they are left out.
        providers: `cpu`, `cuda` …; empty for CPU, and CUDA where it starts.
        threads: For one operation; None for the machine's cores.

    Returns:
        What was found, every row of it.

    Raises:
        AssertionError: The file computes another function; names the output, the index and both
            values of the worst row, and says how many rows failed.
        UsageError: The file leaves a length open or takes whole numbers, and no inputs are given;
            or its inputs and outputs are not those of the module.
        IntegrityError: The file is not valid ONNX, or the bundle is not whole.
        ProviderError: A provider that was asked for does not start here.
    """
    target = Path(path)
    if example_inputs is None:
        example_inputs = tuple(_made_for(target).values())
    found = verify(
        target,
        providers=providers,
        against=module,
        example_inputs=example_inputs,
        threads=threads,
    )
    if found.status != "pass":
        failed = [row for row in found.parity if counts(row["status"], row["input"])]
        raise AssertionError(f"{target} {told(failed, len(found.parity))}")
    return found


def _made_for(path: Path) -> dict[str, Tensor]:
    """Make noise of the shapes that a file declares."""
    file = path / "model.onnx" if path.is_dir() else path
    header = onnx.load(str(file), load_external_data=False)
    shaped = {value.name: _empty(value) for value in declared_inputs(header.graph)}
    return fresh_inputs(shaped, None, 0)


def _empty(value: onnx.ValueInfoProto) -> Tensor:
    tensor = value.type.tensor_type
    lengths: list[Any] = [dim.dim_value or dim.dim_param for dim in tensor.shape.dim]
    if lengths and isinstance(lengths[0], str):
        lengths[0] = _BATCH
    dtype = getattr(torch, onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type).name, None)
    known = all(isinstance(length, int) for length in lengths)
    if not known or dtype is None or not dtype.is_floating_point:
        what = "has open lengths" if not known else f"takes {dtype}"
        raise UsageError(
            f"input '{value.name}' {what}, so what to give it has to be said",
            remedy="give example_inputs=(tensor, …), batch first",
        )
    return torch.empty(lengths, dtype=dtype)
