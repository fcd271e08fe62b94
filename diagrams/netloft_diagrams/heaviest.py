"""Where most of the work is done: the one block that the title names."""

from __future__ import annotations

from netloft_diagrams.measure import path_range
from netloft_diagrams.scene import Box, Frame, Item
from netloft_diagrams.summary import PLAIN

__all__ = ["heaviest"]

NEARLY_ALL = 0.9
"""Share from which on a block says nothing yet, and what is heaviest in it is told."""


def heaviest(root: Frame) -> str:
    """Return `layer4.1 (24 %)`: the block with most multiply-adds in all its copies, and its share.

    Empty where none has a path of its own, or there is nothing to compare.
    """
    whole, item = root.macs, _heaviest_in(root)
    while isinstance(item, Frame) and _is_gone_through(item, whole):
        item = _heaviest_in(item)
    path = "" if item is None else path_range(_path(item), item.last_path)
    if item is None or not path or not _macs(item) or _macs(item) == whole:
        return ""
    return f"{path} ({_macs(item) / whole:.0%})".replace("%", " %")


def _is_gone_through(frame: Frame, whole: int) -> bool:
    inner = max((_macs(item) for item in frame.items), default=0)
    holds_most = frame.class_name in (*PLAIN, "") and 2 * inner >= frame.macs
    return frame.times == 1 and (holds_most or frame.macs > NEARLY_ALL * whole)


def _heaviest_in(frame: Frame) -> Item | None:
    return max(frame.items, key=_macs, default=None)


def _macs(item: Item) -> int:
    return item.macs * item.times


def _path(item: Item) -> str:
    return item.name if isinstance(item, Box) else item.path
