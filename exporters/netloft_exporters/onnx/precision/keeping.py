"""Quantise, and keep in float32 the layers that hurt, until the file is good enough."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy.typing as npt
import onnx

from netloft.parity.task_check import TaskResult, task_error
from netloft.parity.task_level import sqnr_db
from netloft_exporters.onnx.precision.damage import damages
from netloft_exporters.onnx.precision.int8 import Executed, executed, quantise
from netloft_exporters.onnx.precision.layers import (
    module_of,
    producers_of,
    weight_layers,
    weight_layers_before,
)

__all__ = ["Kept", "Settled", "quantise_until"]

Arrays = Mapping[str, npt.NDArray[Any]]

_MOST_KEPT = 0.75
"""Share of the layers that may stay in float32; beyond it an int8 file is one by name."""


@dataclass(frozen=True)
class Kept:
    """A layer that stays in float32.

    Attributes:
        node: Its name in the file.
        module: Path of the module call.
        sqnr_db: Signal to noise at the outputs with that layer alone rounded, in dB.
        why: The same as a sentence.
    """

    node: str
    module: str
    sqnr_db: float
    why: str


@dataclass(frozen=True)
class Settled:
    """A quantised file that passes.

    Attributes:
        result: How it does.
        kept: Layers that stay in float32, the worst first.
        layers: How many layers of weights there are.
        rounds: How often the graph was quantised.
        before: Least signal to noise with every layer quantised, in dB.
        runs: What ONNX Runtime makes of the file.
    """

    result: TaskResult
    kept: tuple[Kept, ...]
    layers: int
    rounds: int
    before: float
    runs: Executed


def quantise_until(
    source: Path,
    target: Path,
    batches: Sequence[Arrays],
    judge: Callable[[Path], TaskResult],
    progress: Callable[[str], None] = lambda _: None,
) -> Settled:
    """Quantise a file; keep its worst layers in float32 until it passes.

    Args:
        source: The float32 file.
        target: A file in a folder of our own.
        batches: Inputs to calibrate with.
        judge: Says how a file does.
        progress: Told what is being done.

    Raises:
        ExportError: There is nothing to quantise.
        ParityError: It does not pass with three quarters of the layers kept.
    """
    model = onnx.load(source)
    layers = weight_layers(model)

    def tried(kept: Mapping[str, Kept]) -> TaskResult:
        progress(f"quantising, {len(kept)} of {len(layers)} layers in float32")
        quantise(source, target, batches, _with_between(model, kept))
        return judge(target)

    kept, rounds = dict[str, Kept](), 1
    result = tried(kept)
    before = result.worst.sqnr_db
    while result.failed:
        allowed = int(_MOST_KEPT * len(layers)) - len(kept)
        costs = damages(source, target, [node.name for node in layers], batches[0])
        more = _worst(model, costs, kept, result.worst.tolerance)
        if not more or allowed <= 0:
            effort = f", with {len(kept)} of {len(layers)} layers kept in float32"
            raise task_error(result, "int8", effort)
        kept |= dict(list(more.items())[:allowed])
        result, rounds = tried(kept), rounds + 1
    runs = executed(source, target, source.parent)
    while real := _really_kept(kept, runs):
        again, rounds = tried(real), rounds + 1
        if again.failed:
            result, rounds = tried(kept), rounds + 1
            break
        result, kept, runs = again, real, executed(source, target, source.parent)
    return Settled(result, tuple(kept.values()), len(layers), rounds, before, runs)


def _really_kept(kept: Mapping[str, Kept], runs: Executed) -> dict[str, Kept]:
    """Return the layers that run in float32; empty where all do that are kept, or none does.

    Between two rounded values ONNX Runtime rounds a layer's weights itself, with one step for all
    channels, which may overflow: the steps of an int8 file are better.
    """
    vain = kept.keys() & set(runs.integer)
    return {name: kept[name] for name in kept if name not in vain} if vain else {}


def _worst(
    model: onnx.ModelProto, costs: Mapping[str, float], kept: Mapping[str, Kept], tolerance: float
) -> dict[str, Kept]:
    """Choose the next layers to keep: as many as leave the others' errors within the tolerance.

    Errors of rounding add up by their squares; as that is a forecast, at least one layer is chosen,
    and as many as are kept already. Where a layer is kept and costs something still, what it takes
    comes out of 8 bits: the layers before it are kept then.
    """
    nodes, producers = {node.name: node for node in model.graph.node}, producers_of(model)
    left = sum(cost**2 for cost in costs.values())
    more = dict[str, Kept]()
    for name in sorted(costs, key=lambda each: -costs[each]):
        if left <= tolerance**2 and len(more) >= max(1, len(kept)):
            break
        left -= costs[name] ** 2
        module, alone = module_of(nodes[name]), sqnr_db(costs[name])
        chosen = {name: f"rounding it alone leaves {alone:.1f} dB"}
        if name in kept:
            why = f"rounding what it gives to {module} alone leaves {alone:.1f} dB"
            chosen = dict.fromkeys(weight_layers_before(nodes[name], producers), why)
        for each, why in chosen.items():
            if each not in kept and each not in more:
                more[each] = Kept(each, module_of(nodes[each]), alone, why)
    return more


def _with_between(model: onnx.ModelProto, kept: Mapping[str, Kept]) -> list[str]:
    """Return the kept layers and what stands behind them alone: it gains nothing from integers."""
    producers, weighted = producers_of(model), {node.name for node in weight_layers(model)}
    between = [
        node.name for node in model.graph.node
        if node.name not in weighted
        and (before := weight_layers_before(node, producers)) and kept.keys() >= set(before)
    ]  # fmt: skip
    return [*kept, *between]
