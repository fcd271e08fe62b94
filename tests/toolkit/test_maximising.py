"""What units look for, whole: proven, exported, climbed for in ONNX Runtime, and shown."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import onnx
import pytest
import torch
from examples.digits import COURSES, enlarged, load_digits, train
from onnx import numpy_helper
from torch import nn

import netloft_exporters.onnx
from netloft.errors import OutputError, ParityError, UsageError
from netloft.explain.ascent import Ascent
from netloft.explain.climb import onnx_run
from netloft.explain.filters import filters_of
from netloft.maximising import maximise, sheet_of
from netloft.models import load_model
from netloft.models.loaded import InputSpec, LoadedModel
from netloft.tracing import trace


@pytest.fixture(scope="module")
def digits() -> LoadedModel:
    """A network that has seen each digit twice, which tells most of them."""
    pytest.importorskip("sklearn")
    course = dataclasses.replace(COURSES[0], epochs=2)
    return dataclasses.replace(load_model("mnist"), module=train(course, load_digits()[0]))


def test_the_network_is_sure_of_what_it_asked_for(digits: LoadedModel) -> None:
    found = maximise(digits, l1=0.02, threads=1)
    assert (found.kind, found.units, found.layer) == ("class", tuple(range(10)), "fc2")
    assert found.proof.route == "netloft"
    assert found.proof.gradient < 1e-12
    assert found.proof.directions.undecided == 0
    assert (np.diff(found.climbed.history, axis=0) >= 0).all()
    with torch.no_grad():
        shares = digits.module(torch.from_numpy(found.climbed.x)).softmax(dim=1)
    assert shares.argmax(dim=1).tolist() == list(range(10))
    assert float(shares.amax(dim=1).min()) > 0.9
    assert found.climbed.x.min() >= 0
    assert found.climbed.x.max() <= 1


class Tokens(nn.Module):
    """Channels last, as in Swin, and as tokens, as in ViT."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.mix, self.head = nn.Conv2d(3, 4, 3), nn.Linear(4, 6), nn.Linear(6, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.tanh(self.mix(self.conv(x).permute(0, 2, 3, 1)))
        found: torch.Tensor = self.head(x.flatten(1, 2)).mean(1)
        return found


@pytest.mark.parametrize(("layer", "count"), [("mix", 6), ("head", 3)])
def test_a_channel_is_summed_over_its_places(layer: str, count: int) -> None:
    torch.manual_seed(0)
    module = Tokens().eval()
    model = LoadedModel(module, "net", "net", (InputSpec("", (1, 3, 9, 9)),))
    found = maximise(model, layer, steps=8, threads=1)
    assert (found.kind, found.count) == ("channel", count)
    seen: list[torch.Tensor] = []
    module.get_submodule(layer).register_forward_hook(lambda _, __, made: seen.append(made))
    with torch.no_grad():
        module(torch.from_numpy(found.climbed.x))
    sums = seen[0].flatten(1, -2).sum(1).diagonal()  # each of its own channel
    assert found.climbed.history[-1] == pytest.approx(sums.numpy(), rel=1e-4)
    assert (found.climbed.history[-1] > found.climbed.history[0]).all()


def test_a_gradient_that_is_the_same_everywhere_has_its_length() -> None:
    """ONNX Runtime adds up 150,000 equal squares in a row and is off by 6e-5, if it is let."""
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 8, 7, 2, 3), nn.Flatten(), nn.Linear(8 * 112 * 112, 2))
    model = LoadedModel(module.eval(), "net", "net", (InputSpec("", (1, 3, 224, 224)),))
    found = maximise(model, "0", (0, 5), steps=1, threads=1)
    assert found.proof.directions.worst < 2e-6


def test_what_was_learnt_looks_like_what_it_was_learnt_from(digits: LoadedModel) -> None:
    """The picture of a class is more like the digits of that class than like most others."""
    found = maximise(digits, l1=0.1, jitter=1, steps=60, threads=1)
    course, (learnt, _) = COURSES[0], load_digits()
    means = torch.stack([
        enlarged(learnt.pictures[learnt.labels == k], course.side).mean(dim=0) for k in range(10)
    ])  # fmt: skip
    means, seen = (
        nn.functional.avg_pool2d(x - x.mean((1, 2, 3), keepdim=True), 4).flatten(1)
        for x in (means, torch.from_numpy(found.climbed.x))
    )
    likeness = torch.corrcoef(torch.cat([seen, means]))[:10, 10:]
    ranks = (likeness > likeness.diagonal().unsqueeze(1)).sum(dim=1)
    assert int((ranks <= 2).sum()) >= 8  # among the three likest of ten; of chance, three would be


def test_a_kept_file_takes_the_same_steps(digits: LoadedModel, tmp_path: Path) -> None:
    file = tmp_path / "new" / "conv2.onnx"
    found = maximise(digits, "conv2", [3, 49, 3], steps=4, keep=file, threads=1)
    run = onnx_run(file, 1)
    units = np.array([3, 49, 3])
    _, objective = run(found.climbed.x, units, np.full(3, 0.1, np.float32))
    assert objective == pytest.approx(found.climbed.history[-1], rel=1e-6)
    assert np.array_equal(found.climbed.x[0], found.climbed.x[2])  # a unit's start is its own
    alone = maximise(digits, "conv2", [49], steps=4, threads=1)
    assert alone.climbed.x[0] == pytest.approx(found.climbed.x[1], abs=1e-5)


def test_photographs_climb_in_their_own_numbers() -> None:
    inputs = [InputSpec("", (1, 3, 32, 32))]
    model = load_model("myresnet", arguments={"num_classes": 10}, inputs=inputs)
    found = maximise(model, "layer1.0.conv1", [0, 5], activated=True, steps=3, threads=1)
    mean, std = (np.reshape(found.scale[name], (1, 3, 1, 1)) for name in ("mean", "std"))
    pixels = found.climbed.x * std + mean
    assert pixels.min() > -1e-6
    assert pixels.max() < 1 + 1e-6
    assert found.climbed.step[0] > 0.1  # white less black is more than 4 where std is 0.22
    assert sheet_of(found).tiles[1].pixels.shape == (*model.inputs[0].shape[2:], 3)


def test_a_sheet_says_what_each_is_and_how_it_was_made(digits: LoadedModel) -> None:
    found = maximise(digits, "conv1", [2, 7], steps=2, l1=0.5, jitter=1, seed=4, threads=1)
    sheet = sheet_of(found)
    assert sheet.title == "What filters of mnist look for: conv1"
    assert "2 steps of 0.1, L1 0.5, jitter 1, seed 4" in sheet.subtitle
    assert [tile.caption for tile in sheet.tiles] == ["filter 2", "filter 7"]
    before, after = found.climbed.history[[0, -1], 0]
    assert sheet.tiles[0].note == f"{before:.3g} → {after:.3g}"
    named = dataclasses.replace(found, kind="class", labels=("a", "b", "sea", *"defgh"))
    assert [tile.caption for tile in sheet_of(named, "Mine").tiles] == ["sea", "h"]
    stuck = np.zeros_like(found.climbed.kept)
    still = dataclasses.replace(found, climbed=dataclasses.replace(found.climbed, kept=stuck))
    assert sheet_of(still).tiles[0].note.endswith(", no way up")


@pytest.mark.parametrize(
    ("layer", "units", "options", "told"),
    [
        ("conv1", [25], {}, r"no filter 25: conv1 has 25.*from 0 to 24"),
        ("fc1", [-1], {}, "no neuron -1"),
        ("", [10], {}, "no class 10"),
        ("conv1", [], {}, "name at least one"),
        ("conv9", None, {}, "calls no module 'conv9'"),
        ("conv1", None, {"steps": 0}, "lead nowhere"),
        ("conv1", None, {"l1": -0.1}, "no penalty"),
    ],
)
def test_what_is_wrong_is_said(
    digits: LoadedModel, layer: str, units: list[int] | None, options: dict[str, Any], told: str
) -> None:
    with pytest.raises(UsageError, match=f"(?s){told}"):
        maximise(digits, layer, units, threads=1, **options)


def test_a_place_that_cannot_be_written_is_told(digits: LoadedModel, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        maximise(digits, "conv1", [0], steps=1, keep=tmp_path / "file" / "a.onnx", threads=1)


def spoiled(name: str, change: Any) -> Any:
    """Return `write_onnx`, but one weight of the file is another afterwards."""
    right = netloft_exporters.onnx.write_onnx

    def write(graph: Any, module: Any, inputs: Any, path: Path, **more: Any) -> Any:
        done = right(graph, module, inputs, path, **more)
        model = onnx.load(path)
        (weight,) = (w for w in model.graph.initializer if w.name == name)
        value = numpy_helper.to_array(weight).copy()
        change(value)
        weight.CopyFrom(numpy_helper.from_array(value, name))
        onnx.save(model, path)
        return done

    return write


def test_a_file_that_computes_another_objective_is_found(digits: LoadedModel) -> None:
    def change(value: Any) -> None:
        value[:] *= 1.001

    write = spoiled("fc2.weight", change)
    with (
        mock.patch.object(netloft_exporters.onnx, "write_onnx", write),
        pytest.raises(ParityError, match="another function"),
    ):
        maximise(digits, threads=1)


def test_a_file_that_goes_another_way_is_found(digits: LoadedModel) -> None:
    """The weight of the gradient alone is wrong: the objective is what it should be."""

    def wrong(self: Any, x: Any, value: Any, slope: Any) -> Any:
        return value, slope * torch.linspace(1, 1.001, 28) if is_traced(x) else slope

    def is_traced(x: Any) -> bool:
        return type(x) is not torch.Tensor

    right = netloft_exporters.onnx.write_onnx

    def write(graph: Any, module: Any, inputs: Any, path: Path, **more: Any) -> Any:
        with mock.patch.object(Ascent, "_netloft_penalised", wrong):
            bad = trace(module, inputs, name=graph.name, prove=False)
            return right(bad, module, inputs, path, **more)

    with (
        mock.patch.object(netloft_exporters.onnx, "write_onnx", write),
        pytest.raises(ParityError, match="goes another way"),
    ):
        maximise(digits, threads=1)


def test_filters_are_shown_as_they_are(digits: LoadedModel) -> None:
    sheet = filters_of(digits.module)
    assert [tile.caption for tile in sheet.tiles] == [f"filter {k}" for k in range(25)]
    weight = digits.module.state_dict()["conv1.weight"][3, 0].numpy()
    pixels = sheet.tiles[3].pixels
    assert pixels.shape == (3, 3, 3)
    assert (np.sign(pixels[..., 0].astype(int) - 128) == np.sign(weight)).all()
    graph = trace(digits.module, digits.example(), name="mnist")
    assert filters_of(graph, "conv1").tiles[3].pixels.tolist() == pixels.tolist()
    assert filters_of(load_model("resnet18").module).tiles[0].pixels.shape == (7, 7, 3)
    with pytest.raises(UsageError, match="25 channels"):
        filters_of(digits.module, "conv2")
    with pytest.raises(UsageError, match=r"(?s)'fc1'.*conv1, conv2"):
        filters_of(digits.module, "fc1")
