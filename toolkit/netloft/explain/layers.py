"""Which value of a graph is meant: a module's result, a network's scores, its last pictures."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator

from torch import fx

from netloft.errors import UsageError
from netloft.graph.annotation import TensorInfo
from netloft.graph.graph import Graph, Value, annotation

__all__ = [
    "activation_of",
    "is_picture",
    "last_pictures",
    "layer_name",
    "result_of",
    "scores_of",
    "scores_output",
]

_PASSED = ("pool", "identity", "pad")
"""Families that say nothing new: what is looked for is what they were given."""


_SHARES = ("softmax", "log_softmax")


def scores_of(graph: Graph) -> fx.Node:
    """Return the node that gives the scores of the classes, in front of a softmax.

    Selvaraju et al., Grad-CAM, 2017: `y^c` is the score before the softmax. Probabilities add up to
    1: their gradients add up to 0, and at the class of a sure network they are about 0.

    Raises:
        UsageError: No output is (batch, classes).
    """
    return _before_softmax(graph.node(scores_output(graph).node))


def scores_output(graph: Graph) -> Value:
    """Return the output that has the scores, or what a softmax made of them.

    Raises:
        UsageError: No output is (batch, classes).
    """
    for value in graph.outputs:
        shape = value.info.shape
        if len(shape) == 2 and isinstance(shape[1], int) and value.info.dtype.startswith("float"):
            return value
    told = ", ".join(f"{value.name} {value.info}" for value in graph.outputs)
    raise UsageError(
        f"{graph.name} gives {told}, and none of that is scores of batch x classes",
        remedy="explain a classifier, or name a layer",
    )


def _before_softmax(node: fx.Node) -> fx.Node:
    while annotation(node).op in _SHARES:
        node = node.all_input_nodes[0]
    return node


def result_of(graph: Graph, path: str, fits: Callable[[fx.Node], bool] = lambda _: True) -> fx.Node:
    """Return the node that gives what the last call of a module gives.

    Args:
        graph: Of the network.
        path: Where the module hangs, such as `layer4.1`; `relu@1` for the second call of one that
            is called several times, the last by default; or the name of a node with `%` before it.
        fits: Which values are of use, for what is suggested in place of a wrong name.

    Raises:
        UsageError: There is no such module, or it is never called, or gives several tensors.
    """
    inside: list[fx.Node] = [n for n in graph.module.graph.nodes if _is_of(n, path)]
    if not inside:
        raise _unknown(graph, path, fits)
    inner = set(inside)
    seen: list[fx.Node] = [node for node in inside if any(user not in inner for user in node.users)]
    if not seen or not isinstance(annotation(seen[-1]).value, TensorInfo):
        raise UsageError(
            f"what {path} gives is not one tensor that something reads",
            remedy="name a module inside of it, or around it",
        )
    return seen[-1]


def activation_of(layer: fx.Node) -> fx.Node:
    """Return the activation that a layer's values alone go to, past a normalisation.

    Raises:
        UsageError: There is none.
    """
    node = layer
    while len(node.users) == 1:
        (node,) = node.users
        family = annotation(node).family
        if family == "activation":
            return node
        if family != "norm":
            break
    raise UsageError(
        f"there is no activation behind {layer_name(layer)}",
        remedy="leave `activated` out, or name the layer in front of one",
    )


def _is_of(node: fx.Node, path: str) -> bool:
    """Tell a node of a module's call, or the one that is named."""
    if node.op in ("placeholder", "output", "get_attr"):
        return False
    if path.startswith("%"):
        return node.name == path[1:]
    return any(path in (call.path, str(call)) for call in annotation(node).calls)


def _unknown(graph: Graph, path: str, fits: Callable[[fx.Node], bool]) -> UsageError:
    last = {call.path: node for node, record in graph for call in record.calls if call.path}
    paths = [path for path, node in last.items() if fits(node)]
    near = difflib.get_close_matches(path, paths, n=3, cutoff=0.4) or paths[-3:]
    return UsageError(
        f"{graph.name} calls no module '{path}'",
        remedy=f"--layer is a path such as {', '.join(near)}" if near else "leave --layer out",
    )


def is_picture(node: fx.Node) -> bool:
    """Tell a value of channels that have a place: (batch, channels, height, width)."""
    value = annotation(node).value
    if not isinstance(value, TensorInfo) or not value.dtype.startswith("float"):
        return False
    lengths = [length for length in value.shape[1:] if isinstance(length, int)]
    return len(value.shape) == 4 == len(lengths) + 1 and min(lengths[1:]) > 1


def last_pictures(graph: Graph, scores: fx.Node) -> fx.Node:
    """Return the layer to explain where none is named: the last pictures before the scores.

    Selvaraju et al., Grad-CAM, 2017, take the last convolutional layer, whose activations still
    have a place and know most of the classes. Pooling and the like behind it is passed over, and
    so is what has one channel: there is nothing to weigh, and it may be a row of features.

    Raises:
        UsageError: There is none.
    """
    mixed = False
    for node in _before(graph, scores):
        family = annotation(node).family
        mixed |= family == "attention"
        if _has_channels(node) and family not in (*_PASSED, "input"):
            if mixed:
                raise UsageError(
                    f"{graph.name} mixes all places by attention behind its last pictures, "
                    f"{layer_name(node)}: a map of them says little",
                    remedy="name a layer with --layer, this one too if it is wanted",
                )
            return node
    raise UsageError(
        f"{graph.name} has no layer whose values are pictures of batch x channels x height x width",
        remedy="a map is of a network that takes pictures and looks at them place by place",
    )


def _has_channels(node: fx.Node) -> bool:
    shape = annotation(node).shape
    return is_picture(node) and shape is not None and shape[1] != 1


def _before(graph: Graph, end: fx.Node) -> Iterator[fx.Node]:
    """Give the nodes that lead to one, the nearest first."""
    leading = {end}
    for node in reversed(graph.module.graph.nodes):
        if node in leading or not leading.isdisjoint(node.users):
            leading.add(node)
            yield node


def layer_name(node: fx.Node) -> str:
    """Return how a person names a value: the outermost module that gives it, or else the node."""
    for call in annotation(node).calls[1:]:
        if not any(call in annotation(user).calls for user in node.users):
            return str(call)
    return f"%{node.name}"
