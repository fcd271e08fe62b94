"""Where a run of items can be cut: where one value alone crosses."""

from __future__ import annotations

from collections.abc import Sequence

from netloft_diagrams.scene import Frame, Item

__all__ = ["Atom", "atoms", "borders_of"]

Atom = tuple[Item, ...]
"""Items that belong together: a layer, or a fork with all that follows up to its join."""


def atoms(items: Sequence[Item], gives: Sequence[str]) -> list[Atom]:
    """Cut `items` wherever exactly one value is still to be read.

    Args:
        items: In an order in which every value is given before it is read.
        gives: Values that are read after the last item.
    """
    last_reader = {name: i for i, item in enumerate(items) for name in item.reads}
    last_reader.update(dict.fromkeys(gives, len(items)))
    alive: set[str] = set(last_reader) - {name for item in items for name in item.gives}
    found: list[Atom] = []
    start = 0
    for i, item in enumerate(items):
        alive |= {name for name in item.gives if last_reader.get(name, -1) > i}
        alive = {name for name in alive if last_reader[name] > i}
        if len(alive) <= 1:
            found.append(tuple(items[start : i + 1]))
            start = i + 1
    if start < len(items):
        found.append(tuple(items[start:]))
    return found


def borders_of(frame: Frame, parts: Sequence[Atom]) -> list[tuple[str, ...]]:
    """Return the values that cross before each part, and after the last."""
    last_reader = {name: k for k, part in enumerate(parts) for i in part for name in i.reads}
    last_reader.update(dict.fromkeys(frame.gives, len(parts)))
    borders = [frame.reads]
    alive = dict.fromkeys(frame.reads)
    for k, part in enumerate(parts[:-1]):
        alive.update((name, None) for item in part for name in item.gives)
        alive = {name: None for name in alive if last_reader.get(name, -1) > k}
        borders.append(tuple(alive))
    return [*borders, frame.gives]
