"""Numbers over a drawing: each box has its own, what stands for several has theirs together."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
import torch
from click.testing import CliRunner

from netloft.cli import main
from netloft.errors import UsageError
from netloft.graph import Graph
from netloft.overlays import OVERLAYS, Overlay, make_overlay
from netloft_diagrams import draw
from netloft_diagrams.api import render
from netloft_diagrams.command import OVERLAYS as CHOICES
from netloft_diagrams.drawing import Drawing
from netloft_diagrams.geometry import Placed
from netloft_diagrams.overlay import KINDS, RAMP, coloured
from netloft_diagrams.page import Options
from netloft_diagrams.scene import Box
from netloft_diagrams.theme import PAGE_HEIGHT, PAGE_WIDTH

GraphOf = Callable[[str], Graph]


def drawing(graph: Graph, overlay: Overlay, depth: int | None = None) -> Drawing:
    return Drawing(graph, Options(depth, overlay=overlay))


def drawn(placed: Placed) -> Iterator[Box]:
    if isinstance(placed.item, Box):
        yield placed.item
    for child in placed.children:
        yield from drawn(child)


@pytest.mark.parametrize("depth", [0, 1, 2, 9])
@pytest.mark.parametrize("kind", ["flops", "params"])
def test_what_is_drawn_adds_up_to_the_total(graph_of: GraphOf, kind: str, depth: int) -> None:
    overlay = make_overlay(kind, graph_of("resnet18"))
    found = drawing(graph_of("resnet18"), overlay, depth=depth).placed
    amounts = [box.amount for box in drawn(found) if isinstance(box.amount, float)]
    assert sum(amounts) == overlay.total


def test_a_repeat_says_what_all_copies_have(graph_of: GraphOf) -> None:
    overlay = make_overlay("flops", graph_of("alphago"))
    (hidden,) = [b for b in drawn(drawing(graph_of("alphago"), overlay).placed) if b.times == 11]
    assert hidden.amount == 11 * 119_771_136
    assert hidden.note == ("1.32G MAC in all · 94 %",)


def counting(graph: Graph) -> Overlay:
    """Tell how many convolutions stand in what is drawn."""
    known = {node.name for node, record in graph if record.op == "conv2d"}

    def tell(nodes: Sequence[str]) -> tuple[str, ...]:
        return (f"{len(known.intersection(nodes))} in all",)

    return replace(make_overlay("flops", graph), tell=tell)


def test_what_is_told_of_a_repeat_or_a_module_is_told_of_all_in_it(graph_of: GraphOf) -> None:
    graph = graph_of("alphago")
    found = drawing(graph, counting(graph))
    (hidden,) = [box for box in drawn(found.placed) if box.times == 11]
    assert hidden.told == ("11 in all",)
    assert found.scene.root.told == ("13 in all",)
    assert "\n11 in all\n" in found.svg  # the tooltip
    resnet = graph_of("resnet18")
    boxes = drawn(drawing(resnet, counting(resnet), depth=0).placed)
    assert {box.path: box.told for box in boxes}["layer4"] == ("5 in all",)


def test_of_memory_the_most_counts(graph_of: GraphOf) -> None:
    graph = graph_of("resnet18")
    overlay = make_overlay("memory", graph)
    for depth in (0, 1, 9):
        placed = drawing(graph, overlay, depth=depth).placed
        amounts = [box.amount for box in drawn(placed) if isinstance(box.amount, float)]
        assert max(amounts) == graph.totals.peak_activation_bytes


def test_a_larger_number_is_never_lighter(graph_of: GraphOf) -> None:
    overlay = make_overlay("flops", graph_of("resnet18"))
    placed, scale = coloured(drawing(graph_of("resnet18"), overlay).placed, overlay)
    boxes = sorted(drawn(placed), key=lambda box: float(box.amount or 0))
    ranks = [RAMP.index(box.paint) for box in boxes]
    assert ranks == sorted(ranks)
    assert (ranks[0], ranks[-1]) == (0, len(RAMP) - 1)
    assert [colour for colour, _ in scale.steps] == list(RAMP)


def test_the_ramp_can_be_read_in_grey_and_under_black() -> None:
    def luminance(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    ramp = [luminance(colour) for colour in RAMP]
    assert ramp == sorted(ramp, reverse=True)
    ink = luminance("#1b2430")
    for colour in (*RAMP, *KINDS):
        assert (luminance(colour) + 0.05) / (ink + 0.05) > 4.5  # WCAG 2, AA


def test_words_are_counted_where_a_box_has_several(graph_of: GraphOf) -> None:
    overlay = make_overlay("pass", graph_of("resnet18"))
    boxes = list(drawn(drawing(graph_of("resnet18"), overlay, depth=0).placed))
    (layer4,) = [box for box in boxes if box.path == "layer4"]
    assert "5× fold_batch_norm −batch_norm" in layer4.note
    assert any(row == "fold_batch_norm: folded into %conv1" for b in boxes for row in b.told)


def test_the_numbers_stand_in_the_picture(graph_of: GraphOf) -> None:
    graph = graph_of("resnet18")
    overlay = make_overlay("params", graph)
    svg = ElementTree.fromstring(render(graph, "svg", color=overlay))
    texts = ["".join(node.itertext()) for node in svg.iter("{http://www.w3.org/2000/svg}text")]
    assert "513k param. · 4 %" in texts
    assert "parameters, tied ones once" in texts
    frames = [text for text in texts if text.startswith("Sequential · 8.39M")]
    assert frames == ["Sequential · 8.39M · 8.39M param. · 72 %"]


@pytest.mark.parametrize("name", ["resnet18", "alphago", "densenet121", "vit"])
@pytest.mark.parametrize("kind", ["flops", "pass"])
def test_it_still_fits_a_page(graph_of: GraphOf, name: str, kind: str) -> None:
    made = drawing(graph_of(name), make_overlay(kind, graph_of(name))).svg
    wide, high = (float(found) for found in re.findall(r'(?:width|height)="([\d.]+)"', made)[:2])
    assert wide <= PAGE_WIDTH + 24
    assert high <= PAGE_HEIGHT + 24


@pytest.mark.parametrize("format", ["dot", "mmd", "txt"])
def test_texts_have_them_too(graph_of: GraphOf, format: str) -> None:
    made = render(graph_of("tiny"), format, color="flops").decode()
    assert "648 MAC · 100 " in made  # the sign is written as a code in Mermaid
    if format == "txt":
        assert made.splitlines()[1].endswith("flops")
        assert not render(graph_of("tiny"), "txt").decode().splitlines()[1].endswith("flops")


def test_the_explorer_has_them_too(graph_of: GraphOf) -> None:
    page = render(graph_of("resnet18"), "html", color="params").decode()
    assert '"o":["513k param. · 4 %"]' in page
    assert '"P":"pf17f42"' in page
    assert "#figure .pf17f42>.card{fill:#f17f42}" in page
    assert "parameters, tied ones once: white for 0, darkest for" in page


def test_numbers_of_the_callers_own(graph_of: GraphOf) -> None:
    own = Overlay("watts", "energy", "times", "sum", {"conv": 2.5}, notes=("from a meter",))
    svg = render(graph_of("tiny"), "svg", color=own).decode()
    assert ">2.5×<" in svg
    assert ">from a meter<" in svg


def test_the_command_knows_every_kind() -> None:
    assert tuple(OVERLAYS) == CHOICES


@pytest.mark.parametrize("kind", ["time", "error"])
def test_the_command_measures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(main, ["draw", "mnist", "--color", kind, "-o", "a.svg", "--json"])
    assert json.loads(result.stdout)["files"] == ["a.svg"], result.stderr
    assert 'class="scale"' in (tmp_path / "a.svg").read_text(encoding="utf-8")


def test_a_module_of_ones_own(tmp_path: Path) -> None:
    (file,) = draw(
        torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.ReLU()).eval(),
        tmp_path / "net.svg",
        example_inputs=(torch.randn(2, 4),),
        color="error",
    )
    assert "as a multiple of" in file.read_text(encoding="utf-8")


def test_wrong_uses_are_told(graph_of: GraphOf, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="style structure"):
        render(graph_of("tiny"), "svg", style="volume", color="flops")
    with pytest.raises(UsageError, match="example inputs for y, and the graph takes x"):
        render(graph_of("tiny"), "svg", color="time", example_inputs={"y": torch.ones(1)})
    with pytest.raises(UsageError, match="no overlay"):
        draw(graph_of("tiny"), tmp_path / "a.svg", color="heat")
    assert not list(tmp_path.iterdir())
