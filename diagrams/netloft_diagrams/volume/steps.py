"""Scene to volumes: what each step gives, and what leads to it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from netloft.graph import Graph, annotation
from netloft.graph.cost import tensors
from netloft_diagrams.measure import path_range
from netloft_diagrams.scene import Box, Frame, Item, Scene, frames_of
from netloft_diagrams.summary import Closer

__all__ = ["Volume", "volumes"]

MOST = 16
"""Volumes that a figure has, where less detail is there to be had."""

QUIET = ("activation", "identity", "norm", "merge", "parameter", "shape")
"""Families that give a name to a step and no volume of their own, where the shape stays."""

WORKING = ("conv", "linear", "attention", "recurrent", "embedding")
"""Families that have weights to multiply by."""

_UNKNOWN = 8
"""How long an axis of open length is drawn."""


@dataclass(frozen=True)
class Volume:
    """One feature map, token matrix or vector.

    Attributes:
        key: Unique name, from the order of the graph.
        shape: Without the batch.
        size: Channels, height and width; a vector has its length as its height, and no width.
        kind: Family of the operation that gives it.
        name: Path of the layer that gives it.
        arrives: What leads to it, in lines.
        kernel: Height and width of the window that slides over its source, if one does.
        padded: Height and width of its source with padding around it, if there is any.
        times: How many equal steps in a row it stands for.
        after: What is done to it in place, in order.
        sources: Keys of the volumes that it is made of.
        gives: Values it stands for.
    """

    key: str
    shape: str
    size: tuple[int, int, int]
    kind: str
    name: str = ""
    arrives: tuple[str, ...] = ()
    kernel: tuple[int, int] | None = None
    padded: tuple[int, int] | None = None
    times: int = 1
    after: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    gives: tuple[str, ...] = ()


def volumes(
    scene: Scene, graph: Graph, depth: int | None = None, expand: Sequence[str] = ()
) -> tuple[Volume, ...]:
    """Return the volumes of a scene, in order.

    Args:
        scene: All boxes and frames, folded.
        graph: Where kernels and paddings are read.
        depth: Open frames this deep and no deeper; by default as deep as the figure stays small,
            and blocks with branches inside stay closed.
        expand: Paths of frames to open whatever the depth.
    """
    opened = frozenset(f.key for f in frames_of(scene.root) if _is_within(f.path, expand))
    closer = Closer(scene)
    if depth is not None:
        limit = depth
        closed = closer.where(lambda f: f.level > limit and f.key not in opened)
        return _volumes(closed, graph)
    deepest = max(frame.depth for frame in frames_of(scene.root))
    made: tuple[Volume, ...] = ()
    for limit in range(deepest, -1, -1):
        closes = lambda f, n=limit: f.key not in opened and (f.depth > n or not _is_chain(f))  # noqa: E731
        made = _volumes(closer.where(closes), graph)
        if len(made) <= MOST:
            break
    return made


def _is_within(path: str, expand: Sequence[str]) -> bool:
    return any(
        path == one or path.startswith(f"{one}.") or one.startswith(f"{path}.") for one in expand
    )


def _is_chain(frame: Frame) -> bool:
    """Tell whether each item reads what the one before it gives and nothing else."""
    before = frame.reads
    for item in frame.items:
        if not set(item.reads) <= set(before):
            return False
        before = item.gives
    return frame.times == 1


def _flat(items: Sequence[Item]) -> Iterator[Box]:
    for item in items:
        if isinstance(item, Box):
            yield item
        elif item.times == 1:
            yield from _flat(item.items)
        else:  # a run of several layers, drawn by its last, N times
            boxes = list(_flat(item.items))
            yield from (replace(box, times=box.times * item.times) for box in boxes)


def _volumes(scene: Scene, graph: Graph) -> tuple[Volume, ...]:
    made: dict[str, Volume] = {}
    owner: dict[str, str] = {}
    for box in _flat(scene.root.items):
        sources = tuple(dict.fromkeys(owner[name] for name in box.reads if name in owner))
        if box.kind == "output":
            continue
        if len(sources) == 1 and _is_quiet(box, made[sources[0]], scene.shapes):
            key = sources[0]
            made[key] = replace(made[key], after=(*made[key].after, *_words(box)))
        else:
            key = box.key
            made[key] = _volume(box, sources, graph)
        owner.update(dict.fromkeys(box.gives, key))
    return tuple(made.values())


def _is_quiet(box: Box, source: Volume, shapes: Mapping[str, str]) -> bool:
    return box.kind in QUIET and not box.strip and box.times == 1 and box.shape == source.shape


def _words(box: Box) -> tuple[str, ...]:
    """Return a step's title without the channels, which the volume shows, and its remarks."""
    title = box.title.split(" → ")[0]
    if not box.reads:  # an input or a parameter, whose name stands below it
        return ()
    lines = box.lines[:2] if box.strip else box.lines
    return (title, *(line for line in lines if line != "flatten"))


def _volume(box: Box, sources: tuple[str, ...], graph: Graph) -> Volume:
    kernel, padded = _window(box, graph) if box.times == 1 or not box.strip else (None, None)
    return Volume(
        key=box.key,
        shape=box.shape,
        size=_size(box.shape),
        kind=_kind(box),
        name=path_range(box.name, box.last_path) or (box.title if box.kind == "input" else ""),
        arrives=_words(box),
        kernel=kernel,
        padded=padded,
        times=box.times,
        sources=sources,
        gives=box.gives,
    )


def _kind(box: Box) -> str:
    """Return a family; of a closed block, the one that does most of its work."""
    for wanted in (WORKING, dict.fromkeys(box.strip)):
        inside = Counter(kind for kind in box.strip if kind in wanted)
        if inside:
            return inside.most_common(1)[0][0]
    return box.kind


def _window(box: Box, graph: Graph) -> tuple[tuple[int, int] | None, tuple[int, int] | None]:
    """Return a convolution's or pool's kernel, and the size of its source once padded."""
    if box.strip:
        return None, None
    kernel = padded = None
    for name in box.ops:
        record = annotation(graph.node(name))
        if record.family == "pad":
            padded = _plane(tensors(record.value)[0].shape)
        elif record.family in ("conv", "pool"):
            size = record.attributes.get("kernel_size")
            weight = record.attributes.get("weight_shape")
            kernel = _pair(
                size if size is not None or not isinstance(weight, tuple) else weight[2:]
            )
    return kernel, padded


def _pair(size: object) -> tuple[int, int] | None:
    if isinstance(size, int):
        return size, size
    if isinstance(size, tuple | list) and size and all(isinstance(n, int) for n in size):
        return int(size[-2] if len(size) > 1 else 1), int(size[-1])
    return None


def _plane(shape: Sequence[object]) -> tuple[int, int] | None:
    return _pair(tuple(shape[-2:]))


def _size(shape: str) -> tuple[int, int, int]:
    dims = [int(d) if d.isdigit() else _UNKNOWN for d in shape.split("×")] if shape else [1]
    if len(dims) == 1:
        return 1, dims[0], 0
    if len(dims) == 2:
        return dims[1], dims[0], 1
    *_, channels, height, width = dims
    if channels == height != width and len(dims) == 3:  # channels last
        return width, channels, height
    return dims[0], height, width
