"""Graph nodes to boxes: a convolution takes in its padding, norm, activation and the like.

Every node lands in exactly one box, or in the list of those that only compute sizes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import fx

from netloft.graph import Annotation, Graph, ModuleCall, annotation
from netloft_diagrams.mark import MARK, Mark

__all__ = ["Group", "fuse"]

HEADS = frozenset(
    (
        "conv",
        "linear",
        "norm",
        "pool",
        "attention",
        "recurrent",
        "embedding",
        "activation",
        "reduce",
    )
)
"""Families that take in a padding, a dropout or a reshape that stands before them."""
ALONE = frozenset(("softmax", "log_softmax", "softmin"))
"""Activations that end a network or an attention: a reader looks for them, so they keep a box."""

MOST = 40
"""Operations in one box; a file may have thousands of activations in a row."""


@dataclass
class Group:
    """Nodes that make one box, in order; `main` names it.

    Attributes:
        main: The operation that names the box.
        frames: Module calls around the box, without the call of a leaf.
        nodes: What is in it, parameters aside.
        parameters: Parameters that nothing else reads.
    """

    main: fx.Node
    frames: tuple[ModuleCall, ...]
    nodes: list[fx.Node] = field(default_factory=list)
    parameters: list[fx.Node] = field(default_factory=list)

    @property
    def last(self) -> fx.Node:
        """The node whose value the others read."""
        return self.nodes[-1]

    @property
    def all_nodes(self) -> list[fx.Node]:
        """Parameters first, then the rest."""
        return [*self.parameters, *self.nodes]


def fuse(graph: Graph) -> tuple[list[Group], list[str]]:
    """Put the nodes of `graph` into groups.

    Returns:
        The groups in order, and the names of the nodes that only compute sizes.
    """
    return _Fusion(graph).run()


class _Fusion:
    def __init__(self, graph: Graph) -> None:
        self._nodes: list[fx.Node] = list(graph.module.graph.nodes)
        self._drawn = {
            n for n in self._nodes if n.op == "output" or annotation(n).value is not None
        }
        self._group: dict[fx.Node, Group] = {}
        self._groups: list[Group] = []
        self._inside = Counter(
            call for n in self._drawn if n.op != "get_attr" for call in annotation(n).calls
        )

    def run(self) -> tuple[list[Group], list[str]]:
        for node in self._nodes:
            if node in self._drawn and not self._waits_for_reader(node):
                self._place(node)
        return self._groups, [n.name for n in self._nodes if n not in self._drawn]

    def _frames(self, node: fx.Node) -> tuple[ModuleCall, ...]:
        """Return the module calls that enclose a node, without the root's and a leaf module's own.

        A module that calls one function is a leaf too, such as a convolution of one's own.
        """
        calls = annotation(node).calls
        function = node.op == "call_function" and len(calls) > 1 and self._inside[calls[-1]] == 1
        return calls[1:-1] if node.op == "call_module" or function else calls[1:]

    def _users(self, node: fx.Node) -> list[fx.Node]:
        return [user for user in node.users if user in self._drawn]

    def _waits_for_reader(self, node: fx.Node) -> bool:
        """A parameter that one operation reads is drawn in that operation's box."""
        if annotation(node).op != "parameter":
            return False
        users = self._users(node)
        return len(users) == 1 and users[0].op != "output"

    def _place(self, node: fx.Node) -> None:
        operands = [n for n in node.all_input_nodes if n in self._drawn]
        waiting = [n for n in operands if self._waits_for_reader(n)]
        rest = [n for n in operands if n not in waiting]
        group = self._group.get(rest[0]) if len(rest) == 1 else None
        if group is not None and self._joins(node, group, rest[0], waiting):
            if _is_prefix(group) and annotation(node).family in HEADS:
                group.main = node
        else:
            group = Group(node, self._frames(node))
            self._groups.append(group)
        group.nodes.append(node)
        group.parameters += waiting
        for member in (node, *waiting):
            self._group[member] = group

    def _joins(self, node: fx.Node, group: Group, before: fx.Node, waiting: list[fx.Node]) -> bool:
        if len(group.nodes) >= MOST or not _one_mark(node, group):
            return False
        if self._frames(node) != group.frames:
            return False
        record = annotation(node)
        if record.op == "getitem" and _is_unpacked(node, before):
            return before is group.main and all(
                annotation(u).op == "getitem" for u in self._users(before)
            )
        if before is not group.last or self._users(before) != [node] or self._is_split(group):
            return False
        return _rule(group, record) and (not waiting or record.family in HEADS)

    def _is_split(self, group: Group) -> bool:
        return sum(1 for n in group.nodes if annotation(n).op == "getitem") > 1


def _is_unpacked(node: fx.Node, before: fx.Node) -> bool:
    """Tell whether an index takes a result of several, which may be one and None."""
    whole = annotation(before)
    alone = whole.family in ("attention", "recurrent") and annotation(node).value == whole.value
    return isinstance(whole.value, tuple) or (alone and isinstance(node.args[1], int))


def _one_mark(node: fx.Node, group: Group) -> bool:
    """Tell whether a difference between two graphs lets a node stand in a box."""
    mark: Mark = group.last.meta.get(MARK, Mark())
    return mark.joins(node.meta.get(MARK, Mark()))


def _is_prefix(group: Group) -> bool:
    records = [annotation(n) for n in group.nodes]
    # a write changes values, and is worth a box
    plain = all(r.family in ("pad", "identity", "shape") and r.op != "setitem" for r in records)
    return plain and not group.parameters


def _rule(group: Group, record: Annotation) -> bool:
    """Tell whether an operation reads well as a part of the box before it."""
    main = annotation(group.main)
    if main.family in ("input", "output", "parameter") or record.family in ("merge", "output"):
        return False
    if _is_prefix(group):
        return _takes_prefix(group, record)
    if main.family == "merge":
        return record.family in ("activation", "identity") and record.op not in ALONE
    if record.family == "activation":
        return record.op not in ALONE and main.op not in ALONE
    if record.family == "norm":
        normed = any(annotation(n).family == "norm" for n in group.nodes)
        return main.family in ("conv", "linear") and not normed
    return record.family in ("identity", "shape") and record.op != "getitem"


def _takes_prefix(group: Group, record: Annotation) -> bool:
    padded = [annotation(n) for n in group.nodes if annotation(n).family == "pad"]
    if padded and record.family in HEADS:
        return record.family in ("conv", "pool") and all(_is_zero_pad(p.attributes) for p in padded)
    return record.family in (*HEADS, "identity", "shape", "pad") and record.op not in ALONE


def _is_zero_pad(attributes: Mapping[str, object]) -> bool:
    mode, value = attributes.get("mode", "constant"), attributes.get("value", 0)
    return mode == "constant" and value in (None, 0, 0.0)
