"""Small pictures of what the layers of a network look for, for a drawing to put into its boxes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from torch import fx

from netloft.errors import UsageError
from netloft.explain.ascent import check_input
from netloft.explain.seen import Tile
from netloft.explain.units import unit_axes, units_of
from netloft.gradients import functional
from netloft.gradients.adjoint import shape_of
from netloft.graph.graph import Graph, annotation
from netloft.maximising import maximise, sheet_of
from netloft.models.loaded import LoadedModel
from netloft.tracing import trace

__all__ = ["Thumbnails"]

_FORMS = ("shape", "identity", "pool", "reduce", "pad")
"""Families that give what they were given, in another form."""

_SHUTTING = (
    "relu", "relu6", "leaky_relu", "prelu", "elu", "celu", "selu", "gelu", "silu", "mish",
    "hardswish", "hardtanh", "hardsigmoid", "sigmoid", "tanh", "softplus", "softmax", "log_softmax",
)  # fmt: skip
"""Activations that rise with what they are given, and are flat where that is low or high."""


@dataclass(frozen=True)
class Thumbnails:
    """What `netloft.maximising.maximise` finds for a few units of each layer that is drawn.

    Attributes:
        model: What was loaded.
        count: Pictures for each layer, at most.
        steps: How often a step of a climb is tried.
        seed: Of the starts.
        threads: For one operation; None for ONNX Runtime's own choice.
        progress: Told which layer is looked at.
    """

    model: LoadedModel
    count: int = 3
    steps: int = 20
    seed: int = 0
    threads: int | None = None
    progress: Callable[[str], None] = lambda _: None

    @cached_property
    def _graph(self) -> Graph:
        return trace(self.model.module, self.model.example(seed=self.seed), name=self.model.name)

    @cached_property
    def _values(self) -> Graph:
        return functional(self._graph)

    @cached_property
    def _nodes(self) -> dict[str, fx.Node]:
        return {node.name: node for node, _ in self._values}

    @cached_property
    def _axes(self) -> Mapping[fx.Node, int]:
        return unit_axes(self._values)

    def check(self, graph: Graph) -> None:
        """Refuse what no picture can be made for, before a drawing is laid out.

        Args:
            graph: What is drawn.

        Raises:
            UsageError: The network takes no picture of real numbers, alone and of a fixed size;
                another one is drawn; or an option is out of range.
        """
        if self.count < 1 or self.steps < 1 or self.seed < 0:
            raise UsageError(
                f"{self.count} pictures of {self.steps} steps and seed {self.seed} are none",
                remedy="give one or more of both, and a seed of 0 or more",
            )
        try:
            check_input(self._graph)
            known = {node.name: annotation(node).op for node, _ in (*self._graph, *self._values)}
        except UsageError as error:
            remedies = [error.remedy, "leave --thumbnails out"]
            raise UsageError(error.problem, remedy="; or ".join(filter(None, remedies))) from error
        if any(known.get(node.name) != record.op for node, record in graph):
            raise UsageError(
                f"the small pictures are of {self.model.name}, and that is not what is drawn",
                remedy="give the module itself, and thumbnails=True",
            )

    def seen_in(self, ops: Sequence[str]) -> tuple[str, int]:
        """Return the value of a box that is looked at, and how many pictures are made for it.

        It is the last one that is not merely another form of what was there; of neurons, that in
        front of their activation, which shuts most of them.

        Args:
            ops: Names of the nodes in the box, in order.
        """
        there = [self._nodes[name] for name in ops if name in self._nodes]
        node = next((n for n in reversed(there) if annotation(n).family not in _FORMS), None)
        if node is None:
            return "", 0
        while annotation(node).op in _SHUTTING and len(shape_of(node)) == 2:
            if node.all_input_nodes[0] not in there:
                break
            node = node.all_input_nodes[0]
        return node.name, min(units_of(node, self._axes), self.count)

    def tiles(self, node: str, name: str) -> tuple[Tile, ...]:
        """Return pictures for some units of a value, with what each was made for.

        The units are evenly spread. One that finds no way up, as a filter behind a ReLU that is
        silent on noise does, gives way to another that does, if there is one among as many again.

        Args:
            node: As `seen_in` names it.
            name: What a person calls it.

        Raises:
            UsageError: There is no unit there.
            NoAdjointError: There is no gradient from there to the picture.
            CheckError: The gradient is not autograd's, or the file computes another step.
        """
        self.progress(f"looking at {name}")
        n = units_of(self._nodes[node], self._axes)
        first = _spread(n, self.count)
        rose, silent = self._climbed(node, first)
        if silent and n > len(first):
            others = [unit for unit in _spread(n, 2 * self.count + 1) if unit not in first]
            rose |= self._climbed(node, others)[0]
        shown = dict([*rose.items(), *silent.items()][: len(first)])
        return tuple(shown[unit] for unit in sorted(shown))

    def _climbed(self, node: str, units: Sequence[int]) -> tuple[dict[int, Tile], dict[int, Tile]]:
        """Return pictures by unit: of those that rose, and of those that found no way up."""
        found = maximise(
            self.model, f"%{node}", units, steps=self.steps, seed=self.seed,
            threads=self.threads, graph=self._graph,
        )  # fmt: skip
        kept: list[bool] = np.any(found.climbed.kept, axis=0).tolist()
        tiles = list(zip(units, kept, sheet_of(found).tiles, strict=True))
        rose = {unit: tile for unit, up, tile in tiles if up}
        return rose, {unit: tile for unit, up, tile in tiles if not up}


def _spread(n: int, most: int) -> list[int]:
    """Return up to `most` of `n` units, from the first to the last."""
    count = min(n, most)
    return [round((n - 1) * i / max(count - 1, 1)) for i in range(count)]
