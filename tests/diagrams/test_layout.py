"""Lanes, rows and measures."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise

import pytest

from netloft.graph import Graph
from netloft_diagrams import graphviz_engine
from netloft_diagrams.build import build
from netloft_diagrams.lanes import Edge, assign_columns, assign_lanes
from netloft_diagrams.measure import box_label, local_name, path_range
from netloft_diagrams.page import Options, compose
from netloft_diagrams.scene import Box
from netloft_diagrams.series import atoms
from netloft_diagrams.text_metrics import fit, width


def test_a_skip_has_a_lane_of_its_own_above() -> None:
    edges = [Edge("x", "in", "a"), Edge("a", "a", "b"), Edge("b", "b", "+"), Edge("x", "in", "+")]
    keys = ["in", "a", "b", "+"]
    lanes = assign_lanes(keys, edges, assign_columns(keys, edges), {})
    assert lanes.of == dict.fromkeys(keys, 0)
    assert lanes.edges == {Edge("x", "in", "+"): -1}


def test_a_branch_stands_below_the_longest_path() -> None:
    edges = [Edge("x", "in", "a"), Edge("a", "a", "b"), Edge("b", "b", "+")]
    edges += [Edge("x", "in", "p"), Edge("p", "p", "+")]
    keys = ["in", "a", "b", "p", "+"]
    lanes = assign_lanes(keys, edges, assign_columns(keys, edges), {})
    assert lanes.of["p"] == 1
    assert lanes.of["b"] == 0


def test_nested_skips_do_not_cross() -> None:
    keys = list("abcde")
    edges = [Edge(k, k, n) for k, n in pairwise(keys)]
    edges += [Edge("b", "b", "d"), Edge("a", "a", "e")]
    lanes = assign_lanes(keys, edges, assign_columns(keys, edges), {})
    assert lanes.edges == {Edge("b", "b", "d"): -1, Edge("a", "a", "e"): -2}


def test_parts_are_cut_where_one_value_crosses(graph_of: Callable[[str], Graph]) -> None:
    root = build(graph_of("myresnet")).root
    block = next(i for i in root.items if i.class_name == "BasicBlock")
    assert len(atoms(root.items, ())) == len(root.items)
    assert len(atoms(block.items, block.gives)) == 1  # type: ignore[union-attr]


def test_crossing_branches_are_placed_by_graphviz(
    graph_of: Callable[[str], Graph], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    real = graphviz_engine.run_dot

    def counted(source: str) -> str:
        calls.append(source)
        return real(source)

    monkeypatch.setattr(graphviz_engine, "run_dot", counted)
    compose(build(graph_of("resnet18")), Options())
    assert calls == []
    compose(build(graph_of("crossing")), Options())
    assert calls


def test_graphviz_needs_no_system_dot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    plain = graphviz_engine.run_dot("digraph { a -> b }")
    assert plain.startswith("graph ")


def test_width_is_the_fonts_own() -> None:
    # Source: advance widths of DejaVu Sans Condensed in its hmtx table, 2048 units an em
    assert width("A", 1000) == pytest.approx(615.2, abs=0.1)
    assert width("A", 1000, bold=True) == pytest.approx(696.3, abs=0.1)
    assert width("模", 10) == 10


def test_long_words_are_cut() -> None:
    cut = fit("x" * 300, 10, 80)
    assert cut.endswith("…")
    assert width(cut, 10) <= 80


@pytest.mark.parametrize(
    ("first", "last", "shown"),
    [
        ("layer1.1", "layer1.35", "layer1.1…35"),
        ("encoder.layer_0.mlp", "encoder.layer_11.mlp", "encoder.layer_0…11.mlp"),
        ("Mixed_6c", "Mixed_6d", "Mixed_6c…6d"),
        ("conv", "", "conv"),
        ("a.b", "c.d", "a.b…c.d"),
    ],
)
def test_path_range(first: str, last: str, shown: str) -> None:
    assert path_range(first, last) == shown


def test_a_long_name_is_cut_and_its_parameters_are_not() -> None:
    label = box_label(Box("b0", "conv", "Conv 3×3 → 64", name="n" * 300, n_params=36_928))
    assert label.name.startswith("…nn")
    assert label.name.endswith("nn · 36.9k")
    assert label.width < 150


def test_local_name() -> None:
    assert local_name("layer1.0.conv1", "layer1.0") == "conv1"
    assert local_name("features.1.0", "features.1") == "features.1.0"
    assert local_name("fc", "layer1") == "fc"


def test_help_imports_neither_torch_nor_graphviz() -> None:
    code = (
        "import sys, netloft_diagrams.command as c\n"
        "c.draw.main(['--help'], standalone_mode=False)\n"
        "assert not {'torch', 'graphviz', 'wasmtime', 'resvg_py'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
