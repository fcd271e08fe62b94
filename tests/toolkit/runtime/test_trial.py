"""A file that hangs, bursts or dies does so in a process of its own, and that is told."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from tests.toolkit.runtime import hostile

from netloft.errors import IntegrityError, MissingError, ProviderError
from netloft.runtime import trial
from netloft.runtime.providers import probe
from netloft.runtime.trial import GIB, Child, Limits, try_out

SCALAR: trial.Arrays = {"x": np.array(1, np.float32)}
Y: Mapping[str, Sequence[int]] = {"y": (4,)}
FOUR = {"x": np.arange(4, dtype=np.float32)}


def test_a_file_runs_and_gives_its_outputs(tmp_path: Path) -> None:
    found = try_out(hostile.plain(tmp_path), "cpu", feeds=FOUR, outputs=Y)
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
        try_out(model, "cpu", feeds=SCALAR, outputs={"y": ()}, limits=Limits(seconds=2))
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
        try_out(model, "cpu", feeds=feeds, outputs=Y, limits=limits)
    assert "--max-memory" in caught.value.remedy


def test_graphs_within_graphs_run(tmp_path: Path) -> None:
    feeds = {"x": FOUR["x"], "c": np.array(True)}
    assert try_out(hostile.nested(6)(tmp_path), "cpu", feeds=feeds, outputs=Y).ran_on


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
        try_out(hostile.plain(tmp_path), "cpu", feeds=wrong, outputs=Y)


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
    try_out(hostile.plain(tmp_path), "cpu", feeds=FOUR, outputs=Y)
    with pytest.raises(IntegrityError):
        try_out(hostile.endless(tmp_path), "cpu", feeds=SCALAR, outputs=Y,
                limits=Limits(seconds=1))  # fmt: skip
    assert list((tmp_path / "temporary").iterdir()) == []


def test_a_result_of_another_size_is_not_sent(tmp_path: Path) -> None:
    with pytest.raises(IntegrityError, match=r"output 'y' has shape \[4\], and its test vector"):
        try_out(hostile.plain(tmp_path), "cpu", feeds=FOUR, outputs={"y": (5,)})


def test_processor_time_is_held(tmp_path: Path) -> None:
    model = hostile.endless(tmp_path)
    # two processors' worth of one second is over before the clock is at ten
    script = (
        "import sys, netloft.runtime.child as child\nchild.process_cpus = lambda: 0\nchild.main()"
    )
    with Child() as started:
        started._process.kill()
        started._process.communicate()
        started._process = subprocess.Popen(
            [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        with pytest.raises(IntegrityError, match="of every processor"):
            started.try_out(model, "cpu", feeds=SCALAR, outputs={"y": ()}, threads=1,
                            limits=Limits(seconds=30))  # fmt: skip


def test_what_lies_beside_the_file_gives_it_no_memory(tmp_path: Path) -> None:
    model = hostile.huge(tmp_path)
    with (tmp_path / "huge.onnx.junk").open("wb") as file:
        file.truncate(1 << 42)
    (tmp_path / "huge.onnx.gone").symlink_to(tmp_path / "absent")
    limits = Limits(memory=GIB // 2, seconds=60)
    with pytest.raises(IntegrityError, match="asks for more than"):
        try_out(model, "cpu", feeds=FOUR, outputs=Y, limits=limits)


def test_no_temporary_folder_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", os.fspath(tmp_path / "absent"))
    with pytest.raises(MissingError, match="no temporary folder"):
        try_out(hostile.plain(tmp_path), "cpu")
