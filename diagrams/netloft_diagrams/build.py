"""Graph to scene: boxes in the frames of the module calls they run in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import groupby

from netloft.graph import DeadModule, Graph, ModuleCall, annotation
from netloft.graph.cost import tensors
from netloft_diagrams import words
from netloft_diagrams.boxes import box, outputs, shape_text
from netloft_diagrams.fold import fold
from netloft_diagrams.fuse import Group, fuse
from netloft_diagrams.only import alone, facts_of
from netloft_diagrams.scene import Box, Facts, Frame, Item, Scene, boxes_of
from netloft_diagrams.skips import find_skips
from netloft_diagrams.summary import PLAIN

__all__ = ["build"]

MANY = 3
"""Dead modules of one class that each get a line."""


def build(graph: Graph, path: str = "") -> Scene:
    """Return the scene of a graph, with all detail and with repeats folded.

    Args:
        graph: What to draw.
        path: Draw this module alone.

    Raises:
        UsageError: There is nothing of several operations at that path.
    """
    groups, hidden = fuse(graph)
    drawn = {node for group in groups for node in group.all_nodes}
    shapes = {
        node.name: shape_text(infos[0], graph.batch)
        for node, record in graph
        if (infos := tensors(record.value))
    }
    boxes = [box(i, group, graph, drawn, shapes) for i, group in enumerate(groups)]
    boxes, skips = find_skips(boxes)
    rows = [
        (group, made)
        for group, found in zip(groups, boxes, strict=True)
        for made in (outputs(found, graph) if found.kind == "output" else [found])
    ]
    root = Frame("f", "", graph.class_name, _nest(rows, 0, ("",)))
    root = _with_ports(root, ())
    facts = _facts(graph)
    if path:
        root, hidden = alone(root, path, graph, shapes), []
    folded, names = fold(_without_shells(root))
    renamed = {k: tuple(names.get(n, n) for n in found) for k, found in skips.items()}
    done = _numbered(_without_shells(folded))
    facts = facts_of(facts, done) if path else facts
    return Scene(done, facts, tuple(hidden), shapes, renamed)


def _nest(
    rows: Sequence[tuple[Group, Box]], depth: int, above: tuple[str, ...]
) -> tuple[Item, ...]:
    """Group boxes by the module call at `depth`; calls never interleave, so runs are enough."""
    items: list[Item] = []

    def call_of(row: tuple[Group, Box]) -> ModuleCall | None:
        frames = row[0].frames
        return frames[depth] if len(frames) > depth else None

    for call, run in groupby(rows, key=call_of):
        members = list(run)
        if call is None:
            items += [found for _, found in members]
            continue
        inside = _nest(members, depth + 1, (*above, call.path))
        items.append(Frame(f"f{members[0][1].key}.{depth}", call.path, call.class_name, inside))
    return tuple(items)


def _with_ports(frame: Frame, needed: Iterable[str]) -> Frame:
    """Work out what each frame reads and gives; `needed` are the values read outside it."""
    wanted = set(needed)
    reads_of = [{n for b in boxes_of(item) for n in b.reads} for item in frame.items]
    readers = Counter(n for names in reads_of for n in names)
    items: list[Item] = []
    for item, own in zip(frame.items, reads_of, strict=True):
        if isinstance(item, Frame):
            given = {n for b in boxes_of(item) for n in b.gives}
            leaving = {n for n in given if n in wanted or readers[n] > (n in own)}
            items.append(_with_ports(item, leaving))
        else:
            items.append(item)
    made = [n for item in items for n in item.gives]
    read = dict.fromkeys(n for item in items for n in item.reads)
    return replace(
        frame,
        items=tuple(items),
        reads=tuple(n for n in read if n not in set(made)),
        gives=tuple(dict.fromkeys(n for n in made if n in wanted)),
    )


def _without_shells(frame: Frame) -> Frame:
    """Take away frames around a single item: they add a border and no structure."""
    items: list[Item] = []
    for item in frame.items:
        inner = _without_shells(item) if isinstance(item, Frame) else item
        while isinstance(inner, Frame) and len(inner.items) == 1 and inner.times == 1:
            inner = _taken_out(inner, inner.items[0])
        items.append(inner)
    return replace(frame, items=tuple(items))


def _taken_out(shell: Frame, item: Item) -> Item:
    """Return what a shell holds; its name and its class are kept where they say more."""
    if isinstance(item, Box):
        below = bool(shell.path) and item.name.startswith(f"{shell.path}.")
        return replace(item, shell=shell.path) if below else item
    if item.class_name in PLAIN and shell.class_name not in PLAIN and item.times == 1:
        return replace(item, path=shell.path, class_name=shell.class_name)
    return item


def _numbered(frame: Frame, depth: int = 0, level: int = 0, base: int = 0) -> Frame:
    """Count how many frames are around each, and how far its path lies below the root's."""
    if depth == 0:
        base = _n_words(frame.path)
    elif frame.class_name:  # a repeated run is no module: it is as deep as what is around it
        level = max(_n_words(frame.path) - base, 1)
    items = (
        _numbered(i, depth + 1, level, base) if isinstance(i, Frame) else i for i in frame.items
    )
    return replace(frame, items=tuple(items), depth=depth, level=level)


def _n_words(path: str) -> int:
    return path.count(".") + 1 if path else 0


def _facts(graph: Graph) -> Facts:
    totals = graph.totals
    dead = _dead(graph)
    unused = [
        f"{name}, {_params(size)}, read by nothing"
        for name, size in graph.unused_parameters.items()
    ]
    effects = [
        f"{e.what} at {e.source}{f': {e.source.text}' if e.source.text else ''}"
        if e.source
        else e.what
        for e in graph.side_effects
    ]
    return Facts(
        name=graph.name,
        class_name=graph.class_name,
        inputs=_ports(graph, [(v.name, v.node) for v in graph.inputs]),
        outputs=tuple(shape_text(v.info, graph.batch) for v in graph.outputs),
        n_params=totals.n_params,
        macs=totals.macs,
        peak_activation_bytes=totals.peak_activation_bytes,
        depth=totals.depth,
        n_unused=_n_unused(graph),
        dead=(*dead, *unused),
        effects=tuple(effects),
    )


def _n_unused(graph: Graph) -> int:
    never_called = sum(module.n_params for module in graph.dead_modules)
    return never_called + sum(graph.unused_parameters.values())


def _dead(graph: Graph) -> list[str]:
    """Name each module that is never called; many of one class in one line."""
    by_class: dict[str, list[DeadModule]] = {}
    for module in graph.dead_modules:
        by_class.setdefault(module.class_name, []).append(module)
    rows = []
    for name, modules in by_class.items():
        if len(modules) > MANY:
            total = _params(sum(m.n_params for m in modules))
            paths = ", ".join(m.path for m in modules)
            rows.append(f"{len(modules)}× {name}, {total}: {paths}")
        else:
            rows += [f"{m.path} · {name}, {_params(m.n_params)}" for m in modules]
    return rows


def _params(n: int) -> str:
    return f"{words.count(n)} parameter{'' if n == 1 else 's'}"


def _ports(graph: Graph, named: Sequence[tuple[str, str]]) -> tuple[str, ...]:
    return tuple(
        shape_text(info, graph.batch)
        for _, node in named
        for info in tensors(annotation(graph.node(node)).value)
    )
