"""One step uphill as a network: a picture that a filter, a neuron or a class wants more.

Erhan et al., Visualizing Higher-Layer Features of a Deep Network, 2009; Simonyan et al., Deep
Inside Convolutional Networks, 2014, for classes. Whoever takes the step again and again arrives at
what the unit looks for: `netloft.explain.climb` does, without torch.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F  # noqa: N812 - what everybody calls it

from netloft.errors import CheckError, UsageError
from netloft.explain.climb import Run
from netloft.explain.layers import activation_of, layer_name, result_of, scores_of
from netloft.explain.units import unit_axes, units_of
from netloft.gradients import Walk, adopt, check_gradient, functional
from netloft.gradients.adjoint import shape_of
from netloft.gradients.proof import LIMIT
from netloft.graph.annotation import ModuleCall
from netloft.graph.graph import Graph, annotation
from netloft.tracing.origins import told_as

__all__ = ["Ascent", "Goal", "check_input", "plan_ascent", "prove_ascent", "torch_run"]

Bound = float | Sequence[float] | None
"""Of all channels, or of each; None for none."""

_CALL = ModuleCall("ascent", "Ascent")
"""The call that the step's own operations are told as parts of."""

_LEAST = 1e-12
"""Added to the root mean square of a gradient before it is divided by it: 0 stays 0."""


@dataclass(frozen=True)
class Goal:
    """What is climbed for.

    Attributes:
        graph: The network, without writes in place.
        layer: Gives (batch, units), with up to two axes of places.
        axis: Which of its axes has the units.
        kind: What a unit is: `filter`, `channel` (of tokens), `neuron` or `class`.
        l1: How much the sum of |x| counts against a picture.
        tv: How much the sum of squared differences of neighbours does.
        low: Least value of a picture, of all channels or of each; None for none.
        high: Largest value.
    """

    graph: Graph
    layer: fx.Node
    axis: int
    kind: str
    l1: float = 0.0
    tv: float = 0.0
    low: Bound = None
    high: Bound = None

    def __deepcopy__(self, memo: Mapping[int, Any]) -> Goal:
        """Return itself: nodes are told apart by what they are, and nothing here changes."""
        return self

    @property
    def units(self) -> int:
        """How many filters, neurons or classes there are."""
        return int(shape_of(self.layer)[self.axis])

    @property
    def places(self) -> tuple[int, ...]:
        """Axes of the layer that are neither batch nor units: a unit is summed over them."""
        return tuple(axis for axis in range(1, len(shape_of(self.layer))) if axis != self.axis)

    @property
    def layer_name(self) -> str:
        """The layer as a person names it."""
        return layer_name(self.layer)

    @property
    def picture(self) -> fx.Node:
        """The node of the network's input."""
        return self.graph.node(self.graph.inputs[0].node)


def plan_ascent(
    graph: Graph,
    layer: str = "",
    *,
    activated: bool = False,
    l1: float = 0.0,
    tv: float = 0.0,
    low: Bound = None,
    high: Bound = None,
) -> Goal:
    """Say what is climbed for in a traced network.

    Args:
        graph: Of the network.
        layer: Path of a module; by default the scores of the classes.
        activated: Take what the activation behind it gives, past a normalisation.
        l1: Weight of the sum of |x|, 0 or more.
        tv: Weight of the sum of squared differences of neighbours, 0 or more.
        low: Least value of a picture, of all channels or of each; None for none.
        high: Largest value.

    Raises:
        UsageError: The network takes no picture of real numbers, there is no such layer, or its
            units cannot be told apart, or no activation is behind it; or a weight is negative.
        NoAdjointError: It writes in place in a way that has no gradient.
    """
    for name, weight in (("l1", l1), ("tv", tv)):
        if not 0 <= weight < float("inf"):
            raise UsageError(f"{name} of {weight} is no penalty", remedy="give 0 or more")
    check_input(graph)
    plain = functional(graph)
    chosen = result_of(plain, layer) if layer else scores_of(plain)
    chosen = activation_of(chosen) if activated else chosen
    axes = unit_axes(plain)
    if not units_of(chosen, axes):
        raise UsageError(
            f"{layer} gives {annotation(chosen).value}, and a unit is told apart in real numbers "
            "of batch x units, of batch x units x height x width, or of tokens: its layer has none "
            "that can be told",
            remedy="name a convolution or a fully connected layer with --layer",
        )
    axis = axes[chosen]
    return Goal(plain, chosen, axis, _kind(plain, chosen, axis), l1, tv, low, high)


def check_input(graph: Graph) -> None:
    """Refuse a network that takes no picture of real numbers, alone and of a fixed size.

    Raises:
        UsageError: It takes something else.
    """
    if len(graph.inputs) != 1:
        raise UsageError(
            f"{graph.name} takes {len(graph.inputs)} inputs, and a picture alone is climbed with",
            remedy="put the network into a module whose forward takes the picture alone",
        )
    info = graph.inputs[0].info
    sizes = info.shape[1:]
    fixed = len(sizes) == 3 and all(isinstance(length, int) for length in sizes)
    if not fixed or not info.dtype.startswith("float"):
        raise UsageError(
            f"{graph.name} takes {info}, and what is climbed with is a picture of real numbers, "
            "batch x channels x height x width, of a fixed size",
            remedy="leave --preprocess out, and give --input 1xCHANNELSxHEIGHTxWIDTH",
        )


def _kind(graph: Graph, layer: fx.Node, axis: int) -> str:
    if len(shape_of(layer)) > 2:
        return "filter" if axis == 1 else "channel"
    try:
        return "class" if scores_of(graph) is layer else "neuron"
    except UsageError:  # the network tells no classes
        return "neuron"


class Ascent(nn.Module):
    """A network that takes a picture one step towards what a unit looks for.

    Its modules and weights are the network's own, under their names. For filter k of a layer of
    pictures, or channel k of tokens, the objective is the sum of a_ij^k over all places; for a
    neuron or a class it is its value, before any softmax that comes behind. From it go `l1` times
    the sum of |x|, and `tv` times the sum of squared differences of neighbours: total variation as
    Mahendran and Vedaldi, Understanding Deep Image Representations by Inverting Them, 2015, have it
    with β = 2.

    Args:
        goal: What is climbed for.
    """

    def __init__(self, goal: Goal) -> None:
        super().__init__()
        self._netloft_plan = goal
        adopt(self, goal.graph)

    def forward(self, x: Tensor, unit: Tensor, step: Tensor) -> dict[str, Tensor]:
        """Take a step.

        Args:
            x: Pictures (batch, channels, height, width).
            unit: What each climbs for (batch,), whole numbers from 0 to the layer's units − 1.
            step: Root mean square of the change of each, before it is cut to low and high (batch,).

        Returns:
            `x_next` of the shape of `x`, and `objective` (batch,) at `x`.
        """
        objective, gradient = self._netloft_slope(x, unit)
        with told_as((ModuleCall("", type(self).__name__), _CALL), None):
            size = gradient * gradient
            for axis in (3, 2, 1):  # one after another: a runtime that adds up 150,000 numbers in
                size = size.mean(dim=axis, keepdim=True)  # a row is off by 6e-5 where all are equal
            size = size.sqrt()
            ahead = x + step.reshape(-1, 1, 1, 1) * (gradient / (size + _LEAST))
            return {"x_next": self._netloft_cut(ahead), "objective": objective}

    def _netloft_slope(self, x: Tensor, unit: Tensor) -> tuple[Tensor, Tensor]:
        """Return the objective (batch,) and its gradient, of the shape of `x`."""
        goal = self._netloft_plan
        walk = Walk(self, goal.graph)
        walk.forward([x])
        own = (ModuleCall("", type(self).__name__), _CALL)
        with told_as(own, None):
            value = walk.value(goal.layer)
            # one at the chosen unit: F.one_hot would need its number of units from the data
            chosen = (torch.arange(goal.units) == unit.unsqueeze(1)).type_as(value)
            sums = value.sum(dim=goal.places) if goal.places else value
            objective = sums.gather(1, unit.unsqueeze(1)).squeeze(1)
            for axis in goal.places:
                chosen = chosen.unsqueeze(axis)
            chosen = chosen.expand_as(value)
        (gradient,) = walk.backward({goal.layer: chosen}, [goal.picture])
        with told_as(own, None):
            return self._netloft_penalised(x, objective, gradient)

    def _netloft_penalised(
        self, x: Tensor, objective: Tensor, gradient: Tensor
    ) -> tuple[Tensor, Tensor]:
        l1, tv = self._netloft_plan.l1, self._netloft_plan.tv
        if l1:
            objective = objective - l1 * x.abs().sum(dim=(1, 2, 3))
            gradient = gradient - l1 * x.sign()
        if tv:
            down, across = x[:, :, 1:] - x[:, :, :-1], x[..., 1:] - x[..., :-1]
            total = (down * down).sum(dim=(1, 2, 3)) + (across * across).sum(dim=(1, 2, 3))
            # of a difference of two neighbours, each gets its share: 2 (x_i − x_j) and the opposite
            pulls = F.pad(down, (0, 0, 1, 0)) - F.pad(down, (0, 0, 0, 1))
            pulls = pulls + F.pad(across, (1, 0)) - F.pad(across, (0, 1))
            objective, gradient = objective - tv * total, gradient - 2 * tv * pulls
        return objective, gradient

    def _netloft_cut(self, x: Tensor) -> Tensor:
        if self._netloft_plan.low is not None:
            x = torch.maximum(x, _bound(self._netloft_plan.low, x))
        return (
            x
            if self._netloft_plan.high is None
            else torch.minimum(x, _bound(self._netloft_plan.high, x))
        )


def _bound(value: float | Sequence[float], x: Tensor) -> Tensor:
    numbers = [value] if isinstance(value, float | int) else list(value)
    return torch.tensor(numbers).reshape(1, -1, 1, 1).type_as(x)


def torch_run(module: Ascent) -> Run:
    """Return the module as what `netloft.explain.climb.climb` climbs with."""

    def run(x: Any, unit: Any, step: Any) -> tuple[Any, Any]:
        with torch.no_grad():
            found = module(*map(torch.from_numpy, (x, unit, step)))
        return found["x_next"].numpy(), found["objective"].numpy()

    return run


def prove_ascent(goal: Goal, x: Tensor) -> float:
    """Hold the gradient that is climbed along to autograd's, in float64.

    Args:
        goal: What is climbed for.
        x: Pictures (batch, channels, height, width) to compare on.

    Returns:
        The largest distance beside the length of the gradient (L2): of the network's own, for
        random weights of all units; and of the whole objective's, penalties and all.

    Raises:
        CheckError: They are further apart than rounding explains.
        NoAdjointError: There is no gradient from the layer to the picture.
    """
    gap = check_gradient(goal.graph, [x], goal.layer, [goal.picture])
    net = copy.deepcopy(Ascent(goal)).double()  # its weights are the network's own
    wide = x.detach().double().requires_grad_()
    unit = torch.arange(len(x)) % goal.units
    with torch.enable_grad():
        objective, found = net._netloft_slope(wide, unit)
        (expected,) = torch.autograd.grad(objective.sum(), wide)
    apart = (found.detach() - expected).norm() / expected.norm().clamp(min=1e-30)
    if not float(apart) <= LIMIT:
        raise CheckError(
            f"what is climbed along at {goal.layer_name} is not the gradient of the objective: "
            f"it differs from autograd's by {float(apart):.2g} of its length"
        )
    return max(gap, float(apart))
