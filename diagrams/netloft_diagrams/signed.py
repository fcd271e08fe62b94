"""A difference in words: what formats without the marks of a picture say of each box."""

from __future__ import annotations

from dataclasses import replace

from netloft_diagrams.mark import KINDS
from netloft_diagrams.scene import Box, Frame, Item, Scene, boxes_of

__all__ = ["signed"]

_SIGNS = {"added": "+", "removed": "\N{MINUS SIGN}", "changed": "~"}


def signed(scene: Scene) -> Scene:
    """Return a scene whose boxes say in their titles what became of them between two graphs.

    A scene that is of one graph alone comes back as it is.
    """
    if not any(box.mark for box in boxes_of(scene.root)):
        return scene
    root = _signed(scene.root)
    assert isinstance(root, Frame)
    return replace(scene, root=root)


def _signed(item: Item) -> Item:
    if isinstance(item, Frame):
        return replace(item, items=tuple(_signed(child) for child in item.items))
    if item.mark is None or item.mark.kind not in KINDS:
        return item
    return _with_sign(item, item.mark.kind)


def _with_sign(box: Box, kind: str) -> Box:
    title = box.symbol or box.title
    return replace(box, title=f"{_SIGNS[kind]} {title} ({kind})", symbol="")
