"""The volume view: what it shows of each network, and how it is set."""

from __future__ import annotations

import itertools
import shutil
import subprocess
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from netloft.errors import UsageError
from netloft.graph import Graph
from netloft.tracing import trace
from netloft_diagrams import draw, render
from netloft_diagrams.drawing import Drawing
from netloft_diagrams.page import Options
from netloft_diagrams.text_metrics import width
from netloft_diagrams.theme import PAGE_WIDTH
from netloft_diagrams.volume.figure import Face, Figure, Words
from netloft_diagrams.volume.steps import MOST, Volume, volumes

GraphOf = Callable[[str], Graph]
NETS = [
    "alphago", "myresnet", "mnist", "resnet18", "alexnet", "vgg16", "googlenet", "densenet121",
    "resnet152", "vit", "unet", "crossing", "two_outputs", "tiny", "shared",
]  # fmt: skip


def found(graph: Graph) -> tuple[Volume, ...]:
    return volumes(Drawing(graph, Options()).scene, graph)


def test_the_policy_net_is_drawn_as_its_paper_tells_it(graph_of: GraphOf) -> None:
    planes, first, hidden, last = found(graph_of("alphago"))
    assert planes.shape == "48×19×19"
    assert (first.shape, first.kernel, first.padded) == ("192×19×19", (5, 5), (23, 23))
    assert first.arrives == ("Conv 5×5", "pad 2", "ReLU")
    assert (hidden.shape, hidden.times, hidden.padded) == ("192×19×19", 11, (21, 21))
    assert hidden.name == "hidden.0…10"
    assert (last.shape, last.kernel, last.padded) == ("361", (1, 1), None)
    assert last.after == ("+ bias[361]", "Softmax")


def test_the_lecture_s_sizes_are_there(graph_of: GraphOf) -> None:
    shapes = [volume.shape for volume in found(graph_of("myresnet"))]
    assert shapes == [
        "3×224×224", "64×112×112", "64×56×56", "64×56×56", "128×28×28", "128", "2",
    ]  # fmt: skip


def test_alexnet_has_its_eight_layers_and_three_pools(graph_of: GraphOf) -> None:
    made = found(graph_of("alexnet"))
    kernels = [v.kernel for v in made if v.kind == "conv"]
    assert kernels == [(11, 11), (5, 5), (3, 3), (3, 3), (3, 3)]
    assert [v.shape for v in made if v.kind == "linear"] == ["4096", "4096", "1000"]
    assert [v.kernel for v in made if v.kind == "pool"][:3] == [(3, 3)] * 3


@pytest.mark.parametrize("name", NETS)
def test_every_step_leads_somewhere(name: str, graph_of: GraphOf) -> None:
    graph = graph_of(name)
    made = found(graph)
    keys = [volume.key for volume in made]
    assert len(set(keys)) == len(keys)
    read = {key for volume in made for key in volume.sources}
    assert read <= set(keys)
    assert all(keys.index(k) < keys.index(v.key) for v in made for k in v.sources)
    begins = {v.kind for v in made if not v.sources}
    assert begins <= {"input", "parameter"}
    assert len(made) <= MOST or name in ("densenet121", "googlenet", "vgg16")
    ends = [volume for volume in made if volume.key not in read]
    assert len(ends) <= len(graph.outputs)


def drawn(graph: Graph) -> Figure:
    return Drawing(graph, Options(style="volume")).volumes


def _box(words: Words) -> tuple[float, float, float, float]:
    wide = width(words.content, words.size, bold=words.bold)
    left = words.x if words.left else words.x - wide / 2
    return left, words.y - 0.7 * words.size, left + wide, words.y + 0.1 * words.size


@pytest.mark.parametrize("name", NETS)
def test_no_two_words_overlap_and_all_lie_on_the_page(name: str, graph_of: GraphOf) -> None:
    figure = drawn(graph_of(name))
    marks = [mark for part in figure.parts for mark in part.marks]
    boxes = {m.content + str(i): _box(m) for i, m in enumerate(marks) if isinstance(m, Words)}
    for (one, a), (two, b) in itertools.combinations(boxes.items(), 2):
        apart = a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]
        assert apart, (one, two)
    corners = [p for mark in marks if isinstance(mark, Face) for p in mark.points]
    assert all(0 <= x <= figure.width and 0 <= y <= figure.height for x, y in corners)
    assert all(x0 >= 0 and x1 <= figure.width + 0.1 for x0, _, x1, _ in boxes.values())
    assert figure.width <= PAGE_WIDTH + 1


@pytest.mark.parametrize("name", NETS)
def test_the_figure_is_well_formed_and_always_the_same(name: str, graph_of: GraphOf) -> None:
    graph = graph_of(name)
    first = render(graph, "svg", style="volume")
    assert first == render(graph, "svg", style="volume")
    assert render(graph, "tex", style="volume") == render(graph, "tex", style="volume")
    root = ElementTree.fromstring(first)
    hints = [g.findtext("{http://www.w3.org/2000/svg}title") for g in root]
    assert len([hint for hint in hints if hint]) == len(found(graph))


def test_depth_opens_what_it_says(graph_of: GraphOf) -> None:
    graph = graph_of("resnet18")
    scene = Drawing(graph, Options()).scene
    stages = [v.name for v in volumes(scene, graph, depth=0)]
    assert [name for name in stages if name.startswith("layer")] == [
        "layer1.0…1", "layer2", "layer3", "layer4",
    ]  # fmt: skip
    opened = [v.name for v in volumes(scene, graph, depth=0, expand=["layer2"])]
    assert "layer2.0.conv1" in opened
    assert "layer3" in opened


@pytest.mark.parametrize(
    ("style", "suffix", "remedy"),
    [
        ("structure", "tex", "ask for the style volume"),
        ("volume", "html", "ask for the style structure"),
        ("cubist", "svg", "give structure or volume"),
    ],
)
def test_what_a_style_is_not_drawn_as(
    style: str, suffix: str, remedy: str, graph_of: GraphOf, tmp_path: Path
) -> None:
    with pytest.raises(UsageError) as caught:
        draw(graph_of("tiny"), tmp_path / f"net.{suffix}", style=style)
    assert caught.value.remedy.startswith(remedy)
    assert not list(tmp_path.iterdir())


class Hostile(nn.Module):
    """Its layers have names that would be code, in SVG or in LaTeX."""

    NAMES = (
        r"\input{/etc/passwd}",
        "<script>x</script>",
        "a_b%c#d&e$f^g~h",
        "é漢🙂\n\\end",
        "x" * 300,
    )

    def __init__(self) -> None:
        super().__init__()
        for name in self.NAMES:
            self.add_module(name.replace(".", ""), nn.Conv2d(2, 2, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.children():
            x = layer(x).tanh() + 1
        return x


@pytest.fixture(scope="module")
def hostile() -> Graph:
    return trace(Hostile().eval(), (torch.randn(2, 2, 8, 8),), name="hostile")


def test_names_are_only_text(hostile: Graph) -> None:
    drawn_svg = render(hostile, "svg", style="volume").decode()
    ElementTree.fromstring(drawn_svg)
    assert "<script" not in drawn_svg
    tex = render(hostile, "tex", style="volume").decode()
    assert tex.isascii()
    assert r"\input" not in tex
    assert tex.count(r"\end{document}") == 1


@pytest.mark.skipif(not shutil.which("pdflatex"), reason="no LaTeX on this machine")
@pytest.mark.parametrize("name", ["alphago", "vit", "hostile"])
def test_latex_compiles_it(name: str, graph_of: GraphOf, hostile: Graph, tmp_path: Path) -> None:
    draw(hostile if name == "hostile" else graph_of(name), tmp_path / "net.tex", style="volume")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "net.tex"]
    made = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False)
    assert made.returncode == 0, made.stdout[-2000:]
    assert b"(1 page" in made.stdout
