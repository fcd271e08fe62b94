"""A frame that is not opened: one box that lists what is inside."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import replace

from netloft.onnx_graph.scopes import UNKNOWN_CLASS
from netloft_diagrams.mark import Mark
from netloft_diagrams.scene import Box, Frame, Item, Scene, Thumbs, boxes_of

__all__ = ["PLAIN", "Closer", "is_nameless", "summarise"]

_STEP = re.compile(r"(stride|dilation) (?!1$)[\d×]+")

PLAIN = ("Sequential", "repeat", UNKNOWN_CLASS)
"""Frames whose class tells a reader nothing."""


def is_nameless(frame: Frame) -> bool:
    """Tell a frame whose class tells a reader nothing, or that has none."""
    return frame.class_name in (*PLAIN, "")


def summarise(
    frame: Frame, shapes: Mapping[str, str], skips: Container[str], like: Frame | None = None
) -> Box:
    """Return the box that stands for a frame and all inside it.

    Args:
        frame: What to close.
        shapes: Shape of each value.
        skips: Keys of sums that skips lead to.
        like: An open frame of the same structure; its strides may be others.
    """
    boxes = boxes_of(frame)
    title, lines = frame.class_name or "repeat", _contents(frame)
    if like and like.path:
        lines = [f"like {like.path}", *_unlike(frame, like)]
    else:
        if title in PLAIN and lines:  # the class says nothing, so the contents are the title
            title, *lines = lines
        lines += [*_joins(frame, skips), *filter(None, [", ".join(_steps(frame))])]
    given = frame.gives[-1] if frame.gives else ""
    shape = next((b.shape for b in boxes if given in b.gives), shapes.get(given, ""))
    mark = _mark(boxes)
    return Box(
        key=frame.key,
        kind="summary",
        title=title,
        lines=(*lines, *(mark.words if mark else ())),
        name=frame.path,
        reads=frame.reads,
        gives=frame.gives,
        ops=tuple(n for b in boxes for n in b.ops),
        covers=tuple(n for b in boxes for n in b.covers),
        n_params=frame.n_params,
        covered_params=frame.total_params - frame.n_params,
        macs=frame.macs,
        times=frame.times,
        path=frame.path,
        last_path=frame.last_path,
        class_name=frame.class_name,
        source=boxes[0].source,
        shape=shape,
        changes_shape=bool(frame.reads) and shapes.get(frame.reads[0]) != shape,
        strip=tuple(b.kind for b in boxes),
        detail=tuple(f"{b.title}{f' ×{b.times}' if b.times > 1 else ''}" for b in boxes),
        note=frame.note,
        told=frame.told,
        amount=frame.amount,
        mark=mark,
        thumbs=_thumbs(frame, given),
    )


def _mark(boxes: Sequence[Box]) -> Mark | None:
    """Return what became of all boxes; one that stands for several copies counts as often."""
    marks = [b.mark for b in boxes if b.mark for _ in range(1 + len(b.covers) // len(b.ops))]
    return Mark.within(marks) if marks else None


def _thumbs(frame: Frame, given: str) -> Thumbs | None:
    """Return the pictures of what a module gives, or of the layer in front of its pooling.

    Of several copies in a row inside of it that is the last; of copies of itself, the first.
    """
    inside = list(_copied(frame))
    ends = next((i for i, (box, _) in enumerate(inside) if given in box.gives), len(inside) - 1)
    for box, times in reversed(inside[: ends + 1]):
        if box.thumbs:
            return replace(box.thumbs, node=(box.thumbs.node, *box.thumbs.copies)[times - 1])
    return None


def _copied(frame: Frame, times: int = 1) -> Iterator[tuple[Box, int]]:
    """Yield the boxes inside, and how many copies of each are in a row."""
    for item in frame.items:
        if isinstance(item, Frame):
            yield from _copied(item, times * item.times)
        else:
            yield item, times * item.times


def _contents(frame: Frame) -> list[str]:
    """Say what is inside, in order: `6× _DenseLayer`, or the kinds of its layers."""
    inner, layers, order = Counter[str](), Counter[str](), dict[str, None]()
    found = list(_inside(frame))
    named = any(_is_named(item) for item, _ in found)
    for item, times in found:
        if named and _is_named(item):
            name = (item.class_name if isinstance(item, Frame) else item.title) or "repeat"
            inner[name] += item.times * times
            order[name] = None
            continue
        for box in boxes_of(item):
            if box.kind in ("conv", "linear", "attention", "recurrent", "pool"):
                name = " ".join(box.title.split(" → ")[0].split(" ")[:2])
                layers[name] += box.times * times
                order[name] = None
    kept = dict(inner.most_common(2)) | dict(layers.most_common(4 - min(len(inner), 2)))
    left = [name for name in order if name not in kept]
    if len(left) == 1:  # saying that one is left out takes as much room
        kept[left[0]] = (inner + layers)[left[0]]
    said = [f"{kept[name]}× {name}" if kept[name] > 1 else name for name in order if name in kept]
    return [*said, f"and {len(left)} kinds more"] if len(left) > 1 else said


def _inside(frame: Frame, times: int = 1) -> Iterator[tuple[Item, int]]:
    """Yield what is inside and how often, through frames whose class tells nothing."""
    for item in frame.items:
        if isinstance(item, Frame) and item.class_name in PLAIN:
            yield from _inside(item, times * item.times)
        else:
            yield item, times


def _joins(frame: Frame, skips: Container[str]) -> list[str]:
    """Say that there are branches: how many are joined, or that a value skips over layers."""
    boxes = boxes_of(frame)
    joined = max((len(b.reads) for b in boxes if b.symbol == "concat"), default=0)
    found = [f"concat of {joined}"] if joined > 1 else []
    into = sum(b.key in skips for b in boxes)
    projected = any("projection" in b.lines for b in boxes)
    if projected and not into:  # the branch alone, around what is left open
        return [*found, "projection"]
    kind = "projection" if projected else "identity"
    return found + ([f"{into} skips" if into > 1 else f"{kind} skip"] if into else [])


def _steps(frame: Frame) -> list[str]:
    """Return the strides and dilations inside, which say what becomes of the resolution."""
    words = (word for box in boxes_of(frame) for line in box.lines for word in line.split(", "))
    return sorted({word for word in words if _STEP.fullmatch(word)})


def _unlike(frame: Frame, other: Frame) -> list[str]:
    """Say in what a frame's steps differ from those of another of the same structure."""
    own, theirs = _steps(frame), _steps(other)
    more = [f"but {step}" for step in own if step not in theirs]
    return more + [f"but no {step}" for step in theirs if step not in own]


def _is_named(item: Item) -> bool:
    if isinstance(item, Frame):
        return item.class_name not in PLAIN
    return item.kind == "summary" and item.class_name not in PLAIN


class Closer:
    """Close frames of one scene, in one way after another; a box is made once for all of them."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._boxes: dict[tuple[str, str], Box] = {}

    def left_open(self, wanted: Callable[[Frame], bool]) -> list[Frame]:
        """Return the frames that stay open where every one that `wanted` picks is closed."""
        left = [self._scene.root]
        for frame in left:  # which grows
            left += [i for i in frame.items if isinstance(i, Frame) and not wanted(i)]
        return left

    def where(self, wanted: Callable[[Frame], bool]) -> Scene:
        """Close every frame that `wanted` picks, outermost first.

        A closed frame of the same structure as one that stays open is said to be like it.
        """
        opened: dict[object, Frame] = {}

        def close(item: Item) -> Item:
            if isinstance(item, Box):
                return item
            if item is not self._scene.root and wanted(item):
                return self._box(item, opened.get(item.structure))
            opened.setdefault(item.structure, item)
            items = tuple(close(child) for child in item.items)
            same = all(new is old for new, old in zip(items, item.items, strict=True))
            return item if same else replace(item, items=items)  # what is the same is laid out once

        root = close(self._scene.root)
        assert isinstance(root, Frame)
        return replace(self._scene, root=root)

    def _box(self, frame: Frame, like: Frame | None) -> Box:
        key = frame.key, like.key if like else ""
        if key not in self._boxes:
            scene = self._scene
            self._boxes[key] = summarise(frame, scene.shapes, scene.skips, like)
        return self._boxes[key]
