"""Fill in each node's `Annotation`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import torch
from torch import fx, nn

from netloft.graph.annotation import Annotation, ModuleCall, TensorInfo
from netloft.graph.cost import at_batch, bytes_of, macs_of
from netloft.graph.graph import KEY
from netloft.graph.ops import attributes_of, called_module, family_of, is_inplace, op_of
from netloft.tracing.shapes import Shapes, Tree, tensors_in

__all__ = ["annotate"]


class _Parameters:
    """Hand out each parameter once, to the first node that reads it."""

    def __init__(self, root: nn.Module) -> None:
        self._root = root
        self._taken: set[int] = set()

    def read_by(self, node: fx.Node) -> list[tuple[str, nn.Parameter]]:
        """Return the node's parameters that no earlier node has read."""
        fresh = [(name, p) for name, p in self._of(node) if id(p) not in self._taken]
        self._taken.update(id(p) for _, p in fresh)
        return fresh

    def _of(self, node: fx.Node) -> list[tuple[str, nn.Parameter]]:
        target = str(node.target)
        if node.op == "call_module":
            module = called_module(node, self._root)
            # a layer without layers inside has its parameters at hand, and most are such
            found = module.named_parameters() if module._modules else module._parameters.items()
            return [(f"{target}.{name}", p) for name, p in found if p is not None]
        if node.op == "get_attr":
            path, _, name = target.rpartition(".")
            weight = getattr(self._root.get_submodule(path), name)
            if isinstance(weight, nn.Parameter):
                return [(target, weight)]
        return []


def annotate(
    module: fx.GraphModule, shapes: Shapes, lengths: Mapping[str, int] = MappingProxyType({})
) -> None:
    """Write an `Annotation` into every node's meta.

    Args:
        module: A traced graph, whose nodes hold `netloft_calls` and `netloft_source`.
        shapes: What each node gives.
        lengths: Of the example's open axes, by name: what costs are told for.
    """
    parameters = _Parameters(module)
    sized = {
        name: tuple(TensorInfo(at_batch(t.shape, 1, lengths), t.dtype) for t in tensors_in(tree))
        for name, tree in shapes.trees.items()
    }
    for node in module.graph.nodes:
        node.meta[KEY] = _annotation(node, module, shapes, parameters.read_by(node), sized)


def _annotation(
    node: fx.Node,
    root: nn.Module,
    shapes: Shapes,
    parameters: list[tuple[str, nn.Parameter]],
    sized: Mapping[str, tuple[TensorInfo, ...]],
) -> Annotation:
    """Make a node's record; `sized` is what each node gives for one item of the batch."""
    trees = shapes.trees
    op = op_of(node, root)
    attributes = attributes_of(node, root)
    attributes |= _inner_matrices(node, root)
    weight = _weight_shape(node, root, trees)
    if weight:
        attributes["weight_shape"] = weight
    if is_inplace(node, root):
        attributes["inplace"] = True
    tree = trees[node.name]
    results, own = tensors_in(tree), sized[node.name]
    operands = tuple(info for n in _operands(node) for info in sized[n.name][:1])
    return Annotation(
        op=op,
        family=family_of(op),
        attributes=attributes,
        value=results[0] if len(results) == 1 else results or None,
        plain=None if results else tree,
        memory=shapes.memory[node.name],
        calls=_calls(node),
        source=node.meta.get("netloft_source"),
        parameters=tuple(name for name, _ in parameters),
        n_params=sum(p.numel() for _, p in parameters),
        macs=macs_of(op, operands, own[0], attributes) if own else 0,
        bytes_out=sum(bytes_of(t) for t in own) if node.op != "output" else 0,
    )


def _operands(node: fx.Node) -> list[fx.Node]:
    """Return operands in order; one that is read twice is there twice."""
    found: list[fx.Node] = []
    for arg in (*node.args, *node.kwargs.values()):
        given = arg if isinstance(arg, tuple | list) else (arg,)
        found += [each for each in given if isinstance(each, fx.Node)]
    return found


def _inner_matrices(node: fx.Node, root: nn.Module) -> dict[str, object]:
    """Say how large the matrices inside of a recurrent or transformer layer are."""
    if node.op != "call_module":
        return {}
    module = called_module(node, root)
    if not isinstance(module, nn.RNNBase) and "Transformer" not in type(module).__name__:
        return {}
    attentions = sum(isinstance(m, nn.MultiheadAttention) for m in module.modules())
    matrices = sum(p.numel() for p in module.parameters() if p.dim() == 2)
    return {"matrix_elements": matrices, "attentions": attentions}


def _calls(node: fx.Node) -> tuple[ModuleCall, ...]:
    calls: tuple[ModuleCall, ...] = node.meta.get("netloft_calls", ())
    return calls


def _weight_shape(
    node: fx.Node, root: nn.Module, trees: Mapping[str, Tree]
) -> tuple[int, ...] | None:
    if node.op == "call_module":
        weight: Any = getattr(called_module(node, root), "weight", None)
        return tuple(weight.shape) if isinstance(weight, torch.Tensor) else None
    if node.op != "call_function" or len(node.args) < 2 or not isinstance(node.args[1], fx.Node):
        return None
    info = trees[node.args[1].name]
    if not isinstance(info, TensorInfo) or not all(isinstance(d, int) for d in info.shape):
        return None
    shape = tuple(int(d) for d in info.shape)
    return shape if math.prod(shape) else None
