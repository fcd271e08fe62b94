"""The search for the worst input: bounded, the same by its seed, and it finds what is rare."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import numpy_helper
from torch import Tensor, nn

import netloft
from netloft.bundle.vectors import read_vectors
from netloft.errors import OutputError, UsageError
from netloft.models.given import of_module
from netloft.models.given_data import given_data
from netloft.parity.searching.ascent import AIMS, Ascent
from netloft.parity.searching.moves import MOVES, between
from netloft.tracing import trace
from netloft.verification import Verification, verify
from netloft.worst import keep_vectors
from netloft_exporters.onnx import write_onnx


class Picky(nn.Module):
    """Its bound is reached by pictures like one pattern, which no fixed input is like."""

    pattern: Tensor

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.register_buffer("pattern", torch.randint(0, 2, (3, 12, 12)) * 2.0 - 1.0)

    def forward(self, x: Tensor) -> Tensor:
        like = nn.functional.relu6(24 * (x.clamp(0, 1) * self.pattern).mean((2, 3)))
        return torch.cat([like, torch.full_like(like[:, :1], 6.5)], 1)


class Classes(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, 8, 3)
        self.fc = nn.Linear(800, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(torch.relu(self.conv(x)).flatten(1))


class Words(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.table = nn.Embedding(9, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.table(x).sum(1)


PICTURES = {"x": torch.rand(2, 3, 12, 12, generator=torch.Generator().manual_seed(0))}


def exported(
    module: nn.Module, inputs: dict[str, Tensor], path: Path, batch: str | int = "dynamic"
) -> Path:
    write_onnx(trace(module, inputs, batch), module, inputs, path)
    return path


def searched(path: Path, module: nn.Module, inputs: dict[str, Tensor], **how: Any) -> Verification:
    given = {"search": 64, "threads": 1} | how
    return verify(path, against=module, example_inputs=inputs, providers=["cpu"], **given)


def facts(found: Verification) -> Mapping[str, Any]:
    assert found.search is not None
    return found.search


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("search")
    return exported(Classes().eval(), PICTURES, folder / "net.onnx")


def loosened(path: Path, target: Path) -> Path:
    """Write a copy of a file whose bound is 8 where it was 6."""
    model = onnx.load(path)
    bounds = [i for i in model.graph.initializer if numpy_helper.to_array(i).tolist() == 6.0]
    assert bounds
    for bound in bounds:
        bound.CopyFrom(numpy_helper.from_array(np.array(8, np.float32), bound.name))
    onnx.save(model, target)
    return target


def test_a_fault_that_the_fixed_inputs_miss_is_found_by_the_search(tmp_path: Path) -> None:
    module = Picky().eval()
    right = exported(module, PICTURES, tmp_path / "net.onnx")
    broken = loosened(right, tmp_path / "broken.onnx")
    fixed = verify(broken, against=module, example_inputs=PICTURES, stress=True)
    assert fixed.status == "pass"
    found = searched(broken, module, PICTURES)
    assert found.status == "fail"
    assert {row["input"].partition(":")[0] for row in found.parity if row["status"] == "fail"} == {
        "search"
    }
    assert facts(found)["worst"] > 1000 > facts(found)["stress"]
    assert "(relu6" in found.first_bad
    assert set(facts(found)["moves"]) & set(AIMS)
    assert searched(right, module, PICTURES).status == "pass"


def test_a_right_file_passes_and_the_search_is_told(net: Path) -> None:
    found = searched(net, Classes().eval(), PICTURES)
    told = facts(found)
    assert found.status == "pass"
    assert told["evaluations"] == 64
    assert told["measure"] == "ratio"
    assert told["worst"] >= max(told["noise"], told["usual"], told["stress"])
    low, high = told["box"]["x"]
    assert (low, high) == (float(PICTURES["x"].min()), float(PICTURES["x"].max()))
    (row,) = (row for row in found.parity if row["input"].startswith("search"))
    assert row["batch"] == 1
    assert row["ratio"] == pytest.approx(told["worst"])


@pytest.mark.parametrize("seed", [0, 1])
def test_the_seed_decides_everything(net: Path, seed: int, tmp_path: Path) -> None:
    module = Classes().eval()
    first, second = (
        searched(net, module, PICTURES, seed=seed, keep=tmp_path / str(i)) for i in range(2)
    )
    same = [{**facts(found), "kept": None} for found in (first, second)]
    assert same[0] == same[1]
    inputs = [
        read_vectors(tmp_path / str(i) / "test_data_set_0", "input")["input"] for i in range(2)
    ]
    np.testing.assert_array_equal(inputs[0], inputs[1])
    searched(net, module, PICTURES, seed=seed + 7, keep=tmp_path / "other")
    other = read_vectors(tmp_path / "other" / "test_data_set_0", "input")["input"]
    assert not np.array_equal(other, inputs[0])


@pytest.mark.parametrize("budget", [32, 33, 90])
def test_the_budget_is_kept_and_the_start_is_never_lost(net: Path, budget: int) -> None:
    told = facts(searched(net, Classes().eval(), PICTURES, search=budget))
    assert told["evaluations"] == budget
    assert told["worst"] >= max(told["noise"], told["usual"], told["stress"])


def test_classes_change_only_where_the_margin_is_within_rounding(net: Path) -> None:
    module = Classes().eval()
    found = [facts(searched(net, module, PICTURES, search=256, seed=s))["flip"] for s in range(3)]
    flips = [flip for flip in found if flip is not None]
    assert flips
    for flip in flips:
        assert 0 <= flip["margin"] <= 2 * 8 * flip["noise_floor"]
        assert flip["module_class"] != flip["file_class"]


def test_a_wide_flip_is_told_with_its_margin(tmp_path: Path) -> None:
    module = Picky().eval()
    broken = loosened(exported(module, PICTURES, tmp_path / "n.onnx"), tmp_path / "broken.onnx")
    flip = facts(searched(broken, module, PICTURES, search=256))["flip"]
    assert flip is not None
    assert flip["margin"] > 100 * flip["noise_floor"]
    assert not flip["pytorch_too"]


def test_whole_numbers_are_searched_without_gradients(tmp_path: Path) -> None:
    module, inputs = Words().eval(), {"x": torch.randint(0, 9, (2, 6))}
    path = exported(module, inputs, tmp_path / "net.onnx")
    told = facts(searched(path, module, inputs))
    assert told["evaluations"] == 64
    assert not set(told["moves"]) & set(AIMS)


def test_a_fixed_batch_is_searched_as_a_whole_and_kept_whole(tmp_path: Path) -> None:
    module = Classes().eval()
    inputs = {"x": torch.rand(3, 3, 12, 12)}
    path = exported(module, inputs, tmp_path / "net.onnx", 3)
    found = searched(path, module, inputs, keep=tmp_path / "kept")
    assert found.status == "pass"
    kept = Path(facts(found)["kept"])
    assert read_vectors(kept, "input")["input"].shape == (3, 3, 12, 12)
    assert read_vectors(kept, "output")["output"].shape == (3, 5)


def test_what_is_kept_is_a_test_vector_that_data_reads(net: Path, tmp_path: Path) -> None:
    module = Classes().eval()
    found = searched(net, module, PICTURES, keep=tmp_path / "kept")
    again = searched(net, module, PICTURES, keep=tmp_path / "kept", seed=1)
    kept = [Path(facts(each)["kept"]) for each in (found, again)]
    assert [path.name for path in kept] == ["test_data_set_0", "test_data_set_1"]
    assert sorted(p.name for p in (tmp_path / "kept").iterdir()) == [p.name for p in kept]
    x = read_vectors(kept[0], "input")["input"]
    with torch.inference_mode():
        wanted = module(torch.from_numpy(x.copy())).numpy()
    np.testing.assert_array_equal(read_vectors(kept[0], "output")["output"], wanted)
    model, _ = of_module(module, PICTURES)
    ((inputs, what),) = given_data(kept[0], model)
    assert what == "test_data_set_0"
    np.testing.assert_array_equal(inputs["x"].numpy(), x)


def test_a_bundle_is_never_written_behind_its_manifest(net: Path, tmp_path: Path) -> None:
    for name in ("manifest.json", "model.onnx"):
        (tmp_path / name).write_text("{}")
    (tmp_path / "deep").mkdir()
    for place in (tmp_path, tmp_path / "deep" / "er", tmp_path / "deep" / ".."):
        with pytest.raises(OutputError, match="whose manifest names every file"):
            searched(net, Classes().eval(), PICTURES, keep=place)
    left = sorted(path.name for path in tmp_path.rglob("*"))
    assert left == ["deep", "manifest.json", "model.onnx"]


def test_a_vector_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    class Broken(dict[str, Any]):
        def items(self) -> Any:
            yield "y", np.zeros(3, np.float32)
            raise OSError(28, "No space left on device")

    with pytest.raises(OutputError, match="No space left"):
        keep_vectors(tmp_path / "kept", {"x": np.zeros(3, np.float32)}, Broken())
    assert list((tmp_path / "kept").iterdir()) == []
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(OutputError, match="is not a folder"):
        keep_vectors(file, {}, {})


MISUSE: dict[str, tuple[dict[str, Any], str]] = {
    "too few": ({"search": 31}, "hardly gets beyond"),
    "less than none": ({"search": -5}, "hardly gets beyond"),
    "nothing to keep": ({"search": 0, "keep": "kept"}, "only a search finds"),
}


@pytest.mark.parametrize("case", MISUSE)
def test_misuse_is_told(net: Path, case: str) -> None:
    given, message = MISUSE[case]
    with pytest.raises(UsageError, match=message) as caught:
        searched(net, Classes().eval(), PICTURES, **given)
    assert caught.value.exit_code == 2


def test_a_file_that_fails_as_it_is_is_not_searched(net: Path, tmp_path: Path) -> None:
    other = Classes().eval()
    nn.init.ones_(other.fc.bias)
    found = searched(net, other, PICTURES)
    assert found.status == "fail"
    assert found.search is None
    assert "search" in {row["what"] for row in found.not_run}


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(list(MOVES)),
    st.integers(0, 2**31),
    st.sampled_from([torch.float32, torch.int64, torch.uint8, torch.bool]),
)
def test_moves_stay_in_the_box(move: str, seed: int, dtype: torch.dtype) -> None:
    box = {"x": (0.0, 1.0) if dtype is torch.bool else (2.0, 7.0)}
    low, high = box["x"]
    random = torch.Generator().manual_seed(seed)
    made = (low + (high - low) * torch.rand(2, 1, 3, 5, generator=random)).to(dtype)
    mine, other = {"x": made[0]}, {"x": made[1]}
    first = MOVES[move](mine, other, box, torch.Generator().manual_seed(seed))["x"]
    second = MOVES[move](mine, other, box, torch.Generator().manual_seed(seed))["x"]
    assert torch.equal(first, second)
    assert (first.dtype, first.shape) == (dtype, (1, 3, 5))
    assert low - 1e-5 <= first.double().min()
    assert first.double().max() <= high + 1e-5


def test_between_is_at_its_ends() -> None:
    mine, other = {"x": torch.tensor([1.0]), "n": torch.tensor([1])}, {
        "x": torch.tensor([3.0]), "n": torch.tensor([5]),
    }  # fmt: skip
    assert between(mine, other, 0.0) == mine
    assert between(mine, other, 1.0) == other
    assert between(mine, other, 0.5)["x"].item() == 2


@pytest.mark.parametrize("aim", AIMS)
def test_a_climb_gets_higher(aim: str) -> None:
    module = Classes().eval()
    graph = trace(module, PICTURES)
    ascent = Ascent(graph, {"x": (0.0, 1.0)})
    here = {"x": PICTURES["x"][:1]}
    with torch.inference_mode():
        given = module(here["x"]).numpy()

    def height(x: Tensor) -> float:
        with torch.inference_mode():
            value = module(x)
        best = value.topk(2).values[0]
        return float(
            best[1] - best[0] if aim == "margin" else (value - torch.from_numpy(given)).abs().max()
        )

    top = ascent.climb(here, aim, {"output": given + 1e-6}, torch.Generator().manual_seed(0))
    assert top is not None
    assert float(top["x"].min()) >= 0
    assert float(top["x"].max()) <= 1
    # steps that bring two classes closer may go past the point where they are as good
    crossed = aim == "margin" and module(top["x"]).argmax() != module(here["x"]).argmax()
    assert crossed or height(top["x"]) > height(here["x"])
    assert ascent.gradients == 4


def test_an_int8_bundle_is_searched_and_not_judged(tmp_path: Path) -> None:
    module = Classes().eval()
    netloft.export(module, (PICTURES["x"],), tmp_path / "net", precision="int8", quick=True,
                   providers=["cpu"])  # fmt: skip
    found = searched(tmp_path / "net", module, PICTURES, keep=tmp_path / "kept")
    told = facts(found)
    assert found.status == "pass"
    assert told["measure"] == "sqnr_db"
    assert told["worst"] <= min(told["usual"], told["stress"]) < 100
    assert {row["input"] for row in found.parity} == {"test vectors"}
    assert any("told and not judged" in note for note in found.notes)
    assert Path(told["kept"]).is_dir()
    for refused in ({"search": 0}, {"stress": True}, {"layers": True}):
        with pytest.raises(UsageError, match="the bundle is int8"):
            searched(tmp_path / "net", module, PICTURES, **refused)
