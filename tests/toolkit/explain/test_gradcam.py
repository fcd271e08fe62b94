"""Grad-CAM files in ONNX Runtime against hooks and autograd, on networks that people use."""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from tests.toolkit.explain.eager import Array, HookedDenseNet, eager_map, judged, regret
from torch import Tensor, nn

from netloft.defaults import MAP_METHODS
from netloft.explain.gradcam import GradCam
from netloft.models import load_model
from netloft.models.inputs import parse_input
from netloft.models.loaded import LoadedModel
from netloft.models.mapping import plan_of, with_map
from netloft.models.photographs import photographs
from netloft.runtime.providers import start_session
from netloft_exporters import to_onnx

SIDE = 64
EXPECTED = {
    # the layer by default, the module that a hook is put on, whether there is a closed form
    "resnet18": ("layer4", "layer4.1.relu", True),
    "myresnet": ("layer2", "layer2.0.relu", True),
    "mobilenet_v2": ("features", "features.18.2", True),
    "densenet121": ("%relu", "relu", True),
    "alexnet": ("features.11", "features.11", False),
    "vgg16": ("features.29", "features.29", False),
    "vgg16_bn": ("features.42", "features.42", False),
}
SLOW = ("vgg16", "vgg16_bn")


class Made:
    """A network, and the files that are made of it."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name, self._folder, self._answers = name, folder, dict[tuple[str, int], list[Array]]()
        self.model = load_model(name, inputs=[parse_input(f"1x3x{SIDE}x{SIDE}")])
        self.layer, self.hooked, self.closed = EXPECTED[name]
        self.eager: nn.Module = self.model.module
        if name == "densenet121":
            self.eager = HookedDenseNet(self.model.module)

    def file(self, method: str) -> Path:
        path = self._folder / f"{method}.onnx"
        if not path.exists():
            mapped = with_map(self.model, method)
            to_onnx(mapped.module, mapped.example(), path, prove=False)
        return path

    def answer(self, method: str, batch: int) -> list[Array]:
        """Return scores and map on photographs."""
        if (method, batch) not in self._answers:
            self._answers[method, batch] = ran(self.file(method), pictures(batch))
        return self._answers[method, batch]


def ran(path: Path, x: Tensor) -> list[Array]:
    session = start_session(path, "cpu", threads=1)
    assert [output.name for output in session.get_outputs()] == ["output", "map"]
    return session.run(None, {session.get_inputs()[0].name: x.numpy()})


def pictures(batch: int) -> Tensor:
    return photographs((3, SIDE, SIDE), batch, 0, {})


@pytest.fixture(
    params=[pytest.param(n, marks=[pytest.mark.slow] if n in SLOW else []) for n in EXPECTED],
    scope="module",
)
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Made:
    return Made(request.param, tmp_path_factory.mktemp(request.param))


@pytest.mark.parametrize("batch", [1, 4])
@pytest.mark.parametrize("method", MAP_METHODS)
def test_the_map_is_what_hooks_and_autograd_give(made: Made, method: str, batch: int) -> None:
    scores, map = made.answer(method, batch)
    x = pictures(batch)
    assert map.shape == (batch, SIDE, SIDE)
    assert map.dtype == np.float32
    assert regret(scores, made.eager, x) < 1e-5  # classes that differ are as good as each other
    classes = torch.from_numpy(scores.argmax(1))
    found = judged(map, made.eager, made.hooked, x, method, classes)
    assert found.status == "pass", found
    assert 0 <= map.min() <= map.max() <= 1
    assert map.max(axis=(1, 2)) == pytest.approx(1, abs=1e-5)  # there is something to see


@pytest.mark.parametrize("method", MAP_METHODS)
def test_the_layer_and_the_form_are_those_expected(made: Made, method: str) -> None:
    plan = plan_of(made.model, method)
    assert plan.layer_name == made.layer
    assert plan.form == ("closed form" if made.closed else "gradient")
    again = plan_of(made.model, method, layer=plan.layer_name)
    assert again.layer.name == plan.layer.name  # what is told can be asked for


def test_a_closed_form_is_the_gradient(made: Made) -> None:
    if not made.closed:
        assert not plan_of(made.model).weight
        return
    x = pictures(3).double()
    for method in MAP_METHODS:
        plan = plan_of(made.model, method)
        forms = (plan, dataclasses.replace(plan, weight=""))
        nets = [copy.deepcopy(GradCam(form)).double() for form in forms]
        with torch.no_grad():
            closed, gradient = (net(x)["map"] for net in nets)
        assert closed.max() > 0.5
        assert torch.allclose(closed, gradient, rtol=0, atol=1e-9), method


def test_each_node_of_a_gradient_tells_its_layer(made: Made) -> None:
    file = onnx.load(made.file("gradcam"), load_external_data=False)
    names = {node.name.rpartition("/")[0] for node in file.graph.node}
    backward = {name for name in names if name.split(".")[0] == "gradient"}
    if made.closed:
        assert not backward
        return
    known = {
        path for path, module in made.model.module.named_modules() if not any(module.children())
    }
    layers = {name.removeprefix("gradient.") for name in backward - {"gradient"}}
    assert layers <= known
    linear = {p for p, m in made.model.module.named_modules() if isinstance(m, nn.Linear)}
    assert linear <= layers
    assert made.layer not in layers


@pytest.fixture(scope="module")
def resnet(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return Made("resnet18", tmp_path_factory.mktemp("resnet18"))


@pytest.mark.parametrize("method", MAP_METHODS)
def test_what_is_another_map_fails(resnet: Made, method: str) -> None:
    scores, map = resnet.answer(method, 4)
    x, classes = pictures(4), torch.from_numpy(scores.argmax(1))
    second = torch.from_numpy(scores.argsort(1)[:, -2].copy())
    (other,) = set(MAP_METHODS) - {method}
    wrong = {
        "another method": eager_map(resnet.eager, "layer4.1.relu", x, other, classes)[1].numpy(),
        "another class": eager_map(resnet.eager, "layer4.1.relu", x, method, second)[1].numpy(),
        "another layer": eager_map(resnet.eager, "layer4.1.bn2", x, method, classes)[1].numpy(),
        "another item": np.roll(map, 1, axis=0),
        "on its side": map.transpose(0, 2, 1),
        "a thousandth off": map * np.float32(1.001),
    }
    for what, given in wrong.items():
        found = judged(given, resnet.eager, "layer4.1.relu", x, method, classes)
        assert found.status == "fail", (what, found)


def test_a_class_and_a_layer_that_are_asked_for(resnet: Made, tmp_path: Path) -> None:
    x = pictures(4)
    for layer, hooked in (("layer3", "layer3"), ("layer4.0.conv2", "layer4.0.conv2")):
        mapped = with_map(resnet.model, layer=layer, class_index=281)
        to_onnx(mapped.module, mapped.example(), tmp_path / "net.onnx", prove=False)
        map = ran(tmp_path / "net.onnx", x)[1]
        for chosen, status in ((281, "pass"), (282, "fail")):
            classes = torch.full((4,), chosen)
            found = judged(map, resnet.eager, hooked, x, "gradcam", classes)
            assert found.status == status, (layer, chosen, found)


def test_the_network_itself_is_not_changed(resnet: Made) -> None:
    before = {name: value.clone() for name, value in resnet.model.module.state_dict().items()}
    mapped: LoadedModel = with_map(resnet.model)
    assert not resnet.model.map
    assert mapped.module is not resnet.model.module
    after = resnet.model.module.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
