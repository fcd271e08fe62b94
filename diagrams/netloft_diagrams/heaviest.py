"""Where most of the work is done, and where most parameters are: what the title names."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from netloft_diagrams.measure import path_range
from netloft_diagrams.scene import Box, Frame, Item, boxes_of
from netloft_diagrams.summary import is_nameless

__all__ = ["heaviest"]

NEARLY_ALL, MOST, HALF = 0.9, 0.6, 0.5
"""Shares from which on a part, a block, or a part of several stages, says nothing yet, and what is
in it is looked at."""

Amount = Callable[[Item], int]


def heaviest(root: Frame) -> str:
    """Return the part with most multiply-adds, the one block with most, the part with most weights.

    Parts are what the network is made of at its outermost, such as stages; what stands for several
    copies counts with all of them, as `encoder_layer_0…11 (98 %)`. Blocks are compared copy by
    copy: `layer1.0…1 (13 % each)`. What would name the whole network, or has no path, is left out.
    """
    part, share = _largest(root, lambda item: item.macs * item.times, _is_trunk)
    block, of_one = _largest(root, lambda item: item.macs, _is_no_block, each=" each")
    weights, of_all = _largest(root, lambda item: item.total_params, _is_trunk)
    named = [f"most multiply-adds: {part or block} ({share or of_one})"] if part or block else []
    if part and block and part != block:
        named.append(f"in one block: {block} ({of_one})")
    return " · ".join(named + ([f"most parameters: {weights} ({of_all})"] if weights else []))


def _is_trunk(frame: Frame, share: float) -> bool:
    """Tell what holds nearly all, or half of all in stages; blocks of one stage are of two kinds.

    The first of them differs from those that follow: it changes the resolution.
    """
    inner = [item for item in frame.items if isinstance(item, Frame)]
    staged = len({item.structure for item in inner}) > 2 or any(map(is_nameless, inner))
    return share > NEARLY_ALL or (share > HALF and staged)


def _is_no_block(frame: Frame, share: float) -> bool:
    return is_nameless(frame) or share > MOST


def _largest(
    root: Frame, amount: Amount, opens: Callable[[Frame, float], bool], each: str = ""
) -> tuple[str, str]:
    """Return the path of the largest part and its share; nothing where that says nothing.

    Args:
        root: What to look through.
        amount: Of a part.
        opens: Whether what is in a frame of some share is looked at in its place.
        each: What to say after the share of what stands for several copies.
    """
    whole = amount(root)
    if not whole:
        return "", ""

    opened: list[Frame] = []

    def parts(frame: Frame) -> Iterator[Item]:
        for item in frame.items:
            if isinstance(item, Frame) and item.times == 1 and opens(item, amount(item) / whole):
                opened.append(item)
                yield from parts(item)
            else:
                yield item

    largest = max(parts(root), key=amount)
    if not each:  # a trunk in which there is more than in the largest part, outside of it
        inside = {box.key for box in boxes_of(largest)}
        rivals = [f for f in opened if inside.isdisjoint(box.key for box in f.boxes)]
        largest = max([largest, *rivals], key=amount)
    path = path_range(_path(largest), largest.last_path)
    if not path or amount(largest) == whole:
        return "", ""
    share = f"{amount(largest) / whole:.0%}".replace("%", " %")
    return path, share + (each if largest.times > 1 else "")


def _path(item: Item) -> str:
    return item.name if isinstance(item, Box) else item.path
