from __future__ import annotations

import gc
import importlib.util
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from onnx import TensorProto, helper
from tests.toolkit.speed.stand_ins import one_operation
from torch import nn

from netloft.errors import InputError, IntegrityError, MissingError, UsageError
from netloft.models.loaded import InputSpec, LoadedModel
from netloft.speed import bench, targets
from netloft.speed.contestants import cpp_compiler
from netloft.speed.engines import engine
from netloft.speed.measure import Plan
from netloft.speed.sources import FileSource, source_of


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Plan, "quick", lambda: Plan(budget_s=0.0, rounds=5, warmup_s=0.0))


def test_files_and_modules_side_by_side(tmp_path: Path) -> None:
    file = one_operation(tmp_path / "relu.onnx", "batch", 3)
    module = (nn.ReLU().eval(), (torch.randn(2, 3),))
    result = bench(file, module, batches=[1, 2], providers=["cpu"], threads=1, quick=True)
    assert [(r.target, r.engine, r.batch) for r in result.rows] == [
        (str(file), "ONNX Runtime", 1), ("ReLU", "PyTorch eager", 1),
        (str(file), "ONNX Runtime", 2), ("ReLU", "PyTorch eager", 2),
    ]  # fmt: skip
    first, second = result.rows[:2]
    assert (first.ratio_to_first, first.verdict) == (1, "")
    assert second.ratio_to_first is not None
    assert second.verdict in ("faster", "slower", "cannot tell")
    assert set(result.to_dict()) == {"format", "speed", "not_run", "environment"}
    assert result.not_run == ()


def test_every_batch_with_every_number_of_threads(tmp_path: Path) -> None:
    file = one_operation(tmp_path / "relu.onnx", "batch", 3)
    other = one_operation(tmp_path / "other.onnx", "batch", 3)
    result = bench(file, other, batches=[1, 4], providers=["cpu"], threads=[1, 2, 1], quick=True)
    found = [(r.target, r.threads, r.batch) for r in result.rows]
    assert found == [
        (str(path), threads, batch) for threads in (1, 2) for batch in (1, 4)
        for path in (file, other)
    ]  # fmt: skip
    assert [r.ratio_to_first for r in result.rows[::2]] == [1] * 4  # each within its own number


def test_a_fixed_batch_has_its_own_row(tmp_path: Path) -> None:
    fixed = one_operation(tmp_path / "fixed.onnx", 4, 3)
    free = one_operation(tmp_path / "free.onnx", "batch", 3)
    result = bench(free, fixed, batches=[1], providers=["cpu"], threads=1, quick=True)
    assert [(Path(r.target).stem, r.batch) for r in result.rows] == [
        ("free", 1), ("free", 4), ("fixed", 4)
    ]  # fmt: skip
    ((what, reason),) = result.not_run
    assert (what, reason) == (f"{fixed} on cpu at batch 1", "it has a fixed batch of 4")


def test_lengths_that_are_all_fixed_are_one_batch(tmp_path: Path) -> None:
    """Ten rows of one input and four of another are run once, and not as a batch of eight."""
    path, kind = tmp_path / "two.onnx", TensorProto.FLOAT
    x, w, y, z = (
        helper.make_tensor_value_info(name, kind, [length, 3])
        for name, length in (("x", 4), ("w", 10), ("y", 4), ("z", 10))
    )
    nodes = [helper.make_node("Abs", ["x"], ["y"]), helper.make_node("Abs", ["w"], ["z"])]
    graph = helper.make_graph(nodes, "g", [x, w], [y, z])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=7)
    path.write_bytes(model.SerializeToString())
    result = bench(path, batches=[8], providers=["cpu"], threads=1, quick=True)
    assert [row.batch for row in result.rows] == [4]


def test_what_each_session_of_a_file_takes_to_load(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    # PyTorch's own cache, which the first test to need it makes where temporary files are then
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
    monkeypatch.setattr(targets, "plan_of", lambda *_: Plan(0.0, rounds=5, warmup_s=0.0))
    file = one_operation(tmp_path / "relu.onnx", "batch", 3)
    engines = ["onnxruntime", "onnxruntime-none", "onnxruntime-saved", "eager", "torch-onnx"]
    engines += [name for name in ("openvino", "onnxslim") if importlib.util.find_spec(name)]
    module = (nn.ReLU().eval(), (torch.randn(2, 3),))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    result = bench(file, module, batches=[1], providers=["cpu"], threads=1, engines=engines)
    assert result.not_run == ()
    assert len(result.rows) == len(engines)
    for row in result.rows:
        of_a_file = row.engine != "PyTorch eager"
        times = row.load_ms, row.load_low, row.load_high, row.first_ms, row.memory_mb
        assert {time is not None for time in times} == {of_a_file}
    gc.collect()
    assert list(tmp_path.iterdir()) == [file], "what was written to be loaded went with them"


@pytest.mark.skipif(not cpp_compiler(), reason="no C++ compiler")
def test_what_the_first_run_of_a_compiled_module_takes() -> None:
    module = (nn.ReLU().eval(), (torch.randn(2, 3),))
    engines = ["eager", "compile"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the compiler's own
        result = bench(
            module, batches=[2], providers=["cpu"], threads=1, engines=engines, quick=True
        )
    eager, compiled = result.rows
    assert eager.first_ms is None
    assert compiled.first_ms is not None
    assert compiled.first_ms > 20 * compiled.p50_ms


def test_a_precision_that_cannot_be_read_loses_no_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> str:
        raise KeyError("layerType")

    monkeypatch.setattr(targets, "plan_of", lambda *_: Plan(0.0, rounds=5, warmup_s=0.0))
    monkeypatch.setattr(engine, "_precision", fails)
    file = one_operation(tmp_path / "relu.onnx", "batch", 3)
    result = bench(file, batches=[1], providers=["cpu"], threads=1)
    assert [(row.engine, row.precision) for row in result.rows] == [("ONNX Runtime", "")]
    what = f"what {file} on cpu at batch 1 computes in"
    assert result.not_run == ((what, "KeyError: 'layerType'"),)


def test_nodes_are_told_with_onnx_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(targets, "find_spec", lambda _: None)
    with pytest.raises(MissingError, match="the package onnx, which is not here"):
        bench(one_operation(tmp_path / "relu.onnx", "batch", 3), profiled=True)


def test_a_model_and_a_file_of_pictures_get_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[float] = []

    class Net(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            seen.append(float(images.float().diff(dim=2).abs().mean()))
            return images

    inputs = (InputSpec("images", (1, 32, 32, 3), "uint8"),)
    model = LoadedModel(Net().eval(), "net", "net", inputs)
    file = one_operation(tmp_path / "abs.onnx", "n", 32, 32, 3, kind=TensorProto.UINT8)
    fed: list[float] = []
    real: Any = vars(engine)["onnxruntime_contestant"]

    def watched(session: object, feeds: dict[str, Any], **facts: Any) -> Any:
        fed.append(float(feeds["x"].std()))
        return real(session, feeds, **facts)

    monkeypatch.setattr(engine, "onnxruntime_contestant", watched)
    bench(model, file, batches=[2], providers=["cpu"], threads=1, quick=True)
    assert 2 < seen[0] < 50, "pixels of photographs are like their neighbours; of noise, 85 apart"
    assert fed[0] > 70


def test_whole_numbers_and_an_unknown_length(tmp_path: Path) -> None:
    numbers = one_operation(tmp_path / "int.onnx", "n", "n", kind=TensorProto.INT64)
    result = bench(numbers, batches=[2], providers=["cpu"], threads=1, quick=True)
    assert result.rows[0].batch == 2
    unknown = one_operation(tmp_path / "unknown.onnx", "batch", "height")
    with pytest.raises(InputError, match="the length of 'height' is not known"):
        bench(unknown, batches=[2], providers=["cpu"], threads=1, quick=True)
    with pytest.raises(InputError, match="the length of 'height' is not known"):
        source_of(unknown, ["cpu"], 1, {"x": (1, 3, 3)}).feeds("cpu", 2)  # type: ignore[union-attr]
    told = bench(
        unknown, batches=[2], providers=["cpu"], threads=1, quick=True, shapes={"x": (1, 7)}
    )
    assert told.rows[0].batch == 2


def test_mistakes(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nothing to measure"):
        bench()
    file = one_operation(tmp_path / "relu.onnx", "batch", 3)
    for threads, profiled in ([-1], False), ([0, 1], False), ([1, 2], True):
        with pytest.raises(UsageError, match="threads are one or more"):
            bench(file, providers=["cpu"], threads=threads, profiled=profiled)
    with pytest.raises(IntegrityError, match=r"has no manifest.json"):
        bench(tmp_path, providers=["cpu"])
    with pytest.raises(UsageError, match="there is no file"):
        bench(tmp_path / "absent.onnx", providers=["cpu"])


def test_the_front_door_stays_callable(tmp_path: Path) -> None:
    import netloft
    import netloft.speed.stats

    file = one_operation(tmp_path / "relu.onnx", "batch", 3)
    assert len(netloft.bench(file, batches=[1], providers=["cpu"], quick=True).rows) == 1


def test_files_are_measured_without_torch(tmp_path: Path) -> None:
    file = one_operation(tmp_path / "relu.onnx", "batch", 3)
    code = (
        "import sys\n"
        "from netloft.speed import bench\n"
        f"rows = bench({str(file)!r}, batches=[1], providers=['cpu'], quick=True).rows\n"
        "assert len(rows) == 1\n"
        "assert not {'torch', 'onnx'} & set(sys.modules), 'imported'\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_what_was_measured_is_not_lost_for_the_nodes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_room(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(FileSource, "profile", no_room)
    file = one_operation(tmp_path / "relu.onnx", "batch", 3)
    found = bench(file, batches=[1], providers=["cpu"], threads=1, quick=True, profiled=True)
    assert len(found.rows) == 1
    assert (f"nodes of {file} at batch 1", "MemoryError") in found.not_run
