"""Inputs of the user's own are read as the model takes them, or refused with the reason."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from click.testing import CliRunner, Result
from onnx import numpy_helper
from PIL import Image

import netloft
from netloft.cli import main
from netloft.errors import InputError
from netloft.models import load_model
from netloft.models.given_data import MOST, given_data
from netloft.models.loaded import InputSpec, LoadedModel


def run(*args: str | Path) -> Result:
    return CliRunner().invoke(main, [str(arg) for arg in args])


def save_pictures(folder: Path, count: int) -> Path:
    folder.mkdir()
    for i in range(count):
        Image.new("RGB", (40 + i, 50), (250, 20 * i, 0)).save(folder / f"{i}.png")
    return folder


@pytest.fixture(scope="module")
def mnist() -> LoadedModel:
    return load_model("mnist")


class Two(torch.nn.Module):
    def forward(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return a + b


def two() -> LoadedModel:
    specs = (InputSpec("b", (1, 3)), InputSpec("a", (1, 3)))
    return LoadedModel(Two().eval(), "two", "two", specs)


def test_an_array_is_cut_into_batches(mnist: LoadedModel, tmp_path: Path) -> None:
    array = np.random.default_rng(0).standard_normal((11, 1, 28, 28))
    np.save(tmp_path / "a.npy", array)
    (name,) = (spec.name for spec in mnist.inputs) if mnist.inputs[0].name else ("x",)
    parts = list(given_data(tmp_path / "a.npy", mnist))
    assert [what for _, what in parts] == ["a.npy", "a.npy"]
    assert [len(part[name]) for part, _ in parts] == [8, 3]
    found = torch.cat([part[name] for part, _ in parts])
    assert found.dtype == torch.float32
    assert np.array_equal(found.numpy(), array.astype(np.float32))
    sizes = [len(part[name]) for part, _ in given_data(tmp_path / "a.npy", mnist, 11)]
    assert sizes == [11]


def test_arrays_go_by_their_names(tmp_path: Path) -> None:
    np.savez(tmp_path / "ab.npz", a=np.zeros((2, 3), np.float32), b=np.ones((2, 3), np.float32))
    ((part, _),) = given_data(tmp_path / "ab.npz", two())
    assert {name: float(tensor.sum()) for name, tensor in part.items()} == {"a": 0.0, "b": 6.0}


def test_a_test_data_set_is_read(tmp_path: Path) -> None:
    for i, name in enumerate(("a", "b")):
        tensor = numpy_helper.from_array(np.full((2, 3), i, np.float32), name)
        (tmp_path / f"input_{i}.pb").write_bytes(tensor.SerializeToString())
    ((part, what),) = given_data(tmp_path, two())
    assert what == tmp_path.name
    assert float(part["b"].sum()) == 6.0


def test_pictures_are_prepared_as_the_model_states(tmp_path: Path) -> None:
    model = load_model("resnet18")
    folder = save_pictures(tmp_path / "red", 3)
    ((part, what),) = given_data(folder, model)
    (tensor,) = part.values()
    assert what == "3 pictures of red"
    assert tensor.shape == (3, 3, 224, 224)
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    for i in range(3):
        wanted = (np.array([250, 20 * i, 0]) / 255 - mean) / std
        assert np.allclose(tensor[i, :, 100, 100].numpy(), wanted, atol=1e-5)
    ((_, what),) = given_data(folder / "0.png", model)
    assert what == "0.png"


def test_what_does_not_fit_is_told(mnist: LoadedModel, tmp_path: Path) -> None:
    np.save(tmp_path / "shape.npy", np.zeros((2, 1, 28, 27), np.float32))
    np.save(tmp_path / "type.npy", np.zeros((2, 1, 28, 28), np.int64))
    np.save(tmp_path / "empty.npy", np.zeros((0, 1, 28, 28), np.float32))
    np.save(tmp_path / "many.npy", np.zeros((MOST + 1, 1, 28, 28), np.float32))
    np.save(tmp_path / "three.npy", np.zeros((3, 1, 28, 28), np.float32))
    np.save(tmp_path / "object.npy", np.array([{}], object), allow_pickle=True)
    np.savez(tmp_path / "two.npz", p=np.zeros((2, 3)), q=np.zeros((2, 3)))
    (tmp_path / "bad.npz").write_bytes(b"PK")
    (tmp_path / "bad.png").write_bytes(b"no picture")
    (tmp_path / "none").mkdir()
    for name, batch, words in (
        ("shape.npy", "dynamic", "holds 2x1x28x27 float32 for"),
        ("type.npy", "dynamic", "int64"),
        ("empty.npy", "dynamic", "0 items"),
        ("many.npy", "dynamic", "1025 items"),
        ("three.npy", 2, "takes 2 at a time"),
        ("object.npy", "dynamic", "cannot be read"),
        ("two.npz", "dynamic", "holds 'p', 'q', and the model takes"),
        ("bad.npz", "dynamic", "cannot be read"),
        ("bad.png", "dynamic", "no picture that can be read"),
        ("none", "dynamic", "holds 0 pictures"),
        ("gone.npy", "dynamic", "cannot be read"),
        ("gone.txt", "dynamic", "no data that is known here"),
    ):
        with pytest.raises(InputError, match=words):
            list(given_data(tmp_path / name, mnist, batch))
    with pytest.raises(InputError, match="takes no pictures"):
        list(given_data(save_pictures(tmp_path / "some", 1), two()))


def test_verify_compares_on_them(mnist: LoadedModel, tmp_path: Path) -> None:
    netloft.to_onnx(mnist.module, mnist.example(), tmp_path / "net.onnx", prove=False)
    np.save(tmp_path / "mine.npy", np.random.default_rng(0).random((9, 1, 28, 28)))
    args = ("verify", tmp_path / "net.onnx", "--against", "mnist", "--data", tmp_path / "mine.npy")
    result = run(*args, "--json")
    assert result.exit_code == 0, result.output
    rows = [row for row in json.loads(result.stdout)["parity"] if row["input"] == "data: mine.npy"]
    assert {row["batch"] for row in rows} == {8, 1}
    assert {row["status"] for row in rows} == {"pass"}
    assert "mine.npy, batch 8" in result.stderr

    model = onnx.load(tmp_path / "net.onnx")
    onnx.save(model, tmp_path / "other.onnx")
    assert run("verify", tmp_path / "other.onnx", "--data", tmp_path / "mine.npy").exit_code == 2
    result = run(*args[:-1], tmp_path / "gone.npy")
    assert result.exit_code == 2
    assert "gone.npy cannot be read" in result.output
