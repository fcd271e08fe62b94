"""A graph run in float64 and float32, with what its nodes give kept: whole, and node by node."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy.typing as npt
import torch
from torch import fx

from netloft.errors import CheckError, first_line
from netloft.passes.wide import WideInterpreter, widened
from netloft.tracing.faithful import silent

__all__ = ["Trajectories"]

Arrays = dict[str, npt.NDArray[Any]]
Tensors = dict[str, torch.Tensor]


class Trajectories:
    """What the nodes of a graph give on one set of inputs.

    Attributes:
        whole: Each value in float64, from the inputs on.
        whole_float32: Likewise in float32.
        true: Each value as it should be, rounded to the type that it has: what its readers get
            below.
        own: Each value in float64 where every node reads true values.
        own_float32: Likewise in float32: its error is the node's own.
    """

    def __init__(
        self, module: fx.GraphModule, inputs: Sequence[torch.Tensor], wanted: Collection[str]
    ) -> None:
        """Run it.

        Args:
            module: Without writes in place.
            inputs: In order.
            wanted: Names of nodes that give real tensors.

        Raises:
            CheckError: The graph has no float64 run.
        """
        self._module, self._inputs, self._wanted = module, inputs, frozenset(wanted)
        self.whole_float32 = self._narrow({})
        try:
            self.whole = self._wide(lambda _, value: value)
            self.true: Tensors = {}
            self.own = self._wide(self._rounded)
        except (RuntimeError, TypeError) as error:
            raise CheckError(
                f"the network does not run in float64: {first_line(error)}",
                remedy="netloft verify compares the outputs in float32",
            ) from error
        self.own_float32 = self._narrow(self.true)

    def perturbed(self, change: Callable[[torch.Tensor], torch.Tensor]) -> Arrays:
        """Return `own_float32` where every node reads other values than the true ones."""
        return self._narrow({name: change(value) for name, value in self.true.items()})

    def _rounded(self, name: str, value: torch.Tensor) -> torch.Tensor:
        self.true[name] = value.to(self._types[name])
        return self.true[name].double()

    def _narrow(self, given: Mapping[str, torch.Tensor]) -> Arrays:
        made = _Narrow(self._module, self._wanted, given)
        with torch.inference_mode(), silent():
            made.run(*self._inputs)
        self._types = made.types
        return made.kept

    def _wide(self, then: Callable[[str, torch.Tensor], torch.Tensor]) -> Arrays:
        made = _Wide(self._module, self._wanted, then)
        with torch.inference_mode(), silent():
            made.run(*map(widened, self._inputs))
        return made.kept


class _Narrow(fx.Interpreter):
    """Run in the types that the graph has; what reads a value gets the given one, if there is."""

    def __init__(
        self, module: fx.GraphModule, wanted: frozenset[str], given: Mapping[str, torch.Tensor]
    ) -> None:
        super().__init__(module)
        self._wanted, self._given = wanted, given
        self.kept: Arrays = {}
        self.types: dict[str, torch.dtype] = {}

    def run_node(self, n: fx.Node) -> Any:
        result = super().run_node(n)
        if n.name in self._wanted:
            self.kept[n.name], self.types[n.name] = result.numpy(), result.dtype
        return self._given.get(n.name, result)


class _Wide(WideInterpreter):
    """Run in float64; what reads a value gets what `then` makes of it."""

    def __init__(
        self,
        module: fx.GraphModule,
        wanted: frozenset[str],
        then: Callable[[str, torch.Tensor], torch.Tensor],
    ) -> None:
        super().__init__(module)
        self._wanted, self._then = wanted, then
        self.kept: Arrays = {}

    def run_node(self, n: fx.Node) -> Any:
        result = super().run_node(n)
        if n.name not in self._wanted:
            return result
        self.kept[n.name] = result.numpy()
        return self._then(n.name, result)
