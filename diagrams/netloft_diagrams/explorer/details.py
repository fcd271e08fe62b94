"""What the page's panel says of one item: attributes, parameters, costs, copies, source."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from torch import nn

from netloft.graph import Annotation, Graph, annotation
from netloft_diagrams.explorer.histogram import Histogram, histograms
from netloft_diagrams.scene import Box, Frame, Scene, boxes_of

__all__ = ["Details"]

MANY = 400
"""Copies of a repeat whose paths are listed."""
WITH_BIAS = ("conv", "linear", "norm", "attention", "recurrent")
LONG = 300
"""Letters of an attribute's value that are kept."""


class Details:
    """The facts of every box and frame of a scene.

    Args:
        scene: All boxes and frames.
        graph: Where the facts come from.
    """

    def __init__(self, scene: Scene, graph: Graph) -> None:
        self._graph = graph
        parameters = dict(_parameters(graph, [n for b in boxes_of(scene.root) for n in b.ops]))
        self._shape = {name: tuple(p.shape) for name, p in parameters.items()}
        self._size = {name: p.numel() * p.element_size() for name, p in parameters.items()}
        self._histogram = histograms(parameters)

    def box(self, box: Box) -> dict[str, Any]:
        """Return the rows of an operation."""
        records = [(name, annotation(self._graph.node(name))) for name in box.ops]
        source = next((r.source for _, r in records if r.source), None)
        given = [annotation(self._graph.node(n)) for n in box.gives] or [r for _, r in records[-1:]]
        return _without_empty(
            {
                "a": [[r.op, _attributes(r)] for _, r in records if _attributes(r)],
                "w": [self._weight(name) for name in self._names(box)],
                "o": [str(value) for r in given for value in _values(r)],
                "b": sum(r.bytes_out for r in given),
                "wb": sum(self._size.get(name, 0) for name in self._names(box)),
                "m": box.macs,
                "ov": [*box.note, *box.told],
                "n": box.n_params,
                "s": f"{source}  {source.text}".strip() if source else box.source,
                "f": [f"{name}: {r.op}" for name, r in records],
                "x": self._copies(box),
                "xn": box.total_params if box.covered_params else 0,
            }
        )

    def frame(self, frame: Frame, closed: Box) -> dict[str, Any]:
        """Return the rows of a module.

        Args:
            frame: The module.
            closed: The box that stands for it.
        """
        main = [n for n in frame.gives if n]
        given = [annotation(self._graph.node(n)) for n in main]
        return _without_empty(
            {
                "o": [str(value) for r in given for value in _values(r)],
                "b": sum(r.bytes_out for r in given),
                "m": frame.macs,
                "ov": [*frame.note, *frame.told],
                "n": frame.n_params,
                "s": closed.source if frame.class_name else "",
                "c": len(closed.ops),
                "in": list(closed.detail)[:MANY],
                "x": self._module_copies(frame),
                "xn": frame.total_params if frame.covered_params else 0,
            }
        )

    def _names(self, box: Box) -> list[str]:
        """Return the parameters that a box reads and no box before it."""
        records = (annotation(self._graph.node(name)) for name in box.ops)
        return list(dict.fromkeys(name for r in records for name in r.parameters))

    def _weight(self, name: str) -> list[Any]:
        shape = "×".join(map(str, self._shape.get(name, ()))) or "scalar"
        found = self._histogram.get(name, "no values")
        return [name, shape, _figures(found) if isinstance(found, Histogram) else found]

    def _copies(self, box: Box) -> list[str]:
        """Return the paths of all copies of a repeat, the one that is drawn first."""
        if not box.covers or not box.ops:
            return []
        step = len(box.ops)
        rows = [box.ops, *(box.covers[i : i + step] for i in range(0, len(box.covers), step))]
        main = self._main(box)
        paths = [annotation(self._graph.node(row[main])).module for row in rows]
        return list(dict.fromkeys(path for path in paths if path))[:MANY]

    def _module_copies(self, frame: Frame) -> list[str]:
        """Return the paths of all copies of a module, from those of a layer inside it."""
        if frame.times == 1 or not frame.class_name:
            return []
        for box in boxes_of(frame):
            tail = box.path.removeprefix(f"{frame.path}.")
            paths = self._copies(box) if tail != box.path else []
            if paths and all(path.endswith(f".{tail}") for path in paths):
                return [path[: -len(tail) - 1] for path in paths]
        return [frame.path, frame.last_path]

    def _main(self, box: Box) -> int:
        paths = [annotation(self._graph.node(name)).module for name in box.ops]
        return paths.index(box.path) if box.path in paths else 0


def _parameters(graph: Graph, nodes: Sequence[str]) -> Iterator[tuple[str, nn.Parameter]]:
    """Yield the parameters that nodes read, by the names that their records have for them."""
    named = dict(graph.module.named_parameters(remove_duplicate=False))
    for node in map(graph.node, nodes):
        record = annotation(node)
        for name in record.parameters:
            # a name that is no Python has another one inside the graph
            found = named.get(name, named.get(str(node.target)))
            if found is not None:
                odd = name.startswith("renamed_") and record.module
                yield (f"{record.module}.{name.rpartition('.')[2]}" if odd else name), found


def _figures(found: Histogram) -> list[Any]:
    numbers = (float(f"{v:.4g}") for v in (found.low, found.high, found.mean, found.std))
    return [*numbers, found.odd, list(found.counts)]


def _attributes(record: Annotation) -> dict[str, str]:
    hidden = ["weight_shape", "inplace"]
    if record.family not in WITH_BIAS:  # the record of a ReLU says that it has none
        hidden.append("bias")
    return {k: str(v)[:LONG] for k, v in record.attributes.items() if k not in hidden}


def _values(record: Annotation) -> tuple[object, ...]:
    value = record.value
    return value if isinstance(value, tuple) else () if value is None else (value,)


def _without_empty(rows: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in rows.items() if value}
