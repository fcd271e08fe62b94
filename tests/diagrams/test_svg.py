"""What a reader asks of the picture, asked of the file."""

from __future__ import annotations

import statistics
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import nn

from netloft.graph import Graph
from netloft.tracing import trace
from netloft_diagrams import render

SVG = "{http://www.w3.org/2000/svg}"
A4 = (454.0, 700.0)
"""Text block of an A4 page, in points."""
READABLE = 6.0


def figure(graph: Graph, **options: object) -> ElementTree.Element:
    return ElementTree.fromstring(render(graph, "svg", **options))  # type: ignore[arg-type]


def texts(root: ElementTree.Element) -> list[str]:
    return [element.text or "" for element in root.iter(f"{SVG}text")]


def boxes(root: ElementTree.Element) -> list[ElementTree.Element]:
    return [g for g in root.iter(f"{SVG}g") if g.get("class") == "box"]


@pytest.mark.parametrize(
    "name",
    ["myresnet", "resnet18", "alexnet", "vgg16", "alphago", "mnist",
     "resnet152", "densenet121", "googlenet", "vit", "shufflenet_v2_x1_0", "unet"],
)  # fmt: skip
def test_text_is_readable_on_a4(name: str, graph_of: Callable[[str], Graph]) -> None:
    root = figure(graph_of(name))
    _, _, wide, high = map(float, root.attrib["viewBox"].split())
    scale = min(A4[0] / wide, A4[1] / high)
    sizes = [float(t.attrib["font-size"]) * scale for t in root.iter(f"{SVG}text")]
    assert statistics.median(sizes) >= READABLE


def test_myresnet_answers_the_ten_second_questions(graph_of: Callable[[str], Graph]) -> None:
    root = figure(graph_of("myresnet"))
    words = texts(root)
    told = "3×224×224 → 2 · 314,178 parameters (and 258 unused) · 529M"
    assert any(t.startswith(told) for t in words)
    assert {"64×112×112", "64×56×56", "128×28×28"} <= set(words)
    assert {"layer1.0", "layer2.0", "identity"} <= set(words)
    assert "projection · stride 2" in words
    assert words[words.index("declared, never called:") + 1] == "linear · Linear, 258 parameters"
    skips = [p for p in root.iter(f"{SVG}path") if p.get("class") == "skip"]
    assert len(skips) == 3  # one identity; to and from the projection


def test_the_repeat_is_a_badge(graph_of: Callable[[str], Graph]) -> None:
    root = figure(graph_of("alphago"))
    assert "×11" in texts(root)
    assert len(boxes(root)) <= 9
    (repeat,) = (g for g in boxes(root) if g.get("data-times"))
    assert repeat.attrib["data-times"] == "11"
    title = repeat.find(f"{SVG}title")
    assert title is not None
    assert "convs.0 … convs.10 · Conv2d" in (title.text or "") or "…" in (title.text or "")


def test_resnet152_shows_its_stages(graph_of: Callable[[str], Graph]) -> None:
    words = texts(figure(graph_of("resnet152")))
    assert {"layer1", "layer2", "layer3", "layer4", "×2", "×7", "×35"} <= set(words)


def test_two_outputs_and_an_unused_parameter(graph_of: Callable[[str], Graph]) -> None:
    words = texts(figure(graph_of("two_outputs")))
    assert {"left", "2", "right", "3", "× scale[4]"} <= set(words)
    assert "forgotten, 7 parameters, read by nothing" in words


def test_every_box_says_what_it_is(graph_of: Callable[[str], Graph]) -> None:
    root = figure(graph_of("resnet18"))
    title, description = root.find(f"{SVG}title"), root.find(f"{SVG}desc")
    assert title is not None
    assert description is not None
    assert "In order: input, Conv 7×7 → 64" in (description.text or "")
    assert all(g.find(f"{SVG}title") is not None for g in boxes(root))
    assert not [e for e in root.iter() if "var(" in "".join(e.attrib.values())]


@pytest.mark.parametrize("kind", ["svg", "png", "pdf", "html", "dot", "mmd", "txt"])
def test_the_same_graph_gives_the_same_bytes(kind: str, graph_of: Callable[[str], Graph]) -> None:
    first = render(graph_of("mnist"), kind)
    time.sleep(1.1 if kind == "pdf" else 0)  # a date in the file would be another second
    assert first == render(graph_of("mnist"), kind)


def test_nothing_lies_outside_or_over_another(graph_of: Callable[[str], Graph]) -> None:
    root = figure(graph_of("googlenet"))
    _, _, wide, high = map(float, root.attrib["viewBox"].split())
    places = []
    for g in boxes(root):
        rect = g.find(f"{SVG}rect")
        assert rect is not None
        x, y, w, h = (float(rect.attrib[k]) for k in ("x", "y", "width", "height"))
        assert x >= 0
        assert x + w <= wide
        assert y >= 0
        assert y + h <= high
        places.append((x, y, x + w, y + h))
    for i, a in enumerate(places):
        for b in places[i + 1 :]:
            assert a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]


HOSTILE = (
    '"><script>alert(1)</script>',
    "new\nline and\ttab",
    'a"; b [label="x"]; }',
    "\N{PILE OF POO} 模型 \u202egnirts",
    "x" * 300,
    "]]> & <!-- --> `${1}`",
    "\\N \\l \\\\",
)


@pytest.fixture(scope="module")
def hostile() -> Graph:
    """A chain whose layers, classes and model have names that other formats would act on."""
    layers = [m for i in range(len(HOSTILE)) for m in (nn.Linear(4 + i, 5 + i), nn.Tanh())]
    name = '<img src=x onerror="alert(1)">\n' + "y" * 300
    graph = trace(nn.Sequential(*layers).eval(), (torch.randn(2, 4),), name=name)
    for node, record in graph:
        calls = tuple(
            replace(c, path=HOSTILE[int(c.path) // 2], class_name=HOSTILE[0]) if c.path else c
            for c in record.calls
        )
        node.meta["netloft"] = replace(record, calls=calls)
    return graph


def test_hostile_names_stay_text(hostile: Graph) -> None:
    root = figure(hostile)
    assert not list(root.iter(f"{SVG}script"))
    assert not [k for e in root.iter() for k in e.attrib if k.startswith("on")]
    tips = [t.text or "" for t in root.iter(f"{SVG}title")]
    assert any('"><script>alert(1)</script>' in tip for tip in tips)
    assert any("x" * 300 in tip for tip in tips)
    assert "\u202e" not in "".join(tips)
    _, _, wide, _ = map(float, root.attrib["viewBox"].split())
    assert wide <= 750


@pytest.mark.parametrize("kind", ["svg", "png", "pdf", "html", "dot", "mmd", "txt"])
def test_hostile_names_break_no_format(kind: str, hostile: Graph) -> None:
    made = render(hostile, kind)
    if kind in ("html", "svg"):
        assert b"<script>alert" not in made
        assert b"<img" not in made
    if kind in ("txt", "mmd", "dot"):
        assert b"\x1b" not in made


def test_dot_of_hostile_names_is_read_by_graphviz(hostile: Graph) -> None:
    from netloft_diagrams.graphviz_engine import run_dot

    plain = run_dot(render(hostile, "dot").decode("utf-8"))
    assert sum(line.startswith("node ") for line in plain.splitlines()) == len(HOSTILE) + 2
    assert sum(line.startswith("edge ") for line in plain.splitlines()) == len(HOSTILE) + 1
