"""Gradient ascent on a module, for inputs on which a file of it may go wrong.

The file itself has no gradient, so four things are maximised that lead to where it may differ:

- `divergence`: the square of what the module gives minus what the file gave, which is held fixed;
  where the file is stuck at a bound, this leads away from it;
- `inside` and `output`: one value of one operation, chosen by chance, up or down (x* = argmax a(x),
  activation maximisation: Erhan et al., Visualizing Higher-Layer Features of a Deep Network, 2009),
  which reaches thresholds that ordinary inputs stay below;
- `margin`: minus the distance from the best class to the second: they come as close as rounding is,
  or exchange places on the way.

Steps go along the sign of the gradient and stay in the box (projected ascent: Madry et al., Towards
Deep Learning Models Resistant to Adversarial Attacks, ICLR 2018).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy.typing as npt
import torch
from torch import fx

from netloft.graph.annotation import TensorInfo
from netloft.graph.graph import Graph, annotation
from netloft.parity.stressing.stress import Box
from netloft.parity.task_level import is_classifier
from netloft.tracing.faithful import silent

__all__ = ["AIMS", "Ascent"]

Inputs = Mapping[str, torch.Tensor]

AIMS = ("divergence", "inside", "output", "margin")
"""What is maximised."""

_STEPS = 4
_STEP = 0.25
"""Of the box, at first; each step is half as long as the one before it."""


class _Watching(fx.Interpreter):
    """Run a graph, and keep what some of its nodes give."""

    def __init__(self, module: fx.GraphModule, names: set[str]) -> None:
        super().__init__(module)
        self._names = names
        self.seen: dict[str, torch.Tensor] = {}

    def run_node(self, n: fx.Node) -> Any:
        """Run one node."""
        result = super().run_node(n)
        if n.name in self._names:
            self.seen[n.name] = result
        return result


class Ascent:
    """Climb from inputs to others in a box.

    Args:
        graph: Of the module.
        box: Range of each input.

    Attributes:
        gradients: How often one was taken.
    """

    def __init__(self, graph: Graph, box: Box) -> None:
        self._graph, self._box = graph, box
        self._outputs = {output.name: output.node for output in graph.outputs}
        self._inside = [node.name for node, _ in graph if _is_real(node)]
        self.gradients = 0

    def climb(
        self,
        inputs: Inputs,
        aim: str,
        given: Mapping[str, npt.NDArray[Any]],
        random: torch.Generator,
    ) -> dict[str, torch.Tensor] | None:
        """Take a few steps.

        Args:
            inputs: Where to begin, by name.
            aim: One of `AIMS`.
            given: What the file gave there.
            random: Chooses the value that is maximised.

        Returns:
            Inputs in the box; None where there is no gradient, as for whole numbers.
        """
        target = self._target(aim, given, random)
        if target is None:
            return None
        node, index, sign = target
        here, length = dict(inputs), _STEP
        for _ in range(_STEPS):
            slopes = self._slopes(here, aim, node, index, sign, given)
            if slopes is None:
                return None
            here = {n: self._stepped(n, t, slopes.get(n), length) for n, t in here.items()}
            length /= 2
        return here

    def _target(
        self, aim: str, given: Mapping[str, npt.NDArray[Any]], random: torch.Generator
    ) -> tuple[str, int, int] | None:
        """Return the name of the node or output, a number for the element, and up or down."""
        outputs = [n for n in self._outputs if given[n].size and given[n].dtype.kind == "f"]
        if aim == "margin":
            outputs = [n for n in outputs if is_classifier(given[n])]
        names = self._inside if aim == "inside" else outputs
        if not names:
            return None
        which, index, sign = torch.randint(2**31, (3,), generator=random).tolist()
        return names[which % len(names)], index, 1 if sign % 2 else -1

    def _slopes(
        self, inputs: Inputs, aim: str, name: str, index: int, sign: int,
        given: Mapping[str, npt.NDArray[Any]],
    ) -> dict[str, torch.Tensor] | None:  # fmt: skip
        """Return the gradient by input; None where there is none."""
        node = name if aim == "inside" else self._outputs[name]
        watching = _Watching(self._graph.module, {node})
        self.gradients += 1
        with torch.enable_grad(), silent():
            leaves = {
                n: t.clone().requires_grad_() for n, t in inputs.items() if t.is_floating_point()
            }
            watching.run(*((leaves[n] * 1 if n in leaves else t) for n, t in inputs.items()))
            value = watching.seen[node]
            if aim == "divergence":
                goal = (value - torch.from_numpy(given[name])).square().sum()
            elif aim == "margin":
                best = value.topk(2, dim=1).values
                goal = (best[:, 1] - best[:, 0]).sum()
            else:
                goal = sign * value.reshape(-1)[index % value.numel()]
            if not leaves or not goal.requires_grad:
                return None
            found = torch.autograd.grad(goal, list(leaves.values()), allow_unused=True)
        return {n: g for n, g in zip(leaves, found, strict=True) if g is not None}

    def _stepped(
        self, name: str, tensor: torch.Tensor, slope: torch.Tensor | None, length: float
    ) -> torch.Tensor:
        if slope is None:
            return tensor
        low, high = self._box[name]
        return (tensor + length * (high - low) * slope.nan_to_num().sign()).clamp(low, high)


def _is_real(node: fx.Node) -> bool:
    value = annotation(node).value
    made = node.op in ("call_module", "call_function", "call_method")
    return made and isinstance(value, TensorInfo) and value.dtype.startswith("float")
