"""Where most of the work is done, and where most parameters are: what the title names."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from netloft_diagrams.measure import path_range
from netloft_diagrams.scene import Box, Frame, Item
from netloft_diagrams.summary import is_nameless

__all__ = ["heaviest"]

NEARLY_ALL, MOST = 0.9, 0.6
"""Shares from which on a part, or a block, says nothing yet, and what is in it is looked at."""


def heaviest(root: Frame) -> str:
    """Return the part with most multiply-adds, the one block with most, the part with most weights.

    Parts are what the network is made of at its outermost, such as stages. Copies are compared one
    by one: of several alike it is `encoder_layer_0…11 (8 % each)`. What would name the whole
    network, or has no path, is left out.
    """
    part = _largest(root, "macs", lambda frame, share: share > NEARLY_ALL)
    block = _largest(root, "macs", lambda frame, share: is_nameless(frame) or share > MOST)
    weights = _largest(root, "n_params", lambda frame, share: share > NEARLY_ALL)
    named = [f"most multiply-adds: {part or block}"] if part or block else []
    if part and block and part != block:
        named.append(f"in one block: {block}")
    return " · ".join(named + ([f"most parameters: {weights}"] if weights else []))


def _largest(root: Frame, of: str, opens: Callable[[Frame, float], bool]) -> str:
    whole: int = getattr(root, of)
    if not whole:
        return ""

    def amount(item: Item) -> int:
        found: int = getattr(item, of)
        return found

    def parts(frame: Frame) -> Iterator[Item]:
        for item in frame.items:
            if isinstance(item, Frame) and item.times == 1 and opens(item, amount(item) / whole):
                yield from parts(item)
            else:
                yield item

    largest = max(parts(root), key=amount)
    path = path_range(_path(largest), largest.last_path)
    if not path or amount(largest) == whole:
        return ""
    share = f"{amount(largest) / whole:.0%}".replace("%", " %")
    return f"{path} ({share}{' each' if largest.times > 1 else ''})"


def _path(item: Item) -> str:
    return item.name if isinstance(item, Box) else item.path
