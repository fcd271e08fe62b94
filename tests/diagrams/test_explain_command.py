"""`netloft explain`: what is written, what is printed, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from netloft.cli import main

NET = """
import torch
from torch import nn


class Bright(nn.Module):
    '''Class 1 where the upper left corner is bright, class 0 where the lower right one is.'''

    netloft_inputs = ("1x3x32x32",)
    netloft_preprocess = {"resize": 32, "crop": 32, "mean": (0.0,), "std": (1.0,)}

    def __init__(self) -> None:
        super().__init__()
        self.corners = nn.Conv2d(3, 2, 1, bias=False)
        self.register_buffer("where", torch.zeros(2, 32, 32))
        self.where[0, 16:, 16:] = 1
        self.where[1, :16, :16] = 1
        self.corners.weight.data.fill_(1 / 3)
        self.relu = nn.ReLU(inplace=True)
        self.fc = nn.Linear(2, 2, bias=False)
        self.fc.weight.data = torch.eye(2) * 10

    def forward(self, x):
        seen = self.relu(self.corners(x) * self.where)
        return self.fc(seen.mean((2, 3)))


class Ranks(Bright):
    '''Gives the order of its classes before their scores.'''

    def forward(self, x):
        scores = super().forward(x)
        return {"order": scores.argsort(1), "scores": scores}


class Mapped(Bright):
    def forward(self, x):
        return {"scores": super().forward(x), "map": x.mean(1)}


class Two(Bright):
    def forward(self, x, y):
        return super().forward(x + y)


class Flat(nn.Module):
    netloft_inputs = ("1x12",)

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(12, 2)

    def forward(self, x):
        return self.fc(x)
"""


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(each) for each in arguments])


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "net.py").write_text(NET, encoding="utf-8")
    for name, (rows, columns) in {
        "left": (slice(16), slice(16)),
        "right": (slice(16, 32),) * 2,
    }.items():
        pixels = np.zeros((32, 32, 3), np.uint8)
        pixels[rows, columns] = 255
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
    return tmp_path


def explained(place: Path, *more: str | Path) -> Any:
    pictures = [place / "left.png", place / "right.png"]
    result = run(
        "explain", f"{place / 'net.py'}:Bright", "--image", *pictures, *more,
        "-o", place / "out", "--json",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_the_map_is_hot_where_the_class_is_seen(place: Path) -> None:
    found = explained(place)
    assert [row["top"][0]["index"] for row in found["pictures"]] == [1, 0]
    assert {row["form"] for row in found["pictures"]} == {"closed form"}
    for row, corner in zip(
        found["pictures"], ((slice(16), slice(16)), (slice(16, 32),) * 2), strict=True
    ):
        with Image.open(row["file"]) as picture:
            pixels = np.asarray(picture).astype(int)
        side = len(pixels) // 32  # a small picture is enlarged by whole factors
        small = pixels[side // 2 :: side, side // 2 :: side][:32, :32]
        change = np.abs(small[..., 0] - small[..., 2])  # grey where nothing is hot
        assert change[corner].mean() > 60
        change[corner] = 0
        assert change[4:28, 4:28].mean() < 12


def test_the_classes_are_of_the_scores_that_the_map_explains(place: Path) -> None:
    net = f"{place / 'net.py'}:Ranks"
    result = run("explain", net, "--image", place / "left.png", "-o", place / "out", "--json")
    (row,) = json.loads(result.stdout)["pictures"]
    assert (row["top"][0]["index"], row["assigned"]["index"]) == (1, 1)


def test_a_class_that_is_assigned_is_explained_in_place_of_the_best(place: Path) -> None:
    found = explained(place, "--class", "0", "--top", "1")
    assert [row["assigned"]["index"] for row in found["pictures"]] == [0, 0]
    assert [row["top"][0]["index"] for row in found["pictures"]] == [1, 0]
    assert [len(row["top"]) for row in found["pictures"]] == [1, 1]


def test_the_layer_and_the_method_are_the_ones_that_are_named(place: Path) -> None:
    found = explained(place, "--layer", "corners", "--method", "gradcam++")
    assert {row["layer"] for row in found["pictures"]} == {"corners"}
    assert {row["method"] for row in found["pictures"]} == {"gradcam++"}
    assert {row["form"] for row in found["pictures"]} == {"gradient"}


def test_several_networks_stand_in_one_table(place: Path) -> None:
    net = f"{place / 'net.py'}:Bright"
    result = run("explain", net, net, "--image", place / "left.png", "-o", place / "out")
    assert result.exit_code == 0, result.output
    assert result.stdout.count("\nleft.png") == 2
    page = (place / "out" / "explain.html").read_text("utf-8")
    assert page.count("<th scope=") >= 3
    written = sorted(path.name for path in (place / "out").iterdir())
    assert written == [
        "bright-left.png",
        "bright_2_-left.png",
        "explain.html",
        "explain.png",
        "explain.svg",
    ]  # fmt: skip


def test_pictures_of_one_name_are_told_apart(place: Path) -> None:
    for folder, picture in (("a", "left"), ("b", "right")):
        (place / folder).mkdir()
        (place / f"{picture}.png").rename(place / folder / "same.png")
    pictures: list[str | Path] = [f"--image={place / 'a' / 'same.png'}", place / "b" / "same.png"]
    how = ["-o", str(place / "out"), "--json"]
    result = run("explain", f"{place / 'net.py'}:Bright", *pictures, *how)
    found = json.loads(result.stdout)["pictures"]
    assert [row["top"][0]["index"] for row in found] == [1, 0]
    assert len({row["picture"] for row in found}) == len({row["file"] for row in found}) == 2
    assert "1 network, 2 pictures" in (place / "out" / "explain.svg").read_text("utf-8")


def test_the_same_files_come_out_again(place: Path) -> None:
    explained(place)
    first = {path.name: path.read_bytes() for path in (place / "out").iterdir()}
    explained(place)
    assert {path.name: path.read_bytes() for path in (place / "out").iterdir()} == first


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["net.py:Bright", "--image", "absent.png"], "there is no file absent.png"),
        (["net.py:Bright", "--image", "net.py"], "net.py is no picture"),
        (["net.py:Bright", "--image", "left.png", "--class", "2"], "there is no class 2"),
        (["net.py:Bright", "--image", "left.png", "--layer", "corner"], "calls no module 'corner'"),
        (["net.py:Bright", "--image", "left.png", "--layer", "fc"], "a map needs pictures"),
        (["net.py:Bright", "--image", "left.png", "--with", "gradcam"], "are for export"),
        (["net.py:Bright", "--image", "left.png", "--head", "top1"], "are for export"),
        (["net.py:Two", "--input", "x=1x3x32x32", "--input", "y=1x3x32x32", "--image", "left.png"],
         "takes 2 inputs"),
        (["net.py:Mapped", "--image", "left.png"], "has an output 'map' of its own"),
        (["net.py:Flat", "--image", "left.png"], "has no layer whose values are pictures"),
        (["net.py:Bright"], "makes a map of a picture, and there is none"),
    ],
)  # fmt: skip
def test_what_cannot_be_explained_is_told(
    place: Path, arguments: list[str], problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place)
    result = run("explain", *arguments, "-o", "out", "--json")
    assert result.exit_code == 2, result.output
    assert problem in json.loads(result.stdout)["problem"]
    assert not (place / "out").exists()


def test_a_file_in_the_way_is_left_alone(place: Path) -> None:
    taken = place / "out"
    taken.write_text("mine", encoding="utf-8")
    net = f"{place / 'net.py'}:Bright"
    result = run("explain", net, "--image", place / "left.png", "-o", taken)
    assert (result.exit_code, taken.read_text("utf-8")) == (2, "mine")


def test_a_sheet_of_what_units_look_for(place: Path) -> None:
    how: list[str | Path] = ["--method", "maximise", "--steps", "8", "-o", place / "out", "--json"]
    result = run("explain", f"{place / 'net.py'}:Bright", *how)
    assert result.exit_code == 0, result.output
    (sheet,) = json.loads(result.stdout)["sheets"]
    assert (sheet["kind"], [unit["unit"] for unit in sheet["units"]]) == ("class", [0, 1])
    assert all(unit["after"] > unit["before"] for unit in sheet["units"])
    assert sheet["proof"]["gradient"] < 1e-6
    written = sorted(path.name for path in (place / "out").iterdir())
    assert written == ["bright-scores.onnx", "bright-scores.png", "bright-scores.svg"]
    session = onnxruntime.InferenceSession(place / "out" / "bright-scores.onnx")
    assert [value.name for value in session.get_inputs()] == ["x", "unit", "step"]
    dark = np.zeros((2, 3, 32, 32), np.float32)
    given = {"x": dark, "unit": np.array([0, 1]), "step": np.full(2, 0.1, np.float32)}
    brighter, _ = session.run(["x_next", "objective"], given)
    assert brighter[0, :, 16:, 16:].min() >= 0  # each where its class is seen
    assert brighter[1, :, :16, :16].min() >= 0


def test_a_sheet_of_filters(place: Path) -> None:
    net = f"{place / 'net.py'}:Bright"
    result = run("explain", net, "--method", "filters", "-o", place / "out", "--quiet")
    assert result.exit_code == 0, result.output
    drawn = (place / "out" / "bright-first-filters.svg").read_text("utf-8")
    assert drawn.count("<image") == 2


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--method", "maximise", "--unit", "0,2"], "there is no class 2"),
        (["--method", "maximise", "--unit", "two"], "'two' is no list of units"),
        (["--method", "maximise", "--unit", "3-1"], "'3-1' is no list of units"),
        (["--method", "maximise", "--unit", "0-999999"], "more than 1,024 units"),
        (["--method", "maximise", "--steps", "0"], "step"),
        (["--method", "maximise", "--layer", "nowhere"], "calls no module 'nowhere'"),
        (["--method", "maximise", "--class", "1"], "--class is of maps"),
        (["--method", "filters", "--steps", "3"], "--steps is of --method maximise"),
        (["--method", "maximise", "--provider", "cuda"], "made on the processor"),
        (["--method", "filters", "--layer", "fc"], "no convolution of pictures 'fc'"),
        (["--image", "left.png", "--unit", "1"], "--unit is of --method maximise"),
    ],
)
def test_what_no_sheet_can_be_made_of_is_told(
    place: Path, arguments: list[str], problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place)
    result = run("explain", "net.py:Bright", *arguments, "-o", "out", "--json")
    assert result.exit_code == 2, result.output
    assert problem in json.loads(result.stdout)["problem"]
    assert not (place / "out").exists()


def test_a_folder_is_its_pictures(tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name in ("b.png", "a.png"):
        Image.effect_noise((40, 40), 60).save(folder / name)
    (folder / "notes.txt").write_text("no picture")
    result = run("explain", "mnist", "--image", folder, "-o", tmp_path / "out", "--json")
    assert result.exit_code == 0, result.stderr
    assert [row["picture"] for row in json.loads(result.stdout)["pictures"]] == ["a.png", "b.png"]


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("gone.png", "there is no file"),
        ("values.npy", "is no picture"),
        ("empty", "there is no picture in"),
        ("text.png", "is no picture that can be read"),
    ],
)
def test_what_is_no_picture_is_told_with_a_remedy(tmp_path: Path, name: str, told: str) -> None:
    np.save(tmp_path / "values.npy", np.zeros((1, 1, 28, 28), np.float32))
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.png").write_text("words")
    result = run("explain", "mnist", "--image", tmp_path / name, "-o", tmp_path / "out")
    assert result.exit_code == 2
    assert told in result.stderr
    assert "remedy:" in result.stderr
    assert not (tmp_path / "out").exists()


def test_the_table_says_where_weights_come_from(tmp_path: Path) -> None:
    Image.effect_noise((40, 40), 60).save(tmp_path / "a.png")
    result = run("explain", "mnist", "--image", tmp_path / "a.png", "-o", tmp_path / "out")
    assert result.exit_code == 0, result.stderr
    for name in ("explain.html", "explain.svg"):
        assert "weights: random, seed 0" in (tmp_path / "out" / name).read_text("utf-8")


def test_a_wrong_layer_is_answered_with_layers_that_have_maps(tmp_path: Path) -> None:
    Image.effect_noise((40, 40), 60).save(tmp_path / "a.png")
    result = run("explain", "mnist", "--image", tmp_path / "a.png", "--layer", "nope")
    assert result.exit_code == 2
    assert "fc" not in result.stderr.split("remedy:")[1]
    assert "conv" in result.stderr.split("remedy:")[1]
