"""What the parts of a network look for: traced, proven, exported, and climbed for in ONNX Runtime.

With `netloft.exporting` this is a place that joins the toolkit and the exporters.
"""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from netloft.bundle.atomic import write_file
from netloft.errors import OutputError, UsageError
from netloft.explain.ascent import Ascent, Goal, plan_ascent, prove_ascent
from netloft.explain.climb import Climbed, check_climb, climb, onnx_run
from netloft.explain.pixels import as_pixels
from netloft.explain.seen import Sheet, Tile
from netloft.graph.graph import Graph
from netloft.models.build import one_thread
from netloft.models.domain import domain_inputs
from netloft.models.loaded import LoadedModel
from netloft.models.photographs import scale_of
from netloft.parity.check import certify, require_parity
from netloft.parity.directions import Directions, check_directions
from netloft.parity.flat import flat_header
from netloft.parity.inputs import Case
from netloft.parity.session import FileRunner
from netloft.tracing import trace

__all__ = ["Maximised", "Options", "Proof", "maximise", "sheet_of"]

Floats = npt.NDArray[np.float32]

MOST = 100
"""Units that are climbed for where none is named."""
_NOISE, _CONTRAST = 0.05, 0.2
"""Standard deviation around mid-grey of the noise that a picture starts as, white less black being
1; and of the blobs that it starts as for a filter."""
_BLOBS = 28
"""Part of a side that a blob reaches to each side."""
_FLOATS = 2**20
"""Numbers in the pictures that climb together."""
_TOGETHER = 64


@dataclass(frozen=True)
class Options:
    """How a climb goes.

    Attributes:
        activated: Whether a unit is what comes out of the activation behind the layer.
        steps: How often a step is tried.
        step: Size of the first, as root mean square of the change, white less black being 1.
        l1: Weight of the sum of |x|, in the network's own numbers.
        tv: Weight of the sum of squared differences of neighbours.
        jitter: Pixels that the picture is moved by, at most, before each step.
        seed: Of the start and of the moves.
    """

    activated: bool = False
    steps: int = 30
    step: float = 0.1
    l1: float = 0.0
    tv: float = 0.0
    jitter: int = 0
    seed: int = 0

    def __str__(self) -> str:
        parts = ["activated"] if self.activated else []
        parts += [f"{self.steps} steps of {self.step:g}"]
        parts += [f"L1 {self.l1:g}"] if self.l1 else []
        parts += [f"total variation {self.tv:g}"] if self.tv else []
        parts += [f"jitter {self.jitter}"] if self.jitter else []
        return ", ".join([*parts, f"seed {self.seed}"])


@dataclass(frozen=True)
class Proof:
    """What was checked before the climb.

    Attributes:
        gradient: Distance from autograd's in float64, beside the length of the gradient.
        directions: How far the file's are from float64's.
        route: How the graph was lowered to ONNX.
    """

    gradient: float
    directions: Directions
    route: str


@dataclass(frozen=True, eq=False)
class Maximised:
    """Pictures that units of a layer want.

    Attributes:
        model: The network's name.
        layer: Module path.
        kind: `filter`, `channel`, `neuron` or `class`.
        units: What each picture was made for.
        count: How many units there are.
        labels: Names of the classes, of all that there are; empty where they are not known.
        options: How they were climbed for.
        climbed: The pictures in the network's own numbers, and the way there.
        scale: `mean` and `std` that take them back to [0, 1]; empty where that is not known.
        proof: What was checked before.
    """

    model: str
    layer: str
    kind: str
    units: tuple[int, ...]
    count: int
    labels: tuple[str, ...]
    options: Options
    climbed: Climbed
    scale: Mapping[str, Sequence[float]]
    proof: Proof


def maximise(
    model: LoadedModel,
    layer: str = "",
    units: Sequence[int] | None = None,
    *,
    activated: bool = False,
    steps: int = Options.steps,
    step: float = Options.step,
    l1: float = 0.0,
    tv: float = 0.0,
    jitter: int = 0,
    seed: int = 0,
    threads: int | None = None,
    keep: Path | None = None,
    graph: Graph | None = None,
) -> Maximised:
    """Make pictures that filters, neurons or classes of a network want.

    A step is written as ONNX and checked: its gradient against autograd in float64, and the file
    against the module. Then every picture starts as grey noise of its unit's own and climbs in ONNX
    Runtime alone; see `netloft.explain.climb.climb`.

    Args:
        model: What was loaded; it is not changed.
        layer: Path of a module; by default the scores of the classes.
        units: Which filters, neurons or classes; by default all, up to a hundred.
        activated: Climb for what the activation behind the layer gives, past a normalisation. A sum
            over all places of a first convolution is but brightness; behind a ReLU only the places
            count that the filter finds something at, and a filter that never does has no way up.
        steps: How often a step is tried.
        step: Size of the first, as root mean square of the change, white less black being 1.
        l1: Weight of the sum of |x|: 0 is black where a network takes [0, 1], and the mean colour
            where pictures are normalised.
        tv: Weight of the sum of squared differences of neighbours.
        jitter: Pixels that the picture is moved by, at most, before each step.
        seed: Of the start and of the moves.
        threads: For one operation; None for ONNX Runtime's own choice.
        keep: Where the step's `.onnx` file stays.
        graph: Of the model for any batch, where it is traced already.

    Raises:
        UsageError: The network takes no picture of real numbers; there is no such layer or unit, or
            its units are not told apart; or an option is out of range.
        NoAdjointError: There is no gradient from the layer to the picture.
        CheckError: The gradient is not autograd's.
        ParityError: The file computes another step than the module.
        OutputError: The file cannot be kept there.
    """
    options = Options(activated, steps, step, l1, tv, jitter, seed)
    check_climb(steps, step, jitter)
    graph = graph or trace(model.module, model.example(seed=seed), name=model.name)
    scale = _scale(model)
    goal = plan_ascent(graph, layer, activated=activated, l1=l1, tv=tv, **_bounds(scale))
    told = layer or goal.layer_name
    chosen = _checked(goal, told, units)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / (keep.name if keep is not None else "step.onnx")
        job = _Job(model, goal, options, scale, file, threads)
        proof = job.proven()
        if keep is not None:
            _keep(file, keep)
        climbed = job.climbed(chosen)
    labels = model.labels if goal.kind == "class" else ()
    return Maximised(
        model=model.name,
        layer=told,
        kind=goal.kind,
        units=chosen,
        count=goal.units,
        labels=labels,
        options=options,
        climbed=climbed,
        scale=scale,
        proof=proof,
    )


def _scale(model: LoadedModel) -> dict[str, tuple[float, ...]]:
    """Return mean and deviation that the network's pictures were normalised with, by channel."""
    (spec, *_) = model.inputs
    channels = spec.shape[1] if len(spec.shape) == 4 else 0
    if model.domain == "go":
        return {"mean": (0.0,) * channels, "std": (1.0,) * channels}
    if channels not in (1, 3):
        return {}
    return scale_of(model.preprocess, channels)


def _bounds(scale: Mapping[str, Sequence[float]]) -> dict[str, tuple[float, ...]]:
    """Return what black and white are in the network's own numbers."""
    if not scale:
        return {}
    pairs = list(zip(scale["mean"], scale["std"], strict=True))
    return {name: tuple((v - m) / s for m, s in pairs) for name, v in (("low", 0.0), ("high", 1.0))}


def _checked(goal: Goal, layer: str, units: Sequence[int] | None) -> tuple[int, ...]:
    if units is None:
        return tuple(range(min(goal.units, MOST)))
    for unit in units:
        if not 0 <= unit < goal.units:
            raise UsageError(
                f"there is no {goal.kind} {unit}: {layer} has {goal.units}",
                remedy=f"they are counted from 0 to {goal.units - 1}",
            )
    if not units:
        raise UsageError(f"no {goal.kind} is named", remedy="name at least one unit")
    return tuple(units)


@dataclass(frozen=True)
class _Job:
    """What proof and climb both need."""

    model: LoadedModel
    goal: Goal
    options: Options
    scale: Mapping[str, Sequence[float]]
    file: Path
    threads: int | None

    @property
    def size(self) -> float:
        """Size of the first step in the network's own numbers."""
        widths = [1 / std for std in self.scale.get("std", (1.0,))]
        return self.options.step * sum(widths) / len(widths)

    def start(self, units: Sequence[int]) -> Floats:
        """Return noise for each unit, its own and the same whichever others there are.

        A neuron or a class starts at mid-grey. A filter looks for what differs from place to place,
        and one behind a ReLU is deaf to a picture that does not: it starts at blobs.
        """
        shape = tuple(int(length) for length in self.goal.graph.inputs[0].info.shape[1:])
        seeds = [(self.options.seed, unit) for unit in units]
        noise = np.stack([np.random.default_rng(seed).standard_normal(shape) for seed in seeds])
        if self.goal.places:
            return self._own_numbers(_CONTRAST * _blobs(noise))
        return self._own_numbers(_NOISE * noise)

    def _own_numbers(self, deviation: npt.NDArray[np.float64]) -> Floats:
        """Return what deviates from mid-grey, white less black being 1, as the network takes it."""
        if not self.scale:
            return deviation.astype(np.float32)
        mean, std = (np.reshape(self.scale[name], (1, -1, 1, 1)) for name in ("mean", "std"))
        shown: Floats = ((np.clip(0.5 + deviation, 0, 1) - mean) / std).astype(np.float32)
        return shown

    def climbed(self, units: Sequence[int]) -> Climbed:
        """Climb with as many pictures at once as fit."""
        run, options = onnx_run(self.file, self.threads), self.options
        picture = int(np.prod([int(d) for d in self.goal.graph.inputs[0].info.shape[1:]]))
        n = max(1, min(_TOGETHER, _FLOATS // picture))
        parts = [
            climb(run, self.start(some), np.asarray(some, np.int64), options.steps, self.size,
                  options.jitter, options.seed)
            for some in (units[at : at + n] for at in range(0, len(units), n))
        ]  # fmt: skip
        return Climbed(
            x=np.concatenate([part.x for part in parts]),
            history=np.concatenate([part.history for part in parts], axis=1),
            kept=np.concatenate([part.kept for part in parts], axis=1),
            step=np.concatenate([part.step for part in parts]),
        )

    def proven(self) -> Proof:
        """Write the file, and hold the gradient and the file to what they should be."""
        from netloft_exporters.onnx import write_onnx

        goal = self.goal
        example = self._inputs(torch.from_numpy(self.start((0, goal.units - 1))))
        with one_thread():
            gap = prove_ascent(goal, example["x"])
            net = Ascent(goal).eval()
            graph = trace(net, example, name=f"{self.model.name}-ascent")
            written = write_onnx(graph, net, example, self.file)
            directions = self._checked_file(graph, net)
        return Proof(gap, directions, written.route)

    def _checked_file(self, graph: Graph, net: Ascent) -> Directions:
        """Hold the objective to the module's as any export is, and the step by its length."""
        cases = self._cases()
        result, expected = certify(graph, net, self.file, cases, ["cpu"], self.threads)
        rows = tuple(row for row in result.rows if row.output == "objective")
        require_parity(dataclasses.replace(result, rows=rows))
        runner = FileRunner(self.file, flat_header(self.file), expected.taps, "cpu", self.threads)
        return check_directions(graph, net, runner.run, cases, output="x_next", start="x")

    def _cases(self) -> list[Case]:
        """Return the start, what the network is made for, and noise, at three sizes of a batch."""
        last = self.goal.units - 1
        spread = sorted({round(last * part / 6) for part in range(7)})
        found = [Case("start", len(spread), self._inputs(torch.from_numpy(self.start(spread))))]
        seed = self.options.seed
        real = domain_inputs(self.model, 2, seed)
        if real is not None:
            found.append(Case(real[1], 2, self._inputs(*real[0].values())))
        (noise,) = self.model.example(1, seed).values()
        return [*found, Case("noise", 1, self._inputs(noise))]

    def _inputs(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        units = torch.linspace(0, self.goal.units - 1, len(x)).round().to(torch.int64)
        return {"x": x, "unit": units, "step": torch.full((len(x),), self.size)}


def _blobs(noise: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return noise (n, channels, height, width) smooth over a few pixels, of deviation 1."""
    for axis in (-2, -1):
        reach = max(1, noise.shape[axis] // _BLOBS)
        for _ in range(2):  # two boxes make a tent
            moved = [np.roll(noise, by, axis) for by in range(-reach, reach + 1)]
            noise = np.mean(moved, axis=0)
    spread: npt.NDArray[np.float64] = noise.std(axis=(1, 2, 3), keepdims=True)
    return noise / spread


def _keep(file: Path, keep: Path) -> None:
    """Copy a file, with the weights beside it where they are too large for one."""
    try:
        keep.parent.mkdir(parents=True, exist_ok=True)
        for part in sorted(file.parent.iterdir()):
            write_file(keep.parent / part.name, part.read_bytes())
    except OSError as error:
        raise OutputError(
            f"{keep} cannot be written: {error.strerror or error}", remedy="name another file"
        ) from error


def sheet_of(found: Maximised, title: str = "") -> Sheet:
    """Return the pictures with what each was made for, and its objective before and after.

    Args:
        found: What `maximise` gave.
        title: In place of one that names layer and network.
    """
    history = found.climbed.history
    begins = found.units == tuple(range(len(found.units))) and len(found.units) < found.count
    first, of = ("the first ", f" of {found.count:,}") if begins else ("", "")
    plural = "classes" if found.kind == "class" else f"{found.kind}s"
    tiles = [
        Tile(as_pixels(x, **found.scale), _caption(found, unit), _note(found, place))  # type: ignore[arg-type]
        for place, (unit, x) in enumerate(zip(found.units, found.climbed.x, strict=True))
    ]
    return Sheet(
        title or f"What {plural} of {found.model} look for: {found.layer}",
        f"{first}{history.shape[1]}{of} {plural} of {found.layer}; {found.options}; "
        "below each, its objective before → after",
        tuple(tiles),
    )


def _caption(found: Maximised, unit: int) -> str:
    return found.labels[unit] if unit < len(found.labels) else f"{found.kind} {unit}"


def _note(found: Maximised, place: int) -> str:
    history = found.climbed.history[:, place]
    if not found.climbed.kept[:, place].any():
        return f"{history[0]:.3g}, no way up"
    return f"{history[0]:.3g} → {history[-1]:.3g}"
