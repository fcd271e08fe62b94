"""The one graph: an fx.GraphModule whose nodes carry an `Annotation`."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from torch import fx
from torch.export import ExportedProgram

from netloft.graph.annotation import Annotation, ModuleCall, Source, TensorInfo

__all__ = ["DeadModule", "Graph", "SideEffect", "Totals", "Value", "annotation"]

KEY = "netloft"
"""Where the annotation lives in `node.meta`."""


def annotation(node: fx.Node) -> Annotation:
    """Return what is known of `node`."""
    record = node.meta[KEY]
    assert isinstance(record, Annotation)
    return record


@dataclass(frozen=True)
class Value:
    """An input or an output of the whole graph.

    Attributes:
        name: As the exported file and the bundle call it.
        info: Shape and element type.
        node: Name of the fx node that stands for it or gives it.
    """

    name: str
    info: TensorInfo
    node: str


@dataclass(frozen=True)
class DeadModule:
    """A module that the network owns and never calls."""

    path: str
    class_name: str
    n_params: int


@dataclass(frozen=True)
class SideEffect:
    """Something the forward pass does beside computing its result."""

    what: str
    source: Source | None


@dataclass(frozen=True)
class Totals:
    """Sums over the whole graph, for one item of the batch.

    Attributes:
        n_params: Elements of all parameters that the graph reads, tied ones once.
        n_dead_params: Elements of parameters that reach no output.
        macs: Multiply-adds.
        peak_activation_bytes: Most bytes of values alive at once, run in graph order.
        depth: Number of convolutions and matrix products on the longest path.
    """

    n_params: int
    n_dead_params: int
    macs: int
    peak_activation_bytes: int
    depth: int


@dataclass
class Graph:
    """A traced network.

    Attributes:
        module: The graph that runs; its parameters are shared with the traced module.
        name: Short name of the model.
        class_name: Class of the root module.
        inputs: In the order of the forward signature.
        outputs: Flattened, in order; names are kept from dicts.
        batch: `dynamic`, or the one batch size that the graph is for.
        modules: Every module call of the forward pass, in order, root first.
        dead_modules: Modules that are owned and never called; a whole dead subtree is one entry.
        unused_parameters: Parameters that reach no output and belong to no dead module, by name,
            with their number of elements.
        side_effects: Prints and the like.
        axes: By input, as `forward` calls it, the axes beside the batch that are open, with the
            names of their lengths.
        lengths: By name of a length: the example's, and another that the network was run at.
        capture: `torch.fx`, or `torch.export, since …` with what torch.fx stopped at.
        program: What torch.export captured, for exporters that take it; None for torch.fx.
        file: The ONNX file that it was read from; None for what was traced.
    """

    module: fx.GraphModule
    name: str
    class_name: str
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    batch: str | int
    modules: tuple[ModuleCall, ...] = ()
    dead_modules: tuple[DeadModule, ...] = ()
    unused_parameters: Mapping[str, int] = field(default_factory=dict)
    side_effects: tuple[SideEffect, ...] = ()
    axes: Mapping[str, Mapping[int, str]] = field(default_factory=dict)
    lengths: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    capture: str = "torch.fx"
    program: ExportedProgram | None = field(default=None, repr=False)
    file: Path | None = field(default=None, repr=False)

    def __iter__(self) -> Iterator[tuple[fx.Node, Annotation]]:
        return ((node, annotation(node)) for node in self.module.graph.nodes)

    def __len__(self) -> int:
        return len(self.module.graph.nodes)

    @property
    def is_read(self) -> bool:
        """Tell whether it was read from a file: such a graph is looked at, and does not run."""
        return self.file is not None

    def named_outputs(self, tensors: Mapping[str, Any]) -> dict[str, Any]:
        """Rename a module's flattened outputs, which come in order, as the graph calls them."""
        names = (value.name for value in self.outputs)
        return dict(zip(names, tensors.values(), strict=True))

    def node(self, name: str) -> fx.Node:
        """Return the fx node called `name`."""
        return self._by_name[name]

    @cached_property
    def _by_name(self) -> dict[str, fx.Node]:
        return {node.name: node for node in self.module.graph.nodes}

    @cached_property
    def totals(self) -> Totals:
        """Parameters, multiply-adds, memory and depth of the whole graph."""
        from netloft.graph.cost import totals

        return totals(self)

    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        """Show the graph as a picture in a notebook, and as text elsewhere."""
        # by name: the toolkit does not depend on the drawing
        diagrams = importlib.import_module("netloft_diagrams")
        return {"image/svg+xml": diagrams.render(self, "svg").decode(), "text/plain": str(self)}

    def __str__(self) -> str:
        from netloft.graph.text import print_graph

        return print_graph(self)
