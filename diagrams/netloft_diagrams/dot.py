"""Scene to DOT text: clusters for frames, generated ids, every name in an escaped label."""

from __future__ import annotations

import re
from collections.abc import Iterator

from netloft_diagrams.markup import escape
from netloft_diagrams.measure import params_text, path_range
from netloft_diagrams.scene import Box, Frame, Item, Scene, boxes_of
from netloft_diagrams.theme import family

__all__ = ["dot"]


def dot(scene: Scene, direction: str = "") -> str:
    """Return the scene as DOT, to be laid out or changed by hand."""
    ids = {box.key: f"n{i}" for i, box in enumerate(boxes_of(scene.root))}
    maker = {name: box for box in boxes_of(scene.root) for name in box.gives}
    lines = [
        "digraph {",
        f"  rankdir={'TB' if direction == 'down' else 'LR'}",
        f"  label={_quoted(scene.facts.name)}",
        '  node [shape=box, style="rounded,filled", fontname="Helvetica", fontsize=10]',
        '  edge [fontname="Helvetica", fontsize=9]',
        *_items(scene.root.items, ids, 1, [0]),
    ]
    for box in boxes_of(scene.root):
        for name in box.reads:
            source = maker.get(name)
            if source is None or source is box:
                continue
            shape = scene.shapes.get(name, source.shape)
            more = [f"label={_quoted(shape)}"] if source.changes_shape else []
            more += ["style=bold"] if name in scene.skips.get(box.key, ()) else []
            tail = f" [{', '.join(more)}]" if more else ""
            lines.append(f"  {ids[source.key]} -> {ids[box.key]}{tail}")
    return "\n".join([*lines, "}", ""])


def _items(
    items: tuple[Item, ...], ids: dict[str, str], depth: int, count: list[int]
) -> Iterator[str]:
    pad = "  " * depth
    for item in items:
        if isinstance(item, Box):
            yield f"{pad}{ids[item.key]} [label={_quoted(_text(item))}, {_look(item)}]"
            continue
        yield f"{pad}subgraph cluster_{count[0]} {{"
        count[0] += 1
        yield f"{pad}  label={_quoted(_frame_text(item))}"
        yield from _items(item.items, ids, depth + 1, count)
        yield f"{pad}}}"


def _look(box: Box) -> str:
    look = family(box.kind)
    shape = ", shape=circle" if len(box.symbol) == 1 else ""
    return f'fillcolor="{look.fill}", color="{look.band}"{shape}'


def _text(box: Box) -> str:
    if box.symbol:
        return "\n".join([box.symbol, *box.lines, *box.note])
    name = path_range(box.name, box.last_path)
    last = " · ".join(part for part in (name, params_text(box)) if part)
    times = f" ×{box.times}" if box.times > 1 else ""
    rows = (f"{box.title}{times}", " · ".join(box.lines), last, *box.note)
    return "\n".join(row for row in rows if row)


def _frame_text(frame: Frame) -> str:
    first = frame.path if frame.class_name else frame.items[0].path
    times = f"×{frame.times}" if frame.times > 1 else ""
    parts = [path_range(first, frame.last_path), frame.class_name, params_text(frame), times]
    parts += frame.note
    return " · ".join(part for part in parts if part)


def _quoted(text: str) -> str:
    """Quote text for DOT, where `&` begins an entity and a backslash an escape."""
    lines = [escape(line) for line in re.split(r"\r\n|\r|\n", text)]
    return '"' + "\\n".join(line.replace("\\", "\\\\") for line in lines) + '"'
