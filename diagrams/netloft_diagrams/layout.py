"""Scene to places: each frame is laid out alone, its rows wrapped to the room it has.

A frame that stays too wide after wrapping has its widest inner frame closed, again and again, until
it fits; so the detail that is shown follows from the page.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from netloft_diagrams.geometry import Placed, Wire, transposed
from netloft_diagrams.measure import SIGN, box_label, frame_title, sign_width
from netloft_diagrams.row import IDENTITY, ROW_ENDS, Row, RowStyle, make_row
from netloft_diagrams.row_width import least_width, width_of_one
from netloft_diagrams.scene import Box, Frame, Item, Scene, boxes_of
from netloft_diagrams.series import atoms, borders_of
from netloft_diagrams.summary import summarise
from netloft_diagrams.text_metrics import width
from netloft_diagrams.theme import PAGE_HEIGHT, PAGE_WIDTH, SMALL

__all__ = ["Known", "lay_out"]

SIDE, HEAD, FOOT = 8.0, 19.0, 8.0
"""Margins inside a frame: left and right, above (its title stands there), below."""
CHANNEL, LINE_AT = 25.0, 15.0
"""Room between two rows, and where in it the line runs that leads from one to the next."""
INDENT = 10.0
APART = 9.0
"""Room between two values that leave one box."""
TITLE_ENDS = 34.0
"""Room around a frame's title."""


Known = dict[tuple[object, ...], tuple[Frame, Placed]]
"""Frames that were laid out before, by what their layout depends on."""


@dataclass(frozen=True)
class _Context:
    """What every frame of one layout needs.

    Attributes:
        style: How rows are made.
        down: Whether the flow runs down.
        shapes: Shape of each value.
        labels: Words on the lines: the shape, where it changes.
        keep_open: Keys of frames that are not to be closed.
        known: Frames that were laid out before.
    """

    style: RowStyle
    down: bool
    shapes: Mapping[str, str]
    labels: dict[str, str]
    keep_open: frozenset[str]
    known: Known

    def words_around(self, frame: Frame) -> tuple[str, ...]:
        """Return the words on the lines that enter and leave; what gives them may be closed."""
        return tuple(self.style.label(net) for net in (*frame.reads, *frame.gives))

    def relabel(self, placed: Placed) -> None:
        """Let what was closed to save room say its shape as one box does."""
        if isinstance(placed.item, Box) and placed.item.kind == "summary":
            box = placed.item
            shapes = {net: self.shapes.get(net, box.shape) for net in box.gives}
            self.labels.update(shapes if box.changes_shape else dict.fromkeys(shapes, ""))
        for child in placed.children:
            self.relabel(child)


def lay_out(
    scene: Scene,
    *,
    direction: str = "right",
    room: float = PAGE_WIDTH - 24,
    keep_open: frozenset[str] = frozenset(),
    graphviz: bool = False,
    known: Known | None = None,
) -> Placed:
    """Place everything in a scene.

    Args:
        scene: What to place.
        direction: Where the flow runs: `right` or `down`.
        room: Width for the outermost frame, in pixels.
        keep_open: Keys of frames that are not to be closed to save room.
        graphviz: Let Graphviz place the items of every row.
        known: What was laid out of other levels of detail of the same scene, with the same
            options; what they share is not laid out again.
    """
    down = direction == "down"
    boxes = list(boxes_of(scene.root))
    style = RowStyle(
        label=lambda net: labels.get(net, ""),
        room=lambda net: _label_room(labels.get(net, ""), down),
        skips=scene.skips,
        merges=frozenset(b.key for b in boxes if b.symbol and not down),
        projections=frozenset(b.key for b in boxes if "projection" in b.lines),
        graphviz=graphviz,
        aside=width(IDENTITY, SMALL) + 12 if down else 0.0,
    )
    labels = {
        n: scene.shapes.get(n, b.shape)
        for b in boxes
        if b.changes_shape and b.kind != "input"
        for n in b.gives
    }
    known = {} if known is None else known
    context = _Context(style, down, scene.shapes, labels, keep_open, known)
    along = PAGE_HEIGHT - 130 if down else room
    placed = _frame(scene.root, along, "", context)
    return transposed(placed) if down else placed


def _label_room(text: str, down: bool) -> float:
    if not text:
        return 0.0
    return SMALL if down else width(text, SMALL) + 3


def _item(item: Item, room: float, above: str, context: _Context) -> Placed:
    if isinstance(item, Frame):
        return _frame(item, room, above, context)
    label = box_label(item, above)
    long, across = (label.height, label.width) if context.down else (label.width, label.height)
    middle = _line_through(item, across, context.down)
    ports = dict.fromkeys(item.reads, middle)
    placed = Placed(item, 0, 0, long, across, ports, _outs(item, middle, across))
    context.relabel(placed)
    return placed


def _outs(box: Box, middle: float, across: float) -> dict[str, float]:
    """Return where values leave: each at its own place, or two would look like one."""
    step = min(APART, across / (len(box.gives) + 1))
    return {net: middle + step * i for i, net in enumerate(box.gives)}


def _line_through(box: Box, across: float, down: bool) -> float:
    """Return where the main line passes a box: its middle, or the middle of a merge's sign."""
    if not box.symbol:
        return across / 2
    return sign_width(box.symbol) / 2 if down else SIGN / 2


def _frame(frame: Frame, room: float, above: str, context: _Context) -> Placed:
    key = (id(frame), room, above, context.words_around(frame))
    if key not in context.known:
        # the frame is kept beside its layout, so that no other comes to have its identity
        context.known[key] = frame, _made(frame, room, above, context)
    placed = context.known[key][1]
    context.relabel(placed)
    return placed


def _made(frame: Frame, room: float, above: str, context: _Context) -> Placed:
    inner_room = room if _is_root(frame) else room - 2 * SIDE
    item_room = inner_room - ROW_ENDS - (2 * INDENT if len(frame.items) > 1 else 0)
    path = frame.path or above
    may_close = not _is_root(frame) and frame.key not in context.keep_open
    frame = _without_what_cannot_fit(frame, inner_room, path, context)
    placed = {i.key: _item(i, item_room, path, context) for i in frame.items}
    while True:
        result = None
        if _least_width(frame, placed) <= inner_room:
            result = _rows(frame, placed, inner_room, context)
            if result.width <= room:
                return result
        closed = _close_widest(frame, placed, context)
        if closed is frame and may_close:
            return Placed(frame, 0, 0, math.inf, 0)  # whoever asked closes this frame
        if closed is frame:
            return result or _rows(frame, placed, inner_room, context)
        for old, new in zip(frame.items, closed.items, strict=True):
            if old is not new:
                placed[new.key] = _item(new, item_room, path, context)
        frame = closed


def _without_what_cannot_fit(frame: Frame, room: float, path: str, context: _Context) -> Frame:
    """Close frames that would be closed for want of room, before they are laid out.

    Only where there is no choice among them: the widest is known once all are laid out.
    """
    classes = {i.class_name for i in _open_frames(frame, context)}
    if len(classes) != 1:
        return frame
    bounds = {i.key: Placed(i, 0, 0, _bound(i, path, context), 0) for i in frame.items}
    if _least_width(frame, bounds) <= room:
        return frame
    return _closed(frame, classes.pop(), context)


def _bound(item: Item, above: str, context: _Context) -> float:
    """Return a width that an item has at least, however it is laid out."""
    if isinstance(item, Box):
        label = box_label(item, above)
        return label.height if context.down else label.width
    boxes = [_bound(i, item.path or above, context) for i in item.items if isinstance(i, Box)]
    title = 0.0 if context.down else _title_width(item)
    return max([title, *(2 * SIDE + box for box in boxes)])


def _least_width(frame: Frame, placed: dict[str, Placed]) -> float:
    """Return the width of the widest part that cannot be broken, without labels: a cheap bound."""
    return max(
        least_width([placed[i.key] for i in part]) for part in atoms(frame.items, frame.gives)
    )


def _is_root(frame: Frame) -> bool:
    return not frame.reads and not frame.gives


def _close_widest(frame: Frame, placed: dict[str, Placed], context: _Context) -> Frame:
    """Replace the widest open frame inside, and its like, by boxes, if any is open."""
    open_frames = _open_frames(frame, context)
    if not open_frames:
        return frame
    widest = max(open_frames, key=lambda i: placed[i.key].width).class_name
    return _closed(frame, widest, context)


def _open_frames(frame: Frame, context: _Context) -> list[Frame]:
    return [i for i in frame.items if isinstance(i, Frame) and i.key not in context.keep_open]


def _closed(frame: Frame, class_name: str, context: _Context) -> Frame:
    """Replace the open frames of one class by boxes."""
    alike = {i.key for i in _open_frames(frame, context) if i.class_name == class_name}
    items = (
        summarise(i, context.shapes, context.style.skips)
        if isinstance(i, Frame) and i.key in alike
        else i
        for i in frame.items
    )
    return replace(frame, items=tuple(items))


def _rows(frame: Frame, placed: dict[str, Placed], room: float, context: _Context) -> Placed:
    """Break a frame's items into rows and stack them."""
    parts = atoms(frame.items, frame.gives)
    borders = borders_of(frame, parts)

    def row(start: int, end: int) -> Row:
        members = [placed[i.key] for part in parts[start:end] for i in part]
        return make_row(members, borders[start], borders[end], context.style)

    single: dict[int, Row] = {}
    widths = []
    for k, part in enumerate(parts):
        ends = borders[k], borders[k + 1]
        alone = len(part) == 1 and not context.style.graphviz
        wide = width_of_one(placed[part[0].key], *ends) if alone else None
        if wide is None:
            single[k] = row(k, k + 1)
            wide = single[k].width
        widths.append(wide + max(map(context.style.room, ends[1]), default=0.0))
    tall = [any(_is_stepped(placed[i.key]) for i in part) for part in parts]
    whole = sum(widths) <= room and not any(tall[:-1])
    groups = [(0, len(parts))] if whole else _break(widths, tall, room - 2 * INDENT)
    rows = [
        single[start] if end - start == 1 and start in single else row(start, end)
        for start, end in groups
    ]
    return _stack(frame, rows, context)


def _is_stepped(placed: Placed) -> bool:
    """A frame of several rows is left at another height than it is entered at."""
    return bool(placed.children) and bool(set(placed.outs.values()) - {placed.base})


def _break(widths: Sequence[float], ends: Sequence[bool], room: float) -> list[tuple[int, int]]:
    """Break parts into the fewest rows, as even as can be; nothing follows some parts in a row."""
    best: list[tuple[float, float, int]] = [(0, 0.0, 0)]
    for end in range(1, len(widths) + 1):
        options = []
        for start in range(end - 1, -1, -1):
            used = sum(widths[start:end])
            if end - start > 1 and (used > room or any(ends[start : end - 1])):
                break
            rows, uneven, _ = best[start]
            options.append((rows + 1, uneven + max(room - used, 0.0) ** 2, start))
        best.append(min(options))
    groups, end = [], len(widths)
    while end:
        groups.append((best[end][2], end))
        end = best[end][2]
    return groups[::-1]


def _stack(frame: Frame, rows: Sequence[Row], context: _Context) -> Placed:
    """Put rows one below the other, join them, and draw the frame's margin around them."""
    root = _is_root(frame)
    side, head, foot = (0.0, 0.0, 0.0) if root else (SIDE, HEAD, FOOT)
    if context.down and not root:
        side_start, side_end, head, foot = HEAD, FOOT, SIDE, SIDE
    else:
        side_start = side_end = side
    title = 0.0 if root else _title_width(frame)
    step = INDENT if len(rows) > 1 else 0.0
    long = max(row.width + (step if k else 0) for k, row in enumerate(rows)) + (
        step if len(rows) > 1 else 0
    )
    if not context.down:
        long = max(long, title - side_start - side_end)
    children: list[Placed] = []
    wires: list[Wire] = []
    y, total = head, side_start + long + side_end
    for k, row in enumerate(rows):
        x = side_start + (step if k else 0.0)
        last = k == len(rows) - 1
        start = 0.0 if not k else side_start + 3
        end = total if last else x + row.width + 4
        children += [p.at(p.x + x, p.y + y) for p in row.items]
        wires += [_moved(w, x, y, start, end) for w in row.wires]
        if not last:
            wires.append(_return(row, rows[k + 1], end, side_start + 3, y, context))
        y += row.height + (CHANNEL if not last else 0)
    first, final = head, y - rows[-1].height
    ins = {net: first + at for net, at in rows[0].ins.items()}
    outs = {net: final + at for net, at in rows[-1].outs.items()}
    heading = _heading(title, ins) if context.down else SIDE
    across = max(y + foot, heading + title - SIDE if context.down else 0.0)
    return Placed(frame, 0, 0, total, across, ins, outs, tuple(children), tuple(wires), heading)


def _heading(title: float, ins: Mapping[str, float]) -> float:
    """Return where a title begins that no line from above runs through: left of all, or right."""
    if not ins or SIDE + title - TITLE_ENDS <= min(ins.values()) - SIDE:
        return SIDE
    return max(ins.values()) + SIDE


def _title_width(frame: Frame) -> float:
    path, facts = frame_title(frame)
    badge = 36 if frame.times > 1 else 0
    return width(path, SMALL, bold=True) + width(facts, SMALL) + badge + TITLE_ENDS


def _moved(wire: Wire, dx: float, dy: float, start: float, end: float) -> Wire:
    """Shift a wire into its frame; its open ends are led to the frame's sides."""
    points = [(x + dx, y + dy) for x, y in wire.points]
    if not wire.source and wire.points[0][0] == 0.0:
        points[0] = (start, points[0][1])
    if not wire.target:
        points[-1] = (end, points[-1][1])
    label_at = (wire.label_at[0] + dx, wire.label_at[1] + dy)
    forks = tuple((x + dx, y + dy) for x, y in wire.forks)
    return wire.through(tuple(points), wire.label, label_at, forks)


def _return(
    row: Row, following: Row, end: float, start: float, y: float, context: _Context
) -> Wire:
    """Lead the one value that crosses from the end of a row to the start of the next."""
    ((net, leave),) = row.outs.items()
    (enter,) = following.ins.values()
    channel = y + row.height + LINE_AT
    below = y + row.height + CHANNEL
    points = ((end, y + leave), (end, channel), (start, channel), (start, below + enter))
    return Wire(
        net, "", "", points, arrow=False,
        label=context.style.label(net), label_at=((start + end) / 2, channel),
    )  # fmt: skip
