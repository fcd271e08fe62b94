"""Small pictures in the boxes of layers: room is kept before the layout, pictures come after it.

Only what is drawn is worth the climb, and what is drawn is known once everything has a place.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from netloft.errors import CheckError, UsageError
from netloft_diagrams.geometry import Placed, walk, with_boxes
from netloft_diagrams.measure import THUMBED
from netloft_diagrams.overlay import Scale
from netloft_diagrams.page import THUMB_NOTES
from netloft_diagrams.scene import Box, Frame, Item, Scene, Thumbs

if TYPE_CHECKING:
    from netloft.graph import Graph
    from netloft.thumbnails import Thumbnails

__all__ = ["filled", "with_room"]


def with_room(scene: Scene, graph: Graph, thumbnails: Thumbnails) -> Scene:
    """Return a scene whose boxes know what small pictures they may hold.

    Args:
        scene: Of the graph.
        graph: What is drawn.
        thumbnails: What makes the pictures.

    Raises:
        UsageError: The network takes no picture, or is not the one that is drawn.
    """
    thumbnails.check(graph)

    def room(item: Item) -> Item:
        if isinstance(item, Frame):
            return replace(item, items=tuple(room(child) for child in item.items))
        if item.kind in ("input", "output"):
            return item
        node, count = thumbnails.seen_in(item.ops)
        if not count:
            return item
        step = len(item.ops)
        parts = (item.covers[at : at + step] for at in range(0, len(item.covers), step))
        copies = tuple(thumbnails.seen_in(part)[0] for part in parts)
        return replace(item, thumbs=Thumbs(node, copies, count))

    root = room(scene.root)
    assert isinstance(root, Frame)
    return replace(scene, root=root)


def filled(placed: Placed, thumbnails: Thumbnails) -> tuple[Placed, Scale]:
    """Return a layout with the pictures, and what they are."""
    found: dict[str, Thumbs] = {}
    missing: list[str] = []
    boxes = [each.item for each in walk(placed) if isinstance(each.item, Box)]
    shown = [box for box in boxes if box.kind in THUMBED]
    wanted = {box.thumbs.node: box for box in shown if box.thumbs}
    for number, (node, box) in enumerate(wanted.items(), 1):
        name = box.name or box.title
        assert box.thumbs is not None
        try:
            tiles = thumbnails.tiles(node, f"{name} ({number} of {len(wanted)})")
        except (UsageError, CheckError) as error:
            missing.append(f"no pictures for {name}: {error.problem}")
            tiles = ()
        found[node] = replace(box.thumbs, tiles=tiles)
    blank = [box.name or box.title for box in shown if not box.thumbs]
    if blank:
        missing.append(f"no units to tell apart in {', '.join(dict.fromkeys(blank))}")
    title = f"small pictures: what {thumbnails.count} of a layer's units look for"

    def filled_in(box: Box) -> Box:
        return replace(box, thumbs=found.get(box.thumbs.node)) if box.thumbs else box

    return with_boxes(placed, filled_in), Scale(title, (), _notes(thumbnails, missing))


def _notes(thumbnails: Thumbnails, missing: list[str]) -> tuple[str, ...]:
    how = (
        f"noise that climbed {thumbnails.steps} steps for what the box gives (of several copies, "
        "the first), in ONNX Runtime; tooltips say which unit, and how far"
    )
    room = THUMB_NOTES - 3
    if len(missing) > room:
        missing = [*missing[: room - 1], f"and {len(missing) - room + 1} more boxes without"]
    return how, f"weights: {thumbnails.model.weights}", *missing
