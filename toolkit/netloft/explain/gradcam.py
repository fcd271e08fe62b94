"""Grad-CAM as a network: the scores, and where the picture speaks for a class.

Selvaraju et al., Grad-CAM, 2017; Chattopadhay et al., Grad-CAM++, 2018. The map is scaled as the
package `grad-cam` does it, so that the two can be compared number by number.
"""

from __future__ import annotations

import copy
import operator
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F  # noqa: N812 - what everybody calls it

from netloft.defaults import MAP_METHODS
from netloft.errors import CheckError, UsageError
from netloft.explain.closed import closed_weight, gradient_in_closed_form
from netloft.explain.layers import is_picture, last_pictures, layer_name, result_of, scores_of
from netloft.explain.units import unit_axes
from netloft.gradients import Walk, adopt, check_gradient, functional
from netloft.gradients.adjoint import shape_of
from netloft.gradients.proof import LIMIT
from netloft.graph.annotation import ModuleCall
from netloft.graph.graph import Graph, annotation
from netloft.tracing.origins import told_as

__all__ = ["MAP", "GradCam", "Plan", "plan_map", "prove_map"]

MAP = "map"
"""Name of the output."""

_CALL = ModuleCall("gradcam", "GradCam")
"""The call that the map's own operations are told as parts of."""

_LEAST = 1e-7
"""Added to the largest value before a map is divided by it, as in grad-cam's scale_cam_image."""

_LEAST_WEIGHT = 1e-6
"""Added to the denominator of Grad-CAM++'s weights, as in grad-cam's GradCAMPlusPlus."""


@dataclass(frozen=True)
class Plan:
    """What a map is of.

    Attributes:
        graph: The network, without writes in place.
        method: One of `MAP_METHODS`.
        layer: Gives the pictures (batch, channels, height, width) that are weighed.
        scores: Gives (batch, classes).
        size: Height and width of the map: the input's.
        class_index: The class that is explained; None for each item's best.
        weight: Target of the weight that is the gradient; empty where it has no closed form.
    """

    graph: Graph
    method: str
    layer: fx.Node
    scores: fx.Node
    size: tuple[int, int]
    class_index: int | None = None
    weight: str = ""

    def __deepcopy__(self, memo: Mapping[int, Any]) -> Plan:
        """Return itself: nodes are told apart by what they are, and nothing here changes."""
        return self

    @property
    def form(self) -> str:
        """How the gradient is worked out."""
        return "closed form" if self.weight else "gradient"

    @property
    def layer_name(self) -> str:
        """The layer as a person names it."""
        return layer_name(self.layer)


def plan_map(
    graph: Graph,
    method: str = "gradcam",
    *,
    layer: str = "",
    class_index: int | None = None,
) -> Plan:
    """Say what a map of a traced network is of.

    Args:
        graph: Of the network.
        method: `gradcam` or `gradcam++`.
        layer: Path of a module; by default the last pictures before the scores.
        class_index: The class to explain; None for each item's best.

    Raises:
        UsageError: The network has no scores or no pictures, or there is no such layer or class.
        NoAdjointError: It writes in place in a way that has no gradient.
    """
    if method not in MAP_METHODS:
        raise UsageError(
            f"there is no method '{method}'", remedy=f"one of {', '.join(MAP_METHODS)}"
        )
    if len(graph.inputs) != 1:
        raise UsageError(
            f"{graph.name} takes {len(graph.inputs)} inputs, and a map is of one picture",
            remedy="put the network into a module whose forward takes the picture alone",
        )
    if any(value.name == MAP for value in graph.outputs):
        raise UsageError(
            f"{graph.name} has an output '{MAP}' of its own", remedy="give it another name"
        )
    plain = functional(graph)
    scores = scores_of(plain)
    chosen = result_of(plain, layer, is_picture) if layer else last_pictures(plain, scores)
    if not is_picture(chosen) or unit_axes(plain).get(chosen, 1) != 1:
        raise UsageError(
            f"{layer or layer_name(chosen)} gives {annotation(chosen).value}, and a map needs "
            "pictures of batch x channels x height x width",
            remedy="name a convolution, or a block of them, with --layer",
        )
    _check_class(plain.name, scores, class_index)
    weight = closed_weight(plain, chosen, scores)
    return Plan(plain, method, chosen, scores, _size(graph), class_index, weight)


def _check_class(name: str, scores: fx.Node, class_index: int | None) -> None:
    classes = classes_of(scores)
    if class_index is not None and not 0 <= class_index < classes:
        raise UsageError(
            f"there is no class {class_index}: {name} tells {classes} apart",
            remedy=f"classes are counted from 0 to {classes - 1}",
        )


def classes_of(scores: fx.Node) -> int:
    """Return how many classes (batch, classes) tells apart."""
    return int(shape_of(scores)[1])


def _size(graph: Graph) -> tuple[int, int]:
    (value,) = graph.inputs
    shape = value.info.shape
    if len(shape) == 4 and value.info.dtype == "uint8":  # pictures as bytes, channels last
        shape = (shape[0], shape[3], *shape[1:3])
    if len(shape) != 4 or not all(isinstance(length, int) for length in shape[2:]):
        raise UsageError(
            f"{graph.name} takes {value.info}, and a map is of a picture of a fixed size",
            remedy="give --input 1x3xHEIGHTxWIDTH, and no --dynamic axes",
        )
    return int(shape[2]), int(shape[3])


class GradCam(nn.Module):
    """A network that gives what it gave before, and a map of its picture in [0, 1].

    Its modules and weights are the network's own, under their names.

    Args:
        plan: What the map is of.
    """

    def __init__(self, plan: Plan) -> None:
        super().__init__()
        self._netloft_plan = plan
        adopt(self, plan.graph)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Map a picture to the network's outputs, and `map` (batch, height, width)."""
        plan = self._netloft_plan
        walk = Walk(self, plan.graph)
        walk.forward([x])
        outputs = {v.name: walk.value(plan.graph.node(v.node)) for v in plan.graph.outputs}
        with told_as((ModuleCall("", type(self).__name__), _CALL), None):
            return {**outputs, MAP: self._netloft_map(walk)}

    def _netloft_map(self, walk: Walk) -> Tensor:
        plan = self._netloft_plan
        pictures = walk.value(plan.layer)
        gradient = self._netloft_gradient(walk)
        weights = _WEIGHTS[plan.method](pictures, gradient)
        raw = F.relu((weights * pictures).sum(dim=1, keepdim=True))
        sized = F.interpolate(_scaled(raw), size=plan.size, mode="bilinear", align_corners=False)
        return _scaled(sized).squeeze(1)

    def _netloft_gradient(self, walk: Walk) -> Tensor:
        """Return the gradient at the layer; (batch, channels, 1, 1) in closed form."""
        plan = self._netloft_plan
        scores = walk.value(plan.scores)
        if plan.weight:
            weight = operator.attrgetter(plan.weight)(self)
            _, _, height, width = shape_of(plan.layer)
            places = int(height) * int(width)
            return gradient_in_closed_form(weight, chosen_class(scores, plan), places)
        # one at the chosen class: F.one_hot would need its number of classes from the data
        is_chosen = torch.arange(classes_of(plan.scores)) == chosen_class(scores, plan).unsqueeze(1)
        return walk.backward({plan.scores: is_chosen.type_as(scores)}, [plan.layer])[0]


def chosen_class(scores: Tensor, plan: Plan) -> Tensor:
    """Return the class that is explained, for each item: (batch,) of whole numbers."""
    best = scores.argmax(dim=1)
    return best if plan.class_index is None else torch.full_like(best, plan.class_index)


def _mean_weights(pictures: Tensor, gradient: Tensor) -> Tensor:
    """Grad-CAM: the mean of the gradient over places, (batch, channels, 1, 1)."""
    return gradient.mean(dim=(2, 3), keepdim=True)


def _plus_plus_weights(pictures: Tensor, gradient: Tensor) -> Tensor:
    """Grad-CAM++: places weighed by how curved the score is there, (batch, channels, 1, 1)."""
    square = gradient * gradient
    total = pictures.sum(dim=(2, 3), keepdim=True)
    share = square / (square * 2 + total * square * gradient + _LEAST_WEIGHT)
    return (F.relu(gradient) * share.expand_as(pictures)).sum(dim=(2, 3), keepdim=True)


_WEIGHTS = {"gradcam": _mean_weights, "gradcam++": _plus_plus_weights}


def _scaled(map: Tensor) -> Tensor:
    """Bring each item's map, (batch, 1, height, width), to [0, 1]."""
    map = map - map.amin(dim=(1, 2, 3), keepdim=True)
    return map / (map.amax(dim=(1, 2, 3), keepdim=True) + _LEAST)


def prove_map(plan: Plan, inputs: Mapping[str, Tensor]) -> float:
    """Hold a map's gradient to autograd's, in float64; and a closed form to the gradient.

    Args:
        plan: What the map is of.
        inputs: Of the network, by name.

    Returns:
        The largest distance beside the length of the gradient.

    Raises:
        CheckError: They are further apart than rounding explains.
    """
    gap = check_gradient(plan.graph, list(inputs.values()), plan.scores, [plan.layer])
    if not plan.weight:
        return gap
    (x,) = inputs.values()
    forms = []
    for form in (plan, replace(plan, weight="")):
        net = copy.deepcopy(GradCam(form)).double()  # its weights are the network's own
        walk = Walk(net, form.graph)
        wide = x.double() if x.is_floating_point() else x
        with torch.no_grad():
            walk.forward([wide])
            forms.append(net._netloft_gradient(walk).expand_as(walk.value(plan.layer)))
    apart = float((forms[0] - forms[1]).norm() / forms[1].norm().clamp(min=1e-30))
    if not apart <= LIMIT:
        raise CheckError(
            f"the closed form of the gradient at {plan.layer_name} is not the gradient"
        )
    return max(gap, apart)
