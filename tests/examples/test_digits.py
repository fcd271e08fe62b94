"""The example's networks learn digits in two epochs; the example itself goes on to be better."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from examples.digits import (
    COURSES,
    Course,
    Digits,
    accuracy,
    enlarged,
    load_digits,
    png_files,
    train,
    weights_of,
)
from examples.digits import main as example
from PIL import Image
from torch import nn

from netloft.bundle.atomic import write_file
from netloft.cli import main
from netloft.models import load_model
from netloft.models.inputs import parse_input
from netloft.runtime import load

MNIST, RESNET = (dataclasses.replace(course, epochs=2) for course in COURSES)
WELL_ABOVE_CHANCE = 0.75  # which is 0.1; with the seeds 0 to 2 it is 0.88 at least


@pytest.fixture(scope="module")
def digits() -> tuple[Digits, Digits]:
    pytest.importorskip("sklearn")
    return load_digits()


@pytest.fixture(scope="module")
def trained(digits: tuple[Digits, Digits]) -> nn.Module:
    return train(MNIST, digits[0])


def test_a_fifth_of_the_digits_is_held_out(digits: tuple[Digits, Digits]) -> None:
    learnt, held_out = digits
    assert learnt.pictures.shape == (1438, 1, 8, 8)
    assert held_out.pictures.shape == (359, 1, 8, 8)
    assert float(learnt.pictures.min()) == 0
    assert float(learnt.pictures.max()) == 1
    assert int(held_out.labels.bincount().min()) > 25


def test_mnist_learns(digits: tuple[Digits, Digits], trained: nn.Module) -> None:
    assert not trained.training
    assert accuracy(MNIST, trained, digits[1]) > WELL_ABOVE_CHANCE


def test_myresnet_learns(digits: tuple[Digits, Digits]) -> None:
    assert accuracy(RESNET, train(RESNET, digits[0]), digits[1]) > WELL_ABOVE_CHANCE


@pytest.mark.parametrize("course", COURSES, ids=lambda course: course.name)
def test_the_same_seed_gives_the_same_bytes(digits: tuple[Digits, Digits], course: Course) -> None:
    few = Digits(digits[0].pictures[:200], digits[0].labels[:200])
    short = dataclasses.replace(course, epochs=1)
    threads = torch.get_num_threads()
    first = weights_of(train(short, few))
    torch.rand(1)  # the caller's generator has no say
    assert weights_of(train(short, few)) == first
    assert weights_of(train(short, few, seed=1)) != first
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize("course", COURSES, ids=lambda course: course.name)
def test_netloft_loads_the_weights_strictly(
    tmp_path: Path, digits: tuple[Digits, Digits], course: Course
) -> None:
    few = Digits(digits[0].pictures[:64], digits[0].labels[:64])
    module = train(dataclasses.replace(course, epochs=1), few)
    path = tmp_path / f"{course.name}-digits.safetensors"
    write_file(path, weights_of(module))
    channels = course.prepared(torch.zeros(1, 1, course.side, course.side)).shape[1]
    model = load_model(
        course.name,
        arguments=course.arguments,
        weights=str(path),
        inputs=[parse_input(f"1x{channels}x{course.side}x{course.side}")],
    )
    assert model.weights.startswith(path.name)
    for name, tensor in module.state_dict().items():
        assert torch.equal(model.module.state_dict()[name], tensor), name


def test_the_exported_net_tells_the_digits(
    tmp_path: Path, digits: tuple[Digits, Digits], trained: nn.Module
) -> None:
    weights, out = tmp_path / "mnist-digits.safetensors", tmp_path / "net"
    write_file(weights, weights_of(trained))
    command = ["export", "mnist", "--weights", str(weights), "-o", str(out)]
    result = CliRunner().invoke(main, [*command, "--provider", "cpu", "--quick", "--quiet"])
    assert result.exit_code == 0, result.output
    pictures = enlarged(digits[1].pictures, MNIST.side)
    (scores,) = load(out).run({"input": pictures.numpy()}).values()
    with torch.no_grad():
        expected = trained(pictures).numpy()
    assert abs(scores - expected).max() < 1e-4 * abs(expected).max()
    assert (scores.argmax(axis=1) == digits[1].labels.numpy()).mean() > WELL_ABOVE_CHANCE


def test_a_picture_of_each_class(tmp_path: Path, digits: tuple[Digits, Digits]) -> None:
    files = png_files(digits[1])
    assert list(files) == [f"digit-{digit}.png" for digit in range(10)]
    assert png_files(digits[1]) == files
    (tmp_path / "digit-3.png").write_bytes(files["digit-3.png"])
    with Image.open(tmp_path / "digit-3.png") as image:
        assert (image.mode, image.size) == ("L", (28, 28))
        stored = np.asarray(image)
    first = int((digits[1].labels == 3).nonzero()[0])
    shown = enlarged(digits[1].pictures[first : first + 1], 28)[0, 0] * 255
    assert np.array_equal(stored, shown.round().numpy())  # the very picture that the net is given


@pytest.mark.parametrize("moved", [False, True])
def test_enlarged_pictures_are_whole(digits: tuple[Digits, Digits], moved: bool) -> None:
    generator = torch.Generator().manual_seed(0) if moved else None
    pictures = enlarged(digits[0].pictures, 32, generator)
    assert pictures.shape == (1438, 1, 32, 32)
    assert 0 <= float(pictures.min()) <= float(pictures.max()) <= 1
    # ink per area: the margin takes a part of the picture, and no move loses much of the digit
    ink = pictures.mean(dim=(1, 2, 3)) / digits[0].pictures.mean(dim=(1, 2, 3))
    assert 0.9 < float(ink.mean()) * 1.2**2 < 1.1


def test_without_scikit_learn_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    monkeypatch.setattr(sys, "argv", ["digits.py", str(tmp_path / "out")])
    assert example() == 3
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "remedy: pip install 'scikit-learn>=1.5'" in printed.err
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("sklearn")
    (tmp_path / "out").write_text("a file")
    monkeypatch.setattr(sys, "argv", ["digits.py", str(tmp_path / "out")])
    assert example() == 2
    assert "remedy: name another folder" in capsys.readouterr().err
