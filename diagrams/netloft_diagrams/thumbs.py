"""Small pictures in the boxes of layers: room is kept before the layout, pictures come after it.

Only what is drawn is worth the climb, and what is drawn is known once everything has a place.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from netloft.errors import CheckError, UsageError
from netloft_diagrams.geometry import Placed
from netloft_diagrams.measure import THUMBED
from netloft_diagrams.overlay import Scale
from netloft_diagrams.page import THUMB_NOTES
from netloft_diagrams.scene import Box, Frame, Item, Scene, Thumbs

if TYPE_CHECKING:
    from netloft.thumbnails import Thumbnails

__all__ = ["filled", "with_room"]


def with_room(scene: Scene, thumbnails: Thumbnails) -> Scene:
    """Return a scene whose boxes know what small pictures they may hold.

    Raises:
        UsageError: The network takes no picture.
    """
    thumbnails.check()

    def room(item: Item) -> Item:
        if isinstance(item, Frame):
            return replace(item, items=tuple(room(child) for child in item.items))
        if item.kind in ("input", "output"):
            return item
        node, count = thumbnails.seen_in(item.ops)
        return replace(item, thumbs=Thumbs(node, count)) if count else item

    root = room(scene.root)
    assert isinstance(root, Frame)
    return replace(scene, root=root)


def filled(placed: Placed, thumbnails: Thumbnails) -> tuple[Placed, Scale]:
    """Return a layout with the pictures, and what they are."""
    found: dict[str, Thumbs] = {}
    missing: list[str] = []
    wanted = {box.thumbs.node: box for box in _shown(placed) if box.thumbs}
    for number, (node, box) in enumerate(wanted.items(), 1):
        name = box.name or box.title
        assert box.thumbs is not None
        try:
            tiles = thumbnails.tiles(node, f"{name} ({number} of {len(wanted)})")
        except (UsageError, CheckError) as error:
            missing.append(f"no pictures for {name}: {error.problem}")
            tiles = ()
        found[node] = replace(box.thumbs, tiles=tiles)
    return _filled(placed, found), Scale(_told(thumbnails), (), _notes(thumbnails, missing))


def _told(thumbnails: Thumbnails) -> str:
    return f"small pictures: what {thumbnails.count} of a layer's units look for"


def _notes(thumbnails: Thumbnails, missing: list[str]) -> tuple[str, ...]:
    how = (
        f"noise that climbed {thumbnails.steps} steps for what the box gives, in ONNX Runtime; "
        "tooltips say which unit, and how far"
    )
    shown = missing[: THUMB_NOTES - 3]
    if len(missing) > len(shown):
        shown[-1] = f"{shown[-1]}; and {len(missing) - len(shown)} more"
    return how, f"weights: {thumbnails.model.weights}", *shown


def _shown(placed: Placed) -> Iterator[Box]:
    if isinstance(placed.item, Box) and placed.item.kind in THUMBED:
        yield placed.item
    for child in placed.children:
        yield from _shown(child)


def _filled(placed: Placed, found: Mapping[str, Thumbs]) -> Placed:
    item = placed.item
    if isinstance(item, Box):
        if item.thumbs is None:
            return placed
        return replace(placed, item=replace(item, thumbs=found.get(item.thumbs.node)))
    return replace(placed, children=tuple(_filled(child, found) for child in placed.children))
