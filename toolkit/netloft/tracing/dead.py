"""What a network owns and never uses."""

from __future__ import annotations

from collections.abc import Sequence

from torch import fx, nn

from netloft.graph.annotation import ModuleCall
from netloft.graph.graph import DeadModule

__all__ = ["dead_modules", "unused_parameters"]


def dead_modules(
    module: nn.Module, calls: Sequence[ModuleCall], graph: fx.Graph, erased: Sequence[fx.Node]
) -> tuple[DeadModule, ...]:
    """Return modules whose result reaches no output; the topmost of each such subtree.

    Args:
        module: The network.
        calls: Every module call of the forward pass.
        graph: The traced graph, dead nodes erased.
        erased: The dead nodes.
    """
    used = _used_paths(calls, graph, erased)
    parents = {parent for path in used for parent in _above(path)}
    leaves = used - parents
    dead: dict[str, DeadModule] = {}
    for path, child in module.named_modules():
        alive = not path or path in used or path in parents
        # what lies below a called leaf (the projection in an attention layer) runs with the leaf
        told = any(parent in leaves or parent in dead for parent in _above(path))
        if not (alive or told or ".parametrizations" in f".{path}"):
            size = sum(p.numel() for p in child.parameters())
            dead[path] = DeadModule(path, type(child).__name__, size)
    return tuple(dead.values())


def _above(path: str) -> list[str]:
    """Return the paths of the modules around one, the root left out."""
    return [path[:i] for i, letter in enumerate(path) if letter == "."]


def _used_paths(
    calls: Sequence[ModuleCall], graph: fx.Graph, erased: Sequence[fx.Node]
) -> set[str]:
    used = {call.path for call in calls}
    used |= {str(n.target).rpartition(".")[0] for n in graph.nodes if n.op == "get_attr"}
    kept = {str(n.target) for n in graph.nodes if n.op == "call_module"}
    used -= {str(n.target) for n in erased if n.op == "call_module"} - kept
    return used - {""}


def unused_parameters(
    module: nn.Module, dead: Sequence[DeadModule], graph: fx.Graph
) -> dict[str, int]:
    """Return parameters that reach no output and belong to no dead module, with their sizes."""
    leaves = {str(n.target) for n in graph.nodes if n.op == "call_module"}
    read = {str(n.target) for n in graph.nodes if n.op == "get_attr"}
    gone = {m.path for m in dead}
    names = dict(module.named_parameters(remove_duplicate=False))
    above = {name: set(_above(name)) for name in names}
    live = {id(p) for name, p in names.items() if name in read or above[name] & leaves}
    return {
        name: p.numel() for name, p in names.items() if id(p) not in live and not above[name] & gone
    }
