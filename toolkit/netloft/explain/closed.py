"""Networks that end in a mean over places and one linear layer: their gradient is a weight.

Zhou et al., Learning Deep Features for Discriminative Localization, 2016 (CAM): with
`score = W @ mean(A) + b` the gradient of the score of class c at any place of channel k is
W[c, k] / places, whatever the picture.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, fx, nn

from netloft.graph.annotation import TensorInfo
from netloft.graph.cost import tensors
from netloft.graph.graph import Graph, annotation

__all__ = ["closed_weight", "gradient_in_closed_form"]

_MOVES = ("flatten", "reshape", "squeeze", "identity", "dropout", "feature_dropout")
_POOLS = ("adaptive_avg_pool2d", "avg_pool2d", "mean")


def closed_weight(graph: Graph, layer: fx.Node, scores: fx.Node) -> str:
    """Return the target of the linear layer's weight; empty where the gradient has no closed form.

    Args:
        graph: Of the network, without writes in place.
        layer: Gives (batch, channels, height, width).
        scores: Gives (batch, classes).
    """
    node, averaged = layer, False
    while node is not scores:
        readers = [user for user in node.users if tensors(annotation(user).value)]
        if len(readers) != 1:
            return ""
        node = readers[0]
        record = annotation(node)
        if record.op in _POOLS and not averaged and _is_mean_of_places(node):
            averaged = True
        elif not (record.op in _MOVES and averaged) and node is not scores:
            return ""
    weight = _weight_of(graph, scores)
    shape = annotation(layer).shape
    fits = averaged and shape is not None and weight is not None
    return weight[0] if fits and weight and shape and weight[1] == shape[1] else ""


def _is_mean_of_places(node: fx.Node) -> bool:
    """Tell one mean over height and width, all of them and each once."""
    given, made = annotation(node.all_input_nodes[0]).shape, annotation(node).shape
    if given is None or made is None:
        return False
    if made == given[:2]:
        return annotation(node).op == "mean"
    return made == (*given[:2], 1, 1) and _counts_all(node, given)


def _counts_all(node: fx.Node, given: tuple[Any, ...]) -> bool:
    if annotation(node).op != "avg_pool2d":
        return True
    attributes = annotation(node).attributes
    kernel, padding = attributes.get("kernel_size"), attributes.get("padding", 0)
    lengths = [kernel, kernel] if isinstance(kernel, int) else list(kernel or [])  # type: ignore[call-overload]
    plain = padding in (0, (0, 0), [0, 0]) and attributes.get("divisor_override") is None
    return plain and lengths == list(given[2:])


def _weight_of(graph: Graph, node: fx.Node) -> tuple[str, int] | None:
    """Return a linear layer's weight by target, with how many features it takes."""
    if annotation(node).op != "linear":
        return None
    if node.op == "call_module":
        module = graph.module.get_submodule(str(node.target))
        if type(module) is not nn.Linear:
            return None
        return f"{node.target}.weight", module.in_features
    named = {**dict(zip(("input", "weight"), node.args, strict=False)), **node.kwargs}
    weight = named.get("weight")
    if not isinstance(weight, fx.Node) or weight.op != "get_attr":
        return None
    info = annotation(weight).value
    assert isinstance(info, TensorInfo)
    return str(weight.target), int(info.shape[1])


def gradient_in_closed_form(weight: Tensor, chosen: Tensor, places: int) -> Tensor:
    """Return the gradient of each item's chosen score, the same at every place.

    Args:
        weight: (classes, channels).
        chosen: Class of each item, (batch,).
        places: Height times width.

    Returns:
        (batch, channels, 1, 1).
    """
    rows = torch.index_select(weight, 0, chosen) / places
    return rows.unsqueeze(-1).unsqueeze(-1)
