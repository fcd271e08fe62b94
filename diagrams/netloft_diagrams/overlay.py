"""An overlay laid over a drawing: a number or a word in each box, and a colour that goes with it.

The words are put into the scene, where they take room; the colours come last, since the darkest is
that of the largest number that is drawn.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from netloft_diagrams import words
from netloft_diagrams.geometry import Placed, walk, with_boxes
from netloft_diagrams.scene import Box, Frame, Item, Scene, boxes_of

if TYPE_CHECKING:
    from netloft.overlays import Overlay

__all__ = ["KINDS", "RAMP", "Look", "Scale", "coloured", "noted", "palette"]

Look = Callable[[float | str | None], str]
"""An amount to the colour of its ground."""

RAMP = ("#ffffff", "#fff4d9", "#ffe4ab", "#ffcb77", "#fba853", "#f17f42")
"""From nothing to the most; each is darker than the one before, and black reads on the last."""
KINDS = ("#dcebf8", "#fde8d4", "#d5f0e7", "#f8e0ee", "#e6e0f5", "#fbf3cf", "#d7f1f5", "#f0e6da")
"""For words, the most frequent first; the word itself stands in the box."""
NOTHING = "#ffffff"
LINES = 3
"""Words in a box before the rest are only counted."""

_TEXT: Mapping[str, Callable[[float], str]] = {
    "s": words.duration,
    "multiply-adds": lambda value: f"{words.short_count(round(value))} MAC",
    "parameters": lambda value: f"{words.short_count(round(value))} param.",
    "bytes": lambda value: words.bytes_text(round(value)),
    "times": lambda value: f"{value:.2g}×",
}


@dataclass(frozen=True)
class Scale:
    """What the foot of a drawing says of its colours.

    Attributes:
        title: What the numbers are.
        steps: Colours, and what each means.
        notes: What a reader must know to trust them.
    """

    title: str
    steps: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]


def noted(scene: Scene, overlay: Overlay) -> Scene:
    """Return a scene with the overlay's words in each box and in each frame's title.

    What stands for several operations, a repeat or a module that is not opened, says what they have
    together.
    """

    def note(item: Item) -> Item:
        amount, lines = _amount(overlay, item), _lines(overlay, item)
        told = overlay.tell(tuple(_names(item))) if overlay.tell else ()
        if isinstance(item, Frame):
            inside = tuple(note(child) for child in item.items)
            return replace(item, items=inside, note=lines, told=told, amount=amount)
        details = (overlay.details.get(name, "") for name in item.ops)
        rows = tuple(row for text in details for row in text.splitlines())
        return replace(item, note=lines, told=(*told, *rows), amount=amount)

    root = note(scene.root)
    assert isinstance(root, Frame)
    return replace(scene, root=root)


def coloured(placed: Placed, overlay: Overlay) -> tuple[Placed, Scale]:
    """Return a layout with a ground for each box, and what the colours mean."""
    boxes = [each.item for each in walk(placed) if isinstance(each.item, Box)]
    look, scale = palette(overlay, [box.amount for box in boxes])
    return with_boxes(placed, lambda box: replace(box, paint=look(box.amount))), scale


def palette(overlay: Overlay, amounts: Iterable[float | str | None]) -> tuple[Look, Scale]:
    """Return the ground for an amount, and what the colours mean.

    Args:
        overlay: What the amounts are of.
        amounts: Those that are drawn; the largest gets the darkest colour.
    """
    if overlay.gather == "each":
        drawn = set(amounts)
        counted = Counter(word for word in map(str, overlay.values.values()) if word in drawn)
        kinds = sorted(counted, key=lambda word: (-counted[word], word))
        colours = {word: KINDS[i % len(KINDS)] for i, word in enumerate(kinds)}
        steps = tuple((colour, word) for word, colour in colours.items())
        scale = Scale(overlay.title, steps, overlay.notes)
        return (lambda amount: colours.get(str(amount), NOTHING)), scale
    full = overlay.full or max((a for a in amounts if isinstance(a, float)), default=0.0)
    scale = Scale(overlay.title, _steps(overlay, full), overlay.notes)
    return (lambda amount: _ramp(amount, full)), scale


def _ramp(amount: float | str | None, full: float) -> str:
    if not isinstance(amount, float) or not amount or not full:
        return NOTHING
    last = len(RAMP) - 1
    return RAMP[max(1, round(min(amount / full, 1.0) * last))]


def _steps(overlay: Overlay, full: float) -> tuple[tuple[str, str], ...]:
    text, last = _TEXT[overlay.unit], len(RAMP) - 1
    more = " or more" if overlay.full else ""
    values = [(RAMP[i], text(full * i / last)) for i in range(1, last + 1)]
    return ((RAMP[0], "0"), *values[:-1], (values[-1][0], values[-1][1] + more))


def _lines(overlay: Overlay, item: Item) -> tuple[str, ...]:
    if overlay.gather == "each":
        found = _words(overlay, item)
        lines = [f"{n}× {word}" if n > 1 else word for word, n in found]
        rest = len(lines) - LINES
        return (*lines[:LINES], *([f"and {rest} more kinds"] if rest > 0 else []))
    value = _number(overlay, item)
    if value is None:
        return ()
    share = f" · {_percent(value / overlay.total)}" if overlay.total else ""
    copies = overlay.gather == "sum" and any(box.covers for box in boxes_of(item))
    return (f"{_TEXT[overlay.unit](value)}{' in all' if copies else ''}{share}",)


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share >= 0.0095 else "< 1 %"


def _amount(overlay: Overlay, item: Item) -> float | str | None:
    if overlay.gather != "each":
        return _number(overlay, item)
    found = _words(overlay, item)
    return found[0][0] if found else None


def _number(overlay: Overlay, item: Item) -> float | None:
    """Return what the operations in an item have together; None where nothing is known of them."""
    found = [float(overlay.values[name]) for name in _names(item) if name in overlay.values]
    if not found:
        return None
    return sum(found) if overlay.gather == "sum" else max(found)


def _words(overlay: Overlay, item: Item) -> list[tuple[str, int]]:
    found = (overlay.values[name] for name in _names(item) if name in overlay.values)
    return Counter(map(str, found)).most_common()


def _names(item: Item) -> Iterator[str]:
    for box in boxes_of(item):
        yield from box.ops
        yield from box.covers
