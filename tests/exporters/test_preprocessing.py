"""Preprocessing and heads in the file: exact to the last border pixel, and told in the metadata."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from torch import nn

import netloft
from netloft.models.photographs import IMAGENET_MEAN, IMAGENET_STD, pictures
from netloft.models.pipeline import Normalise, Pipeline
from netloft.parity.policy import DEFAULT_POLICY
from netloft_exporters import onnx as route
from netloft_exporters import to_onnx
from netloft_exporters.onnx.lowering import Unsupported

MEAN = torch.tensor(IMAGENET_MEAN, dtype=torch.float64)
STD = torch.tensor(IMAGENET_STD, dtype=torch.float64)


class Map(nn.Module):
    """A padded convolution whose every pixel is seen."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 5, padding=2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(x)


class Alex(nn.Module):
    """AlexNet's first layers, its strides and pads, in small."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 16, 11, stride=4, padding=2), nn.ReLU(inplace=True),
            nn.MaxPool2d(3, stride=2), nn.Conv2d(16, 24, 5, padding=2), nn.ReLU(inplace=True),
            nn.MaxPool2d(3, stride=2), nn.Conv2d(24, 16, 3, padding=1),
        )  # fmt: skip
        self.classifier = nn.Linear(16, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.classifier(self.features(x).mean((2, 3)))


class ExplicitPad(nn.Module):
    """The pad is an operation of its own, which a pass moves into the convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(nn.functional.pad(x, (1, 1, 1, 1)))


def resnet() -> nn.Module:
    return netloft.load("resnet18")


def seeded(make: Any) -> nn.Module:
    torch.manual_seed(3)
    module: nn.Module = make()
    return module.eval()


def run(path: Path, images: torch.Tensor) -> dict[str, np.ndarray[Any, Any]]:
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_outputs()]
    return dict(zip(names, session.run(names, {"input": images.numpy()}), strict=True))


def in_float64(net: nn.Module, images: torch.Tensor) -> torch.Tensor:
    """Return what torchvision's preprocessing and the network mean, in float64."""
    values = ((images.double() / 255 - MEAN) / STD).permute(0, 3, 1, 2)
    state = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    with torch.no_grad():
        result: torch.Tensor = net.double()(values)
    net.float().load_state_dict(state)
    return result


def in_float32(net: nn.Module, images: torch.Tensor) -> torch.Tensor:
    """Return what a person gets who prepares the pictures in torchvision's order."""
    values = images.permute(0, 3, 1, 2).contiguous().float() / 255
    values = (values - MEAN.float()[:, None, None]) / STD.float()[:, None, None]
    with torch.no_grad():
        result: torch.Tensor = net(values)
    return result


def scaled(given: Any, wanted: torch.Tensor) -> float:
    gap = (torch.as_tensor(given).double() - wanted).abs().max()
    return float(gap / wanted.abs().max())


def border(values: torch.Tensor) -> torch.Tensor:
    """Return the outermost pixels of maps."""
    edges = (values[..., 0, :], values[..., -1, :], values[..., 0], values[..., -1])
    return torch.cat([edge.flatten() for edge in edges])


@pytest.mark.parametrize(
    ("make", "batch"), [(Map, 1), (Map, 3), (ExplicitPad, 3), (Alex, 3), (resnet, 1)]
)
def test_the_file_is_as_exact_as_float32_is(make: Any, batch: int, tmp_path: Path) -> None:
    net = seeded(make)
    example = (torch.randn(2, 3, 64, 64),)
    path = to_onnx(net, example, tmp_path / "net.onnx", preprocess="imagenet")
    black = torch.zeros(batch, 64, 64, 3, dtype=torch.uint8)
    photographs = pictures((3, 64, 64), batch, 0, {}).permute(0, 2, 3, 1).contiguous()
    for images in (photographs, black, black + 255):
        wanted, given = in_float64(net, images), torch.from_numpy(run(path, images)["output"])
        floor = DEFAULT_POLICY.floor(scaled(in_float32(net, images), wanted), [0])
        assert scaled(given, wanted) <= DEFAULT_POLICY.tolerance(floor)
        if wanted.dim() == 4:
            assert scaled(border(given), border(wanted)) <= DEFAULT_POLICY.tolerance(floor)


class Folded(nn.Module):
    """The wrong way: scale and shift folded into the weights and bias of a padded convolution."""

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        scale, shift = (1 / (255 * STD)).float(), (-MEAN / STD).float()
        assert conv.bias is not None
        self.conv = nn.Conv2d(3, conv.out_channels, conv.kernel_size, padding=conv.padding)  # type: ignore[arg-type]
        with torch.no_grad():
            self.conv.weight.copy_(conv.weight * scale[:, None, None])
            self.conv.bias.copy_(conv.bias + (conv.weight * shift[:, None, None]).sum((1, 2, 3)))  # type: ignore[union-attr]

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.conv(images.permute(0, 3, 1, 2).contiguous().float())


def test_a_shift_folded_into_the_bias_is_right_inside_and_found_wrong(tmp_path: Path) -> None:
    net = seeded(Map)
    images = pictures((3, 64, 64), 2, 0, {}).permute(0, 2, 3, 1).contiguous()
    path = to_onnx(Folded(net.conv).eval(), (images,), tmp_path / "folded.onnx")  # type: ignore[arg-type]
    wanted, given = in_float64(net, images), torch.from_numpy(run(path, images)["output"])
    inside = (..., slice(2, -2), slice(2, -2))
    assert scaled(given[inside], wanted[inside]) < 1e-6
    assert scaled(border(given), border(wanted)) > 0.1
    right = Pipeline(net, Normalise(IMAGENET_MEAN, IMAGENET_STD))
    found = netloft.verify(
        path, against=right, example_inputs={"images": images}, providers=["cpu"]
    )
    assert found.status == "fail"
    ours = to_onnx(net, (torch.randn(2, 3, 64, 64),), tmp_path / "o.onnx", preprocess="imagenet")
    found = netloft.verify(
        ours, against=right, example_inputs={"images": images}, providers=["cpu"]
    )
    assert found.status == "pass"


def test_the_shift_stands_before_the_convolution(tmp_path: Path) -> None:
    path = to_onnx(
        seeded(Map), (torch.randn(2, 3, 64, 64),), tmp_path / "net.onnx", preprocess="imagenet"
    )
    nodes = onnx.load(path).graph.node
    assert [node.op_type for node in nodes[:3]] == ["Transpose", "Cast", "Sub"]
    (value,) = onnx.load(path).graph.input
    assert value.type.tensor_type.elem_type == onnx.TensorProto.UINT8
    dims = value.type.tensor_type.shape.dim
    assert [d.dim_param or d.dim_value for d in dims] == ["batch", 64, 64, 3]


LABELS = ["a", "/b", 'c "d"', "œ", *"efghij"]


@pytest.mark.parametrize("fallback", [False, True])
def test_heads_and_metadata_by_either_route(
    fallback: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if fallback:

        def refuse(*_: object) -> None:
            raise Unsupported("this, for the test")

        monkeypatch.setattr(route, "lower_directly", refuse)
    net = seeded(Alex)
    around: dict[str, Any] = {
        "preprocess": "imagenet",
        "head": ["softmax", "top3"],
        "labels": LABELS,
    }
    example = (torch.randn(2, 3, 64, 64),)
    path = to_onnx(net, example, tmp_path / "net.onnx", **around)
    again = to_onnx(net, example, tmp_path / "again.onnx", **around)
    assert path.read_bytes() == again.read_bytes()
    told = {prop.key: json.loads(prop.value) for prop in onnx.load(path).metadata_props}
    assert told["netloft.labels"] == LABELS
    assert told["netloft.preprocess"]["mean"] == list(IMAGENET_MEAN)
    images = pictures((3, 64, 64), 5, 0, {}).permute(0, 2, 3, 1).contiguous()
    found = run(path, images)
    wanted = torch.softmax(in_float64(net, images), 1)
    assert np.allclose(found["probabilities"], wanted, atol=1e-6)
    best = wanted.topk(3)
    assert np.allclose(found["scores"], best.values, atol=1e-6)
    assert found["classes"].dtype == np.int64
    assert np.array_equal(found["classes"], best.indices)


def test_a_plain_file_tells_nothing(tmp_path: Path) -> None:
    path = to_onnx(seeded(Alex), (torch.randn(2, 3, 64, 64),), tmp_path / "net.onnx")
    assert not onnx.load(path).metadata_props


class Words(nn.Module):
    """Two inputs, one of them left out."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(30, 6)

    def forward(
        self, ids: torch.Tensor, weight: torch.Tensor, mask: torch.Tensor | None = None
    ) -> torch.Tensor:
        return (self.embedding(ids) * weight[..., None]).sum(1)


def test_a_head_behind_several_inputs(tmp_path: Path) -> None:
    net = seeded(Words)
    example = (torch.randint(0, 30, (2, 7)), torch.rand(2, 7))
    path = to_onnx(net, example, tmp_path / "net.onnx", head="top2")
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    feeds = {"ids": example[0].numpy(), "weight": example[1].numpy()}
    scores, classes = session.run(["scores", "classes"], feeds)
    wanted = net(*example).topk(2)
    assert np.allclose(scores, wanted.values.detach(), atol=1e-6)
    assert np.array_equal(classes, wanted.indices)
