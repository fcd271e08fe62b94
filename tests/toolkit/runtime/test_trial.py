"""A file that hangs, bursts or dies does so in a process of its own, and that is told."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest
from tests.toolkit.runtime import hostile

from netloft.errors import IntegrityError, ProviderError
from netloft.runtime import trial
from netloft.runtime.providers import probe
from netloft.runtime.trial import GIB, Child, Limits, try_out

SCALAR = {"x": np.float32(1)}
FOUR = {"x": np.arange(4, dtype=np.float32)}


def test_a_file_runs_and_gives_its_outputs(tmp_path: Path) -> None:
    found = try_out(hostile.plain(tmp_path), "cpu", feeds=FOUR, outputs=["y"])
    np.testing.assert_array_equal(found.outputs["y"], FOUR["x"] + 1)
    assert (found.ran_on, found.elsewhere) == ({"CPUExecutionProvider": 1}, ())
    assert found.checked is True


def test_a_file_may_be_started_only(tmp_path: Path) -> None:
    found = try_out(hostile.plain(tmp_path), "cpu")
    assert (found.outputs, found.ran_on, found.checked) == ({}, {}, True)


def test_a_loop_without_end_is_stopped(tmp_path: Path) -> None:
    model = hostile.endless(tmp_path)
    start = time.monotonic()
    with pytest.raises(IntegrityError, match=r"endless\.onnx was stopped after 2 seconds"):
        try_out(model, "cpu", feeds=SCALAR, outputs=["y"], limits=Limits(seconds=2))
    assert time.monotonic() - start < 30


@pytest.mark.parametrize(
    ("make", "feeds"), [(hostile.doubling, FOUR), (hostile.huge, FOUR)], ids=["doubling", "huge"]
)
def test_a_file_that_asks_for_all_memory_is_stopped(
    tmp_path: Path, make: hostile.Make, feeds: trial.Arrays
) -> None:
    model = make(tmp_path)
    limits = Limits(memory=GIB // 2, seconds=60)
    with pytest.raises(IntegrityError, match=r"asks for more than 0\.5 GiB") as caught:
        try_out(model, "cpu", feeds=feeds, outputs=["y"], limits=limits)
    assert "--max-memory" in caught.value.remedy


def test_graphs_within_graphs_run(tmp_path: Path) -> None:
    feeds = {"x": FOUR["x"], "c": np.array(True)}
    assert try_out(hostile.nested(6)(tmp_path), "cpu", feeds=feeds, outputs=["y"]).ran_on


def test_what_is_no_onnx_is_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "x.onnx"
    path.write_bytes(b"\x08\x0a")
    with pytest.raises(IntegrityError, match=r"x\.onnx is not"):
        try_out(path, "cpu")


def test_a_provider_that_does_not_start(tmp_path: Path) -> None:
    if probe("tensorrt").starts:
        pytest.skip("TensorRT starts here")
    with pytest.raises(ProviderError, match="provider 'tensorrt' does not start"):
        try_out(hostile.plain(tmp_path), "tensorrt")


def test_inputs_that_do_not_fit(tmp_path: Path) -> None:
    wrong = {"x": np.zeros(5, np.float32)}
    with pytest.raises(IntegrityError, match="does not run on its test vectors on cpu"):
        try_out(hostile.plain(tmp_path), "cpu", feeds=wrong, outputs=["y"])


def test_how_a_process_died_is_told(tmp_path: Path) -> None:
    with Child() as child:
        child._process.kill()
        with pytest.raises(IntegrityError, match=r"ends the process that tries it out \(SIGKILL\)"):
            child.try_out(hostile.plain(tmp_path), "cpu")


def test_the_current_folder_lends_no_modules(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("numpy", "onnxruntime", "json", "netloft"):
        (tmp_path / f"{name}.py").write_text("open('ran', 'w')")
    monkeypatch.chdir(tmp_path)
    assert try_out(hostile.plain(tmp_path), "cpu").checked
    assert not (tmp_path / "ran").exists()


def test_nothing_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", os.fspath(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    try_out(hostile.plain(tmp_path), "cpu", feeds=FOUR, outputs=["y"])
    with pytest.raises(IntegrityError):
        try_out(hostile.endless(tmp_path), "cpu", feeds=SCALAR, outputs=["y"],
                limits=Limits(seconds=1))  # fmt: skip
    assert list((tmp_path / "temporary").iterdir()) == []
