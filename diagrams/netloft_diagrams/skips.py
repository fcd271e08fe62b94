"""Which values jump over layers into a sum, and which 1×1 convolutions project such a jump."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from netloft_diagrams.scene import Box

__all__ = ["find_skips"]

REACH = 80
"""Boxes looked at on the way back from a sum; the longest residual branch in torchvision has 20."""


def find_skips(boxes: Sequence[Box]) -> tuple[list[Box], dict[str, tuple[str, ...]]]:
    """Find the skip connections.

    Returns:
        The boxes, with `projection` written in those that project a skip, and for each sum the
        values that come to it by a skip, as they are or projected.
    """
    maker = {name: box for box in boxes for name in box.gives}
    skips: dict[str, tuple[str, ...]] = {}
    projections: set[str] = set()
    for box in boxes:
        if box.symbol != "+" or len(box.reads) != 2:
            continue
        for name, other in (box.reads, box.reads[::-1]):
            before = maker.get(name)
            if before is None:
                continue
            if _leads_to(name, other, maker):
                skips[box.key] = (*skips.get(box.key, ()), name)
            elif _is_projection(before) and _leads_to(_projected(before, maker), other, maker):
                skips[box.key] = (*skips.get(box.key, ()), name)
                projections.add(before.key)
    marked = [
        replace(box, lines=("projection", *box.lines)) if box.key in projections else box
        for box in boxes
    ]
    return marked, skips


def _is_projection(box: Box) -> bool:
    kernel = box.title.split(" ")[1] if box.title.startswith("Conv ") else ""
    return len(box.reads) == 1 and bool(kernel) and set(kernel.split("×")) == {"1"}


def _projected(projection: Box, maker: Mapping[str, Box]) -> str:
    """Return the value that is projected; a pool may have made it smaller on the way."""
    (value,) = projection.reads
    pool = maker.get(value)
    return pool.reads[0] if pool is not None and pool.kind == "pool" else value


def _leads_to(start: str, end: str, maker: Mapping[str, Box]) -> bool:
    """Tell whether the value `end` is computed from the value `start`."""
    seen: set[str] = set()
    ahead = [end]
    while ahead and len(seen) < REACH:
        name = ahead.pop(0)
        if name in seen or name not in maker:
            continue
        seen.add(name)
        if start in maker[name].reads:
            return True
        ahead += maker[name].reads
    return False
