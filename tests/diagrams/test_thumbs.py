"""Small pictures of what layers look for, in the boxes of a drawing."""

from __future__ import annotations

import base64
import io
import json
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result
from PIL import Image
from tests.diagrams.reading import SVG, Picture
from torch import Tensor, nn

import netloft
from netloft.cli import main
from netloft.errors import UsageError
from netloft.graph.graph import annotation
from netloft.maximising import maximise
from netloft.models import load_model
from netloft.models.given import of_module
from netloft.models.mnist import MnistNet
from netloft.thumbnails import Thumbnails
from netloft.tracing import trace
from netloft_diagrams import render
from netloft_diagrams.drawing import Drawing
from netloft_diagrams.measure import THUMB
from netloft_diagrams.page import Options
from netloft_diagrams.scene import Box, boxes_of
from netloft_diagrams.theme import PAGE_HEIGHT, PAGE_WIDTH
from netloft_exporters import to_onnx


class Block(nn.Module):
    """A residual block."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(6, 6, 3, 1, 1), nn.Conv2d(6, 6, 3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x + self.b(torch.relu(self.a(x))))


class Small(nn.Module):
    """A network of a convolution, a block, and scores."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.block, self.head = nn.Conv2d(3, 6, 3), Block(), nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.head(self.block(self.stem(x)).mean((2, 3)))
        return found


class Sorted(nn.Module):
    """A network whose second convolution has no way back to the picture."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.second(torch.sort(self.first(x), dim=-1)[0])
        return found


class Flat(nn.Module):
    """A network that takes no picture."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x)


PICTURE = torch.randn(2, 3, 12, 12, generator=torch.Generator().manual_seed(0))


def small(seed: int = 0) -> Small:
    torch.manual_seed(seed)
    return Small().eval()


def pictured(group: ElementTree.Element) -> list[ElementTree.Element]:
    return list(group.iter(f"{SVG}image"))


def title_of(element: ElementTree.Element) -> str:
    return element.findtext(f"{SVG}title") or ""


def with_pictures(svg: Picture) -> Iterator[tuple[str, list[ElementTree.Element]]]:
    """Give the tooltip of each box that holds pictures, and the pictures."""
    for box in svg.groups("box"):
        found = pictured(box)
        if found:
            yield title_of(box), found


@pytest.fixture(scope="module")
def drawn() -> Picture:
    return Picture.of(render(small(), example_inputs=PICTURE, thumbnails=True))


def test_each_layer_shows_what_its_units_look_for(drawn: Picture) -> None:
    told = dict(with_pictures(drawn))
    assert [next(path for path in ("stem", "block.a", "block.b", "head") if path in tip)
            for tip in told] == ["stem", "block.a", "block.b", "head"]  # fmt: skip
    hints = [[title_of(image).split(" · ")[1] for image in images] for images in told.values()]
    assert hints == [["filter 0", "filter 2", "filter 5"]] * 3 + [["class 0", "class 2", "class 3"]]


def test_what_climbed_ends_higher_as_the_tooltip_says(drawn: Picture) -> None:
    told = [title_of(image).split(" · ")[2] for _, images in with_pictures(drawn)
            for image in images]  # fmt: skip
    ways = [note.split(" → ") for note in told if "no way up" not in note]
    assert len(ways) > len(told) / 2
    assert all(float(before) < float(after) for before, after in ways)


def test_pictures_lie_inside_their_boxes(drawn: Picture) -> None:
    for _, images in with_pictures(drawn):
        (box,) = [g for g in drawn.groups("box") if images[0] in pictured(g)]
        ground = next(box.iter(f"{SVG}rect"))
        left, top, wide, high = (float(ground.get(key, 0)) for key in ("x", "y", "width", "height"))
        for image in images:
            x, y, w, h = (float(image.get(key, 0)) for key in ("x", "y", "width", "height"))
            assert max(w, h) == pytest.approx(THUMB)
            assert left < x < x + w < left + wide
            assert top < y < y + h < top + high


def test_pictures_are_pixels_that_differ(drawn: Picture) -> None:
    for _, images in with_pictures(drawn):
        shown = []
        for image in images:
            data = image.get("href", "").removeprefix("data:image/png;base64,")
            pixels = Image.open(io.BytesIO(base64.b64decode(data)))
            assert pixels.size == (108, 108)  # nine to a pixel of the network's
            shown.append(pixels.tobytes())
        assert len(set(shown)) == len(shown)


def test_the_foot_says_what_they_are(drawn: Picture) -> None:
    words = " ".join(drawn.words)
    assert "small pictures: what 3 of a layer's units look for" in words
    assert "noise that climbed 20 steps" in words
    assert "weights: as the module held them" in words


def test_the_same_bytes_again() -> None:
    first, second = (
        render(small(), example_inputs=PICTURE, thumbnails=True, only="block") for _ in "ab"
    )
    assert first == second


def test_a_closed_module_shows_what_it_gives() -> None:
    svg = Picture.of(render(small(), example_inputs=PICTURE, depth=0, thumbnails=True))
    found = dict(with_pictures(svg))
    (tip,) = [tip for tip in found if "Block" in tip]
    wanted = maximise(of_module(small(), (PICTURE,))[0], "block", (0, 2, 5), steps=20)
    notes = [title_of(image).split(" · ")[2] for image in found[tip]]
    ends = wanted.climbed.history[[0, -1]].T  # of what the last ReLU gives, not the sum before it
    assert notes == [f"{before:.3g} → {after:.3g}" for before, after in ends]


class Stages(nn.Module):
    """Three blocks alike in one module, then pooling in another."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 3)
        self.blocks = nn.Sequential(nn.Conv2d(6, 6, 1), Block(), Block(), Block())
        self.end = nn.Sequential(nn.Conv2d(6, 5, 3), nn.ReLU(), nn.MaxPool2d(2))

    def forward(self, x: Tensor) -> Tensor:
        return torch.mean(self.end(self.blocks(self.stem(x))), (2, 3))


def test_of_folded_copies_a_closed_module_shows_the_last_and_of_pooling_what_it_pools() -> None:
    torch.manual_seed(0)
    net = Stages().eval()
    graph = trace(net, (PICTURE,))
    made = Thumbnails(of_module(net, (PICTURE,))[0])
    drawn = Drawing(graph, Options(depth=0, thumbnails=made)).placed
    seen = {p.item.path: p.item.thumbs for p in drawn.children if isinstance(p.item, Box)}
    given = {
        path: [n for n, r in graph if any(call.path == path for call in r.calls)]
        for path in ("blocks", "blocks.1", "end")
    }
    blocks, end = seen["blocks"], seen["end"]
    assert blocks is not None
    assert blocks.node == given["blocks"][-1].name  # the ReLU of the third
    assert end is not None
    assert annotation(graph.node(end.node)).op == "relu"
    # a box that stands for three shows the first
    opened = Drawing(graph, Options(depth=1, thumbnails=made)).placed
    (run,) = [box for box in boxes_of(opened.item) if box.class_name == "Block"]
    assert run.times == 3
    assert run.thumbs is not None
    assert run.thumbs.node == given["blocks.1"][-1].name


def test_what_shows_nothing_is_named_at_the_foot() -> None:
    class Mixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.mix = nn.Conv2d(3, 4, 3), nn.LSTM(100, 5)

        def forward(self, x: Tensor) -> Tensor:
            found: Tensor = self.mix(self.conv(x).flatten(2))[0]
            return torch.matmul(found, found.transpose(1, 2))

    svg = Picture.of(render(Mixed().eval(), example_inputs=PICTURE, thumbnails=True))
    assert len(list(with_pictures(svg))) == 1
    assert any(text.startswith("no units to tell apart in ") for text in svg.words)


def test_another_networks_pictures_are_refused() -> None:
    made = Thumbnails(of_module(Sorted().eval(), (PICTURE,))[0])
    with pytest.raises(UsageError, match="not what is drawn"):
        render(trace(small(), (PICTURE,)), thumbnails=made)


@pytest.mark.parametrize("wrong", [{"count": 0}, {"steps": 0}, {"seed": -1}])
def test_options_out_of_range_are_refused(wrong: dict[str, int]) -> None:
    made = Thumbnails(of_module(small(), (PICTURE,))[0], **wrong)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="one or more"):
        render(trace(small(), (PICTURE,)), thumbnails=made)


def test_what_is_no_maker_of_pictures_is_refused() -> None:
    with pytest.raises(UsageError, match="makes no pictures"):
        render(small(), example_inputs=PICTURE, thumbnails=3)  # type: ignore[arg-type]


def test_a_neuron_is_asked_before_what_shuts_it_and_not_before_a_minus() -> None:
    class Energy(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(432, 5), nn.Linear(5, 4)

        def forward(self, x: Tensor) -> Tensor:
            return -self.b(torch.tanh(self.a(x.flatten(1))))

    net = Energy().eval()
    made = Thumbnails(of_module(net, (PICTURE,))[0])
    assert made.seen_in(("a", "tanh")) == ("a", 3)
    assert made.seen_in(("a", "tanh", "b", "neg")) == ("neg", 3)
    assert made.seen_in(("tanh",)) == ("tanh", 3)  # a is in another box


@pytest.mark.parametrize(("silent", "shown"), [
    ((2,), ["filter 0", "filter 1", "filter 5"]),
    (range(6), ["filter 0", "filter 2", "filter 5"]),
])  # fmt: skip
def test_a_silent_filter_gives_way_to_one_that_climbs(
    silent: Sequence[int], shown: list[str]
) -> None:
    torch.manual_seed(0)
    first = nn.Conv2d(3, 6, 3)
    net = nn.Sequential(first, nn.ReLU(), nn.Flatten(), nn.Linear(600, 2)).eval()
    with torch.no_grad():
        first.bias[list(silent)] = -1e3  # type: ignore[index]
    svg = Picture.of(render(net, example_inputs=PICTURE, thumbnails=True))
    images = next(iter(with_pictures(svg)))[1]
    hints = [title_of(image).split(" · ") for image in images]
    assert [unit for _, unit, _ in hints] == shown
    assert all(("no way up" in way) == (len(silent) == 6) for _, _, way in hints)


def test_a_neuron_is_asked_before_its_relu() -> None:
    torch.manual_seed(0)
    first = nn.Linear(432, 5)
    net = nn.Sequential(nn.Flatten(), first, nn.ReLU(), nn.Linear(5, 2)).eval()
    with torch.no_grad():
        first.bias[:] = -1e3
    svg = Picture.of(render(net, example_inputs=PICTURE, thumbnails=True))
    images = next(iter(with_pictures(svg)))[1]
    assert all("no way up" not in title_of(image) for image in images)


def test_what_has_no_gradient_is_told_and_left_blank() -> None:
    torch.manual_seed(0)
    svg = Picture.of(render(Sorted().eval(), example_inputs=PICTURE, thumbnails=True))
    assert [tip.splitlines()[0] for tip, _ in with_pictures(svg)] == ["first · Conv2d"]
    assert any(text.startswith("no pictures for second:") for text in svg.words)


def test_a_whole_page_with_pictures_is_still_a_page() -> None:
    class Blank(Thumbnails):
        def tiles(self, node: str, name: str) -> tuple[()]:
            return ()

    model = load_model("resnet18")
    graph = trace(model.module, model.example(), prove=False)
    plain = Drawing(graph, Options()).placed
    placed = Drawing(graph, Options(thumbnails=Blank(model))).placed
    assert placed.width <= PAGE_WIDTH
    assert plain.height < placed.height <= PAGE_HEIGHT


@pytest.mark.parametrize("kind", ["html", "dot", "mmd", "txt"])
def test_only_what_holds_pictures_has_them(kind: str) -> None:
    with pytest.raises(UsageError, match=f"not drawn in .{kind}"):
        render(small(), kind, example_inputs=PICTURE, thumbnails=True)


def test_solids_have_none() -> None:
    with pytest.raises(UsageError, match="the style volume"):
        render(small(), example_inputs=PICTURE, thumbnails=True, style="volume")


def test_a_graph_has_nothing_to_climb_with() -> None:
    graph = trace(small(), (PICTURE,))
    with pytest.raises(UsageError, match="the module itself"):
        render(graph, thumbnails=True)


def test_a_difference_has_none() -> None:
    with pytest.raises(UsageError, match="the module itself"):
        render(netloft.diff(trace(small(), (PICTURE,)), trace(small(1), (PICTURE,))),
               thumbnails=True)  # fmt: skip


def test_what_takes_no_picture_is_refused_with_a_remedy() -> None:
    with pytest.raises(UsageError, match="a picture") as error:
        render(Flat().eval(), example_inputs=torch.randn(2, 7), thumbnails=True)
    assert "thumbnails" in str(error.value)


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(each) for each in arguments])


def test_the_command_draws_them(tmp_path: Path) -> None:
    file = tmp_path / "seen.svg"
    result = run("draw", "mnist", "--thumbnails", "-o", file, "--json")
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["files"] == [str(file)]
    assert "looking at conv1 (1 of 4)" in result.stderr
    assert len(list(with_pictures(Picture.of(file.read_bytes())))) == 4


def test_the_command_refuses_a_file_of_onnx(tmp_path: Path) -> None:
    file = to_onnx(MnistNet().eval(), (torch.rand(2, 1, 28, 28),), tmp_path / "net.onnx")
    result = run("draw", file, "--thumbnails", "-o", tmp_path / "n.svg")
    assert result.exit_code == 2
    assert "the module itself" in result.stderr
    assert not (tmp_path / "n.svg").exists()
