"""What is drawn: boxes in frames, joined by the names of the values they read and give.

An edge is not stored. Inside one frame, an item that reads a value is joined to the item that gives
it, or to the frame's own side where none of its neighbours does. So no step can lose an edge
without losing a name, and `fold` and `detail` only rename and replace items.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

from netloft_diagrams.mark import Mark

if TYPE_CHECKING:
    from netloft.explain.seen import Tile

__all__ = [
    "Box",
    "Facts",
    "Frame",
    "Item",
    "Scene",
    "Thumbs",
    "boxes_of",
    "frames_of",
    "merge_copy",
]


@dataclass(frozen=True)
class Thumbs:
    """Small pictures in a box.

    Attributes:
        node: Name of the node that they are made for.
        copies: Names of those of the other copies that the box stands for, in order.
        count: How many there is room for.
        tiles: The pictures, once they are made.
    """

    node: str
    copies: tuple[str, ...]
    count: int
    tiles: tuple[Tile, ...] = ()


@dataclass(frozen=True)
class Box:
    """One rectangle: an operation with what is fused into it, or a module that is not opened.

    Attributes:
        key: Unique name, from the order of the graph.
        kind: Operation family, or `summary`.
        title: What it does, e.g. `Conv 3×3 → 64`.
        lines: What else there is to say: stride, fused parts.
        name: The layer's own name as the user wrote it; empty for a function.
        shell: Path of a module around it that holds nothing else; empty where there is none.
        symbol: `+`, `×` … for a merge, which is drawn as a circle.
        reads: Values it reads, in order.
        gives: Values that others read.
        ops: Names of the graph's nodes in it.
        covers: Names of the nodes of the other copies that it stands for.
        n_params: Elements of the parameters of `ops`.
        covered_params: Elements of the parameters of `covers`.
        macs: Multiply-adds of one copy, for one item of the batch.
        times: How many copies in a row it stands for.
        path: Module path, class and source line of the operation that names it.
        last_path: Path of the last copy.
        identity: What makes two boxes equal: operations, hyper-parameters and shapes.
        shape: Shape of what it gives, without the batch.
        changes_shape: Whether that is another shape than its first input's.
        strip: Families of the operations inside a summary, in order.
        detail: More rows for the tooltip.
        note: What an overlay says of it, with its unit, line by line.
        told: What else it says, for the tooltip.
        amount: The number, or the word, behind that.
        paint: Colour of the ground where an overlay gives one.
        mark: What became of it between two graphs; None where one graph is drawn.
        thumbs: Small pictures of what its units look for, where its kind shows them.
    """

    key: str
    kind: str
    title: str
    lines: tuple[str, ...] = ()
    name: str = ""
    shell: str = ""
    symbol: str = ""
    reads: tuple[str, ...] = ()
    gives: tuple[str, ...] = ()
    ops: tuple[str, ...] = ()
    covers: tuple[str, ...] = ()
    n_params: int = 0
    covered_params: int = 0
    macs: int = 0
    times: int = 1
    path: str = ""
    last_path: str = ""
    class_name: str = ""
    source: str = ""
    identity: tuple[object, ...] = ()
    shape: str = ""
    changes_shape: bool = False
    strip: tuple[str, ...] = ()
    detail: tuple[str, ...] = ()
    note: tuple[str, ...] = ()
    told: tuple[str, ...] = ()
    amount: float | str | None = None
    paint: str = ""
    mark: Mark | None = None
    thumbs: Thumbs | None = None

    @property
    def total_params(self) -> int:
        """Elements of all parameters it stands for."""
        return self.n_params + self.covered_params

    @cached_property
    def structure(self) -> object:
        """Itself without sizes: what two stages of a network have in common."""
        lines = tuple(line for line in self.lines if not line.startswith(("stride", "[")))
        return self.kind, self.title.split(" → ")[0].split("[")[0], lines, self.times > 1


@dataclass(frozen=True)
class Frame:
    """A module call that is opened: its boxes and the frames inside it.

    Attributes:
        key: Unique name, from the order of the graph.
        path: Where the module hangs; empty for the root and for a repeated run of functions.
        last_path: Path of the last copy.
        class_name: Its class.
        items: In the order of the forward pass.
        reads: Values from outside, in order.
        gives: Values that others read.
        times: How many copies in a row it stands for.
        depth: How many frames enclose it, the root's own 0.
        level: How many words its path is longer than the root's; of a run, that of its module.
        note: What an overlay says of all inside it.
        told: What else it says, for the tooltip.
        amount: The number, or the word, behind that.
    """

    key: str
    path: str
    class_name: str
    items: tuple[Item, ...]
    reads: tuple[str, ...] = ()
    gives: tuple[str, ...] = ()
    times: int = 1
    last_path: str = ""
    depth: int = 0
    level: int = 0
    note: tuple[str, ...] = ()
    told: tuple[str, ...] = ()
    amount: float | str | None = None

    @cached_property
    def boxes(self) -> tuple[Box, ...]:
        """Every box inside, in order."""
        return tuple(box for item in self.items for box in boxes_of(item))

    @cached_property
    def n_params(self) -> int:
        """Elements of the parameters of one copy; a repeat that shares weights counts once."""
        return sum(i.n_params * (i.times if i.covered_params else 1) for i in self.items)

    @cached_property
    def covered_params(self) -> int:
        """Elements of the parameters of the copies that its boxes stand for."""
        return sum(item.covered_params for item in self.items)

    @cached_property
    def total_params(self) -> int:
        """Elements of all parameters it stands for."""
        return sum(item.total_params for item in self.items)

    @cached_property
    def macs(self) -> int:
        """Multiply-adds of one copy."""
        return sum(item.macs * item.times for item in self.items)

    @cached_property
    def structure(self) -> object:
        """Itself without sizes: what two stages of a network have in common."""
        inside = tuple((item.times, item.structure) for item in self.items)
        return self.class_name, self.times > 1, inside


Item = Box | Frame


@dataclass(frozen=True)
class Facts:
    """What the title block, the legend and the strip at the foot say.

    `n_params` are those of the operations, `n_unused` those that the network has beside them.
    """

    name: str
    class_name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    n_params: int
    macs: int
    peak_activation_bytes: int
    depth: int
    n_unused: int = 0
    dead: tuple[str, ...] = ()
    effects: tuple[str, ...] = ()


@dataclass(frozen=True)
class Scene:
    """All that a drawing shows, before it has a place.

    Attributes:
        root: The outermost frame; it is drawn without a border.
        facts: Numbers for the title block and the foot.
        hidden: Names of nodes that compute sizes and are not drawn.
        shapes: Shape of each value, without the batch.
        skips: Values that jump over layers into a sum, by the key of the sum.
    """

    root: Frame
    facts: Facts
    hidden: tuple[str, ...] = ()
    shapes: Mapping[str, str] = field(default_factory=dict)
    skips: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def boxes_of(item: Item) -> tuple[Box, ...]:
    """Return every box at or below `item`, in order."""
    return (item,) if isinstance(item, Box) else item.boxes


def frames_of(item: Item) -> Iterator[Frame]:
    """Yield every frame at or below `item`, outermost first."""
    if isinstance(item, Frame):
        yield item
        for child in item.items:
            if isinstance(child, Frame):
                yield from frames_of(child)


def merge_copy(first: Item, copy: Item) -> Item:
    """Let `first` stand for `copy` too, which is equal to it; returns the new `first`."""
    if isinstance(first, Frame) and isinstance(copy, Frame):
        pairs = zip(first.items, copy.items, strict=True)
        return replace(first, items=tuple(merge_copy(a, b) for a, b in pairs))
    assert isinstance(first, Box)
    assert isinstance(copy, Box)
    return replace(
        first,
        covers=first.covers + copy.ops + copy.covers,
        covered_params=first.covered_params + copy.total_params,
    )
