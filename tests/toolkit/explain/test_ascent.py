"""A step uphill as a graph, and the climb in ONNX Runtime."""

from __future__ import annotations

import subprocess
import sys
from functools import cache
from pathlib import Path
from unittest import mock

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor, nn

from netloft.errors import CheckError, UsageError
from netloft.explain.ascent import Ascent, Goal, plan_ascent, prove_ascent, torch_run
from netloft.explain.climb import Run, climb, onnx_run
from netloft.gradients import ADJOINTS
from netloft.gradients.adjoint import parameters_of
from netloft.graph.graph import Graph
from netloft.models import load_model
from netloft.tracing import trace
from netloft_exporters.onnx import write_onnx

Floats = npt.NDArray[np.float32]
STEPS, STEP = 20, 0.1


@cache
def digits() -> Graph:
    model = load_model("mnist", seed=1)
    return trace(model.module, model.example(), name="mnist")


def goal_of(layer: str = "", *, l1: float = 0.0, tv: float = 0.0) -> Goal:
    return plan_ascent(digits(), layer, l1=l1, tv=tv, low=0.0, high=1.0)


def written(goal: Goal, folder: Path) -> tuple[Ascent, Path]:
    """Return the step as a module and as a file, which netloft's own route has to write."""
    net = Ascent(goal).eval()
    units = torch.tensor([0, goal.units - 1])
    example = {"x": torch.rand(2, 1, 28, 28), "unit": units, "step": torch.tensor([0.1, 0.2])}
    graph = trace(net, example)
    assert graph.capture == "torch.fx"
    assert write_onnx(graph, net, example, folder / "step.onnx").route == "netloft"
    return net, folder / "step.onnx"


def start(units: int) -> Floats:
    noise = np.random.default_rng(0).standard_normal((units, 1, 28, 28))
    return np.clip(0.5 + 0.2 * noise, 0, 1).astype(np.float32)


def recorded(run: Run, trail: list[Floats]) -> Run:
    """Return a run that writes down where each item stands at each evaluation."""

    def noting(x: Floats, unit: npt.NDArray[np.int64], step: Floats) -> tuple[Floats, Floats]:
        trail.append(x)
        return run(x, unit, step)

    return noting


def lengths(x: Floats) -> Floats:
    return np.linalg.norm(x.reshape(len(x), -1).astype(np.float64), axis=1)


@pytest.mark.parametrize(("layer", "filters"), [("conv1", 25), ("conv2", 50)])
def test_every_filter_climbs_and_the_trajectories_agree(
    layer: str, filters: int, tmp_path: Path
) -> None:
    goal = goal_of(layer)
    assert (goal.kind, goal.units) == ("filter", filters)
    net, file = written(goal, tmp_path)
    trails: tuple[list[Floats], list[Floats]] = ([], [])
    units = np.arange(filters)
    runs = recorded(onnx_run(file, 1), trails[0]), recorded(torch_run(net), trails[1])
    ours, _ = (climb(run, start(filters), units, STEPS, STEP) for run in runs)

    rises = np.diff(ours.history, axis=0)
    assert (rises >= 0).all()
    assert ((rises > 0) == ours.kept).all()  # a step that was kept rose, and no other did
    assert (ours.history[-1] > ours.history[0]).all()
    assert (ours.kept.sum(axis=0) >= STEPS // 2).all()

    # Rounding alone parts them by 1e-7 a step. Where a pre-activation is 0 to the last place a ReLU
    # may open in one of them only, and that item goes another way from there on: conv1 has none
    # in front of it, and of the filters of conv2 one in twenty may.
    apart = np.max([lengths(a - b) / lengths(b) for a, b in zip(*trails, strict=True)], axis=0)
    assert (apart < 1e-5).mean() >= (1.0 if layer == "conv1" else 0.95)
    assert (apart > 0).any()  # they are two runs


def test_the_last_step_is_the_modules_from_the_same_picture(tmp_path: Path) -> None:
    goal = goal_of()
    net, file = written(goal, tmp_path)
    found = climb(onnx_run(file, 1), start(10), np.arange(10), STEPS, STEP)
    given = found.x, np.arange(10), np.full(10, STEP, np.float32)
    (ahead, objective), (expected, value) = onnx_run(file, 1)(*given), torch_run(net)(*given)
    assert (lengths(ahead - expected) / lengths(expected) < 1e-5).all()
    assert objective == pytest.approx(value, rel=1e-5)
    assert objective == pytest.approx(found.history[-1], rel=1e-5)  # it tells of where it stands
    with torch.no_grad():
        scores = digits().module(torch.from_numpy(found.x)).diagonal()
    assert objective == pytest.approx(scores.numpy(), rel=1e-5)  # each of its own class


def test_one_file_takes_any_batch_and_any_unit(tmp_path: Path) -> None:
    goal = goal_of("fc1", l1=0.01, tv=0.01)
    assert (goal.kind, goal.units) == ("neuron", 100)
    _, file = written(goal, tmp_path)
    run, x = onnx_run(file, 1), start(7)
    units, sizes = np.array([99, 3, 3, 0, 41, 7, 98]), np.linspace(0.01, 0.2, 7, dtype=np.float32)
    together = run(x, units, sizes)
    for i in range(7):
        alone = run(x[i : i + 1], units[i : i + 1], sizes[i : i + 1])
        assert alone[0][0] == pytest.approx(together[0][i], abs=1e-5)
        assert alone[1][0] == pytest.approx(together[1][i], rel=1e-4)
    moved = np.sqrt(((together[0] - x) ** 2).mean(axis=(1, 2, 3)))
    assert (moved <= sizes * 1.0001).all()  # cut at black and white
    assert (moved > sizes / 2).all()


def test_a_penalty_for_ink_leaves_less_of_it(tmp_path: Path) -> None:
    ink = {}
    for weight in (0.0, 0.02):
        run = torch_run(Ascent(goal_of(l1=weight)).eval())
        found = climb(run, start(10), np.arange(10), STEPS, STEP)
        ink[weight] = np.abs(found.x).sum(axis=(1, 2, 3)), (found.x < 0.02).mean()
    assert (ink[0.02][0] < 0.5 * ink[0.0][0]).all()
    assert ink[0.02][1] > ink[0.0][1] + 0.2


def test_a_penalty_for_differences_leaves_smoother_pictures() -> None:
    rough = []
    for weight in (0.0, 1.0):
        run = torch_run(Ascent(goal_of(tv=weight)).eval())
        x = climb(run, start(10), np.arange(10), STEPS, STEP).x
        rough.append((np.diff(x, axis=2) ** 2).sum() + (np.diff(x, axis=3) ** 2).sum())
    assert rough[1] < 0.5 * rough[0]


def test_jitter_is_the_seeds_and_still_rises() -> None:
    run = torch_run(Ascent(goal_of()).eval())
    given = run, start(4), np.arange(4), STEPS, STEP
    plain, one, again, other = (
        climb(*given, jitter=n, seed=seed) for n, seed in ((0, 0), (2, 0), (2, 0), (2, 1))
    )
    assert np.array_equal(one.x, again.x)
    assert not np.array_equal(one.x, other.x)
    assert not np.array_equal(one.x, plain.x)
    assert (np.diff(one.history, axis=0) >= 0).all()
    (_, value) = run(one.x, np.arange(4), np.full(4, STEP, np.float32))
    assert one.history[-1] == pytest.approx(value, rel=1e-6)  # of the picture as it stands


def test_what_was_moved_is_moved_back() -> None:
    def brighter(x: Floats, unit: npt.NDArray[np.int64], step: Floats) -> tuple[Floats, Floats]:
        return np.where(x == x.max(), x + step[0], x).astype(np.float32), x.max(axis=(1, 2, 3))

    x0 = np.zeros((1, 1, 9, 9), np.float32)
    x0[0, 0, 5, 7] = 1
    found = climb(brighter, x0, np.zeros(1, np.int64), 6, 0.5, jitter=3)
    x0[0, 0, 5, 7] = 4
    assert np.array_equal(found.x, x0)


def hill(x: Floats, unit: npt.NDArray[np.int64], step: Floats) -> tuple[Floats, Floats]:
    """A hill with its top at 1: its slope leads there from both sides."""
    to = np.sign(1 - x) * step.reshape(-1, 1, 1, 1)
    return (x + to).astype(np.float32), -np.abs(x - 1).sum(axis=(1, 2, 3))


def test_a_step_that_leads_down_is_taken_back_and_halved() -> None:
    x0 = np.array([0.0, 0.5], np.float32).reshape(2, 1, 1, 1)
    found = climb(hill, x0, np.zeros(2, np.int64), 4, 0.8)
    # 0 → 0.8, then 1.6 is lower: half of the step, 1.2, is no higher than 0.8: a quarter, 1.0, is
    assert found.kept.T.tolist() == [[True, False, False, True], [True, False, True, False]]
    assert found.history[:, 0] == pytest.approx([-1, -0.2, -0.2, -0.2, 0], abs=1e-6)
    assert found.x.ravel() == pytest.approx([1.0, 0.9], abs=1e-6)
    assert found.step == pytest.approx([0.2, 0.2])


def test_an_objective_that_is_no_number_is_no_rise() -> None:
    def broken(x: Floats, unit: npt.NDArray[np.int64], step: Floats) -> tuple[Floats, Floats]:
        ahead, value = hill(x, unit, step)
        return ahead, np.where(x[:, 0, 0, 0] > 0.5, np.nan, value).astype(np.float32)

    found = climb(broken, np.zeros((1, 1, 1, 1), np.float32), np.zeros(1, np.int64), 3, 0.8)
    assert np.isfinite(found.history).all()
    assert found.kept[:, 0].tolist() == [False, True, False]


@pytest.mark.parametrize("layer", ["conv1", "conv2", "fc1", ""])
@pytest.mark.parametrize("penalties", [{}, {"l1": 0.3, "tv": 0.7}])
def test_what_is_climbed_along_is_autograds_gradient(
    layer: str, penalties: dict[str, float]
) -> None:
    assert prove_ascent(goal_of(layer, **penalties), torch.rand(3, 1, 28, 28) - 0.5) < 1e-12


def test_a_wrong_adjoint_is_found() -> None:
    right = ADJOINTS["conv2d"]

    def wrong(*args: object, **kwargs: object) -> object:
        return {name: part * 1.01 for name, part in right(*args, **kwargs).items()}

    wrong.__signature__ = parameters_of(right)  # type: ignore[attr-defined]
    with (
        mock.patch.dict(ADJOINTS, {"conv2d": wrong}),
        pytest.raises(CheckError, match=r"differs from autograd's by 0\.0"),
    ):
        prove_ascent(goal_of("conv2"), torch.rand(2, 1, 28, 28))


def test_a_wrong_penalty_is_found() -> None:
    right = Ascent._netloft_penalised

    def wrong(self: Ascent, x: Tensor, value: Tensor, slope: Tensor) -> tuple[Tensor, Tensor]:
        value, slope = right(self, x, value, slope)
        return value, slope + 1e-3 * x

    with (
        mock.patch.object(Ascent, "_netloft_penalised", wrong),
        pytest.raises(CheckError, match="at fc2 is not the gradient of the objective"),
    ):
        prove_ascent(goal_of(l1=0.1), torch.rand(2, 1, 28, 28))


def test_behind_the_activation_no_place_counts_against_a_filter() -> None:
    x = torch.rand(3, 1, 28, 28)
    unit = torch.tensor([0, 7, 24])
    plain, active = (
        Ascent(plan_ascent(digits(), "conv1", activated=on))._netloft_slope(x, unit)[0]
        for on in (False, True)
    )
    with torch.no_grad():
        value = digits().module.get_submodule("conv1")(x)[torch.arange(3), unit]
    assert torch.allclose(plain, value.sum((1, 2)), atol=1e-3)
    assert torch.allclose(active, value.relu().sum((1, 2)), atol=1e-3)


class Words(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table, self.fc = nn.Embedding(9, 4), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.table(x).mean(1))


class Tokens(nn.Module):
    """A picture whose patches are words; the network tells which of them is the largest."""

    def __init__(self) -> None:
        super().__init__()
        self.patch, self.fc = nn.Conv2d(1, 4, 4, 4), nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        words = self.fc(self.patch(x).flatten(2).transpose(1, 2))
        return torch.relu(words.reshape(-1, 2, 10)).mean(1).argmax(1)


@pytest.mark.parametrize(
    ("layer", "options", "told"),
    [
        ("conv3", {}, r"calls no module 'conv3'.*conv"),
        ("conv1", {"l1": -1.0}, "l1 of -1.0 is no penalty"),
        ("", {"tv": float("nan")}, "tv of nan is no penalty"),
        ("fc2", {"activated": True}, "no activation behind fc2"),
    ],
)
def test_what_cannot_be_climbed_for_is_said(
    layer: str, options: dict[str, float], told: str
) -> None:
    with pytest.raises(UsageError, match=f"(?s){told}"):
        plan_ascent(digits(), layer, **options)  # type: ignore[arg-type]


def test_a_layer_without_units_is_refused() -> None:
    graph = trace(Tokens().eval(), {"x": torch.rand(2, 1, 8, 8)})
    with pytest.raises(UsageError, match=r"relu gives .*batch x units"):
        plan_ascent(graph, "%relu")  # of what was mixed there is no telling
    with pytest.raises(UsageError, match=r"argmax gives .*real numbers"):
        plan_ascent(graph, "%argmax")
    assert plan_ascent(graph, "patch").units == 4
    assert plan_ascent(graph, "fc").units == 5


def test_a_network_without_pictures_is_refused() -> None:
    graph = trace(Words().eval(), {"x": torch.zeros(2, 6, dtype=torch.int64)})
    with pytest.raises(UsageError, match="a picture of real numbers"):
        plan_ascent(graph)


@pytest.mark.parametrize(("steps", "step", "jitter"), [(0, 0.1, 0), (5, 0.0, 0), (5, 0.1, -1)])
def test_a_climb_that_leads_nowhere_is_refused(steps: int, step: float, jitter: int) -> None:
    with pytest.raises(UsageError, match="lead nowhere"):
        climb(hill, start(1), np.zeros(1, np.int64), steps, step, jitter)


def test_the_climb_needs_no_torch(tmp_path: Path) -> None:
    _, file = written(goal_of("conv1"), tmp_path)
    code = (
        "import sys, numpy as np\nfrom pathlib import Path\n"
        "from netloft.explain.climb import climb, onnx_run\n"
        "x = np.full((2, 1, 28, 28), .5, np.float32)\n"
        f"found = climb(onnx_run(Path({str(file)!r}), 1), x, np.arange(2), 3, .1, jitter=1)\n"
        "assert found.kept.any()\nassert 'torch' not in sys.modules and 'onnx' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
