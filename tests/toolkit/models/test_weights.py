from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from unittest import mock
from urllib.error import URLError

import pytest
import torch
from torch import nn

from netloft.errors import CheckpointError, DownloadError
from netloft.models.spec import resolve
from netloft.models.weights import fetch, load_file, published


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(self.conv(x))


def save(tmp_path: Path, state: dict[str, torch.Tensor]) -> Path:
    path = tmp_path / "net.pth"
    torch.save(state, path)
    return path


@pytest.mark.parametrize("prefix", ["", "module."])
def test_loads_every_tensor(tmp_path: Path, prefix: str) -> None:
    source, target = Net(), Net()
    path = save(tmp_path, {prefix + name: t for name, t in source.state_dict().items()})
    sentence = load_file(target, path)
    assert sentence.startswith("net.pth, sha256 ")
    for name, tensor in source.state_dict().items():
        assert torch.equal(target.state_dict()[name], tensor)


def test_a_submodule_called_module_keeps_its_name(tmp_path: Path) -> None:
    wrapped = nn.Sequential()
    wrapped.add_module("module", nn.Linear(2, 2))
    load_file(wrapped, save(tmp_path, wrapped.state_dict()))


def test_old_files_do_not_count_batches(tmp_path: Path) -> None:
    state = {n: t for n, t in Net().state_dict().items() if "num_batches" not in n}
    load_file(Net(), save(tmp_path, state))


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (
            lambda s: s.pop("conv.bias"),
            "weights file net.pth does not fit Net: it lacks 'conv.bias'",
        ),
        (
            lambda s: [s.pop(n) for n in list(s) if n != "conv.weight"],
            "weights file net.pth does not fit Net: it lacks 'conv.bias', 'norm.weight', "
            "'norm.bias' and 2 more",
        ),
        (
            lambda s: s.update({"fc.weight": torch.ones(1)}),
            "weights file net.pth does not fit Net: it has 'fc.weight', which the model has not",
        ),
        (
            lambda s: s.update({"conv.weight": torch.ones(4, 1, 3, 3)}),
            "weights file net.pth does not fit Net: 'conv.weight' is 4x1x3x3 and has to be 4x3x3x3",
        ),
        (
            lambda s: s.update({"conv.bias": torch.ones(4, dtype=torch.complex64)}),
            "weights file net.pth does not fit Net: 'conv.bias' is complex 4 and has to be 4",
        ),
    ],
)
def test_refuses_weights_that_do_not_fit(tmp_path: Path, change: object, problem: str) -> None:
    assert callable(change)
    state = dict(Net().state_dict())
    change(state)
    net = Net()
    before = {name: t.clone() for name, t in net.state_dict().items()}
    with pytest.raises(CheckpointError) as caught:
        load_file(net, save(tmp_path, state))
    assert caught.value.problem == problem
    assert caught.value.exit_code == 2
    assert all(torch.equal(net.state_dict()[name], t) for name, t in before.items())


def test_reports_nan(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    state = dict(Net().state_dict())
    state["conv.bias"] = torch.tensor([0.0, float("nan"), 0.0, float("inf")])
    with caplog.at_level(logging.WARNING):
        sentence = load_file(Net(), save(tmp_path, state))
    assert sentence.endswith("; 1 tensor holds NaN or infinity: 'conv.bias'")
    assert caplog.messages == ["weights: 1 tensor holds NaN or infinity: 'conv.bias'"]


def test_a_name_is_torchvision_s_and_the_rest_are_files(tmp_path: Path) -> None:
    target = resolve("resnet18")
    assert published(target, "DEFAULT").name == "IMAGENET1K_V1"  # type: ignore[union-attr]
    assert published(target, str(tmp_path / "x")) is None
    assert published(target, "x.pth") is None


@pytest.mark.parametrize(
    ("spec", "name", "message"),
    [
        (
            "resnet50",
            "IMAGENET1K_V7",
            "'IMAGENET1K_V7' is neither a file nor the name of weights for resnet50\n"
            "  remedy: did you mean IMAGENET1K_V2? it has DEFAULT, IMAGENET1K_V1, IMAGENET1K_V2, "
            "or give a file",
        ),
        (
            "alphago",
            "DEFAULT",
            "'DEFAULT' is neither a file nor the name of weights for alphago\n"
            "  remedy: no weights are published for it: give a .safetensors or state-dict file",
        ),
    ],
)
def test_refuses_other_names(spec: str, name: str, message: str) -> None:
    with pytest.raises(CheckpointError) as caught:
        published(resolve(spec), name)
    assert str(caught.value) == message


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "hub"
    with mock.patch("torch.hub.get_dir", return_value=str(folder)):
        yield folder


def test_says_what_to_do_without_a_network(hub: Path) -> None:
    target = resolve("resnet18")
    weights = published(target, "DEFAULT")
    failure = URLError("Name or service not known")
    with (
        mock.patch("torch.hub.download_url_to_file", side_effect=failure),
        pytest.raises(DownloadError) as caught,
    ):
        fetch(weights, target)
    assert caught.value.exit_code == 3
    assert str(caught.value) == (
        "the weights of resnet18 are not on this machine and cannot be fetched: "
        "Name or service not known\n"
        "  remedy: fetch https://download.pytorch.org/models/resnet18-f37072fd.pth where there is "
        "a network, then give it as --weights resnet18-f37072fd.pth or put it in "
        f"{hub / 'checkpoints'}"
    )


def test_a_cached_file_with_code_is_refused(hub: Path) -> None:
    (hub / "checkpoints").mkdir(parents=True)
    torch.save(nn.Linear(1, 1), hub / "checkpoints" / "resnet18-f37072fd.pth")
    target = resolve("resnet18")
    with pytest.raises(CheckpointError, match="holds Python code"):
        fetch(published(target, "DEFAULT"), target)
