"""Publishing as a whole: checked first, whole or not at all, the same bytes, ours to replace."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import numpy_helper
from tests.toolkit.publishing.bundles import files_of, make_bundle, seal

from netloft.errors import ExportError, IntegrityError, OutputError, UsageError
from netloft.publishing import TARGETS, Options, publish, triton
from netloft.publishing.source import Source
from netloft.runtime.manifest import sealed

QUICK = tuple(name for name in TARGETS if name != "ort-mobile")  # that one starts ONNX Runtime


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("bundles") / "tiny")


@pytest.mark.parametrize("target", TARGETS)
def test_the_same_bundle_gives_the_same_bytes_anywhere(
    bundle: Path, target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = publish(bundle, target, tmp_path / "a")
    moved = shutil.copytree(bundle, tmp_path / "elsewhere" / "other")
    for path in moved.rglob("*"):
        os.utime(path, (1, 1))
    monkeypatch.setenv("TZ", "Pacific/Auckland")
    monkeypatch.setenv("USER", "somebody")
    monkeypatch.chdir(tmp_path)
    second = publish(moved, target, "b")
    assert files_of(first.path) == files_of(second.path)
    assert first.path.name == second.path.name == "tiny"


@pytest.mark.parametrize("target", TARGETS)
def test_the_record_says_which_bundle_it_was_and_lists_the_files(
    bundle: Path, target: str, tmp_path: Path
) -> None:
    found = publish(bundle, target, tmp_path, "net")
    record = json.loads((found.path / "netloft.json").read_text())
    assert record == found.record
    digest = hashlib.sha256((bundle / "manifest.json").read_bytes()).hexdigest()
    assert record["bundle"] == {"name": "tiny", "manifest_sha256": digest}
    assert (record["target"], record["name"]) == (target, "net")
    files = files_of(found.path)
    del files["netloft.json"]
    assert record["files"].keys() == files.keys()
    for name, data in files.items():
        facts = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
        assert record["files"][name] == facts


@pytest.mark.parametrize("target", TARGETS)
def test_nothing_reveals_where_it_was_made(bundle: Path, target: str, tmp_path: Path) -> None:
    for data in files_of(publish(bundle, target, tmp_path).path).values():
        assert str(tmp_path).encode() not in data
        assert str(bundle).encode() not in data


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "../up", "a/b", "/etc", "a\\b", 'a"b', "a b", "a\nb", "a\0b", "-a", ".a", "é",
     "a" * 101, "<b>", "$(x)", "{{ 1 }}"],
)  # fmt: skip
def test_a_name_that_is_none_is_refused_and_nothing_is_written(
    bundle: Path, name: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="cannot be the name of a published model"):
        publish(bundle, "triton", tmp_path / "models", name)
    assert os.listdir(tmp_path) == []


def test_a_bundle_whose_own_name_is_none_needs_another(tmp_path: Path) -> None:
    hostile = make_bundle(tmp_path / "b", name="../../etc")
    with pytest.raises(UsageError, match=r"'\.\./\.\./etc' cannot be the name"):
        publish(hostile, "triton", tmp_path / "models")
    assert publish(hostile, "triton", tmp_path / "models", "ok").path.is_dir()


@pytest.mark.parametrize("target", QUICK)
@pytest.mark.parametrize("damage", ["changed", "missing", "added", "link"])
def test_a_damaged_bundle_is_not_published(target: str, damage: str, tmp_path: Path) -> None:
    damaged = make_bundle(tmp_path / "tiny")
    model = damaged / "model.onnx"
    if damage == "changed":
        model.write_bytes(model.read_bytes()[:-1] + b"\xff")
    elif damage == "missing":
        model.unlink()
    elif damage == "added":
        (damaged / "extra").write_text("")
    else:
        model.rename(tmp_path / "elsewhere.onnx")
        model.symlink_to(tmp_path / "elsewhere.onnx")
    with pytest.raises(IntegrityError):
        publish(damaged, target, tmp_path / "models")
    assert not (tmp_path / "models").exists()


def test_a_file_that_is_changed_while_it_is_copied_is_not_published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    swapped = make_bundle(tmp_path / "tiny")
    copy = shutil.copyfile

    def late(source: Path, place: Path) -> Path:
        source.write_bytes(b"another model")
        return Path(copy(source, place))

    monkeypatch.setattr("netloft.publishing.source.shutil.copyfile", late)
    with pytest.raises(IntegrityError, match="changed while it was published"):
        publish(swapped, "triton", tmp_path / "models")
    assert not (tmp_path / "models").exists()


def test_a_good_folder_is_unharmed_by_a_publish_that_fails(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = publish(bundle, "triton", tmp_path).path
    before = files_of(good)

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(triton, "_write_warmup", full)
    with pytest.raises(OutputError, match="No space left"):
        publish(bundle, "triton", tmp_path)
    assert files_of(good) == before
    assert os.listdir(tmp_path) == ["tiny"]


def test_a_model_that_was_published_is_replaced_and_its_neighbours_are_kept(
    bundle: Path, tmp_path: Path
) -> None:
    publish(bundle, "triton", tmp_path, "other")
    (tmp_path / "notes.txt").write_text("mine")
    publish(bundle, "triton", tmp_path)
    publish(bundle, "triton", tmp_path, max_batch=4)
    assert "max_batch_size: 4" in (tmp_path / "tiny" / "config.pbtxt").read_text()
    assert sorted(os.listdir(tmp_path)) == ["notes.txt", "other", "tiny"]


def test_what_somebody_else_wrote_is_not_replaced(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny" / "config.pbtxt").write_text("mine")
    with pytest.raises(OutputError, match="is not a folder that netloft published"):
        publish(bundle, "triton", tmp_path)
    assert (tmp_path / "tiny" / "config.pbtxt").read_text() == "mine"
    published = publish(bundle, "triton", tmp_path, "net").path
    (published / "2").mkdir()
    (published / "2" / "model.onnx").write_text("mine")
    with pytest.raises(OutputError, match=r"holds 2, which is no part of the model there"):
        publish(bundle, "triton", tmp_path, "net")
    assert (published / "2" / "model.onnx").read_text() == "mine"


def test_what_python_leaves_does_not_keep_a_model_from_being_replaced(
    bundle: Path, tmp_path: Path
) -> None:
    cache = publish(bundle, "triton", tmp_path, backend="python").path / "1" / "__pycache__"
    cache.mkdir()
    (cache / "model.cpython-311.pyc").write_bytes(b"\0")
    publish(bundle, "triton", tmp_path, backend="python")
    assert not cache.exists()
    cache.mkdir()
    (cache / "notes.txt").write_text("mine")
    with pytest.raises(OutputError, match=r"holds 1/__pycache__/notes\.txt"):
        publish(bundle, "triton", tmp_path)


def test_what_the_pages_readme_says_leaves_it_to_be_published_again(
    bundle: Path, tmp_path: Path
) -> None:
    page = publish(bundle, "ort-web", tmp_path).path
    (tmp_path / "ort").mkdir()
    (tmp_path / "ort" / "ort.wasm.min.mjs").write_text("")
    assert '"../ort/ort.wasm.min.mjs"' in (page / "app.js").read_text()
    assert "beside this folder" in (page / "README.md").read_text()
    publish(bundle, "ort-web", tmp_path)
    with pytest.raises(UsageError, match="ort/ is for ONNX Runtime"):
        publish(bundle, "ort-web", tmp_path, "Ort")
    assert (tmp_path / "ort" / "ort.wasm.min.mjs").exists()


def test_a_link_is_not_followed(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "victim").mkdir()
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "tiny").symlink_to(tmp_path / "victim")
    with pytest.raises(OutputError, match="is a link"):
        publish(bundle, "triton", tmp_path / "models")
    assert os.listdir(tmp_path / "victim") == []


def test_a_bundle_is_not_published_into_itself(bundle: Path) -> None:
    before = files_of(bundle)
    with pytest.raises(OutputError, match="is in the bundle"):
        publish(bundle, "triton", bundle)
    with pytest.raises(OutputError):
        publish(bundle, "triton", bundle.parent)  # its own name
    assert files_of(bundle) == before


@pytest.mark.parametrize(
    ("target", "given", "said"),
    [
        ("tensorrt", {}, "there is no target 'tensorrt'"),
        ("mlflow", {"backend": "python"}, "--backend means nothing to mlflow"),
        ("mlflow", {"provider": "cuda"}, "--provider means nothing to mlflow"),
        ("kserve", {"max_batch": 4}, "--max-batch means nothing to kserve"),
        ("ort-web", {"provider": "cuda"}, "--provider means nothing to ort-web"),
        ("triton", {"backend": "torch"}, "there is no backend 'torch'"),
        ("triton", {"provider": "tpu"}, "there is no provider 'tpu'"),
        ("triton", {"max_batch": 0}, "a batch of 0 items"),
    ],
)
def test_an_option_that_means_nothing_is_refused(
    bundle: Path, target: str, given: dict[str, Any], said: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=said):
        publish(bundle, target, tmp_path, **given)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("target", ["triton", "kserve", "ort-web"])
def test_an_element_type_without_a_name_is_refused(target: str, tmp_path: Path) -> None:
    from netloft.publishing.source import read_source
    from netloft.runtime.load import Tensor

    source = read_source(make_bundle(tmp_path / "b"), None)
    strange = Tensor("input", "bfloat16", ("batch", 3, 8, 8))
    changed = Source(**{**vars(source), "inputs": (strange,)})
    (tmp_path / "out").mkdir()
    with pytest.raises(ExportError, match="no element type bfloat16"):
        TARGETS[target].write(changed, tmp_path / "out", Options())


@pytest.mark.parametrize("target", QUICK)
def test_half_a_character_is_no_text(target: str, tmp_path: Path) -> None:
    labels = ("a", "\ud83d", "c", "d", "e")
    hostile = make_bundle(tmp_path / "b", labels=labels)
    with pytest.raises(IntegrityError, match="which is no text"):
        publish(hostile, target, tmp_path / "out", "net")


def test_vectors_of_another_model_are_refused(tmp_path: Path) -> None:
    mixed = make_bundle(tmp_path / "b")
    seal(mixed, "dynamic", ("other", "scores"), ())
    with pytest.raises(IntegrityError, match="the input test vectors are not of the inputs"):
        publish(mixed, "triton", tmp_path / "out")


@pytest.mark.parametrize("shape", [(0, 3, 8, 8), (2, 3, 8, 9), (2, 3, 64)])
def test_vectors_that_do_not_fit_are_refused(shape: tuple[int, ...], tmp_path: Path) -> None:
    odd = make_bundle(tmp_path / "b")
    tensor = numpy_helper.from_array(np.zeros(shape, np.float32), "input")
    (odd / "test_data_set_0" / "input_0.pb").write_bytes(tensor.SerializeToString())
    seal(odd, "dynamic", ("input", "scores"), ())
    with pytest.raises(IntegrityError, match="the input test vectors are not of the inputs"):
        publish(odd, "triton", tmp_path / "out")


def test_labels_that_are_no_list_are_refused(tmp_path: Path) -> None:
    odd = make_bundle(tmp_path / "b")
    manifest = json.loads((odd / "manifest.json").read_text())
    (odd / "manifest.json").write_bytes(sealed(manifest | {"labels": 7}))
    with pytest.raises(IntegrityError, match="a 'labels' that is none"):
        publish(odd, "triton", tmp_path / "out")
