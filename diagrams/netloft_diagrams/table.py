"""Scene to a table for terminals: each layer with what it gives, its parameters and its cost."""

from __future__ import annotations

from collections.abc import Iterator

from netloft_diagrams import words
from netloft_diagrams.measure import path_range
from netloft_diagrams.scene import Frame, Item, Scene

__all__ = ["mermaid", "table"]

HEAD = ("layer", "operation", "output", "parameters", "multiply-adds", "")
"""The last is an overlay's."""


def table(scene: Scene, overlay: str = "") -> str:
    """Return the scene as aligned text, one line a layer, indented by module.

    Args:
        scene: What to print.
        overlay: Heading of the column of notes, where the scene has some.
    """
    facts = scene.facts
    rows: list[tuple[str, ...]] = [HEAD, *_rows(scene.root.items, 0)]
    if any(row[-1] for row in rows[1:]):
        rows[0] = (*HEAD[:-1], overlay)
    else:
        rows = [row[:-1] for row in rows]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = [
        "  ".join(
            cell.ljust(size) if i < 3 else cell.rjust(size)
            for i, (cell, size) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    rule = "-" * max(map(len, lines))
    foot = [f"{words.count(facts.n_params)} parameters, {words.count(facts.macs)} multiply-adds"]
    foot += [f"declared, never called: {row}" for row in facts.dead]
    foot += [f"side effect: {row}" for row in facts.effects]
    return "\n".join([facts.name, *lines[:1], rule, *lines[1:], rule, *foot, ""])


def _rows(items: tuple[Item, ...], depth: int) -> Iterator[tuple[str, ...]]:
    for item in items:
        times = f" ×{item.times}" if item.times > 1 else ""
        # inside a repeat, of one copy: the rows of a frame add up to a copy of it
        held = item.n_params * (item.times if item.covered_params else 1)
        params = words.count(held) if held else ""
        macs = words.count(item.macs * item.times) if item.macs else ""
        pad, note = "  " * depth, ", ".join(item.note)
        if isinstance(item, Frame):
            first = item.path if item.class_name else item.items[0].path
            name = path_range(first, item.last_path)
            yield _plain(pad + name), f"{item.class_name}{times}".strip(), "", params, macs, note
            yield from _rows(item.items, depth + 1)
            continue
        what = " · ".join([f"{item.symbol or item.title}{times}", *item.lines])
        name = path_range(item.name, item.last_path) or "·"
        shape = item.lines[-1] if item.kind == "output" else item.shape or item.lines[-1]
        yield _plain(pad + name), _plain(what), shape, params, macs, note


def _plain(text: str) -> str:
    """Keep a hostile name on its line and out of the terminal's control codes."""
    return "".join(c if c.isprintable() else "�" for c in text)[:120]


def mermaid(scene: Scene) -> str:
    """Return the scene as a Mermaid flow chart, for pages that render it."""
    from netloft_diagrams.scene import boxes_of

    boxes = list(boxes_of(scene.root))
    ids = {box.key: f"n{i}" for i, box in enumerate(boxes)}
    maker = {name: box for box in boxes for name in box.gives}
    lines = ["flowchart LR", *_mermaid_items(scene.root.items, ids, 1, [0])]
    for box in boxes:
        for name in box.reads:
            source = maker.get(name)
            if source is not None and source is not box:
                shape = scene.shapes.get(name, source.shape)
                label = f"|{_entities(shape)}|" if source.changes_shape and shape else ""
                lines.append(f"  {ids[source.key]} -->{label} {ids[box.key]}")
    return "\n".join([*lines, ""])


def _mermaid_items(
    items: tuple[Item, ...], ids: dict[str, str], depth: int, count: list[int]
) -> Iterator[str]:
    pad = "  " * depth
    for item in items:
        times = f" ×{item.times}" if item.times > 1 else ""
        if isinstance(item, Frame):
            first = item.path if item.class_name else item.items[0].path
            name = f"{path_range(first, item.last_path)} {item.class_name}{times}"
            yield f'{pad}subgraph s{count[0]}["{_entities(name.strip())}"]'
            count[0] += 1
            yield from _mermaid_items(item.items, ids, depth + 1, count)
            yield f"{pad}end"
            continue
        words_ = [f"{item.symbol or item.title}{times}", " · ".join(item.lines), item.name]
        words_ += item.note
        text = "<br/>".join(_entities(word) for word in words_ if word)
        yield f'{pad}{ids[item.key]}["{text}"]'


def _entities(text: str) -> str:
    """Write all but letters, digits and harmless signs as Mermaid's own entities."""
    return "".join(c if c.isalnum() or c in " .,_·×→…+-" else f"#{ord(c)};" for c in text)
