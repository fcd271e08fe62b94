from __future__ import annotations

import logging

import pytest
import torch
from torch import nn

from netloft.models import load_model
from netloft.models.calibrate import calibrate, wake_zeros
from netloft.models.domain import domain_inputs
from netloft.models.loaded import InputSpec, LoadedModel


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(3)
        self.unused = nn.BatchNorm1d(2)
        self.count: torch.Tensor
        self.register_buffer("count", torch.zeros(()))
        self.calls = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        self.count += 1
        print("in forward")
        return self.norm(x)


def model(module: nn.Module, *shape: int) -> LoadedModel:
    inputs = (InputSpec("", shape),)
    return LoadedModel(module=module.eval(), name="net", spec="net", inputs=inputs)


def varies(name: str) -> str:
    loaded = load_model(name)
    found = domain_inputs(loaded, 2, 0)
    assert found is not None
    with torch.no_grad():
        first, second = loaded.module(**found[0])
    assert first.std() > 0.05
    assert (first - second).abs().max() > 0.05 * first.abs().max()
    return loaded.weights


def test_mobilenet_has_statistics() -> None:
    assert varies("mobilenet_v2") == (
        "random, seed 0; 52 BatchNorm layers calibrated on 2 photographs, cropped and flipped "
        "into 8"
    )


def test_vision_transformer_has_a_head() -> None:
    assert varies("vit_b_16") == "random, seed 0; 1 zero weight set to random values"


def test_same_seed_same_bits_on_any_number_of_threads() -> None:
    threads = torch.get_num_threads()
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first = load_model("mnasnet0_5", seed=3).module.state_dict()
    assert torch.equal(torch.get_rng_state(), state)
    torch.set_num_threads(threads + 1)
    try:
        again = load_model("mnasnet0_5", seed=3).module.state_dict()
        assert torch.get_num_threads() == threads + 1
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(tensor, again[name]) for name, tensor in first.items())


def test_the_seed_decides() -> None:
    first, other = (load_model("myresnet", seed=seed).module.state_dict() for seed in (0, 1))
    name = "layer1.0.bn1.running_mean"
    assert not torch.equal(first[name], other[name])


def test_changes_nothing_but_statistics(capsys: pytest.CaptureFixture[str]) -> None:
    net = Net()
    assert calibrate(model(net, 1, 3, 16, 16), 0) == (
        "1 BatchNorm layer calibrated on 2 photographs, cropped and flipped into 8"
    )
    assert capsys.readouterr().out == ""
    assert (net.calls, float(net.count)) == (0, 0.0)
    assert net.norm.momentum == 0.1
    assert not any(m.training for m in net.modules())
    assert net.norm.running_mean is not None
    assert bool(net.norm.running_mean.any())
    assert net.unused.running_var is not None
    assert torch.equal(net.unused.running_var, torch.ones(2))


def test_leaves_statistics_that_have_seen_data() -> None:
    net = Net()
    assert net.unused.running_mean is not None
    net.unused.running_mean += 1
    assert calibrate(model(net, 1, 3, 16, 16), 0) == ""
    assert torch.equal(net.norm.running_mean, torch.zeros(3))  # type: ignore[arg-type]


def test_says_so_when_the_inputs_do_not_fit(caplog: pytest.LogCaptureFixture) -> None:
    net = Net()
    with caplog.at_level(logging.INFO):
        done = calibrate(model(net, 1, 5, 16, 16), 0)
    assert done == "2 BatchNorm layers not calibrated, for the forward pass failed"
    assert caplog.messages[0].startswith("BatchNorm not calibrated: the forward pass failed: ")
    assert int(net.norm.num_batches_tracked or 0) == 0


def test_says_so_when_the_output_is_constant(caplog: pytest.LogCaptureFixture) -> None:
    net = nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 2, 1), nn.ReLU())
    nn.init.zeros_(net[1].weight)  # type: ignore[arg-type]
    with caplog.at_level(logging.WARNING):
        done = calibrate(model(net, 1, 3, 16, 16), 0)
    assert done.endswith("; its output does not depend on its input")
    assert caplog.messages == ["the output of net does not depend on its input"]


def test_wakes_zero_heads_and_layer_scales() -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer_scale = nn.Parameter(torch.full((3,), 1e-6))
            self.head = nn.Linear(100, 10)
            nn.init.zeros_(self.head.weight)

    net, again = Scaled(), Scaled()
    assert wake_zeros(net, 0) == "1 zero weight set to random values; 1 layer scale set to 1"
    wake_zeros(again, 0)
    assert torch.equal(net.head.weight, again.head.weight)
    assert 0.05 < float(net.head.weight.detach().std()) < 0.2
    assert torch.equal(net.layer_scale, torch.ones(3))
    assert wake_zeros(net, 0) == ""
