"""Repeated structure drawn once: ×N for equal neighbours, in modules and in chains of functions.

Two stretches are equal when their operations, hyper-parameters, shapes and wiring are. Only the
values of their weights, and the rates of dropouts that do nothing in eval mode, may differ.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from netloft_diagrams.scene import Box, Frame, Item, merge_copy
from netloft_diagrams.series import Atom, atoms

__all__ = ["fold", "rename"]

LONGEST_PERIOD = 12
"""Parts that one repeat may consist of; a transformer written out flat has two."""


def fold(frame: Frame) -> tuple[Frame, dict[str, str]]:
    """Fold a frame and all inside it.

    Returns:
        The folded frame, and the new name of each value that the last copy of a repeat gave.
    """
    aliases: dict[str, str] = {}
    folded = _fold(frame, aliases)
    final = {name: _resolve(name, aliases) for name in aliases}
    renamed = rename(folded, final)
    assert isinstance(renamed, Frame)
    return renamed, final


def _resolve(name: str, aliases: Mapping[str, str]) -> str:
    while name in aliases:
        name = aliases[name]
    return name


def rename(item: Item, names: Mapping[str, str]) -> Item:
    """Give values other names, in an item and all inside it."""
    reads = tuple(dict.fromkeys(names.get(name, name) for name in item.reads))
    gives = tuple(dict.fromkeys(names.get(name, name) for name in item.gives))
    if isinstance(item, Box):
        same = (reads, gives) == (item.reads, item.gives)
        return item if same else replace(item, reads=reads, gives=gives)
    inside = tuple(rename(child, names) for child in item.items)
    return replace(item, items=inside, reads=reads, gives=gives)


def _fold(frame: Frame, aliases: dict[str, str]) -> Frame:
    inner: list[Item] = [_fold(i, aliases) if isinstance(i, Frame) else i for i in frame.items]
    parts = atoms(inner, frame.gives)
    signatures = [_signature(part) for part in parts]
    items: list[Item] = []
    at = 0
    while at < len(parts):
        period, times = _longest_repeat(signatures, at)
        if times == 1:
            items += parts[at]
        else:
            copies = [parts[at + k * period : at + (k + 1) * period] for k in range(times)]
            items.append(_merged(frame, copies, aliases))
        at += period * times
    return replace(frame, items=tuple(items))


def _longest_repeat(signatures: Sequence[object], at: int) -> tuple[int, int]:
    """Return the period and the number of copies that cover most from `at` on."""
    best = (1, 1)
    for period in range(1, min(LONGEST_PERIOD, (len(signatures) - at) // 2) + 1):
        first = signatures[at : at + period]
        times = 1
        while signatures[at + times * period : at + (times + 1) * period] == first:
            times += 1
        if None not in first and times > 1 and times * period > best[0] * best[1]:
            best = (period, times)
    return best


def _merged(frame: Frame, copies: Sequence[Sequence[Atom]], aliases: dict[str, str]) -> Item:
    flat = [[item for atom in copy for item in atom] for copy in copies]
    items = list(flat[0])
    for copy in flat[1:]:
        items = [merge_copy(a, b) for a, b in zip(items, copy, strict=True)]
    first_out, last_out = _exits(flat[0], flat[1]), flat[-1][-1].gives
    aliases.update({old: new for old, new in zip(last_out, first_out, strict=True) if old != new})
    if len(items) == 1:
        return replace(items[0], times=len(copies), last_path=flat[-1][0].path)
    inside = {name for item in items for name in item.gives}
    reads = tuple(dict.fromkeys(n for i in items for n in i.reads if n not in inside))
    return Frame(
        key=f"{items[0].key}r",
        path=frame.path,
        class_name="",
        items=tuple(items),
        reads=reads,
        gives=first_out,
        times=len(copies),
        # a sum at the end has no name of its own
        last_path=next((_named(i) for i in reversed(flat[-1]) if _named(i)), ""),
        depth=frame.depth + 1,
    )


def _named(item: Item) -> str:
    """Return the path that names an item; a function has that of the module around it."""
    return item.name if isinstance(item, Box) else item.path


def _exits(copy: Sequence[Item], following: Sequence[Item]) -> tuple[str, ...]:
    read = {name for item in following for name in item.reads}
    return tuple(name for name in copy[-1].gives if name in read) or copy[-1].gives


def _signature(part: Atom) -> object:
    """Describe an atom without names; None for what is never folded."""
    places: dict[str, object] = {}
    rows = []
    for i, item in enumerate(part):
        if isinstance(item, Box) and (item.kind in ("input", "output") or not item.reads):
            return None
        reads = tuple(places.setdefault(name, ("in", len(places))) for name in item.reads)
        places.update({name: (i, k) for k, name in enumerate(item.gives)})
        rows.append((reads, len(item.gives), _identity(item)))
    return tuple(rows)


def _identity(item: Item) -> object:
    if isinstance(item, Box):
        return item.kind, item.title, item.lines, item.identity, item.times
    places: dict[str, object] = {name: ("in", k) for k, name in enumerate(item.reads)}
    rows: list[object] = []
    for i, child in enumerate(item.items):
        rows.append((tuple(places.get(name) for name in child.reads), _identity(child)))
        places.update({name: (i, k) for k, name in enumerate(child.gives)})
    return item.class_name, item.times, tuple(rows), tuple(places.get(name) for name in item.gives)
