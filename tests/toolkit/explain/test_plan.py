"""What a map is of: layers found and named, forms of the gradient, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.toolkit.explain.eager import Array, judged
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - what everybody calls it

from netloft.defaults import MAP_METHODS
from netloft.errors import UsageError
from netloft.explain.gradcam import plan_map
from netloft.models.loaded import InputSpec, LoadedModel
from netloft.models.mapping import with_map
from netloft.models.wrapping import wrap
from netloft.runtime.providers import start_session
from netloft.tracing import trace
from netloft_exporters import to_onnx

SHAPE = (3, 40, 56)


class Writing(nn.Module):
    """Writes over its values; pictures are no squares."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 6, 3, stride=2), nn.Conv2d(6, 8, 3, padding=1)
        self.norm, self.relu = nn.BatchNorm2d(8), nn.ReLU(inplace=True)
        self.pool, self.fc = nn.MaxPool2d(3, 2), nn.Linear(8 * 4 * 6, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.first(x))
        x = self.second(x)
        x += 0.25
        x = self.relu(self.norm(x))
        x = self.pool(self.pool(x))
        return self.fc(x.flatten(1))


class Classifier(nn.Module):
    """A mean over places and a linear layer, or something that is nearly that."""

    def __init__(self, variant: str = "") -> None:
        super().__init__()
        self.variant = variant
        self.conv, self.drop, self.fc = nn.Conv2d(3, 8, 3), nn.Dropout(), nn.Linear(8, 5)
        self.norm, self.head, self.wide = nn.LayerNorm(8), nn.Conv2d(8, 1, 3), nn.Linear(1872, 5)

    def forward(self, x: Tensor) -> Any:
        x = torch.relu(self.conv(x))
        match self.variant:
            case "softmax":
                return torch.softmax(self.fc(x.mean((2, 3))), 1)
            case "log softmax":
                return F.log_softmax(self.fc(x.mean((-1, -2))), dim=-1)
            case "rows":
                return self.fc(self.norm(x.mean((2, 3))[:, None, None]).flatten(1))
            case "one channel":
                return self.wide(self.head(x).flatten(1))
            case "maximum":
                return self.fc(x.amax((2, 3)))
            case "a row's mean":
                return self.fc(x.mean(2).amax(2))
            case "a part":
                return self.fc(F.avg_pool2d(x, 36).flatten(1)[:, :8])
            case "read twice":
                return self.fc(x.mean((2, 3)) + x.amax((2, 3)))
            case "curved":
                return self.fc(torch.tanh(x.mean((2, 3))))
            case "pooled":
                return self.fc(F.avg_pool2d(x, (38, 54)).flatten(1))
            case "adaptive":
                return self.fc(self.drop(F.adaptive_avg_pool2d(x, 1).reshape(-1, 8)))
            case "no scores":
                return x
            case "sum":
                return x.sum((1, 2, 3))
            case "two":
                return {"features": x, "scores": self.fc(x.mean((2, 3)))}
        return self.fc(x.mean((2, 3)))


class Plain(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(24, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x)


class Two(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = Classifier()

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return self.net(x + y)


def loaded(module: nn.Module, *shapes: tuple[int, ...]) -> LoadedModel:
    torch.manual_seed(0)
    names = ("x", "y")[: len(shapes) or 1]
    specs = [InputSpec(n, (1, *s)) for n, s in zip(names, shapes or (SHAPE,), strict=True)]
    return LoadedModel(module.eval(), "net", "net", tuple(specs))


def planned(module: nn.Module, *shapes: tuple[int, ...], **asked: Any) -> Any:
    model = loaded(module, *shapes)
    return plan_map(trace(model.module, model.example(), name="net"), **asked)


def ran(model: LoadedModel, path: Path, x: Tensor) -> dict[str, Array]:
    to_onnx(model.module, model.example(), path, prove=False)
    session = start_session(path, "cpu", threads=1)
    names = [output.name for output in session.get_outputs()]
    feeds = {session.get_inputs()[0].name: x.numpy()}
    return dict(zip(names, session.run(names, feeds), strict=True))


@pytest.mark.parametrize("method", MAP_METHODS)
@pytest.mark.parametrize("layer", ["first", "second", "norm", "relu"])
def test_values_that_are_written_over_are_explained_as_they_were(
    layer: str, method: str, tmp_path: Path
) -> None:
    torch.manual_seed(1)
    net = Writing().eval()
    x = torch.randn(3, *SHAPE)
    found = ran(with_map(loaded(net), method, layer=layer), tmp_path / "net.onnx", x)
    classes = torch.from_numpy(found["output"].argmax(1))
    verdict = judged(found["map"], net, layer, x, method, classes)
    assert verdict.status == "pass", verdict
    assert found["map"].shape == (3, 40, 56)
    assert (np.ptp(found["map"], axis=(1, 2)) > 0.9).all()


@pytest.mark.parametrize("variant", ["", "pooled", "adaptive", "softmax", "log softmax"])
def test_a_mean_and_a_linear_layer_have_a_closed_form(variant: str) -> None:
    assert planned(Classifier(variant)).weight == "fc.weight"


@pytest.mark.parametrize(
    "variant", ["maximum", "a row's mean", "a part", "read twice", "curved", "rows"]
)
def test_what_is_nearly_that_has_none(variant: str) -> None:
    plan = planned(Classifier(variant))
    assert plan.form == "gradient"
    assert plan.layer_name == "%relu"


def test_one_channel_is_passed_over_and_may_be_asked_for() -> None:
    assert planned(Classifier("one channel")).layer_name == "%relu"
    assert planned(Classifier("one channel"), layer="head").layer_name == "head"


@pytest.mark.parametrize("variant", ["softmax", "log softmax"])
def test_shares_are_explained_by_the_scores_before_them(variant: str, tmp_path: Path) -> None:
    torch.manual_seed(1)
    net, x = Classifier(variant).eval(), torch.randn(3, *SHAPE)
    shares = ran(with_map(loaded(net)), tmp_path / "shares.onnx", x)
    net.variant = ""
    scores = ran(with_map(loaded(net)), tmp_path / "scores.onnx", x)
    assert not np.allclose(shares["output"], scores["output"])
    assert np.array_equal(shares["map"], scores["map"])


def test_the_scores_may_be_one_output_of_several(tmp_path: Path) -> None:
    torch.manual_seed(1)
    net, x = Classifier("two").eval(), torch.randn(2, *SHAPE)
    several = ran(with_map(loaded(net)), tmp_path / "two.onnx", x)
    assert list(several) == ["features", "scores", "map"]
    net.variant = ""
    assert planned(net).layer_name == "%relu"


def test_a_picture_that_speaks_against_a_class_has_a_map_of_zeros(tmp_path: Path) -> None:
    net = Classifier().eval()
    with torch.no_grad():
        net.fc.weight[2] = -1
    x = torch.randn(2, *SHAPE)
    map = ran(with_map(loaded(net), class_index=2), tmp_path / "net.onnx", x)["map"]
    assert not map.any()


def test_pictures_as_bytes_have_the_same_map(tmp_path: Path) -> None:
    torch.manual_seed(1)
    net = Writing().eval()
    images = torch.randint(0, 256, (3, *SHAPE[1:], 3), dtype=torch.uint8)
    mean, std = (0.5, 0.4, 0.3), (0.2, 0.3, 0.25)
    around: dict[str, Any] = {"preprocess": {"mean": mean, "std": std}, "map": "gradcam"}
    taking = wrap(loaded(net), **around)
    assert with_map(loaded(net)).map["layer"] == "relu@1"
    assert taking.map["layer"] == "network.relu@1"  # as the nodes of the file are called
    found = ran(wrap(loaded(net), **around, layer="relu"), tmp_path / "bytes.onnx", images)
    exact = (images.double() / 255 - torch.tensor(mean).double()) / torch.tensor(std).double()
    x = exact.permute(0, 3, 1, 2).float()
    classes = torch.from_numpy(found["output"].argmax(1))
    verdict = judged(found["map"], net, "relu", x, "gradcam", classes)
    assert verdict.status == "pass", verdict
    assert found["map"].shape == (3, 40, 56)


REFUSED: dict[str, tuple[nn.Module, tuple[tuple[int, ...], ...], dict[str, Any], str, str]] = {
    "no scores": (Classifier("no scores"), (), {}, "scores of batch x classes", "classifier"),
    "a number": (Classifier("sum"), (), {}, "scores of batch x classes", "classifier"),
    "no pictures": (Plain(), ((24,),), {}, "no layer whose values are pictures", "takes pictures"),
    "two inputs": (Two(), (SHAPE, SHAPE), {}, "takes 2 inputs", "the picture alone"),
    "no such layer": (Writing(), (), {"layer": "secund"}, "no module 'secund'", "second"),
    "no such node": (Writing(), (), {"layer": "%conv"}, "no module '%conv'", "--layer"),
    "never called": (Classifier(), (), {"layer": "head"}, "no module 'head'", "conv"),
    "no picture": (Writing(), (), {"layer": "fc"}, "fc gives float32", "convolution"),
    "no such class": (Writing(), (), {"class_index": 5}, "no class 5", "from 0 to 4"),
    "below zero": (Writing(), (), {"class_index": -1}, "no class -1", "from 0 to 4"),
    "no such method": (Writing(), (), {"method": "cam"}, "no method 'cam'", "gradcam++"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_has_no_map_is_told_with_a_remedy(what: str) -> None:
    module, shapes, asked, problem, remedy = REFUSED[what]
    with pytest.raises(UsageError) as caught:
        planned(module, *shapes, **asked)
    assert problem in caught.value.problem
    assert remedy in (caught.value.remedy or "")


def test_nothing_leads_from_a_layer_behind_the_scores() -> None:
    with pytest.raises(UsageError, match="nothing leads from"):
        with_map(loaded(Aside()), layer="aside")


class Aside(Classifier):
    def __init__(self) -> None:
        super().__init__()
        self.aside = nn.Conv2d(8, 4, 1)

    def forward(self, x: Tensor) -> Any:
        features = torch.relu(self.conv(x))
        return {"scores": self.fc(features.mean((2, 3))), "other": self.aside(features)}


def test_a_map_of_a_map_is_refused() -> None:
    with pytest.raises(UsageError, match="gives a map already"):
        with_map(with_map(loaded(Classifier())))


@pytest.mark.parametrize(
    ("asked", "problem"),
    [
        ({"map": "gradcam", "head": "softmax"}, "--head takes them away"),
        ({"layer": "conv"}, "are of a map"),
        ({"class_index": 0}, "are of a map"),
    ],
)
def test_what_does_not_go_together_is_refused(asked: dict[str, Any], problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        wrap(loaded(Classifier()), **asked)
