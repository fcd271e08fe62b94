"""How large a box is, from what is written in it."""

from __future__ import annotations

from dataclasses import dataclass

from netloft.onnx_graph.scopes import UNKNOWN_CLASS
from netloft_diagrams import words
from netloft_diagrams.scene import Box, Frame, Item
from netloft_diagrams.text_metrics import fit, fit_end, width
from netloft_diagrams.theme import BAND, LINE, SMALL, TITLE

__all__ = [
    "THUMB",
    "THUMBED",
    "THUMB_GAP",
    "Label",
    "box_label",
    "frame_title",
    "local_name",
    "params_text",
    "path_range",
]

SIGN = 20.0
"""Diameter of a merge's circle."""
WIDEST = 118.0
"""Room for one line of text in a box, in pixels; longer words are cut off, the tooltip has all."""
WIDEST_OWN = 100.0
"""Room for a layer's own name where a module around it that holds nothing else has one too."""
WIDEST_LINE = 140.0
"""Room for a line in full: `2× PartitionAttentionLayer`, or the names of the first and the last
copy of a repeat, with what one copy holds."""


WIDEST_TITLE = 170.0
"""Room for a title: `2× PartitionAttentionLayer`."""
WIDEST_NOTE = 178.0
"""Room for a line of an overlay."""
THUMBED = ("conv", "linear", "summary")
"""Kinds of boxes whose units look for something of their own: small pictures are shown in them."""
THUMB, THUMB_GAP = 36.0, 3.0
"""Side of a small picture, and the room between two."""


@dataclass(frozen=True)
class Label:
    """The lines of a box, cut to size, its small pictures, and its own size."""

    title: str
    lines: tuple[str, ...]
    name: str
    width: float
    height: float
    note: tuple[str, ...] = ()
    thumbs: int = 0


def box_label(box: Box, above: str = "") -> Label:
    """Return the lines and the size of a box.

    Args:
        box: What to write.
        above: Path of the frame around it, which its name need not repeat.
    """
    if box.symbol:
        return _merge_label(box)
    if box.kind in ("input", "output"):
        return _terminal_label(box)
    title = fit(box.title, TITLE, WIDEST_TITLE, bold=True)
    room = max(width(title, TITLE, bold=True), 84.0)
    lines = tuple(_wrapped(box.lines, room))
    name = _name_line(box, above, room)
    note = tuple(fit(line, SMALL, WIDEST_NOTE, bold=True) for line in box.note)
    widths = [width(title, TITLE, bold=True), *(width(t, SMALL) for t in (*lines, name))]
    widths += [width(line, SMALL, bold=True) for line in note]
    thumbs = box.thumbs.count if box.thumbs and box.kind in THUMBED else 0
    widths += [thumbs * (THUMB + THUMB_GAP) - THUMB_GAP]
    height = 9 + TITLE + LINE * (len(lines) + bool(name) + len(note)) + (5 if box.strip else 0)
    height += THUMB + 4 if thumbs else 0
    wide = BAND + 4 + max(widths) + 5 + (4 if box.times > 1 else 0)
    return Label(title, lines, name, wide, height, note, thumbs)


def _terminal_label(box: Box) -> Label:
    lines = tuple(fit(line, SMALL, WIDEST) for line in box.lines)
    title = fit(box.title, TITLE, WIDEST, bold=True)
    wide = max([width(title, TITLE, bold=True), *(width(t, SMALL) for t in lines)])
    return Label(title, lines, "", wide + 20, 9 + TITLE + LINE * len(lines))


def _merge_label(box: Box) -> Label:
    """A sum is a circle with the activation that follows in a tag; a word needs a longer pill."""
    tag = fit(" · ".join([*box.lines, *box.note]), SMALL, WIDEST_NOTE if box.note else WIDEST)
    sign = sign_width(box.symbol)
    return Label(box.symbol, (), tag, sign + (width(tag, SMALL) + 7 if tag else 0), SIGN)


def sign_width(symbol: str) -> float:
    """Return the width of a merge's circle, or of the pill around a word."""
    return SIGN if len(symbol) == 1 else width(symbol, SMALL, bold=True) + 14


def _name_line(box: Box, above: str, room: float) -> str:
    """Return the layer's name and its parameters; only the name is ever cut.

    A long one that would widen the box gives way to that of its shell.
    """
    first, last = local_name(box.name, above), local_name(box.last_path, above)
    params = params_text(box)
    tail = f" · {params}" if params else ""
    if not first:
        return params
    if box.times == 1 or not last or first == last:
        if box.shell and width(first + tail, SMALL) > max(room, WIDEST_OWN):
            first = local_name(box.shell, above)
        return f"{fit_end(first, SMALL, max(room, WIDEST) - width(tail, SMALL))}{tail}"
    return _range_name(first, last, box.times, max(room, WIDEST_LINE) - width(tail, SMALL)) + tail


def _range_name(first: str, last: str, times: int, room: float) -> str:
    """Name the copies by the first and the last; a range that was cut would name another layer."""
    for name in (path_range(first, last), f"×{times} from {first}", f"from {first}"):
        if width(name, SMALL) <= room:
            return name
    return f"from {fit_end(first, SMALL, room - width('from ', SMALL))}"


def params_text(item: Item) -> str:
    """Return the parameters of one copy, and whether the copies share them."""
    if not item.n_params:
        return ""
    how = "" if item.times == 1 else " each" if item.covered_params else " shared"
    return f"{words.short_count(item.n_params)}{how}"


def local_name(path: str, above: str) -> str:
    """Return a path without that of the frame around it."""
    if not above or not path.startswith(f"{above}."):
        return path
    short = path[len(above) + 1 :]
    # `0` says nothing by itself; `layer3.0` does
    while short[:1].isdigit() and above:
        above, _, word = above.rpartition(".")
        short = f"{word}.{short}"
    return short


def path_range(first: str, last: str) -> str:
    """Return `convs.0…10` for the paths of the first and the last copy."""
    if not last or first == last:
        return first
    if not first:
        return ""
    head, tail = first.split("."), last.split(".")
    differ = [i for i, (a, b) in enumerate(zip(head, tail, strict=False)) if a != b]
    if len(head) != len(tail) or len(differ) != 1:
        return f"{first}…{last}"
    at = differ[0]
    stem = head[at].rstrip("0123456789")
    if not tail[at].startswith(stem):
        stem = stem[: stem.rfind("_") + 1]
    new = tail[at].removeprefix(stem)
    return ".".join([*head[:at], f"{head[at]}…{new}", *head[at + 1 :]])


def frame_title(frame: Frame) -> tuple[str, str]:
    """Return a frame's path, in full, and its class with the parameters inside."""
    # a run that repeats has no name of its own; its first and its last item have
    first = frame.path if frame.class_name else frame.items[0].path
    path = path_range(first, frame.last_path)
    facts = [frame.class_name] if frame.class_name not in ("", UNKNOWN_CLASS) else []
    if frame.n_params:
        facts.append(params_text(frame))
    facts += frame.note
    return fit_end(path, SMALL, 260, bold=True), fit(
        " · ".join(facts), SMALL, 200 + 100 * len(frame.note)
    )


def _wrapped(parts: tuple[str, ...], room: float) -> list[str]:
    """Set parts, joined by dots, in lines no wider than `room`."""
    lines: list[str] = []
    for part in parts:
        joined = f"{lines[-1]} · {part}" if lines else part
        if lines and width(joined, SMALL) <= room:
            lines[-1] = joined
        else:
            lines.append(fit(part, SMALL, WIDEST_LINE))
    return lines
