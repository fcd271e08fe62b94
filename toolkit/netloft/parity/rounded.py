"""A module run with every value rounded to float16 or bfloat16: the noise of a file of that type.

Arithmetic is float32's and each result is rounded to the type, as kernels do that add up in float32
and store halves. What that costs, measured against float64, is the noise floor of a half-precision
file, as PyTorch's own float32 error is for a float32 file. It is never taken below the type's unit
roundoff u, which is what rounding the output alone costs: 2⁻¹¹ for float16, 2⁻⁸ for bfloat16.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import nn

from netloft.parity.inputs import Case
from netloft.parity.policy import Policy
from netloft.parity.reference import ROUNDED_RUNS, Arrays, Reference, moved
from netloft.parity.widened import Reread

__all__ = ["BFLOAT16_POLICY", "FLOAT16_POLICY", "Bfloat16Reference", "Float16Reference"]

FLOAT16_POLICY = Policy(least=2.0**-11)
BFLOAT16_POLICY = Policy(least=2.0**-8)


class _Rounded(Reread):
    """While active, weights and the results of all operations have a narrower type's values."""

    def __init__(self, change: Callable[[torch.Tensor], torch.Tensor], dtype: torch.dtype,
                 *modules: nn.Module) -> None:  # fmt: skip
        super().__init__(change, *modules)
        self._dtype = dtype

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Call a torch function, and round what it gives."""
        found = super().__torch_function__(func, types, args, kwargs)
        if not isinstance(found, torch.Tensor):
            return found
        narrow = rounded(found, self._dtype)
        if torch.equal(narrow, found):
            return found  # a view stays one, so that writes through it are not lost
        if any(found is given for given in args):  # written in place
            return found.copy_(narrow)
        return narrow


class _RoundedReference(Reference):
    """Give the module's results rounded to a type in the place of its float32 results."""

    dtype: torch.dtype

    def _arithmetic(self, *modules: nn.Module) -> AbstractContextManager[Any]:
        return _Rounded(lambda t: rounded(t, self.dtype), self.dtype, *modules)

    def single(self, case: Case) -> Arrays:
        """Run with every value rounded."""
        inputs = {name: rounded(t, self.dtype) for name, t in case.inputs.items()}
        return self._outputs(inputs, self._arithmetic(*self._both))

    def rounded_runs(self, case: Case) -> list[Arrays]:
        """Run on inputs and weights that differ by one rounding of the type."""
        generator = torch.Generator().manual_seed(0)
        runs = []
        for _ in range(ROUNDED_RUNS):
            inputs = {n: moved(t, self.dtype, generator) for n, t in case.inputs.items()}
            runs.append(self._outputs(inputs, self._arithmetic(*self._both)))
        return runs


class Float16Reference(_RoundedReference):
    """The module in float16's values."""

    dtype = torch.float16


class Bfloat16Reference(_RoundedReference):
    """The module in bfloat16's values."""

    dtype = torch.bfloat16


def rounded(tensor: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Return a float32 tensor with the nearest values of a type; any other as it is."""
    return tensor.to(dtype).float() if tensor.dtype is torch.float32 else tensor
