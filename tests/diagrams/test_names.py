"""What a reader finds by name: layers, constants, outputs, and letters that the font lacks."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from netloft.graph import Graph
from netloft.tracing import trace
from netloft_diagrams import render
from netloft_diagrams.build import build
from netloft_diagrams.geometry import Placed
from netloft_diagrams.measure import box_label
from netloft_diagrams.page import Options, compose
from netloft_diagrams.scene import Box, Frame, boxes_of
from netloft_diagrams.text_metrics import fit_end, shown, width
from netloft_diagrams.values import as_values

TEXT = "{http://www.w3.org/2000/svg}text"


class Odd(nn.Module):
    """Constants on either side, three outputs, and a parameter whose name is no Python."""

    def __init__(self) -> None:
        super().__init__()
        self.register_parameter("odd-scale", nn.Parameter(torch.ones(4)))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return (x * 2 + 1) * getattr(self, "odd-scale"), 1 - x, x / 0.125


@pytest.fixture(scope="module")
def odd() -> Graph:
    return trace(Odd().eval(), (torch.randn(2, 4),), name="odd")


def test_constants_are_written(odd: Graph) -> None:
    signs = [box.symbol for box in boxes_of(build(odd).root) if box.symbol]
    assert sorted(signs) == sorted(["× 2", "+ 1", "1 \N{MINUS SIGN}", "÷ 0.125"])


def test_each_output_has_a_box_and_a_line(odd: Graph) -> None:
    ends = [box for box in boxes_of(build(odd).root) if box.kind == "output"]
    assert [box.title for box in ends] == [value.name for value in odd.outputs]
    assert [box.reads for box in ends] == [(value.node,) for value in odd.outputs]
    placed = compose(build(odd), Options())
    assert {box.key for box in ends} <= {wire.target for wire in placed.wires}


def test_a_parameter_with_an_odd_name_is_recognised(odd: Graph) -> None:
    text = render(odd, "txt").decode()
    assert "odd" in text.split("\n", 3)[3]
    assert "renamed_" not in text


def test_the_end_of_a_name_stays() -> None:
    assert fit_end("layer2.0.downsample.0", 10, 90) == "…downsample.0"
    cut = fit_end("another_extraordinary_name_" + "a" * 9, 10, 80)
    assert cut.endswith("a" * 9)
    assert width(cut, 10) <= 80


def test_a_range_is_written_in_full_or_not_at_all() -> None:
    def name(first: str, last: str) -> str:
        box = Box("b", "conv", "Conv", name=first, last_path=last, times=3)
        return box_label(box).name

    assert name("features.24", "features.28") == "features.24…28"
    assert name("left.one", "right.another.much_longer_thing") == "×3 from left.one"
    assert name("a" * 40 + ".conv1", "a" * 40 + ".conv3") == "from …conv1"


def test_names_alone_leave_out_the_title(graph_of: Callable[[str], Graph]) -> None:
    root = ElementTree.fromstring(render(graph_of("resnet18"), "svg", only="layer2.0"))
    words = [element.text or "" for element in root.iter(TEXT)]
    assert "downsample.0 · 8.45k" in words


def test_letters_that_the_font_lacks_are_boxes() -> None:
    assert shown("a模b🙂\n") == "a□b□\n"


def test_no_line_runs_through_a_heading(graph_of: Callable[[str], Graph]) -> None:
    def check(placed: Placed) -> None:
        if isinstance(placed.item, Frame) and placed.ins:
            line = min(placed.ins.values())
            assert placed.heading > line or line > 60
        for child in placed.children:
            check(child)

    check(compose(build(graph_of("resnet18")), Options(direction="down")))


class Writing(nn.Module):
    """Writes into parts of what others read later."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(2, 4, 3), nn.Conv2d(4, 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        h = self.first(x)
        h[:, 0] *= 2
        y: Tensor = self.second(h)
        y[:, :, 0] = 0
        return y.mean((2, 3))


class Older(nn.Module):
    """Reads what was written under the name it had before."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.drop, self.reads = nn.Dropout(), name

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        h = torch.relu(x)
        kept = self.drop(h)
        kept += x
        return (kept.exp(), h) if self.reads == "h" else kept.exp()


class Named(nn.Module):
    """Gives what is written by its name."""

    def __init__(self) -> None:
        super().__init__()
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        y = x * 2
        z: Tensor = self.relu(input=y)
        return y + z


def test_what_was_written_is_read_whatever_its_name() -> None:
    graph = trace(Older("h").eval(), (torch.randn(2, 3),))
    boxes = list(boxes_of(build(as_values(graph)).root))
    (add,) = [box for box in boxes if "Add" in box.title]
    assert [box.reads == add.gives for box in boxes if box.kind == "output"] == [False, True]
    graph = trace(Named().eval(), (torch.randn(2, 3),))
    boxes = list(boxes_of(build(as_values(graph)).root))
    (total,) = [box for box in boxes if "Add" in box.title]
    assert total.reads == ("relu",)
    graph = trace(Older("kept").eval(), (torch.randn(2, 3),))
    assert as_values(graph) is graph  # as it is: nothing reads the older names


@pytest.mark.parametrize("style", ["structure", "volume"])
def test_writes_are_drawn_and_read(style: str) -> None:
    graph = trace(Writing().eval(), (torch.randn(2, 2, 9, 9),), name="writing")
    words = " ".join(ElementTree.fromstring(render(graph, "svg", style=style)).itertext())
    assert "Write" in words
    assert "not drawn" not in words
    boxes = list(boxes_of(build(as_values(graph)).root))
    (written,) = [box for box in boxes if box.title == "Write"]
    assert len(written.reads) == 2
    (second,) = [box for box in boxes if box.name == "second"]
    assert second.reads == written.gives
    assert "write" in second.lines
