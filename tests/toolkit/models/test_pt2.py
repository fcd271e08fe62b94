"""Archives of torch.export.save as MODEL: what they give, and what is refused of good ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from tests.toolkit.models.pt2_archives import PICTURE, WEIGHTS, Pair, Small, altered, save
from torch import nn

import netloft
from netloft.cli import main
from netloft.errors import InputError, SpecError
from netloft.models import load_model
from netloft.models.loaded import InputSpec

BATCH = torch.export.Dim("batch")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*words: str) -> Any:
    return CliRunner().invoke(main, words)


def test_loads_what_was_saved(here: Path) -> None:
    net = Small()
    save(here / "net.pt2", net, PICTURE, batch=BATCH)
    model = load_model("net.pt2")
    assert (model.name, model.spec) == ("net", "net.pt2")
    assert model.inputs == (InputSpec("x", (1, 3, 8, 8), "float32"),)
    assert model.weights.startswith("net.pt2, sha256 ")
    assert type(model.module).__name__ == "Small"
    x = torch.randn(5, 3, 8, 8)
    assert torch.equal(model.module(x), net(x))
    assert {"conv.weight", "norm.running_var", "fc.bias"} <= set(model.module.state_dict())
    assert not any(child.training for child in model.module.modules())


def test_two_inputs_and_named_outputs(here: Path) -> None:
    save(here / "pair.pt2", Pair(), torch.ones(2, 4), torch.ones(2, 6), batch=BATCH)
    model = load_model("pair.pt2")
    assert [spec.name for spec in model.inputs] == ["x", "y"]
    graph = netloft.trace(model.module, model.example())
    assert [output.name for output in graph.outputs] == ["sum", "halves"]


@pytest.mark.parametrize(
    ("net", "shapes", "batch", "words"),
    [
        (Small, [(2, 3, 8, 8)], BATCH, ()),
        (Small, [(1, 3, 8, 8)], None, ("--batch", "1")),
        (Pair, [(2, 4), (2, 6)], BATCH, ()),
    ],
)
def test_exports_and_verifies(
    here: Path, net: Any, shapes: Any, batch: Any, words: tuple[str, ...]
) -> None:
    save(here / "net.pt2", net(), *map(torch.ones, shapes), batch=batch)
    made = run("export", "net.pt2", "--quick", "--provider", "cpu", "-o", "out", *words)
    assert made.exit_code == 0, made.output
    checked = run("verify", "out", "--provider", "cpu")
    assert checked.exit_code == 0, checked.output
    against = run("verify", "out/model.onnx", "--against", "net.pt2", "--provider", "cpu")
    assert against.exit_code == 0, against.output


def test_is_drawn_and_traced(here: Path) -> None:
    save(here / "net.pt2", Small(), PICTURE, batch=BATCH)
    assert run("draw", "net.pt2", "-o", "net.svg").exit_code == 0
    traced = run("trace", "net.pt2", "--text")
    assert traced.exit_code == 0
    assert "conv" in traced.output


def test_pictures_go_through_an_exported_network(here: Path) -> None:
    save(here / "net.pt2", Small(), PICTURE, batch=BATCH)
    words = ("trace", "net.pt2", "--preprocess", "imagenet", "--head", "softmax", "--text")
    made = run(*words)
    assert made.exit_code == 0, made.output


@pytest.mark.slow
def test_resnet18_exports_and_verifies(here: Path) -> None:
    from torchvision.models import resnet18

    save(here / "resnet18.pt2", resnet18(), torch.ones(2, 3, 224, 224), batch=BATCH)
    made = run("export", "resnet18.pt2", "--quick", "--provider", "cpu", "-o", "out")
    assert made.exit_code == 0, made.output
    assert run("verify", "out", "--provider", "cpu").exit_code == 0


@pytest.mark.parametrize("words", [(), ("--batch", "3")])
def test_a_fixed_batch_stays(here: Path, words: tuple[str, ...]) -> None:
    save(here / "net.pt2", Small(), PICTURE)
    refused = run("trace", "net.pt2", *words)
    assert refused.exit_code == 2
    assert "Small was exported for a batch of 2, and not for" in refused.output
    assert "give --batch 2, or export it again with an open batch" in refused.output
    assert run("trace", "net.pt2", "--batch", "2").exit_code == 0


def test_a_bounded_batch_is_not_an_open_one(here: Path) -> None:
    bounded = torch.export.Dim("batch", min=3, max=9)
    save(here / "net.pt2", Small(), torch.ones(4, 3, 8, 8), batch=bounded)
    model = load_model("net.pt2")
    with pytest.raises(InputError, match="for a batch of 3 to 9, and not for dynamic"):
        netloft.trace(model.module, model.example())
    netloft.trace(model.module, model.example(), batch=5)


def test_other_lengths_stay(here: Path) -> None:
    save(here / "net.pt2", Small(), PICTURE, batch=BATCH)
    sized = run("trace", "net.pt2", "--input", "1x3x16x16")
    assert sized.exit_code == 2
    assert "axis 2 of 'x' was exported with the length 8 in Small" in sized.output
    assert run("trace", "net.pt2", "--dynamic", "2=height").exit_code == 2


def test_a_length_that_is_open_is_left_open(here: Path) -> None:
    program = torch.export.export(
        Small().eval(), (PICTURE,), dynamic_shapes=({0: BATCH, 2: torch.export.Dim("h", min=4)},)
    )
    torch.export.save(program, here / "net.pt2")
    opened = run("trace", "net.pt2", "--dynamic", "2=height", "--text")
    assert opened.exit_code == 0, opened.output
    assert "height" in opened.output


def test_training_is_refused(here: Path) -> None:
    torch.export.save(torch.export.export(Small().train(), (PICTURE,)), here / "net.pt2")
    refused = run("trace", "net.pt2", "--batch", "2")
    assert refused.exit_code == 2
    assert "call .eval() on the network" in refused.output


def test_state_between_calls_is_refused(here: Path) -> None:
    class Counter(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.count: torch.Tensor
            self.register_buffer("count", torch.zeros(1))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.count += 1
            return x + self.count

    save(here / "net.pt2", Counter(), torch.ones(2, 3))
    with pytest.raises(SpecError, match=r"keeps state between calls: it writes into 'count'"):
        load_model("net.pt2")


def test_inputs_that_are_no_tensors_are_refused(here: Path) -> None:
    class Listed(nn.Module):
        def forward(self, xs: list[torch.Tensor]) -> torch.Tensor:
            return xs[0] + xs[1]

    program = torch.export.export(Listed(), ([torch.ones(2, 3), torch.ones(2, 3)],))
    torch.export.save(program, here / "net.pt2")
    with pytest.raises(SpecError, match="takes tensors in lists or dicts"):
        load_model("net.pt2")


def test_a_part_without_gradients_is_read(here: Path) -> None:
    class Frozen(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(3, 3), nn.Linear(3, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            with torch.no_grad():
                x = self.a(x)
            return self.b(x)

    net = Frozen()
    save(here / "net.pt2", net, torch.ones(2, 3), batch=BATCH)
    model = load_model("net.pt2")
    x = torch.randn(4, 3)
    assert torch.equal(model.module(x), net(x))
    netloft.trace(model.module, model.example())


def test_weights_that_share_memory_do_so_again(here: Path) -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(3, 3), nn.Linear(3, 3)
            self.b.weight = self.a.weight

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.b(self.a(x))

    net = Tied()
    save(here / "net.pt2", net, torch.ones(2, 3), batch=BATCH)
    x = torch.randn(4, 3)
    assert torch.equal(load_model("net.pt2").module(x), net(x))


@pytest.mark.parametrize("trust", [False, True])
def test_trust_gives_the_same_of_a_good_file(here: Path, trust: bool) -> None:
    net = Small()
    save(here / "net.pt2", net, PICTURE, batch=BATCH)
    model = load_model("net.pt2", trust=trust)
    assert torch.equal(model.module(PICTURE), net(PICTURE))


def test_a_part_that_is_missing_is_told(here: Path) -> None:
    save(here / "net.pt2", Small(), PICTURE)

    def lost(config: Any) -> None:
        config["config"]["conv.weight"]["path_name"] = "weight_77"

    altered(here / "net.pt2", here / "lost.pt2", {WEIGHTS: lost})
    with pytest.raises(SpecError, match=r"no data/weights/weight_77, which holds 'conv.weight'"):
        load_model("lost.pt2")


def test_trust_is_for_archives_alone() -> None:
    with pytest.raises(SpecError, match=r"--trust is for a .pt2 archive, and 'alphago' is none"):
        load_model("alphago", trust=True)


def test_arguments_are_refused(here: Path) -> None:
    save(here / "net.pt2", Small(), PICTURE)
    with pytest.raises(SpecError, match="built already, and takes no arguments"):
        load_model("net.pt2", arguments={"k": 3})
