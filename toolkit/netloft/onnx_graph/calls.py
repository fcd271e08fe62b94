"""Module calls as frames: runs of nodes that follow each other, numbered where a call has several.

A drawing's frames are such runs. Exporters may put the nodes of two modules in turn; then a module
has as many calls as it has runs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from netloft.graph.annotation import ModuleCall
from netloft.onnx_graph.scopes import UNKNOWN_CLASS
from netloft.onnx_graph.step import Level, Scope, cleaned

__all__ = ["Placed", "place"]


@dataclass(frozen=True)
class Placed:
    """Where a node lies.

    Attributes:
        calls: The calls around it, without the root's; a layer's own is last.
        is_layer: Whether the last call holds this node and what belongs to it alone.
    """

    calls: tuple[ModuleCall, ...] = ()
    is_layer: bool = False


@dataclass
class _Run:
    level: Level | None
    call: ModuleCall | None = None
    nodes: list[int] = field(default_factory=list)
    inner: list[_Run] = field(default_factory=list)


def place(scopes: Mapping[int, Scope], quiet: Sequence[int]) -> dict[int, Placed]:
    """Number the calls around each node.

    Args:
        scopes: The calls around each drawn node, by its position, in order.
        quiet: Positions of the nodes that a reader takes for a part of the node before them.
    """
    root = _Run(None)
    open_ = [root]
    count: Counter[str] = Counter()
    for position, scope in scopes.items():
        shared = 0
        for run, level in zip(open_[1:], scope, strict=False):
            if run.level is None or run.level.call != level.call:
                break
            shared += 1
        del open_[shared + 1 :]
        for level in scope[shared:]:
            path = cleaned(level.path)
            name = cleaned(level.class_name, 80) or UNKNOWN_CLASS
            run = _Run(level, ModuleCall(path, name, count[path]))
            count[path] += 1
            open_[-1].inner.append(run)
            open_.append(run)
        open_[-1].nodes.append(position)
    return dict(_placed(root, (), frozenset(quiet)))


def _placed(
    run: _Run, around: tuple[ModuleCall, ...], quiet: frozenset[int]
) -> Iterator[tuple[int, Placed]]:
    calls = around if run.call is None else (*around, run.call)
    loud = [position for position in run.nodes if position not in quiet]
    is_layer = run.call is not None and not run.inner and len(loud) <= 1
    for position in run.nodes:
        yield position, Placed(calls, is_layer)
    for inner in run.inner:
        yield from _placed(inner, calls, quiet)
