"""The marks of a drawing: boxes, circles, frames and connections, as SVG text."""

from __future__ import annotations

from netloft_diagrams import words
from netloft_diagrams.geometry import Placed, Wire
from netloft_diagrams.mark_look import PALE, outline, sign
from netloft_diagrams.markup import escape, number, tag
from netloft_diagrams.measure import (
    THUMB,
    THUMB_GAP,
    Label,
    box_label,
    frame_title,
    sign_width,
)
from netloft_diagrams.scene import Box, Frame
from netloft_diagrams.shapes import arrow, badge, icon, pile, rect, rounded, text
from netloft_diagrams.text_metrics import width
from netloft_diagrams.theme import BAND, INK, LINE, QUIET, SKIP, SMALL, TITLE, WIRE, family

__all__ = ["box_svg", "frame_svg", "wire_svg"]

TINTS = ("#f7f9fb", "#eef2f6", "#e5ebf1", "#dde4ec")
BORDER = "#93a0b0"
STRIPES = 24
"""Stripes in the strip of a closed module; more would be hair lines, and dots stand for them."""
MORE = 10.0
"""Room for the dots behind the stripes."""


def box_svg(placed: Placed, x: float, y: float, above: str) -> str:
    """Draw a box at its place, with its tooltip.

    Args:
        placed: The box.
        x: Left side on the page.
        y: Upper side on the page.
        above: Path of the frame around it.
    """
    box = placed.item
    assert isinstance(box, Box)
    label = box_label(box, above)
    if box.symbol:
        body = _merge(box, label, x, y)
    elif box.kind in ("input", "output"):
        body = _terminal(box, label, x, y)
    else:
        body = _card(box, label, x, y)
    if box.mark is not None:
        around = outline(box.mark, x, y, label.width, label.height)
        body = around + body + sign(box.mark, x, y + label.height)
    return tag(
        "g",
        f"<title>{_tooltip(box)}</title>\n{body}",
        class_="box",
        opacity=PALE if box.mark is not None and box.mark.kind == "same" else "",
        data_mark=box.mark.kind if box.mark is not None else "",
        data_kind=box.kind,
        data_key=box.key,
        data_times=box.times if box.times > 1 else "",
    )


def _tooltip(box: Box) -> str:
    path = f"{box.path} … {box.last_path}" if box.last_path else box.path
    copies = f"{words.count(box.total_params)} parameters in all {box.times} copies"
    rows = [
        " · ".join(part for part in (path, box.class_name) if part),
        " · ".join([box.title, *box.lines]),
        f"output {box.shape}" if box.shape else "",
        f"{words.count(box.n_params)} parameters" if box.n_params else "",
        copies if box.times > 1 and box.covered_params else "",
        f"{words.count(box.macs)} multiply-adds" if box.macs else "",
        *box.note,
        *box.told,
        *box.detail,
        box.source,
    ]
    return escape("\n".join(row for row in rows if row), keep_lines=True)


def _card(box: Box, label: Label, x: float, y: float) -> str:
    """A rectangle with the family's icon in a band at its left."""
    look = family(box.kind)
    wide, high, ground = label.width, label.height, box.paint or look.fill
    dash = "4 2" if box.kind in ("shape", "identity") else ""
    band = (
        f"M{number(x + BAND)} {number(y)}v{number(high)}h{number(4 - BAND)}"
        f"q-4 0 -4 -4v{number(8 - high)}q0 -4 4 -4z"
    )
    parts = [
        pile(x, y, wide, high, ground, look.band) if box.times > 1 else "",
        rect(x, y, wide, high, fill=ground, line=look.band, dash=dash),
        tag("path", d=band, fill=look.band),
        icon(look.icon, x + BAND / 2 - 5, y + high / 2 - 5),
    ]
    left, line = x + BAND + 4, y + 3 + TITLE
    parts.append(text(left, line, label.title, TITLE, bold=True))
    for i, row in enumerate([*label.lines, label.name]):
        colour = QUIET if i == len(label.lines) else INK
        parts.append(text(left, line + LINE * (i + 1), row, SMALL, colour=colour))
    below = line + LINE * (len(label.lines) + bool(label.name))
    for i, row in enumerate(label.note):
        parts.append(text(left, below + LINE * (i + 1), row, SMALL, bold=True))
    if label.thumbs:
        parts.append(_thumbs(box, left, y + high - THUMB - (9 if box.strip else 4)))
    if box.strip:
        parts.append(_strip(box, x + BAND, y + high - 5, wide - BAND))
    if box.times > 1:
        parts.append(badge(box.times, x + wide, y))
    return "".join(parts)


def _thumbs(box: Box, x: float, y: float) -> str:
    """Small pictures of what its units look for; nothing where none could be made."""
    # here, since one drawing in a hundred has them and they bring what reads and writes pictures
    from netloft_diagrams.seen.frame import image
    from netloft_diagrams.seen.tiles import sharp

    assert box.thumbs is not None
    drawn = []
    for i, tile in enumerate(box.thumbs.tiles):
        pixels = sharp(tile.pixels, int(3 * THUMB))
        high, wide = (THUMB * length / max(pixels.shape[:2]) for length in pixels.shape[:2])
        hint = f"{box.name or box.title} · {tile.caption} · {tile.note}"
        squares = max(tile.pixels.shape[:2]) < 3 * THUMB
        left, top = x + i * (THUMB + THUMB_GAP), y + (THUMB - high)
        drawn.append(image(pixels, left, top, wide, high, hint, squares=squares))
    return tag("g", "".join(drawn), class_="thumbs")


def _strip(box: Box, x: float, y: float, wide: float) -> str:
    """Show the families inside a closed module as a row of colours."""
    kinds = [k for k in box.strip if k not in ("merge", "shape", "identity")]
    more = len(kinds) > STRIPES
    room = wide - 4 - (MORE if more else 0.0)
    kinds = kinds[:STRIPES]
    each = room / max(len(kinds), 1)
    stripes = [
        tag("rect", x=x + 1 + each * i, y=y, width=each - 0.6, height=3.4, fill=family(kind).band)
        for i, kind in enumerate(kinds)
    ]
    if more:
        dots = (
            tag("circle", cx=x + room + 3 * i, cy=y + 1.7, r=0.9, fill=QUIET) for i in (1, 2, 3)
        )
        stripes.append(tag("g", "".join(dots), class_="more"))
    return "".join(stripes)


def _merge(box: Box, label: Label, x: float, y: float) -> str:
    """A circle with the sign, or a pill with the word; the activation follows in a tag."""
    look, follows = family("merge"), family("activation")
    single = len(box.symbol) == 1
    wide = sign_width(box.symbol)
    size, base = (15.0, 15.2) if single else (SMALL, 13.5)
    parts = []
    if label.name:
        start, long = x + wide - 10, label.width - wide + 10
        parts.append(
            rect(
                start,
                y + 2.5,
                long,
                15,
                fill=box.paint or follows.fill,
                line=follows.band,
                corner=7.5,
            )
        )
        parts.append(text(x + wide + 2, y + 13.5, label.name, SMALL))
    parts.append(rect(x, y, wide, 20, fill=look.fill, line=look.band, corner=10, weight=1.4))
    parts.append(text(x + wide / 2, y + base, box.symbol, size, bold=True, anchor="middle"))
    return "".join(parts)


def _terminal(box: Box, label: Label, x: float, y: float) -> str:
    """An input or an output: both ends round."""
    look = family(box.kind)
    wide, high, middle = label.width, label.height, x + label.width / 2
    parts = [rect(x, y, wide, high, fill=look.fill, line=look.band, corner=min(high / 2, 20))]
    parts.append(text(middle, y + 3 + TITLE, label.title, TITLE, bold=True, anchor="middle"))
    for i, row in enumerate(label.lines):
        base = y + 3 + TITLE + LINE * (i + 1)
        parts.append(text(middle, base, row, SMALL, anchor="middle"))
    return "".join(parts)


def frame_svg(placed: Placed, x: float, y: float, depth: int, inside: str) -> str:
    """Draw a frame: its ground, its title, its badge, and what is inside.

    Args:
        placed: The frame.
        x: Left side on the page.
        y: Upper side on the page.
        depth: How many frames are around it.
        inside: What is in it, drawn already.
    """
    frame = placed.item
    assert isinstance(frame, Frame)
    path, facts = frame_title(frame)
    wide, high = placed.width, placed.height
    tint = TINTS[min(depth, len(TINTS) - 1)]
    full = f"{frame.path} … {frame.last_path}" if frame.last_path else frame.path
    name = " · ".join(part for part in (full, frame.class_name) if part)
    rows = [name, f"{words.count(frame.n_params)} parameters", *frame.note, *frame.told]
    tip = escape("\n".join(rows), keep_lines=True)
    shift = width(path, SMALL, bold=True) + 6 if path else 0
    parts = [
        f"<title>{tip}</title>\n",
        pile(x, y, wide, high, tint, BORDER) if frame.times > 1 else "",
        rect(x, y, wide, high, fill=tint, line=BORDER, corner=6),
        text(x + placed.heading, y + 13, path, SMALL, bold=True),
        text(x + placed.heading + shift, y + 13, facts, SMALL, colour=QUIET),
        badge(frame.times, x + wide, y) if frame.times > 1 else "",
        inside,
    ]
    return tag(
        "g", "".join(parts), class_="frame", data_path=frame.path, data_class=frame.class_name,
        data_times=frame.times,
    )  # fmt: skip


def wire_svg(wire: Wire, dx: float, dy: float) -> str:
    """Draw a connection with round corners, its arrow, its forks and its label."""
    points = [(x + dx, y + dy) for x, y in wire.points]
    colour = SKIP if wire.skip else WIRE
    parts = [
        tag(
            "path",
            class_="skip" if wire.skip else "wire",
            data_from=wire.source,
            data_to=wire.target,
            d=rounded(points),
            fill="none",
            stroke=colour,
            stroke_width=1.8 if wire.skip else 1.2,
        ),
        arrow(points[-2], points[-1], colour) if wire.arrow else "",
        *(tag("circle", cx=x + dx, cy=y + dy, r=2.2, fill=WIRE) for x, y in wire.forks),
    ]
    if wire.label:
        aside, up, anchor = (5.0, -4.0, "") if wire.beside else (0.0, 3.0, "middle")
        x, y = wire.label_at[0] + dx + aside, wire.label_at[1] + dy - up
        parts.append(text(x, y, wire.label, SMALL, colour=colour, anchor=anchor, halo=True))
    return "".join(parts)
