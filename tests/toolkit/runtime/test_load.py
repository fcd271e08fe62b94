from __future__ import annotations

import hashlib
import importlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper

from netloft.bundle import staged_bundle
from netloft.errors import InputError, IntegrityError
from netloft.runtime import Tensor, load
from netloft.runtime.manifest import sealed

IMAGE = {"name": "image", "dtype": "float32", "shape": ["batch", 3]}
MASK = {"name": "mask", "dtype": "float32", "shape": ["batch", 3]}


def write_bundle(folder: Path) -> Path:
    """A bundle that adds two inputs, with a folder in it."""
    values = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["batch", 3])
              for n in ("image", "mask", "sum")]  # fmt: skip
    graph = helper.make_graph(
        [helper.make_node("Add", ["image", "mask"], ["sum"])], "g", values[:2], values[2:]
    )
    opsets = [helper.make_opsetid("", 13)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=7)
    (folder / "test_data_set_0").mkdir(parents=True)
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    (folder / "test_data_set_0" / "input_0.pb").write_bytes(b"vector")
    write_manifest(folder)
    return folder


def write_manifest(folder: Path, **changes: Any) -> None:
    files = {
        name: {
            "sha256": hashlib.sha256((folder / name).read_bytes()).hexdigest(),
            "bytes": (folder / name).stat().st_size,
        }
        for name in ("model.onnx", "test_data_set_0/input_0.pb")
    }
    manifest = {
        "netloft": "0.1.0",
        "format": 1,
        "name": "adder",
        "inputs": [IMAGE, MASK],
        "outputs": [{"name": "sum", "dtype": "float32", "shape": ["batch", 3]}],
        "tolerances": {"sum": 1e-6},
        "files": files,
    } | changes
    try:
        content = sealed(manifest)
    except ValueError:  # a number that is none
        content = json.dumps(manifest).encode()
    (folder / "manifest.json").write_bytes(content)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return write_bundle(tmp_path / "adder")


def test_a_bundle_runs_and_says_where(bundle: Path) -> None:
    net = load(bundle, threads=1)
    ones = np.ones((2, 3), np.float32)
    np.testing.assert_array_equal(net.run({"image": ones, "mask": ones})["sum"], 2 * ones)
    assert (net.name, net.provider) == ("adder", "cpu")
    assert net.inputs[0] == Tensor("image", "float32", ("batch", 3))
    assert repr(net) == (
        "<Net adder on cpu: image float32[batch, 3], mask float32[batch, 3] "
        "-> sum float32[batch, 3]>"
    )


def _change(bundle: Path) -> None:
    data = bytearray((bundle / "model.onnx").read_bytes())
    data[-1] ^= 1
    (bundle / "model.onnx").write_bytes(data)


def _link_file(bundle: Path) -> None:
    target = bundle.parent / "elsewhere.onnx"
    (bundle / "model.onnx").rename(target)
    (bundle / "model.onnx").symlink_to(target)


def _link_folder(bundle: Path) -> None:
    (bundle / "test_data_set_0").rename(bundle.parent / "elsewhere")
    (bundle / "test_data_set_0").symlink_to(bundle.parent / "elsewhere")


def _remove(bundle: Path) -> None:
    (bundle / "test_data_set_0" / "input_0.pb").unlink()


def _add(bundle: Path) -> None:
    (bundle / "test_data_set_0" / "manifest.json").write_text("{}")


def _add_folder(bundle: Path) -> None:
    (bundle / "test_data_set_0" / "more").mkdir()


@pytest.mark.parametrize(
    ("tamper", "problem"),
    [
        (_change, "model.onnx was changed after the export"),
        (_remove, "test_data_set_0/input_0.pb is missing"),
        (_add, "test_data_set_0/manifest.json is not in the manifest"),
        (_add_folder, "test_data_set_0/more/ is not in the manifest"),
        (_link_file, "model.onnx is a link"),
        (_link_folder, "test_data_set_0 is a link"),
    ],
)
def test_tampering_is_refused_and_the_file_named(
    bundle: Path, tamper: Callable[[Path], None], problem: str
) -> None:
    tamper(bundle)
    with pytest.raises(IntegrityError) as caught:
        load(bundle)
    assert caught.value.problem == problem
    assert caught.value.exit_code == 1


def test_verify_false_reads_no_file_but_the_model(bundle: Path) -> None:
    _remove(bundle)
    assert load(bundle, verify=False).provider == "cpu"


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"format": 2}, "manifest.json has format 2, and this netloft reads 1"),
        ({"files": {}}, "manifest.json does not list model.onnx"),
        ({"files": {"../x": {"sha256": "", "bytes": 0}}},
         "manifest.json lists a file in an unknown way, or outside of the bundle"),
        ({"inputs": None}, "manifest.json has no 'inputs'"),
        ({"tolerances": None}, "manifest.json has no 'tolerances'"),
        ({"tolerances": {"sum": 0.5}},
         "manifest.json has the tolerance 0.5 for 'sum', which is none"),
        ({"tolerances": {"sum": float("nan")}},
         "manifest.json cannot be read: NaN is no number"),
        ({"tolerances": {"sum": "1e-6"}},
         "manifest.json has the tolerance '1e-6' for 'sum', which is none"),
        ({"inputs": [{"name": "x"}]},
         "manifest.json describes an input or output in an unknown way"),
        ({"inputs": [IMAGE]}, "the inputs in manifest.json are not those of model.onnx"),
        ({"inputs": [MASK | {"dtype": "int64"}, MASK]},
         "the inputs in manifest.json are not those of model.onnx"),
    ],
)  # fmt: skip
def test_a_wrong_manifest_is_refused(bundle: Path, changes: dict[str, Any], problem: str) -> None:
    write_manifest(bundle, **changes)
    with pytest.raises(IntegrityError) as caught:
        load(bundle)
    assert caught.value.problem == problem


def test_no_bundle_and_no_manifest(tmp_path: Path) -> None:
    with pytest.raises(IntegrityError, match="there is no bundle"):
        load(tmp_path / "absent")
    with pytest.raises(IntegrityError, match=r"has no manifest.json"):
        load(tmp_path)
    (tmp_path / "manifest.json").write_text("[1")
    with pytest.raises(IntegrityError, match=r"manifest.json cannot be read"):
        load(tmp_path)


F = np.zeros((2, 3), np.float32)


@pytest.mark.parametrize(
    ("inputs", "problem"),
    [
        ({"image": F}, "adder takes the inputs 'image', 'mask', and was given 'image'"),
        ({}, "adder takes the inputs 'image', 'mask', and was given none"),
        ({"image": F.astype(np.float64), "mask": F},
         "input 'image' is float64, and the model takes float32"),
        ({"image": F[:, :2], "mask": F},
         "input 'image' has shape [2, 2], and the model takes [batch, 3] where batch = 2"),
        ({"image": F, "mask": F[:1]},
         "input 'mask' has shape [1, 3], and the model takes [batch, 3] where batch = 2"),
    ],
)  # fmt: skip
def test_inputs_that_do_not_fit(bundle: Path, inputs: dict[str, Any], problem: str) -> None:
    with pytest.raises(InputError) as caught:
        load(bundle).run(inputs)
    assert caught.value.problem == problem


def test_what_only_the_file_refuses_is_an_input_error(bundle: Path) -> None:
    loose = [IMAGE | {"shape": ["batch", "any"]}, MASK]
    write_manifest(bundle, inputs=loose)
    with pytest.raises(InputError, match="adder refuses these inputs"):
        load(bundle).run({"image": F[:, :2], "mask": F})


def test_strided_inputs_are_taken(bundle: Path) -> None:
    x = np.arange(6, dtype=np.float32).reshape(3, 2).T
    np.testing.assert_array_equal(load(bundle).run({"image": x, "mask": x})["sum"], 2 * x)


def test_the_runtime_needs_neither_torch_nor_onnx(bundle: Path) -> None:
    code = (
        "import sys\n"
        "import netloft.runtime\n"
        "assert 'onnxruntime' not in sys.modules, 'imported before it is needed'\n"
        f"net = netloft.runtime.load({os.fspath(bundle)!r})\n"
        "heavy = {'torch', 'torchvision', 'onnx', 'rich', 'click'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "print(net.provider)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "cpu\n"), done.stderr


def test_a_bundle_that_is_replaced_while_it_is_read_is_read_again(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = importlib.import_module("netloft.runtime.load")  # the function has its name
    check, calls = module.check_files, []

    def replaced(folder: Path, files: Mapping[str, Mapping[str, Any]]) -> None:
        check(folder, files)
        calls.append(folder)
        if len(calls) == 1:  # between the files and the session another export has ended
            with staged_bundle(bundle) as staging:
                shutil.copytree(folder, staging, dirs_exist_ok=True)

    monkeypatch.setattr(module, "check_files", replaced)
    assert load(bundle).name == "adder"
    assert len(calls) == 2


def test_a_bundle_that_never_stays_is_no_bundle(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = importlib.import_module("netloft.runtime.load")

    def replaced(folder: Path, files: Mapping[str, Mapping[str, Any]]) -> None:
        with staged_bundle(bundle) as staging:
            shutil.copytree(folder, staging, dirs_exist_ok=True)
        raise IntegrityError("one file is not the other's")

    monkeypatch.setattr(module, "check_files", replaced)
    with pytest.raises(IntegrityError, match="was replaced 10 times while it was read"):
        load(bundle)


def test_a_manifest_shows_its_own_damage(bundle: Path) -> None:
    path = bundle / "manifest.json"
    content = path.read_bytes()
    for place in range(len(content)):
        for bit in range(8):
            damaged = bytearray(content)
            damaged[place] ^= 1 << bit
            path.write_bytes(damaged)
            with pytest.raises(IntegrityError, match=r"manifest\.json") as caught:
                load(bundle)
            assert caught.value.exit_code == 1


@pytest.mark.parametrize("digest", ["", "0" * 63, "0" * 64, 7, None])
def test_a_manifest_without_its_digest_is_none(bundle: Path, digest: object) -> None:
    manifest = json.loads((bundle / "manifest.json").read_bytes())
    (bundle / "manifest.json").write_text(json.dumps(manifest | {"digest": digest}))
    with pytest.raises(IntegrityError, match=r"manifest\.json (has no 'digest'|was changed)"):
        load(bundle)


def test_a_key_that_is_not_known_is_refused(bundle: Path) -> None:
    write_manifest(bundle, command="rm -r")
    with pytest.raises(IntegrityError, match="has an unknown key 'command'"):
        load(bundle)


def test_a_pipe_in_a_bundle_is_refused_at_once(bundle: Path) -> None:
    os.mkfifo(bundle / "pipe")
    empty = hashlib.sha256(b"").hexdigest()
    manifest = json.loads((bundle / "manifest.json").read_bytes())
    files = manifest["files"] | {"pipe": {"sha256": empty, "bytes": 0}}
    (bundle / "manifest.json").write_bytes(sealed(manifest | {"files": files}))
    with pytest.raises(IntegrityError, match="pipe is no file"):
        load(bundle)


def test_a_manifest_without_end_is_not_read(bundle: Path) -> None:
    os.truncate(bundle / "manifest.json", 1 << 33)
    with pytest.raises(IntegrityError, match="it has 8,589,934,592 bytes"):
        load(bundle)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"labels": 5}, "has a 'labels' that is none"),
        ({"labels": [5]}, "has labels that are no text"),
        ({"opset": "20"}, "has a 'opset' that is none"),
        ({"preprocess": []}, "has a 'preprocess' that is none"),
    ],
)
def test_every_key_is_of_its_kind(bundle: Path, change: dict[str, Any], said: str) -> None:
    write_manifest(bundle, **change)
    with pytest.raises(IntegrityError) as caught:
        load(bundle)
    assert said in caught.value.problem
