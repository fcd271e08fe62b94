"""Files: each format is what its suffix says, whole or not there at all."""

from __future__ import annotations

import base64
import builtins
import hashlib
import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from pypdf import PdfReader

import netloft
from netloft.errors import MissingError, OutputError, UsageError
from netloft.graph import Graph
from netloft_diagrams import draw, render
from netloft_diagrams.api import STYLES

TINY_DOT = """\
digraph {
  rankdir=LR
  label="tiny"
  node [shape=box, style="rounded,filled", fontname="Helvetica", fontsize=10]
  edge [fontname="Helvetica", fontsize=9]
  n0 [label="input\\n1×8×8", fillcolor="#eef1f5", color="#566070"]
  n1 [label="Conv 3×3 → 2\\nno pad · BN · ReLU\\nconv · 24", fillcolor="#dcebf8", color="#0a5a94"]
  n2 [label="Mean\\naxis 2, 3", fillcolor="#d5f0e7", color="#04704f"]
  n3 [label="Linear → 1\\nhead · 3", fillcolor="#e6e0f5", color="#54389c"]
  n4 [label="output\\n1", fillcolor="#eef1f5", color="#566070"]
  n0 -> n1
  n1 -> n2 [label="2×6×6"]
  n2 -> n3 [label="2"]
  n3 -> n4 [label="1"]
}
"""
TINY_TABLE = """\
tiny
layer  operation                          output  parameters  multiply-adds
---------------------------------------------------------------------------
·      input · 1×8×8                      1×8×8
conv   Conv 3×3 → 2 · no pad · BN · ReLU  2×6×6           24            648
·      Mean · axis 2, 3                   2
head   Linear → 1                         1                3              2
·      output · 1                         1
---------------------------------------------------------------------------
27 parameters, 650 multiply-adds
"""
TINY_MERMAID = """\
flowchart LR
  n0["input<br/>1×8×8"]
  n1["Conv 3×3 → 2<br/>no pad · BN · ReLU<br/>conv"]
  n2["Mean<br/>axis 2, 3"]
  n3["Linear → 1<br/>head"]
  n4["output<br/>1"]
  n0 --> n1
  n1 -->|2×6×6| n2
  n2 -->|2| n3
  n3 -->|1| n4
"""


def test_text_formats(graph_of: Callable[[str], Graph]) -> None:
    graph = graph_of("tiny")
    assert render(graph, "dot").decode() == TINY_DOT
    assert render(graph, "txt").decode() == TINY_TABLE
    assert render(graph, "mmd").decode() == TINY_MERMAID


def test_png_is_a_picture_with_text_in_it(graph_of: Callable[[str], Graph]) -> None:
    picture = Image.open(io.BytesIO(render(graph_of("myresnet"), "png"))).convert("L")
    assert picture.width > 1000
    # the heading: without a font it would be blank
    heading = picture.crop((24, 20, 300, 50))
    dark = sum(heading.histogram()[:100])
    assert dark > 300


def test_pdf_is_one_page_whose_text_can_be_read(graph_of: Callable[[str], Graph]) -> None:
    (page,) = PdfReader(io.BytesIO(render(graph_of("myresnet"), "pdf"))).pages
    words = page.extract_text()
    assert "BasicBlock" in words
    assert "314,178" in words


def test_html_needs_no_network_and_admits_its_own_script_and_style_only(
    graph_of: Callable[[str], Graph],
) -> None:
    page = render(graph_of("resnet18"), "html").decode("utf-8")
    outside = set(re.findall(r"https?://[^\"'\s<\\]+", page))
    assert outside == {"http://www.w3.org/2000/svg"}
    assert page.encode("utf-8") == render(graph_of("resnet18"), "html")
    (graph,) = re.findall(r'id="graph">(.*?)</script>', page)
    assert json.loads(graph)["name"] == "resnet18 · ResNet"
    assert len(page) - len(graph) < 300_000
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)
    assert policy.startswith("default-src 'none';")
    assert "unsafe" not in policy
    for kind in ("style", "script"):
        (body,) = re.findall(f"<{kind}>(.*?)</{kind}>", page, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(body.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy


def test_draw_writes_every_file(tmp_path: Path, graph_of: Callable[[str], Graph]) -> None:
    paths = [tmp_path / f"net.{kind}" for kind in STYLES["structure"]]
    assert netloft.draw(graph_of("tiny"), *paths) == tuple(paths)
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(p.name for p in paths)
    for path in paths:
        assert path.read_bytes() == render(graph_of("tiny"), path.suffix)


def test_a_module_is_traced_first(tmp_path: Path) -> None:
    layer = torch.nn.Linear(3, 2).eval()
    draw(layer, tmp_path / "a.svg", example_inputs=(torch.randn(2, 3),))
    assert b"Linear" in (tmp_path / "a.svg").read_bytes()
    with pytest.raises(UsageError, match="tracing needs example inputs"):
        draw(layer, tmp_path / "b.svg")


@pytest.mark.parametrize(
    ("names", "options", "error", "message"),
    [
        (["a.svg", "b.gif"], {}, UsageError, "'.gif' is no format to draw in"),
        (["plain"], {}, UsageError, "a file without a suffix has no format"),
        (["a.svg", "no/where.png"], {}, OutputError, "does not exist"),
        (["a.svg"], {"direction": "up"}, UsageError, "'up' is no direction"),
        (["a.svg"], {"depth": -1}, UsageError, "depth -1 is below 0"),
        (["a.svg"], {"only": "nothing"}, UsageError, "no module 'nothing'"),
        (["a.svg"], {"expand": ["nothing"]}, UsageError, "calls no module 'nothing'"),
    ],
)
def test_a_mistake_writes_nothing(
    names: list[str],
    options: dict[str, Any],
    error: type[Exception],
    message: str,
    tmp_path: Path,
    graph_of: Callable[[str], Graph],
) -> None:
    with pytest.raises(error, match=re.escape(message)):
        draw(graph_of("myresnet"), *(tmp_path / name for name in names), **options)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("kind", "package", "remedy"),
    [("png", "resvg_py", "pip install resvg-py"), ("pdf", "cairosvg", "pip install cairosvg")],
)
def test_a_missing_package_is_named(
    kind: str,
    package: str,
    remedy: str,
    tmp_path: Path,
    graph_of: Callable[[str], Graph],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == package:
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingError, match=remedy) as caught:
        draw(graph_of("tiny"), tmp_path / "a.svg", tmp_path / f"a.{kind}")
    assert caught.value.exit_code == 3
    assert list(tmp_path.iterdir()) == []


def test_only_draws_one_module(graph_of: Callable[[str], Graph]) -> None:
    alone = render(graph_of("myresnet"), "svg", only="layer2.0").decode()
    assert "64×56×56 → 128×28×28 · 230,400 parameters" in alone
    assert "layer1" not in alone


def test_depth_and_expand_choose_the_detail(graph_of: Callable[[str], Graph]) -> None:
    graph = graph_of("resnet18")
    closed = render(graph, "svg", depth=0).decode()
    assert closed.count('class="frame"') == 0
    opened = render(graph, "svg", depth=0, expand=["layer3.0"]).decode()
    assert 'data-path="layer3.0"' in opened
    assert 'data-path="layer4"' not in opened
    assert render(graph, "svg", depth=9).decode().count('class="frame"') == 10
