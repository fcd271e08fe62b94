"""What is put around a network, and what is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from torch import nn

from netloft.errors import NetloftError
from netloft.models.domain import domain_inputs
from netloft.models.inputs import parse_input
from netloft.models.loaded import LoadedModel
from netloft.models.photographs import IMAGENET_MEAN, IMAGENET_STD, photographs
from netloft.models.wrapping import wrap


class Net(nn.Module):
    def __init__(self, channels: int = 3, classes: int = 4, softmax: bool = False) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, classes, 3, padding=1)
        self.softmax = softmax

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.conv(x).mean((2, 3))
        return torch.softmax(x, 1) if self.softmax else x


class Several(nn.Module):
    def forward(self, a: torch.Tensor, b: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"sum": a + b, "map": a}


def loaded(module: nn.Module, *shapes: str, **facts: Any) -> LoadedModel:
    names = ("x",) if len(shapes) == 1 else ("a", "b")
    inputs = tuple(parse_input(f"{n}={s}") for n, s in zip(names, shapes, strict=True))
    return LoadedModel(module=module.eval(), name="net", spec="net", inputs=inputs, **facts)


def picture(**facts: Any) -> LoadedModel:
    return loaded(Net(), "1x3x32x48", **facts)


def test_nothing_asked_for_changes_nothing() -> None:
    model = picture(labels=("a",))
    assert wrap(model) == model


@pytest.mark.parametrize(
    ("preprocess", "stated", "mean", "std"),
    [
        ("imagenet", {}, IMAGENET_MEAN, IMAGENET_STD),
        ("model", {"mean": (0.1, 0.2, 0.3)}, (0.1, 0.2, 0.3), IMAGENET_STD),
        ("mean=0.5,0.25,0,std=0.5,1,2e-1", {}, (0.5, 0.25, 0.0), (0.5, 1.0, 0.2)),
        ("mean=0.5, std=0.25", {}, (0.5,) * 3, (0.25,) * 3),
        ({"mean": [0.5], "std": (0.25, 0.5, 1)}, {}, (0.5,) * 3, (0.25, 0.5, 1.0)),
    ],
)
def test_the_constants_may_be_named_stated_or_given(
    preprocess: Any, stated: dict[str, Any], mean: tuple[float, ...], std: tuple[float, ...]
) -> None:
    model = wrap(picture(preprocess={**stated, "resize": 40}), preprocess=preprocess)
    (spec,) = model.inputs
    assert (spec.shape, spec.dtype) == ((1, 32, 48, 3), "uint8")
    assert json.loads(model.metadata["netloft.preprocess"]) == {
        "layout": "NHWC",
        "dtype": "uint8",
        "colour": "RGB",
        "mean": list(mean),
        "std": list(std),
        "resize": 40,
    }
    images = model.example(2)["images"]
    given = torch.tensor(mean), torch.tensor(std)
    plain = ((images / 255 - given[0]) / given[1]).permute(0, 3, 1, 2)
    net = picture().module
    net.load_state_dict(model.module.get_submodule("network").state_dict())
    assert torch.allclose(model.module(images=images), net(plain), atol=1e-6)


def test_its_real_inputs_are_the_photographs_that_the_network_gets() -> None:
    plain = picture(domain="photo", preprocess={"mean": (0.4,) * 3, "std": (0.2,) * 3})
    model = wrap(plain, preprocess="model")
    found = domain_inputs(model, 3, 5)
    assert found is not None
    assert found[1] == "2 photographs, cropped and flipped into 3"
    wanted = photographs((3, 32, 48), 3, 5, plain.preprocess)
    preprocess = model.module.get_submodule("preprocess")
    assert torch.allclose(preprocess(found[0]["images"]), wanted, atol=1e-6)


def test_grey_pictures_have_one_mean() -> None:
    model = wrap(loaded(Net(1), "1x1x28x28", domain="digit"), preprocess="mean=0.13,std=0.31")
    assert model.inside["colour"] == "grey"
    found = domain_inputs(model, 2, 0)
    assert found is not None
    assert found[0]["images"].shape == (2, 28, 28, 1)
    assert found[1] == "2 drawn digits"


def test_a_head_keeps_the_inputs_and_labels_are_told() -> None:
    model = wrap(picture(), head=["softmax", "top2"], labels=["a", "ß", "/c", '"d"'])
    assert [spec.name for spec in model.inputs] == ["x"]
    assert list(model.module(**model.example())) == ["probabilities", "scores", "classes"]
    assert json.loads(model.metadata["netloft.labels"]) == ["a", "ß", "/c", '"d"']


def test_labels_alone_leave_the_module() -> None:
    plain = picture()
    assert wrap(plain, labels=list("abcd")).module is plain.module


FOUR = ["a", "b", "c", "d"]


@pytest.mark.parametrize(
    ("model", "around", "problem"),
    [
        (picture(), {"preprocess": "nonsense"}, "--preprocess 'nonsense' is not known"),
        (picture(), {"preprocess": "mean=a,std=1"}, "--preprocess 'mean=a,std=1' is not known"),
        (picture(), {"preprocess": "std=1,mean=1"}, "--preprocess 'std=1,mean=1' is not known"),
        (picture(), {"preprocess": {"mean": [0.5]}}, "--preprocess has mean"),
        (
            picture(),
            {"preprocess": "mean=124,std=58"},
            "--preprocess has a mean outside of 0 to 1, or a std that is not above 0",
        ),
        (
            picture(),
            {"preprocess": "mean=0.5,std=0"},
            "--preprocess has a mean outside of 0 to 1, or a std that is not above 0",
        ),
        (
            picture(),
            {"preprocess": "mean=nan,std=1"},
            "--preprocess has a mean outside of 0 to 1, or a std that is not above 0",
        ),
        (
            picture(),
            {"preprocess": "mean=0.5,0.5,std=1"},
            "--preprocess is for pictures of 2 channels, and net takes pictures of 3",
        ),
        (picture(), {"preprocess": "model"}, "net does not state its preprocessing"),
        (
            loaded(Net(1), "1x1x28x28"),
            {"preprocess": "imagenet"},
            "--preprocess is for pictures of 3 channels, and net takes pictures of 1",
        ),
        (
            loaded(Net(48), "1x48x19x19"),
            {"preprocess": "imagenet"},
            "--preprocess is for a network that takes one picture as batch x channels x height x "
            "width of float32, and net takes batch x 48 x 19 x 19 of float32",
        ),
        (
            loaded(Several(), "1x3x32x32", "1x4:int64"),
            {"preprocess": "imagenet"},
            "--preprocess is for a network that takes one picture as batch x channels x height x "
            "width of float32, and net takes batch x 3 x 32 x 32 of float32 and batch x 4 of int64",
        ),
        (picture(), {"head": "best"}, "--head 'best' is not known"),
        (picture(), {"head": "top0"}, "--head 'top0' is not known"),
        (picture(), {"head": ["top2", "top3"]}, "--head is given two numbers of classes"),
        (picture(), {"head": "top5"}, "--head top5 of 4 classes"),
        (
            loaded(Several(), "1x3x32x32", "1x3x32x32"),
            {"head": "softmax"},
            "--head is for scores of batch x classes, and net gives batch x 3 x 32 x 32 and "
            "batch x 3 x 32 x 32",
        ),
        (
            loaded(Net(softmax=True), "1x3x32x32"),
            {"head": "softmax"},
            "net gives probabilities already: they are not negative and add up to 1",
        ),
        (
            picture(),
            {"labels": ["a", "b"]},
            "there are 2 labels, and net tells 4 classes apart",
        ),
        (
            picture(labels=("a", "b")),
            {"head": "softmax"},
            "there are 2 labels, and net tells 4 classes apart",
        ),
        (
            loaded(Several(), "1x3x32x32", "1x3x9x32"),
            {"labels": ["a", "b"]},
            "net fails on an input of its own shape: The size of tensor a (32) must match the "
            "size of tensor b (9) at non-singleton dimension 2",
        ),
    ],
)
def test_what_does_not_fit_is_refused(
    model: LoadedModel, around: dict[str, Any], problem: str
) -> None:
    with pytest.raises(NetloftError) as caught:
        wrap(model, **around)
    assert caught.value.problem == problem
    assert caught.value.remedy
    assert caught.value.exit_code == 2


def test_probabilities_may_be_ranked() -> None:
    wrap(loaded(Net(softmax=True), "1x3x32x32"), head="top1")


@pytest.mark.parametrize(
    ("stated", "told"),
    [
        ({"resize": 256, "crop": 224}, {"resize": 37, "crop": 32}),
        ({"resize": 40, "crop": 32}, {"resize": 40, "crop": 32}),
        ({"crop": 224}, {"crop": 32}),
    ],
)
def test_pictures_of_another_size_are_the_same_part(
    stated: dict[str, Any], told: dict[str, Any]
) -> None:
    model = wrap(picture(preprocess=stated), preprocess="imagenet")
    metadata = json.loads(model.metadata["netloft.preprocess"])
    assert {key: metadata[key] for key in ("resize", "crop") if key in metadata} == told
