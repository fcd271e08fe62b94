"""Two graphs in one picture: what was added, removed and changed is marked, not by colour alone."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from collections import Counter
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result
from tests.toolkit.onnx_graph.files import PICTURE, Net, net, written
from torch import Tensor, nn

from netloft.cli import main
from netloft.comparing import Difference, diff
from netloft.graph import Graph
from netloft.passes import choose_passes, run_passes
from netloft.tracing import trace
from netloft_diagrams import FORMATS, draw, render
from netloft_diagrams.build import build
from netloft_diagrams.mark import MARK
from netloft_diagrams.merged import merged
from netloft_diagrams.page import Options, compose
from netloft_diagrams.scene import Box, boxes_of, frames_of
from netloft_exporters.onnx import write_onnx


class Other(Net):
    """A layer more, an activation less, and another stride."""

    def __init__(self) -> None:
        super().__init__()
        self.extra = nn.Conv2d(8, 8, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.extra(self.blocks(self.stem(x))).mean((2, 3)))


def graph_of(module: nn.Module) -> Graph:
    return trace(module.eval(), (PICTURE,), name="net")


def pair() -> tuple[Graph, Graph]:
    other = Other()
    other.load_state_dict(net().state_dict(), strict=False)
    other.stem.stride = (1, 1)
    return graph_of(net()), graph_of(other)


@pytest.fixture(scope="module")
def found() -> Difference:
    return diff(*pair())


def marked(found: Difference) -> dict[str, list[Box]]:
    boxes: dict[str, list[Box]] = {}
    for box in boxes_of(build(merged(found)).root):
        boxes.setdefault(box.mark.kind if box.mark else "none", []).append(box)
    return boxes


def test_each_kind_has_its_boxes(found: Difference) -> None:
    boxes = marked(found)
    assert [box.name for box in boxes["added"]] == ["extra"]
    assert [box.title for box in boxes["removed"]] == ["ReLU"]
    assert [(box.name, box.lines) for box in boxes["changed"]] == [("stem", ("stride 2 → 1",))]
    assert "none" not in boxes


def test_every_operation_of_both_is_drawn_once(found: Difference) -> None:
    graph = merged(found)
    kinds = Counter(node.meta[MARK].kind for node, _ in graph)
    assert kinds == Counter(c.kind for c in found.changes)
    scene = build(graph)
    drawn = Counter(n for b in boxes_of(scene.root) for n in (*b.ops, *b.covers))
    drawn.update(scene.hidden)
    assert drawn == Counter(node.name for node, _ in graph)


def test_what_was_removed_stands_where_it_stood(found: Difference) -> None:
    (gone,) = marked(found)["removed"]
    (stem,) = marked(found)["changed"]
    assert gone.reads == stem.gives
    readers = [b for b in boxes_of(build(merged(found)).root) if set(gone.gives) & set(b.reads)]
    assert readers


def test_totals_are_the_second_graphs(found: Difference) -> None:
    assert merged(found).totals.n_params == found.b.totals.n_params
    assert merged(found).totals.macs == found.b.totals.macs


def test_marks_have_a_sign_a_line_and_a_word(found: Difference) -> None:
    root = ElementTree.fromstring(render(found, "svg"))
    groups = {g.get("data-mark"): g for g in root.iter() if g.get("data-mark")}
    assert set(groups) == {"same", "changed", "added", "removed"}
    signs = {"changed": "~", "added": "+", "removed": "\N{MINUS SIGN}"}
    for kind, sign in signs.items():
        texts = [e.text for e in groups[kind].iter() if e.tag.endswith("text")]
        assert sign in texts
        assert groups[kind].get("opacity") is None
    assert any(e.get("stroke-dasharray") for e in groups["removed"].iter())
    assert float(groups["same"].get("opacity", "1")) < 1
    words = {e.text for e in root.iter() if e.tag.endswith("text")}
    assert {"added", "removed", "changed"} <= words


def test_frames_are_open_where_something_differs_only() -> None:
    module = net()
    with torch.no_grad():
        module.block(1).conv.weight[0] += 1
    difference = diff(graph_of(net()), graph_of(module))
    scene = build(merged(difference))
    assert not [frame for frame in frames_of(scene.root) if frame.times > 1]
    placed = compose(scene, Options())
    opened = {p.item.path for p in placed.children for p in (p, *p.children) if p.children}
    assert opened == {"blocks", "blocks.1"}


def test_equal_changes_are_folded_and_others_are_not() -> None:
    graph = graph_of(net())
    difference = diff(graph, run_passes(graph, choose_passes()).graph)
    frames = [f for f in frames_of(build(merged(difference)).root) if f.times == 2]
    assert [frame.path for frame in frames] == ["blocks.0"]


def test_every_format_draws_it_and_twice_alike(found: Difference, tmp_path: Path) -> None:
    for kind in sorted(set(FORMATS) - {"pdf", "tex"}):
        assert render(found, kind) == render(diff(*pair()), kind)
    assert draw(found, tmp_path / "d.svg") == (tmp_path / "d.svg",)


@pytest.mark.parametrize("kind", ["html", "dot", "mmd", "txt"])
def test_formats_without_marks_say_what_became_of_each(found: Difference, kind: str) -> None:
    text = render(found, kind).decode().replace("#40;", "(").replace("#41;", ")")
    for word in ("+ Conv 1×1 → 8 (added)", "ReLU (removed)", "(changed)"):
        assert word in text


class Late(nn.Module):
    """Two branches whose order is all that two of these differ in."""

    def __init__(self, tanh: bool) -> None:
        super().__init__()
        self.a, self.b, self.tanh = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 3), tanh

    def forward(self, x: Tensor) -> Tensor:
        if self.tanh:
            return self.a(torch.tanh(self.b(x)))
        return self.b(self.a(x))


def test_what_was_removed_has_a_reader_or_says_who_read_it() -> None:
    graph = merged(diff(graph_of(Late(True)), graph_of(Late(False))))
    gone = [node for node, _ in graph if node.meta[MARK].kind == "removed"]
    assert gone
    for node in gone:
        assert node.users or any(word.startswith("read by ") for word in node.meta[MARK].words)


def test_a_file_that_is_not_wholly_compared_ends_with_1(tmp_path: Path) -> None:
    module = nn.Sequential(nn.Conv2d(3, 3, 1), nn.Hardsigmoid()).eval()
    write_onnx(graph_of(module), module, {"input": PICTURE}, tmp_path / "n.onnx", prove=False)
    found = diff(graph_of(module), tmp_path / "n.onnx")
    assert (found.equal, found.proven) == (True, False)
    (box,) = [b for b in boxes_of(build(merged(found)).root) if "not compared" in b.lines]
    assert box.mark is not None
    assert box.mark.kind == "same"


def test_equal_graphs_are_drawn_pale() -> None:
    graph = graph_of(net())
    root = ElementTree.fromstring(render(diff(graph, graph), "svg"))
    assert {g.get("data-mark") for g in root.iter() if g.get("data-mark")} == {"same"}


def run(*words: str) -> Result:
    return CliRunner().invoke(main, ["diff", *words])


def test_exit_codes(tmp_path: Path) -> None:
    path = str(written(tmp_path))
    assert run(path, path).exit_code == 0
    done = run("mnist", "mnist", "--json")
    assert (done.exit_code, json.loads(done.stdout)["equal"]) == (0, True)
    done = run("mnist", path)
    assert done.exit_code == 1
    assert done.stdout.splitlines()[0].split()[1::2] == ["same,", "changed,", "added,", "removed"]
    for words in (["mnist"], ["mnist", "nothing.onnx"], [path, path, "--weights-b", "x"]):
        assert run(*words).exit_code == 2


def test_a_bundle_is_its_model_and_options_are_for_modules(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        written(tmp_path / folder).rename(tmp_path / folder / "model.onnx")
    assert run(str(tmp_path / "one"), str(tmp_path / "two")).exit_code == 0
    done = run(str(tmp_path / "one"), str(tmp_path / "two"), "--batch", "3")
    assert done.exit_code == 2
    assert "--batch is for a module" in done.stderr


def test_before_and_after_a_pass(tmp_path: Path) -> None:
    picture = tmp_path / "d.svg"
    done = run("myresnet", "--after", "fold_batch_norm", "-o", str(picture), "--json")
    facts = json.loads(done.stdout)
    assert (done.exit_code, facts["unexplained"], facts["counts"]["removed"]) == (1, 0, 5)
    assert b"norm folded in" in picture.read_bytes()
    assert run("myresnet", "--after", "nothing").exit_code == 2


def test_arguments_for_one_side(tmp_path: Path) -> None:
    done = run("alphago", "alphago", "--arg", "k=128", "--arg-b", "k=192")
    assert done.exit_code == 1
    assert "weight shape 128×48×5×5 → 192×48×5×5" in done.stdout
