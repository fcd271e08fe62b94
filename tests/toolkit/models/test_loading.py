from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import pytest
import torch
from torch import nn

import netloft
from netloft.errors import CheckpointError, InputError
from netloft.models import load, load_model
from netloft.models.inputs import parse_input

SHAPE = (parse_input("1x3x16x16"),)


def test_load_is_public_and_gives_a_module_in_eval_mode() -> None:
    net = netloft.load("alphago", k=128)
    assert not net.training
    assert net.conv1.out_channels == 128  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("spec", "shape", "domain"),
    [
        ("alphago", (1, 48, 19, 19), "go"),
        ("mnist", (1, 1, 28, 28), "digit"),
        ("acoustic-1x3772", (1, 429), "speech"),
        ("alexnet", (1, 3, 224, 224), "photo"),
    ],
)
def test_knows_inputs_and_domain(spec: str, shape: tuple[int, ...], domain: str) -> None:
    model = load_model(spec)
    (given,) = model.inputs
    assert (given.name, given.shape, model.domain) == ("x", shape, domain)
    assert model.name == spec
    assert model.weights == "random, seed 0"
    assert list(model.example(batch=3)) == ["x"]
    assert model.example(batch=3)["x"].shape == (3, *shape[1:])


def test_a_user_s_network_needs_its_inputs(net_file: Path) -> None:
    with pytest.raises(InputError) as caught:
        load_model("net.py:make")
    assert str(caught.value) == (
        "'net.py:make' does not say what its inputs are, so it needs --input\n"
        "  remedy: give the shape of 'image', batch first, as --input 1x3x224x224"
    )
    assert isinstance(load("net.py:make", width=2), nn.Module)


def test_a_user_s_class_with_arguments_and_inputs(net_file: Path) -> None:
    model = load_model("net.py:Net", arguments={"width": 5}, inputs=SHAPE, seed=4)
    assert (model.name, model.spec, model.arguments) == ("net", "net.py:Net", {"width": 5})
    assert model.weights == "as its constructor makes them, seed 4"
    assert model.inputs[0].name == "image"


def test_a_built_network_keeps_its_weights(net_file: Path) -> None:
    model = load_model("net.py:built", inputs=SHAPE)
    assert model.weights == "as the network held them"
    assert model.module.calls == 0


def test_a_network_built_in_its_file_is_seeded_too(net_file: Path) -> None:
    state = torch.get_rng_state()
    first, again, other = (load("net.py:built", seed=seed) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(first.conv.weight, again.conv.weight)  # type: ignore[arg-type,union-attr]
    assert not torch.equal(first.conv.weight, other.conv.weight)  # type: ignore[arg-type,union-attr]


def test_given_inputs_take_the_place_of_the_model_s_own() -> None:
    model = load_model("myresnet", inputs=(parse_input("1x3x64x64"),))
    assert model.inputs[0].shape == (1, 3, 64, 64)
    with pytest.raises(InputError, match=r"MnistNet\.forward has no argument 'y'"):
        load_model("mnist", inputs=(parse_input("y=1x1x28x28"),))


@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_weights_from_a_file(tmp_path: Path, suffix: str) -> None:
    from safetensors.torch import save_file

    source = load("mnist", seed=7)
    path = tmp_path / f"digits.{suffix}"
    save = save_file if suffix == "safetensors" else torch.save
    save(source.state_dict(), path)
    model = load_model("mnist", weights=str(path))
    assert model.weights.startswith(f"digits.{suffix}, sha256 ")
    assert torch.equal(model.module.state_dict()["fc2.weight"], source.state_dict()["fc2.weight"])


def test_weights_that_are_missing() -> None:
    with pytest.raises(CheckpointError, match=r"weights file nix\.pth does not exist"):
        load_model("mnist", weights="nix.pth")


def test_published_weights_come_through_torchvision(tmp_path: Path) -> None:
    from torchvision.models import squeezenet1_1

    (tmp_path / "checkpoints").mkdir()
    state = squeezenet1_1().state_dict()
    torch.save(state, tmp_path / "checkpoints" / "squeezenet1_1-b8a52dc0.pth")
    with (
        mock.patch("torch.hub.get_dir", return_value=str(tmp_path)),
        mock.patch("torch.hub.download_url_to_file", side_effect=AssertionError),
    ):
        model = load_model("squeezenet1_1", weights="IMAGENET1K_V1")
    assert model.weights.startswith("torchvision SqueezeNet1_1_Weights.IMAGENET1K_V1, sha256 ")
    assert torch.equal(model.module.state_dict()["features.0.bias"], state["features.0.bias"])
    assert (len(model.labels), model.labels[1]) == (1000, "goldfish")


def test_random_weights_have_no_labels() -> None:
    assert load_model("mnist").labels == ()


def test_timm_models_say_their_own_inputs(monkeypatch: pytest.MonkeyPatch) -> None:
    class Tiny(nn.Module):
        pretrained_cfg = {"input_size": (3, 96, 96), "mean": (0.5,) * 3}  # noqa: RUF012

        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(3, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.fc(x.mean((2, 3)))

    def create_model(name: str, pretrained: bool) -> nn.Module:
        assert (name, pretrained) == ("tiny.in1k", False)
        return Tiny()

    fake = SimpleNamespace(list_models=lambda: ["tiny"], create_model=create_model)
    monkeypatch.setitem(sys.modules, "timm", fake)
    model = load_model("timm:tiny.in1k")
    assert (model.name, model.inputs[0].shape, model.domain) == (
        "tiny.in1k",
        (1, 3, 96, 96),
        "photo",
    )
