"""Groups of nodes to boxes: what is written in each, what it reads and gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from torch import fx

from netloft.graph import Annotation, Graph, TensorInfo, annotation
from netloft.passes.views import axes_order
from netloft_diagrams import words
from netloft_diagrams.fuse import Group
from netloft_diagrams.mark import MARK, Mark
from netloft_diagrams.remarks import remarks, shrinks
from netloft_diagrams.scene import Box

__all__ = ["box", "outputs", "shape_text"]

LONG_TITLE = 18
"""Letters of `+ bias[361]` from which on the size goes to a line of its own."""


def shape_text(info: TensorInfo, batch: str | int) -> str:
    """Return `64×56×56`, without the batch; a symbolic length is kept as it is."""
    first = "batch" if batch == "dynamic" else batch
    dims = info.shape[1:] if info.shape and info.shape[0] == first else info.shape
    return "×".join(map(str, dims)) if dims else "scalar"


def box(
    index: int, group: Group, graph: Graph, drawn: set[fx.Node], shapes: Mapping[str, str]
) -> Box:
    """Make the box of one group.

    Args:
        index: Its place in the order of the graph.
        group: The nodes in it.
        graph: For the names of inputs and outputs.
        drawn: Every node that has a box.
        shapes: Shape of each value, without the batch.
    """
    nodes, own = group.all_nodes, set(group.all_nodes)
    records = [annotation(node) for node in nodes]
    main = annotation(group.main)
    operands = [n for node in group.nodes for n in node.all_input_nodes]
    reads = list(dict.fromkeys(n.name for n in operands if n in drawn and n not in own))
    gives = [n.name for n in nodes if any(u in drawn and u not in own for u in n.users)]
    title, lines = _text(group, main, graph, shapes)
    symbol = words.symbol(main, group.main.args) if not group.parameters else ""
    several = isinstance(main.value, tuple)  # the first result is what an LSTM is for
    shape = shapes.get(gives[0 if several else -1] if gives else group.last.name, "")
    marks = [node.meta[MARK] for node in group.nodes if MARK in node.meta]
    mark = Mark.over(marks) if marks else None
    return Box(
        key=f"b{index}",
        kind=_kind(main, group),
        title=symbol if " " in symbol else title,
        lines=(*lines, *(mark.words if mark else ())),
        name=_layer_path(group),
        symbol=symbol,
        reads=tuple(reads),
        gives=tuple(gives),
        ops=tuple(node.name for node in nodes),
        n_params=sum(record.n_params for record in records),
        macs=sum(record.macs for record in records),
        path=_layer_path(group) or main.module,
        class_name=main.module_class,
        source=str(main.source) if main.source else "",
        identity=(*_identity(group, reads, gives, shapes), mark and (mark.kind, mark.words)),
        shape=shape,
        changes_shape=bool(reads) and shapes.get(reads[0]) != shape,
        detail=mark.told if mark else (),
        mark=mark,
    )


def outputs(found: Box, graph: Graph) -> list[Box]:
    """Return one box for each output in place of the one of the node that returns them all."""
    if len(graph.outputs) < 2:
        return [found]
    return [
        replace(
            found,
            key=f"{found.key}o{k}" if k else found.key,
            title=value.name,
            lines=(shape_text(value.info, graph.batch),),
            reads=tuple(n for n in found.reads if n == value.node),
            ops=found.ops if not k else (),
        )
        for k, value in enumerate(graph.outputs)
    ]


def _target(node: fx.Node) -> str:
    """Return the name of a parameter; one that was too odd for Python keeps its plain letters."""
    target = str(node.target)
    if not target.startswith("renamed_"):
        return target
    known = [name for name in annotation(node).parameters if not name.startswith("renamed_")]
    # fx names the node after the parameter, with `_` for the odd letters
    return known[0] if len(known) == 1 else node.name if node.name.strip("_") else target


def _kind(main: Annotation, group: Group) -> str:
    return "parameter" if group.parameters and main.family in ("merge", "shape") else main.family


def _layer_path(group: Group) -> str:
    """Return the path of the layer that names the box; a function has none."""
    if group.main.op == "call_module":
        return annotation(group.main).module
    named = [_target(n) for n in [*group.parameters, group.main] if n.op == "get_attr"]
    if len(named) == 1 and named[0].rpartition(".")[2] != "weight":
        return named[0]
    # a functional layer reads its weight and bias: their owner is its name
    owners = {name.rpartition(".")[0] for name in named}
    return owners.pop() if len(owners) == 1 else ""


def _text(
    group: Group, main: Annotation, graph: Graph, shapes: Mapping[str, str]
) -> tuple[str, list[str]]:
    if main.op == "input":
        (value,) = [v for v in graph.inputs if v.node == group.main.name]
        return value.name, [shape_text(value.info, graph.batch)]
    if main.op == "output":
        return graph.outputs[0].name, [shape_text(graph.outputs[0].info, graph.batch)]
    if _kind(main, group) == "parameter":
        name, size = _parameter_title(group, main, shapes)
        if len(name + size) > LONG_TITLE:
            return name, [size, *_parts(group)]
        return name + size, _parts(group)
    padded = any(annotation(node).family == "pad" for node in group.nodes)
    bare = ["no pad"] if shrinks(main) and not padded else []
    return words.title(main), remarks(group.main) + bare + _parts(group)


def _parameter_title(group: Group, main: Annotation, shapes: Mapping[str, str]) -> tuple[str, str]:
    node = group.parameters[0] if group.parameters else group.main
    name = _target(node).rpartition(".")[2]
    sign = words.symbol(main)
    return f"{sign} {name}" if sign else name, f"[{shapes.get(node.name, '')}]"


def _parts(group: Group) -> list[str]:
    """List what is fused in, in order; taking an attention's first result is not worth a word."""
    at = group.nodes.index(group.main)
    before, after = _without_turns(group.nodes[:at], group.nodes[at + 1 :])
    return [*map(_first, before), *map(_part, _told(after))]


def _first(node: fx.Node) -> str:
    """Name what comes before the operation; a padding is part of a convolution."""
    pads = annotation(node).family == "pad"
    return _part(node) if pads else f"after {_part(node)}"


def _part(node: fx.Node) -> str:
    return words.part(annotation(node))


def _told(nodes: list[fx.Node]) -> list[fx.Node]:
    return [node for node in nodes if annotation(node).op != "getitem"]


def _without_turns(
    before: list[fx.Node], after: list[fx.Node]
) -> tuple[list[fx.Node], list[fx.Node]]:
    """Leave out a turn of the axes and the one that turns them back."""
    if before and after:
        there, back = axes_order(before[-1]), axes_order(after[0])
        if there and back and [there[axis] for axis in back] == sorted(there):
            return before[:-1], after[1:]
    return before, after


def _identity(
    group: Group, reads: list[str], gives: list[str], shapes: Mapping[str, str]
) -> tuple[object, ...]:
    steps = tuple((annotation(n).op, _hyper_parameters(annotation(n))) for n in group.nodes)
    sizes = tuple(shapes.get(node.name, "") for node in group.parameters)
    return (
        steps,
        sizes,
        tuple(shapes.get(name, "") for name in reads),
        tuple(shapes.get(name, "") for name in gives),
    )


def _hyper_parameters(record: Annotation) -> str:
    # the rate of a dropout is without effect in the eval mode that a graph is of
    ignored = ("p", "inplace") if record.family == "identity" else ("inplace",)
    return repr(sorted((k, repr(v)) for k, v in record.attributes.items() if k not in ignored))
