"""The stress set: what it holds, that right files pass, and what it finds that noise does not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import numpy_helper
from torch import Tensor, nn

import netloft
from netloft.parity.check import ParityResult, check_parity
from netloft.parity.inputs import Case, cases_of
from netloft.parity.stressing.plan import lost_nan, plan_stress
from netloft.parity.stressing.stress import REAL, WHOLE, Stress, box_of, make_stress, stressed
from netloft.parity.subnormal import flushed_case, is_subnormal
from netloft.parity.term_by_term import LANES, TermByTerm, summed
from netloft.tracing import trace
from netloft.verification import verify
from netloft_exporters.onnx import write_onnx

BOX = {"x": (-2.0, 3.0)}


def made(kind: str, dtype: torch.dtype = torch.float32, batch: int = 4, seed: int = 0) -> Tensor:
    example = torch.zeros(2, 3, 8, 8).to(dtype)
    return make_stress({"x": example}, BOX, kind, batch, seed)["x"]


def one_colour(item: Tensor) -> bool:
    return len(set(item.flatten().tolist())) == 1


def two_colours(item: Tensor) -> bool:
    return set(item.flatten().tolist()) == {-2.0, 3.0}


def slow(item: Tensor) -> bool:
    steps = item.diff(dim=-1).abs().max(), item.diff(dim=-2).abs().max()
    return (float(item.min()), float(item.max())) == (-2, 3) and float(max(steps)) < 5 * 0.85


def at_the_ends(item: Tensor) -> bool:
    ends = float(((item == -2) | (item == 3)).float().mean())
    return 0.4 < ends < 1


def one_not_zero(item: Tensor) -> bool:
    return int((item != 0).sum()) == 1 and item[item != 0].item() in (-2.0, 3.0)


def below_normal(item: Tensor) -> bool:
    return bool((item.abs() < torch.finfo(torch.float32).tiny).all() and (item != 0).any())


KINDS: dict[str, Callable[[Tensor], bool]] = {
    "constant": one_colour,
    "binary": two_colours,
    "smooth": slow,
    "saturated": at_the_ends,
    "one-hot": one_not_zero,
    "subnormal": below_normal,
}


@pytest.mark.parametrize("kind", KINDS)
def test_each_item_is_what_its_kind_says(kind: str) -> None:
    items = made(kind)
    assert items.shape == (4, 3, 8, 8)
    assert all(KINDS[kind](item) for item in items)
    assert not torch.equal(items[0], items[1])


@pytest.mark.parametrize(
    ("kind", "value"), [("NaN", np.nan), ("infinity", np.inf), ("-infinity", -np.inf)]
)
def test_one_element_of_the_first_item_is_no_number(kind: str, value: float) -> None:
    items = made(kind)
    odd = ~items.isfinite()
    assert int(odd[0].sum()) == 1
    assert not odd[1:].any()
    np.testing.assert_equal(items[odd].item(), value)


def test_the_kinds_are_all_here() -> None:
    assert {*KINDS, "NaN", "infinity", "-infinity"} == {*WHOLE, *REAL}


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(WHOLE),
    st.integers(0, 2**31),
    st.lists(st.integers(1, 7), min_size=0, max_size=4),
    st.integers(1, 5),
    st.sampled_from([torch.float32, torch.float64, torch.uint8, torch.int64, torch.bool]),
)
def test_all_stay_in_the_box_and_follow_the_seed(
    kind: str, seed: int, shape: list[int], batch: int, dtype: torch.dtype
) -> None:
    example = {"x": torch.ones(1, *shape).to(dtype)}
    box = {"x": (0.0, 1.0) if dtype is torch.bool else (1.0, 9.0)}
    first, second = (make_stress(example, box, kind, batch, seed)["x"] for _ in range(2))
    assert torch.equal(first, second)
    assert first.shape == (batch, *shape)
    assert first.dtype is dtype
    low, high = box["x"]
    assert low <= first.double().min()
    assert first.double().max() <= high


def test_the_box_is_that_of_the_usual_inputs_and_not_of_noise() -> None:
    noise = Case("noise", 1, {"x": torch.tensor([[-9.0, 9.0]])})
    real = Case("1 photograph", 1, {"x": torch.tensor([[0.5, float("nan")], [2.0, 1.0]])})
    wild = Case("extreme", 1, {"x": torch.tensor([[900.0]])}, usual=False)
    assert box_of([noise, real, wild]) == {"x": (0.5, 2.0)}
    assert box_of([noise]) == {"x": (-9.0, 9.0)}
    assert box_of([Case("example", 1, {"x": torch.ones(1, 3)})]) == {"x": (0.0, 2.0)}
    # the one word that is usual may be the only one in the table
    assert box_of([Case("example", 1, {"x": torch.ones(1, 3).long()})]) == {"x": (1.0, 1.0)}


def test_the_one_word_of_a_table_is_stressed_and_searched_too(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Embedding(1, 4), nn.Flatten(), nn.Linear(12, 3)).eval()
    words = torch.zeros(2, 3, dtype=torch.int64)
    path = netloft.to_onnx(module, (words,), tmp_path / "net.onnx")
    found = netloft.verify(path, against=module, example_inputs=(words,), search=32)
    assert found.status == "pass"
    assert any(row["input"].startswith("stress: ") for row in found.parity)
    assert found.search is not None
    assert found.search["box"] == {"input": [0.0, 0.0]}


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, 8, 3, padding=1)
        self.fc = nn.Linear(8, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(torch.relu(self.conv(x)).mean((2, 3)))


class Bare(nn.Module):
    """Without biases: what comes out of subnormal numbers is subnormal."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.fc = nn.Linear(48, 5, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x.flatten(1))


class Words(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(9, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.table(x).sum(1)


class Mixed(nn.Module):
    """Mixes its items, and gives a value without any."""

    def forward(self, x: Tensor, scale: Tensor) -> dict[str, Tensor]:
        centred = x - x.mean(0, keepdim=True)
        return {"centred": centred * scale, "size": x.abs().mean()}


NETS: dict[str, tuple[Callable[[], nn.Module], dict[str, Tensor]]] = {
    "pictures": (Net, {"x": torch.rand(2, 3, 12, 12)}),
    "no bias": (Bare, {"x": torch.randn(2, 3, 4, 4)}),
    "words": (Words, {"x": torch.randint(0, 9, (2, 6))}),
    "mixed": (Mixed, {"x": torch.randn(2, 3, 4, 4), "scale": torch.tensor(2.0)}),
}


def exported(module: nn.Module, inputs: dict[str, Tensor], path: Path) -> Path:
    write_onnx(trace(module, inputs), module, inputs, path)
    return path


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("batch", ["dynamic", 1, 3])
def test_a_right_file_passes_the_whole_set(name: str, batch: str | int, tmp_path: Path) -> None:
    make, inputs = NETS[name]
    module = make().eval()
    if isinstance(batch, int):
        inputs = {n: t[:1].repeat(batch, *[1] * (t.dim() - 1)) if t.dim() else t
                  for n, t in inputs.items()}  # fmt: skip
    graph = trace(module, inputs, batch)
    path = tmp_path / "net.onnx"
    write_onnx(graph, module, inputs, path)
    found = verify(path, against=module, example_inputs=inputs, stress=True)
    assert found.status == "pass", [row for row in found.parity if row["status"] != "pass"]
    told = {row["input"] for row in found.parity if row["input"].startswith("stress")}
    expected = {f"stress: {kind}" for kind in (WHOLE if name == "words" else (*WHOLE, *REAL))}
    if batch == "dynamic":
        expected |= {"stress: batch 0", "stress: batch 32"}
        left = {row["what"] for row in found.not_run}
        assert told | left >= expected
        assert expected - told <= {"stress: batch 0"}
    else:
        assert told == expected


class Bright(nn.Module):
    """Its bound is reached by pictures that are bright all over, and noise is not."""

    def forward(self, x: Tensor) -> Tensor:
        bright = 10 * x.clamp(0, 1).mean((1, 2, 3))
        return nn.functional.relu6(bright).unsqueeze(1) * torch.tensor([1.0, 0.5, 0.25])


def loosened(path: Path, target: Path) -> Path:
    """Write a copy of a file whose bound is 8 where it was 6."""
    model = onnx.load(path)
    (clip,) = (n for n in model.graph.node if n.op_type == "Clip" and has(model, n, 6.0))
    (bound,) = (i for i in model.graph.initializer if i.name == clip.input[2])
    bound.CopyFrom(numpy_helper.from_array(np.array(8, np.float32), bound.name))
    onnx.save(model, target)
    return target


def has(model: onnx.ModelProto, node: onnx.NodeProto, bound: float) -> bool:
    held = {i.name: numpy_helper.to_array(i) for i in model.graph.initializer}
    return float(held.get(node.input[2], np.nan)) == bound


def test_a_bound_that_noise_stays_below_is_found(tmp_path: Path) -> None:
    module, inputs = Bright().eval(), {"x": torch.rand(2, 3, 12, 12)}
    path = exported(module, inputs, tmp_path / "net.onnx")
    broken = loosened(path, tmp_path / "broken.onnx")
    graph = trace(module, inputs)

    def check(file: Path, with_stress: bool) -> ParityResult:
        made: Iterator[Case] = cases_of(graph, inputs, 0)
        chosen = stressed(made, graph, 0) if with_stress else made
        return check_parity(graph, module, file, chosen, ["cpu"])

    assert check(path, with_stress=True).status == "pass"
    assert check(broken, with_stress=False).status == "pass"
    found = check(broken, with_stress=True)
    assert {row.input for row in found.failed} == {"stress: constant"}
    assert found.failed[0].batch == len(WHOLE)
    assert found.tolerances == check(path, with_stress=False).tolerances


def test_a_fault_on_one_dark_item_is_not_hidden_by_its_bright_neighbours(tmp_path: Path) -> None:
    module, inputs = Net().eval(), {"x": torch.rand(2, 3, 12, 12) * 1e4}
    for layer in (module.conv, module.fc):
        assert layer.bias is not None
        nn.init.zeros_(layer.bias)
    path = exported(module, inputs, tmp_path / "net.onnx")
    model = onnx.load(path)
    (bias,) = (i for i in model.graph.initializer if i.name == "fc.bias")
    bias.CopyFrom(numpy_helper.from_array(np.full(10, 1e-4, np.float32), bias.name))
    onnx.save(model, path)
    graph = trace(module, inputs)
    one_hot = make_stress(inputs, {"x": (0.0, 1e4)}, "one-hot", 1, 0)["x"]
    dark = torch.cat([one_hot, inputs["x"]])
    stack = Case("stress", 3, {"x": dark}, usual=False, parts=("one-hot", "bright", "bright"))
    as_items = check_parity(graph, module, path, [stack], ["cpu"])
    as_whole = check_parity(graph, module, path, [replace(stack, parts=())], ["cpu"])
    assert [row.input for row in as_items.failed] == ["stress: one-hot"]
    assert as_whole.status == "pass"


class Pooled(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.max_pool2d(x, 3, 1)


def test_nan_is_left_out_where_the_runtime_loses_it_in_any_file(tmp_path: Path) -> None:
    assert lost_nan({"MaxPool", "Relu", "Conv"}, "cpu") == ("MaxPool",)
    module, inputs = Pooled().eval(), {"x": torch.randn(2, 3, 8, 8)}
    path = exported(module, inputs, tmp_path / "net.onnx")
    plan, left = plan_stress(trace(module, inputs), inputs, path, ["cpu"])
    assert "NaN" not in plan.kinds
    assert "subnormal" in plan.kinds
    assert [row["what"] for row in left] == ["stress: NaN and infinities"]
    assert "MaxPool on cpu" in left[0]["reason"]
    # the file is as right as can be, and would have failed
    graph, forced = trace(module, inputs), Stress(("NaN",))
    made = stressed(cases_of(graph, inputs, 0), graph, 0, forced)
    assert check_parity(graph, module, path, made, ["cpu"]).status == "fail"


class Lost(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.where(x > 0, x, torch.zeros_like(x)) + 1


def test_a_file_that_makes_nan_of_infinity_fails(tmp_path: Path) -> None:
    module, inputs = Lost().eval(), {"x": torch.randn(2, 3, 4, 4)}
    other = nn.Sequential(nn.ReLU()).eval()

    class Product(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x * (x > 0).float() + 1  # the same, but 0 × -infinity is NaN

    assert torch.equal(other(inputs["x"]) + 1, module(inputs["x"]))
    path = exported(Product().eval(), inputs, tmp_path / "net.onnx")
    found = verify(path, against=module, example_inputs=inputs, stress=True)
    failed = {row["input"] for row in found.parity if row["status"] == "fail"}
    assert failed == {"stress: NaN", "stress: -infinity"}
    assert verify(path, against=module, example_inputs=inputs).status == "pass"


def test_a_file_that_serves_no_empty_batch_is_told_and_not_called_wrong(tmp_path: Path) -> None:
    class Halved(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x * 2

    module, inputs = Halved().eval(), {"x": torch.randn(2, 4)}
    path = exported(module, inputs, tmp_path / "net.onnx")
    model = onnx.load(path)
    # takes the first item of the batch besides, which is not there
    zero = numpy_helper.from_array(np.array(0, np.int64), "zero")
    none = numpy_helper.from_array(np.zeros((), np.float32), "none")
    model.graph.initializer.extend([zero, none])
    (output,) = model.graph.output
    (last,) = (n for n in model.graph.node if output.name in n.output)
    last.output[0] = "doubled"
    model.graph.node.extend([
        onnx.helper.make_node("Gather", ["doubled", "zero"], ["first"], axis=0),
        onnx.helper.make_node("Mul", ["first", "none"], ["nothing"]),
        onnx.helper.make_node("Add", ["doubled", "nothing"], [output.name]),
    ])  # fmt: skip
    onnx.save(model, path)
    found = verify(path, against=module, example_inputs=inputs, stress=True)
    (told,) = (row for row in found.not_run if row["what"] == "stress: batch 0")
    assert told["reason"].startswith("not served on cpu: ")
    assert not any(row["input"] == "stress: batch 0" for row in found.parity)


def test_reading_subnormal_numbers_as_zero_is_no_fault(tmp_path: Path) -> None:
    case = Case("stress", 4, {"x": made("subnormal")})
    assert is_subnormal(case)
    assert not is_subnormal(flushed_case(case))
    assert not is_subnormal(Case("noise", 1, {"x": torch.zeros(1, 3), "y": torch.ones(1).long()}))

    class Flushing(nn.Module):
        def __init__(self, bare: nn.Module) -> None:
            super().__init__()
            self.bare = bare

        def forward(self, x: Tensor) -> Tensor:
            return self.bare(torch.where(x.abs() < 2.0**-126, torch.zeros_like(x), x))

    module, inputs = Bare().eval(), {"x": torch.randn(2, 3, 4, 4)}
    path = exported(Flushing(module).eval(), inputs, tmp_path / "net.onnx")
    found = verify(path, against=module, example_inputs=inputs, stress=True)
    (row,) = (row for row in found.parity if row["input"] == "stress: subnormal")
    assert row["scaled_error"] == 1  # all of it
    assert row["noise_floor"] >= 1
    assert found.status == "pass"


@pytest.mark.parametrize("lanes", LANES)
@pytest.mark.parametrize("dims", [(2, 3), (-1,), (0, 1, 2, 3)])
@pytest.mark.parametrize("mean", [True, False])
def test_sums_term_by_term_are_the_same_sums(lanes: int, dims: tuple[int, ...], mean: bool) -> None:
    values = torch.rand(2, 3, 5, 7)
    made = summed(values, dims, lanes, keepdim=True, mean=mean)
    wanted = values.mean(dims, keepdim=True) if mean else values.sum(dims, keepdim=True)
    torch.testing.assert_close(made, wanted)


def test_equal_terms_do_not_cancel_where_pytorch_shows_nothing_of_it() -> None:
    flat = torch.full((1, 1, 112, 112), 0.1)
    wanted = flat.double().mean((2, 3))
    tree = (flat.mean((2, 3)).double() - wanted).abs().item()
    with TermByTerm(1):
        methods = flat.mean((2, 3)), torch.sum(flat, (2, 3)) / 112**2
        pooled = nn.AdaptiveAvgPool2d(1)(flat).flatten(1)
    for value in (*methods, pooled):
        error = (value.double() - wanted).abs().item()
        assert 100 * max(tree, 1e-9) < error < 0.1 * 112**2 * 2**-25
