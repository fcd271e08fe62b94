"""Put the operations of one layer of torch.nn back together into a call of that layer.

torch.export writes what is inside of every layer. torch.fx keeps a layer of torch.nn whole, which
is what drawings show, passes look for and exporters read.

Given:
    %conv_weight = get_attr(conv.weight)
    %conv_bias = get_attr(conv.bias)
    %conv2d = conv2d(%x, %conv_weight, %conv_bias)

Result:
    %conv = conv(%x)

Leaves alone:
    A layer with hooks, one that takes or gives anything but one tensor, and one whose operations
    are not side by side.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from itertools import groupby

from torch import fx, nn

from netloft.graph.annotation import ModuleCall
from netloft.tracing.hooks import has_hooks

__all__ = ["regroup"]


def regroup(graph: fx.Graph, root: nn.Module, plain: Collection[ModuleCall]) -> None:
    """Turn runs of nodes into calls of the layers that they stand for.

    Args:
        graph: Nodes with `netloft_calls` in their meta.
        root: Holds the modules.
        plain: Calls that take one tensor and give one.
    """
    leaves = {call for call in plain if _is_leaf(root, call)}
    nodes = [node for node in graph.nodes if node.op != "get_attr"]
    for call, run in groupby(nodes, key=lambda node: _layer(node, leaves)):
        if call is not None:
            _replace(graph, list(run), call)
    for node in reversed(graph.nodes):
        if node.op == "get_attr" and not node.users:
            graph.erase_node(node)


def _is_leaf(root: nn.Module, call: ModuleCall) -> bool:
    module = root.get_submodule(call.path)
    leaf = type(module).__module__.startswith("torch.nn.") and not isinstance(module, nn.Sequential)
    return leaf and not has_hooks(module)


def _layer(node: fx.Node, leaves: Collection[ModuleCall]) -> ModuleCall | None:
    """Return the outermost layer that a node belongs to."""
    return next((call for call in node.meta["netloft_calls"] if call in leaves), None)


def _replace(graph: fx.Graph, run: list[fx.Node], call: ModuleCall) -> None:
    inside = set(run)
    read = [n for node in run for n in node.all_input_nodes if n not in inside]
    operands = list(dict.fromkeys(n for n in read if n.op != "get_attr"))
    results = [node for node in run if any(user not in inside for user in node.users)] or run[-1:]
    if len(operands) != 1 or len(results) != 1:
        return
    with graph.inserting_after(run[-1]):
        made = graph.call_module(call.path, (operands[0],))
    made.meta = _meta(run[-1].meta, call)
    results[0].replace_all_uses_with(made, delete_user_cb=lambda user: user not in inside)
    for node in reversed(run):
        graph.erase_node(node)


def _meta(meta: Mapping[str, object], call: ModuleCall) -> dict[str, object]:
    """The calls down to the layer's own, and the line that called it."""
    calls = meta["netloft_calls"]
    assert isinstance(calls, tuple)
    return {**meta, "netloft_calls": calls[: calls.index(call) + 1]}
