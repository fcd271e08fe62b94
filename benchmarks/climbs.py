"""Whether every climb rises, and whether ONNX Runtime and PyTorch climb the same way.

    pip install 'scikit-learn>=1.5'
    python benchmarks/climbs.py > docs/climbs.md

Trains the digits network (`examples/digits.py`), writes a step of each kind as ONNX, and climbs
twenty times from the same noise for every filter, neuron and class: with the file in ONNX Runtime
and with the module in PyTorch, each going on from where it stands itself.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))
from examples.digits import COURSES, load_digits, train

from netloft.explain.ascent import Ascent, Goal, plan_ascent, prove_ascent, torch_run
from netloft.explain.climb import Climbed, Run, climb, onnx_run
from netloft.graph import Graph
from netloft.models.build import one_thread
from netloft.tracing import trace
from netloft_exporters import to_onnx

STEPS, STEP = 20, 0.1
LAYERS = (
    *((layer, activated) for layer in ("conv1", "conv2") for activated in (False, True)),
    ("fc1", False),
    ("", False),
)
"""Modules whose units are climbed for, and whether behind their ReLU; last, the classes."""

_TOLD = f"""The network that `examples/digits.py` trains, {STEPS} steps for every unit from noise.
*Fell* are units whose objective fell at any step, *higher* those that end higher than they began,
*silent* those that found no way up (behind a ReLU that is shut), *kept* the share of the others'
steps that led up at once. *Gradient* is its distance from autograd's in float64. *Apart* is how far
the pictures of ONNX Runtime and of PyTorch are from one another at any step, beside their length
(L2); *decided otherwise* are units for which one kept a step that the other rejected.
"""
_COLUMNS = (
    "layer", "unit", "units", "fell", "higher", "silent", "kept", "gradient", "apart, median",
    "apart, worst", "decided otherwise",
)  # fmt: skip

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Compared:
    """One kind of unit, climbed for in both."""

    name: str
    goal: Goal
    proof: float
    ours: Climbed
    theirs: Climbed
    apart: npt.NDArray[np.float64]

    @property
    def row(self) -> str:
        """The row of the table."""
        rises = np.diff(self.ours.history, axis=0)
        higher = self.ours.history[-1] > self.ours.history[0]
        silent = ~self.ours.kept.any(axis=0)
        decided = (self.ours.kept != self.theirs.kept).any(axis=0).sum()
        goal, kept = self.goal, self.ours.kept
        fell = (rises < 0).any(axis=0).sum()
        cells = (
            self.name, goal.kind, goal.units, fell, higher.sum(), silent.sum(),
            f"{kept[:, ~silent].mean():.0%}", f"{self.proof:.1e}", f"{np.median(self.apart):.1e}",
            f"{self.apart.max():.1e}", decided,
        )  # fmt: skip
        return f"| {' | '.join(map(str, cells))} |"


def compared(graph: Graph, layer: str, *, activated: bool) -> Compared:
    """Climb for every unit of a layer."""
    goal = plan_ascent(graph, layer, activated=activated, low=0.0, high=1.0)
    units = np.arange(goal.units)
    x = start(goal.units, filters=goal.kind == "filter")
    proof = prove_ascent(goal, torch.from_numpy(x[:2]))
    net = Ascent(goal).eval()
    example = {
        "x": torch.from_numpy(x[:2]),
        "unit": torch.tensor([0, goal.units - 1]),
        "step": torch.full((2,), STEP),
    }
    with tempfile.TemporaryDirectory() as folder:
        file = to_onnx(net, example, Path(folder, "step.onnx"), prove=False)
        trails: tuple[list[Floats], list[Floats]] = ([], [])
        runs = recorded(onnx_run(file, 1), trails[0]), recorded(torch_run(net), trails[1])
        ours, theirs = (climb(run, x, units, STEPS, STEP) for run in runs)
    apart = [lengths(a - b) / lengths(b) for a, b in zip(*trails, strict=True)]
    name = f"{layer or goal.layer_name}{' and its ReLU' if activated else ''}"
    return Compared(name, goal, proof, ours, theirs, np.max(apart, axis=0))


def start(units: int, *, filters: bool) -> Floats:
    """Return noise around mid-grey; more of it for a filter, which is deaf to an even picture."""
    noise = np.random.default_rng(0).standard_normal((units, 1, 28, 28))
    return np.clip(0.5 + (0.2 if filters else 0.05) * noise, 0, 1).astype(np.float32)


def recorded(run: Run, trail: list[Floats]) -> Run:
    """Return a run that writes down every picture that it is asked about."""

    def noting(x: Floats, unit: npt.NDArray[np.int64], step: Floats) -> tuple[Floats, Floats]:
        trail.append(x)
        return run(x, unit, step)

    return noting


def lengths(x: Floats) -> npt.NDArray[np.float64]:
    """Return the L2 length of each item."""
    found: npt.NDArray[np.float64] = np.linalg.norm(
        x.reshape(len(x), -1).astype(np.float64), axis=1
    )
    return found


def report() -> Iterator[str]:
    """Return the page's lines."""
    module = train(COURSES[0], load_digits()[0])
    graph = trace(module, (torch.rand(2, 1, 28, 28),), name="mnist")
    yield "# Climbs in ONNX Runtime beside PyTorch\n"
    yield "Generated by `benchmarks/climbs.py`.\n"
    yield _TOLD
    yield f"| {' | '.join(_COLUMNS)} |"
    yield f"|{'---|' * len(_COLUMNS)}"
    for layer, activated in LAYERS:
        yield compared(graph, layer, activated=activated).row


if __name__ == "__main__":
    with one_thread():
        for line in report():
            print(line, flush=True)
