from __future__ import annotations

import random
from pathlib import Path
from unittest import mock
from urllib.error import URLError

import numpy as np
import pytest
import torch

from netloft.errors import DownloadError, SpecError
from netloft.models.build import build, seeded
from netloft.models.spec import Target, resolve


def test_the_caller_s_generators_are_untouched() -> None:
    states = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].copy()  # type: ignore[index]
    build(resolve("mnist"), {}, seed=5)
    assert torch.equal(torch.get_rng_state(), states[0])
    assert random.getstate() == states[1]
    assert np.array_equal(np.random.get_state()[1], states[2])  # type: ignore[index]


def test_the_seed_decides_the_weights() -> None:
    target = resolve("mnist")
    first, again, other = (build(target, {}, seed) for seed in (1, 1, 2))
    assert torch.equal(first.conv1.weight, again.conv1.weight)  # type: ignore[union-attr,arg-type]
    assert not torch.equal(first.conv1.weight, other.conv1.weight)  # type: ignore[union-attr,arg-type]


def test_seeds_every_generator() -> None:
    with seeded(3):
        first = float(torch.rand(())), random.random(), np.random.rand()
    with seeded(3):
        assert first == (float(torch.rand(())), random.random(), np.random.rand())


def test_a_built_network_is_put_in_eval_mode(net_file: Path) -> None:
    module = build(resolve("net.py:built"), {}, 0)
    assert not module.training


@pytest.mark.parametrize(
    ("spec", "arguments", "message"),
    [
        (
            "net.py:Net",
            {},
            "net.py:Net needs the argument 'width'\n  source: net.py:5\n"
            "  remedy: give --arg width=VALUE",
        ),
        (
            "net.py:Net",
            {"width": 2, "dept": 1},
            "net.py:Net has no constructor argument 'dept'\n  source: net.py:5\n"
            "  remedy: did you mean depth? it takes width, depth",
        ),
        (
            "net.py:Net",
            {"width": -1},
            "net.py:Net cannot be built: KeyError: 'width'\n"
            '  source: net.py:9  raise KeyError("width")\n'
            "  remedy: check --arg width=-1",
        ),
        (
            "net.py:number",
            {},
            "net.py:number returned a value of type int, not a network\n"
            "  remedy: name a function that returns the network",
        ),
        (
            "net.py:built",
            {"width": 3},
            "net.py:built is a network that is built already, and takes no arguments\n"
            "  remedy: leave --arg out, or name its class",
        ),
        (
            "alphago",
            {"k": 100},
            "alphago cannot be built: k is 100; it is one of 128, 192, 256, 384\n"
            "  remedy: check --arg k=100",
        ),
        (
            "alphago",
            {"filters": 1},
            "alphago has no constructor argument 'filters'\n  remedy: it takes k, explicit_pad",
        ),
        (
            "resnet18",
            {"weights": "DEFAULT"},
            "'weights' is not an argument of resnet18 here\n"
            "  remedy: name the weights with --weights DEFAULT",
        ),
    ],
)
def test_refuses(net_file: Path, spec: str, arguments: dict[str, object], message: str) -> None:
    with pytest.raises(SpecError) as caught:
        build(resolve(spec), arguments, 0)
    assert str(caught.value) == message


def test_torchvision_s_own_errors_name_the_argument() -> None:
    with pytest.raises(SpecError) as caught:
        build(resolve("squeezenet1_1"), {"colour": 1}, 0)
    assert "unexpected keyword argument 'colour'" in caught.value.problem
    assert caught.value.remedy == "check --arg colour=1"


def test_a_constructor_that_downloads_is_told_apart() -> None:
    make = mock.Mock(side_effect=URLError("no network"))
    with pytest.raises(DownloadError) as caught:
        build(Target("net", "net.py:Net", "timm", make), {}, 0)
    assert caught.value.problem == (
        "net.py:Net fetches a file when it is built, and that failed: no network"
    )


def test_segmentation_does_not_fetch_a_backbone() -> None:
    with mock.patch("torch.hub.load_state_dict_from_url", side_effect=AssertionError):
        build(resolve("lraspp_mobilenet_v3_large"), {}, 0)
