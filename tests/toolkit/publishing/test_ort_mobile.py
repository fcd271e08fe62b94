"""The `.ort` file: proven, the same on every run, and in no hash table's order."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from tests.toolkit.publishing.bundles import make_bundle

from netloft.bundle.vectors import read_vectors
from netloft.errors import ExportError, ParityError
from netloft.publishing import ort_mobile, publish
from netloft.publishing.ort_format import in_order


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("bundles") / "tiny")


def converted(bundle: Path) -> bytes:
    """Return what ONNX Runtime writes; each session shuffles its hash tables anew."""
    options = ort.SessionOptions()
    options.optimized_model_filepath = str(bundle.parent / "raw.ort")
    options.add_session_config_entry("session.save_model_format", "ORT")
    ort.InferenceSession(bundle / "model.onnx", options)
    return (bundle.parent / "raw.ort").read_bytes()


def test_the_order_of_the_kernels_does_not_change_the_file(bundle: Path) -> None:
    raw = {converted(bundle) for _ in range(12)}
    assert len(raw) > 1, "ONNX Runtime writes one order now, and in_order may go"
    (ordered,) = {in_order(data) for data in raw}
    assert in_order(ordered) == ordered


def test_the_ordered_file_runs_and_gives_the_same(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "model.ort").write_bytes(in_order(converted(bundle)))
    x = read_vectors(bundle / "test_data_set_0", "input")["input"]
    (found,) = ort.InferenceSession(tmp_path / "model.ort").run(None, {"input": x})
    (wanted,) = ort.InferenceSession(bundle / "model.onnx").run(None, {"input": x})
    assert np.array_equal(np.asarray(found), np.asarray(wanted))


def test_the_published_file_runs_and_the_operators_are_listed(bundle: Path, tmp_path: Path) -> None:
    folder = publish(bundle, "ort-mobile", tmp_path / "out").path
    x = read_vectors(bundle / "test_data_set_0", "input")["input"]
    y = read_vectors(bundle / "test_data_set_0", "output")["scores"]
    (found,) = ort.InferenceSession(folder / "model.ort").run(None, {"input": x})
    assert np.allclose(np.asarray(found), y, atol=1e-6)
    lines = (folder / "required_operators.config").read_text().splitlines()
    assert all(line.count(";") == 2 for line in lines)
    assert any("GlobalAveragePool" in line for line in lines)


def test_a_converted_file_that_computes_something_else_is_not_published(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def other(data: bytes) -> bytes:
        kernel = np.random.default_rng(1).standard_normal((4, 3, 3, 3)) / 5
        old = kernel.astype(np.float32).tobytes()
        assert old in data
        return in_order(data.replace(old, (2 * kernel).astype(np.float32).tobytes()))

    monkeypatch.setattr(ort_mobile, "in_order", other)
    with pytest.raises(ParityError, match=r"model\.ort computes something else"):
        publish(bundle, "ort-mobile", tmp_path / "out")
    monkeypatch.setattr(ort_mobile, "in_order", lambda data: data[:-100])
    with pytest.raises(ParityError, match=r"model\.ort does not run here"):
        publish(bundle, "ort-mobile", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_the_converter_says_is_told(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any, **__: Any) -> Any:
        return subprocess.CompletedProcess((), 1, "", "Traceback\nRuntimeError: too large\n")

    monkeypatch.setattr(subprocess, "run", fails)
    with pytest.raises(ExportError, match="cannot convert the file: RuntimeError: too large"):
        publish(bundle, "ort-mobile", tmp_path / "out")
