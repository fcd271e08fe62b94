"""The scene as data for the page: items, their closed boxes, the plans of their frames.

Keys are short because they come once for each of thousands of items:

- `k` key, `p` path, `q` path of the last copy, `c` class, `f` family, `x` copies
- `t` title, `l` lines, `n` name, `s` sign of a merge, `w` and `h` size, `tw` widths of the texts
- `sh` and `sw` the shape it gives and that text's width, where the shape changes
- `S` shape and width of each value that it gives, where they are not alike
- `r` and `g` numbers of the values that it reads and gives
- `o`, `ow` and `P` what an overlay says, its widths and the name of its colour
- `st` families inside a closed module; `F` a module's items, plan, title, detail
- `d` rows of the panel, see `details`
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from netloft.graph import Graph
from netloft_diagrams.explorer.colours import paint_class
from netloft_diagrams.explorer.details import Details
from netloft_diagrams.explorer.plan import Planner
from netloft_diagrams.facts import facts_line, flow, heading
from netloft_diagrams.measure import Label, box_label, frame_title, sign_width
from netloft_diagrams.overlay import Look, Scale, palette
from netloft_diagrams.page import Options, is_asked_for
from netloft_diagrams.scene import Box, Frame, Item, Scene, boxes_of, frames_of
from netloft_diagrams.text_metrics import width
from netloft_diagrams.theme import SMALL, TITLE

if TYPE_CHECKING:
    from netloft.overlays import Overlay

__all__ = ["page_data"]

STRIPES = 24
"""Stripes in the strip of a closed module; more would be hair lines."""


def page_data(scene: Scene, graph: Graph, options: Options, down: bool) -> dict[str, Any]:
    """Return all that the page shows, ready to be written as JSON.

    Args:
        scene: All boxes and frames.
        graph: For the facts of the panel.
        options: What to open at first.
        down: Whether the flow runs downwards.
    """
    facts = scene.facts
    notes = [f"declared, never called: {row}" for row in facts.dead]
    notes += [f"side effect: {row}" for row in facts.effects]
    if scene.hidden:
        notes.append(f"not drawn: {len(scene.hidden)} operations on sizes alone")
    if options.overlay:
        notes = [_explained(scene, options.overlay), *options.overlay.notes, *notes]
    return {
        "name": heading(facts),
        "line": f"{flow(facts)} · {facts_line(facts)}",
        "notes": notes,
        "down": down,
        "depth": options.depth,
        "root": _Items(scene, graph, options, down).frame(scene.root),
    }


def _explained(scene: Scene, overlay: Overlay) -> str:
    """Say what the numbers are, and what the lightest and the darkest colour stand for."""
    _, scale = _palette(scene, overlay)
    if overlay.gather == "each":
        return scale.title
    return f"{scale.title}: white for {scale.steps[0][1]}, darkest for {scale.steps[-1][1]} or more"


def _palette(scene: Scene, overlay: Overlay) -> tuple[Look, Scale]:
    return palette(overlay, [box.amount for box in boxes_of(scene.root)])


class _Items:
    def __init__(self, scene: Scene, graph: Graph, options: Options, down: bool) -> None:
        self._planner = Planner(scene, down)
        self._details = Details(scene, graph)
        self._shapes = scene.shapes
        self._asked = {f.key for f in frames_of(scene.root) if is_asked_for(f, options)}
        first: dict[object, str] = {}
        for frame in frames_of(scene.root):
            first.setdefault(frame.structure, frame.key)
        self._first = frozenset(first.values())
        self._look = _palette(scene, options.overlay)[0] if options.overlay else None

    def frame(self, frame: Frame, above: str = "") -> dict[str, Any]:
        """Return a frame's items and plan; `above` is the path of the frame around it."""
        path, facts = frame_title(frame)
        return {
            "i": [self._item(item, frame.path or above) for item in frame.items],
            "a": self._planner.frame(frame),
            "t": path,
            "b": facts,
            "tw": [_wide(path, SMALL, bold=True), _wide(facts, SMALL)],
            "d": frame.depth,
            "v": frame.level,
            "z": int(frame.key not in self._first),
            "e": int(frame.key in self._asked),
        }

    def _item(self, item: Item, above: str) -> dict[str, Any]:
        box = self._planner.closed(item)
        label = box_label(box, above)
        found = {
            "k": item.key,
            "p": item.path,
            "q": item.last_path if item.times > 1 else "",
            "c": item.class_name,
            "f": box.kind,
            "x": item.times if item.times > 1 else 0,
            **_label(box, label),
            "r": [self._planner.net(name) for name in item.reads],
            "g": [self._planner.net(name) for name in item.gives],
        }
        if self._look and box.kind not in ("input", "output"):
            found["P"] = paint_class(self._look(item.amount))
        if box.changes_shape and box.kind != "input" and box.shape:
            found |= {"sh": box.shape, "sw": _wide(box.shape, SMALL)}
            shapes = [self._shapes.get(name, box.shape) for name in item.gives]
            if set(shapes) - {box.shape}:
                found["S"] = [[shape, _wide(shape, SMALL)] for shape in shapes]
        if isinstance(item, Frame):
            found |= {"F": self.frame(item, above), "d": self._details.frame(item, box)}
            found["st"] = [k for k in box.strip if k not in ("merge", "shape", "identity")][
                :STRIPES
            ]
        else:
            found["d"] = self._details.box(item)
        return {key: value for key, value in found.items() if value or key == "i"}


def _label(box: Box, label: Label) -> dict[str, Any]:
    single = len(box.symbol) == 1
    size = (15.0 if single else SMALL) if box.symbol else TITLE
    texts = [*label.lines, label.name]
    return {
        "t": label.title,
        "u": box.title if box.title != label.title else "",
        "l": list(label.lines),
        "n": label.name,
        "o": list(label.note),
        "ow": [_wide(line, SMALL, bold=True) for line in label.note],
        "s": _tenth(sign_width(box.symbol)) if box.symbol else 0,
        "w": _tenth(label.width),
        "h": _tenth(label.height),
        "tw": [_wide(label.title, size, bold=True), *(_wide(text, SMALL) for text in texts)],
    }


def _wide(text: str, size: float, *, bold: bool = False) -> float:
    return _tenth(width(text, size, bold=bold))


def _tenth(value: float) -> float:
    short = round(value, 1)
    return int(short) if short == int(short) else short
