"""Below the figure: the legend, and what a reader must know that has no place in the flow."""

from __future__ import annotations

from netloft_diagrams.geometry import Placed, walk
from netloft_diagrams.mark_look import LOOKS, swatch
from netloft_diagrams.markup import tag
from netloft_diagrams.overlay import Scale
from netloft_diagrams.page import NOTES
from netloft_diagrams.scene import Box, Scene
from netloft_diagrams.shapes import icon, rect, text
from netloft_diagrams.text_metrics import fit, width
from netloft_diagrams.theme import FAMILIES, INK, MARGIN, QUIET, SKIP, SMALL, TITLE, WARN, family

__all__ = ["legend", "notes", "scale"]


def legend(placed: Placed, wide: float, y: float) -> tuple[str, float]:
    """Explain what occurs in the drawing, and nothing else.

    Returns:
        The legend, and where the next thing may begin.
    """
    items = list(walk(placed))
    looks = [family(getattr(p.item, "kind", "other")) for p in items if not p.children]
    entries = [(look.words, kind) for kind, look in FAMILIES.items() if look in looks]
    if any(wire.skip for p in items for wire in p.wires):
        entries.append(("skip connection", "skip"))
    if any(p.item.times > 1 for p in items):
        entries.append(("repeated N times", "times"))
    boxes = [p.item for p in items if isinstance(p.item, Box)]
    if any(box.name and box.total_params for box in boxes):
        entries.append(("name · parameters", "name"))
    if any(box.strip for box in boxes):
        entries.append(("layers inside, in order", "strip"))
    found = {mark.kind for p in items if (mark := getattr(p.item, "mark", None)) is not None}
    entries += [(look.words, f"mark {kind}") for kind, look in LOOKS.items() if kind in found]
    parts, x = [], MARGIN
    for explained, kind in entries:
        step = 20 + width(explained, SMALL) + 14
        if x + step > wide - MARGIN and x > MARGIN:
            x, y = MARGIN, y + 16
        parts.append(_swatch(kind, x, y))
        parts.append(text(x + 20, y + 10, explained, SMALL, colour=QUIET))
        x += step
    return "".join(parts), y + 26


def scale(found: Scale | None, wide: float, y: float) -> tuple[str, float]:
    """Explain the colours of an overlay and what its numbers are, or what small pictures show.

    Returns:
        The scale, and where the next thing may begin.
    """
    if found is None:
        return "", y
    room = wide - 2 * MARGIN
    parts = [text(MARGIN, y + 10, found.title, SMALL, bold=True, room=room)]
    x, y = MARGIN, y + 18
    for colour, meaning in found.steps:
        step = 20 + width(meaning, SMALL) + 14
        if x + step > wide - MARGIN and x > MARGIN:
            x, y = MARGIN, y + 16
        parts.append(rect(x, y, 15, 13, fill=colour, line=QUIET, corner=2))
        parts.append(text(x + 20, y + 10, meaning, SMALL))
        x += step
    y += 26 if found.steps else 6
    for i, note in enumerate(found.notes):
        parts.append(text(MARGIN, y + 14 * i, note, SMALL, colour=QUIET, room=room))
    return tag("g", "".join(parts), class_="scale"), y + 14 * len(found.notes)


def _swatch(kind: str, x: float, y: float) -> str:
    if kind == "skip":
        return tag("rect", x=x, y=y + 5.6, width=15, height=1.8, fill=SKIP)
    if kind == "times":
        return text(x + 7, y + 10, "×N", SMALL, bold=True, anchor="middle")
    if kind == "name":
        return text(x + 7, y + 10, "abc", SMALL, colour=QUIET, anchor="middle")
    if kind == "strip":
        bands = (FAMILIES[name].band for name in ("conv", "norm", "activation"))
        return "".join(
            tag("rect", x=x + 5 * i, y=y + 5, width=4.4, height=3.4, fill=fill)
            for i, fill in enumerate(bands)
        )
    if kind.startswith("mark "):
        return swatch(kind.removeprefix("mark "), x, y)
    look = FAMILIES[kind]
    if kind == "input":
        return rect(x, y + 1, 15, 11, fill=look.fill, line=look.band, corner=5.5)
    if kind == "merge":
        sign = text(x + 7.5, y + 10.5, "+", TITLE, bold=True, anchor="middle")
        return rect(x + 1, y, 13, 13, fill=look.fill, line=look.band, corner=6.5) + sign
    ground = tag("rect", x=x, y=y, width=15, height=13, rx=3, fill=look.band)
    return ground + icon(look.icon, x + 2.5, y + 1.5)


def notes(scene: Scene, wide: float, y: float) -> tuple[str, float]:
    """Write what the network owns and never uses, what it does aside, and what is not drawn.

    Returns:
        The notes, and where the drawing ends.
    """
    facts = scene.facts
    rows = [("declared, never called", row) for row in facts.dead]
    rows += [("side effect", row) for row in facts.effects]
    if len(rows) > NOTES:
        rest = len(rows) - NOTES + 1
        rows = [*rows[: NOTES - 1], ("", f"and {rest} more of these")]
    parts = []
    if rows:
        high = 15.0 * len(rows) + 8
        inside = tag(
            "rect", x=MARGIN, y=y, width=wide - 2 * MARGIN, height=high, rx=4, fill="#fdf1f0",
            stroke=WARN, stroke_dasharray="5 3",
        )  # fmt: skip
        inside += "".join(_note(*row, wide, y + 15 + 15 * i) for i, row in enumerate(rows))
        parts.append(tag("g", inside, class_="notes"))
        y += high + 8
    if scene.hidden:
        n = len(scene.hidden)
        line = f"not drawn: {n} operation{'s' if n > 1 else ''} on sizes alone"
        parts.append(text(MARGIN, y + 10, line, SMALL, colour=QUIET))
        y += 18
    return "".join(parts), y + 4


def _note(kind: str, row: str, wide: float, y: float) -> str:
    head = f"{kind}: " if kind else ""
    at = MARGIN + 8 + width(head, SMALL, bold=True)
    shown = fit(row, SMALL, wide - at - MARGIN - 8)
    first = text(MARGIN + 8, y, head.strip(), SMALL, bold=True, colour=WARN)
    return first + text(at, y, shown, SMALL, colour=INK, hint=row if shown != row else "")
