"""Files that are broken or mean harm: a clear refusal or a harmless picture, never a traceback."""

from __future__ import annotations

import contextlib
import io
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import helper
from tests.toolkit.onnx_graph.files import saved, tensor, weight, written

from netloft.cli import main
from netloft.errors import InputError, UsageError
from netloft.onnx_graph import load, read_onnx
from netloft_diagrams import FORMATS, render
from netloft_diagrams.build import build
from netloft_diagrams.scene import boxes_of

NAMES = [
    "\"'); import os; ('", "<script>alert(1)</script>", "line\nbreak\r\n\tand\x00\x1b[31m", "🐍🦊",
    "n" * 300, "a/" * 200 + "x", "../../etc/passwd", "class", "1", " ", "\ud7ff\u202e", "]]>",
    "&amp;",
    "%s{0}$", "renamed_0", "layer_0", "self", "input_0.weight", "__class__", "a.b.c..d.",
]  # fmt: skip


def odd_file(folder: Path, name: str) -> Path:
    nodes = [
        helper.make_node("Conv", [name, f"{name}.weight"], [f"{name}1"], name=name),
        helper.make_node(name, [f"{name}1"], [f"{name}2"], name=name, domain=name),
        helper.make_node("Add", [f"{name}2", f"{name}.bias"], [f"{name}3"], name=name),
    ]
    for node in nodes:
        for key in ("netloft.class", "netloft.module", "netloft.scope", "netloft.source"):
            node.metadata_props.add(key=key, value=name)
    weights = [weight(f"{name}.weight", 4, 3, 1, 1), weight(f"{name}.bias", 4, 1, 1)]
    ends = [tensor(name, [name, 3, 8, name])], [tensor(f"{name}3", [name, 4, name, 8])]
    sets = [helper.make_opsetid("", 20), helper.make_opsetid(name, 1)]
    return saved(folder, nodes, *ends, weights, name=name, opset_imports=sets)


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_odd_names_are_drawn_and_do_nothing(name: str, tmp_path: Path) -> None:
    graph = read_onnx(odd_file(tmp_path, name))
    assert [record.op for _, record in graph][-1] == "output"
    assert graph.totals.n_params == 16
    root = ElementTree.fromstring(render(graph, "svg"))
    assert not [e for e in root.iter() if e.tag.endswith(("script", "image", "foreignObject"))]
    for kind in sorted(set(FORMATS) - {"pdf", "tex", "svg"}):
        assert render(graph, kind)
    assert "\x1b" not in render(graph, "txt").decode()
    assert "\x1b" not in str(graph)


def _good() -> bytes:
    file = io.BytesIO()
    graph = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["y"])], "g", [tensor("x", [1])], [tensor("y", [1])]
    )
    onnx.save(helper.make_model(graph), file)
    return file.getvalue()


BROKEN: dict[str, Callable[[], bytes]] = {
    "empty": lambda: b"",
    "text": lambda: b"this is no model\n" * 50,
    "zeros": lambda: b"\0" * 1000,
    "cut": lambda: _good()[:-3],
    "picture": lambda: b"\x89PNG\r\n\x1a\n" + bytes(range(256)),
    "no graph": lambda: onnx.ModelProto(ir_version=9).SerializeToString(),
    "nested": lambda: _nested(4000),
}


def _nested(depth: int) -> bytes:
    """Graphs in graphs: protobuf itself ends at 100."""
    inside = b""
    for _ in range(depth):
        for field in (6, 5, 1):  # a graph attribute, of a node, of a graph
            inside = bytes([field << 3 | 2]) + _length(len(inside)) + inside
    return b"\x3a" + _length(len(inside)) + inside


def _length(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])


@pytest.mark.parametrize("what", BROKEN)
def test_what_is_no_model_is_refused(what: str, tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(BROKEN[what]())
    with pytest.raises(InputError, match=r"no ONNX file|no graph"):
        read_onnx(path)
    done = CliRunner().invoke(main, ["draw", str(path), "-o", str(tmp_path / "net.svg")])
    assert done.exit_code == 2
    assert "remedy" in done.stderr
    assert not (tmp_path / "net.svg").exists()


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "folder.onnx").mkdir()
    for name in ("nothing.onnx", "folder.onnx"):
        with pytest.raises(InputError, match=r"does not exist|is no file"):
            read_onnx(tmp_path / name)


def _refused(folder: Path, nodes: list[Any], match: str, **more: Any) -> None:
    path = saved(folder, nodes, [tensor("x", [1])], [tensor("y", [1])], **more)
    with pytest.raises(InputError, match=match):
        read_onnx(path)


def test_graphs_that_do_not_fit_together_are_refused(tmp_path: Path) -> None:
    node = helper.make_node
    circle = [node("Add", ["x", "b"], ["a"], name="one"), node("Relu", ["a"], ["b"])]
    _refused(tmp_path, [*circle, node("Relu", ["b"], ["y"])], "circle")
    _refused(tmp_path, [node("Add", ["x", "ghost"], ["y"])], "'ghost', which nothing gives")
    _refused(tmp_path, [node("Relu", ["x"], ["z"])], "nothing gives the output 'y'")
    _refused(tmp_path, [node("Relu", ["x"], ["y"]), node("Tanh", ["x"], ["y"])], "two nodes give")
    inner = helper.make_graph([node("Relu", ["ghost"], ["z"])], "i", [], [tensor("z", None)])
    branch = node("If", ["x"], ["y"], then_branch=inner, else_branch=inner)
    _refused(tmp_path, [branch], "'ghost', which nothing gives")


def _function(name: str, calls: str, times: int) -> onnx.FunctionProto:
    nodes = [helper.make_node(calls, [f"v{i}"], [f"v{i + 1}"], domain="odd") for i in range(times)]
    sets = [helper.make_opsetid("", 20), helper.make_opsetid("odd", 1)]
    return helper.make_function("odd", name, ["v0"], [f"v{times}"], nodes, sets)


def test_functions_that_call_themselves_or_grow_without_end_are_refused(tmp_path: Path) -> None:
    call = [helper.make_node("F0", ["x"], ["y"], domain="odd")]
    ring = [_function("F0", "F1", 1), _function("F1", "F0", 1)]
    _refused(tmp_path, call, "calls itself", functions=ring)
    bomb = [_function(f"F{i}", f"F{i + 1}", 4) for i in range(40)]
    _refused(tmp_path, call, "calls|nodes", functions=bomb)


def test_too_many_nodes_are_refused_before_they_are_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(load, "MAX_NODES", 100)
    nodes = [helper.make_node("Relu", [f"v{i}"], [f"v{i + 1}"]) for i in range(101)]
    path = saved(tmp_path, nodes, [tensor("v0", [1])], [tensor("v101", [1])])
    monkeypatch.setattr(onnx.ModelProto, "FromString", None)
    with pytest.raises(InputError, match="more than 100 nodes"):
        read_onnx(path)


def test_a_node_without_types_or_results_is_drawn(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Relu", ["x"], ["a"]),
        helper.make_node("Print", ["a"], [], domain="odd"),
        helper.make_node("Conv", ["a", "w"], ["y"], kernel_shape="three", strides=2.5, pads=[1]),
    ]
    ends = [tensor("x", None)], [tensor("y", None)]
    graph = read_onnx(saved(tmp_path, nodes, *ends, [weight("w", 2)]))
    assert b"Print" in render(graph, "svg")


def test_thousands_of_nodes_in_a_row_are_no_single_box(tmp_path: Path) -> None:
    kinds = ["Relu", "Tanh", "Exp"]
    nodes = [helper.make_node(kinds[i * i % 3], [f"v{i}"], [f"v{i + 1}"]) for i in range(500)]
    graph = read_onnx(saved(tmp_path, nodes, [tensor("v0", [4])], [tensor("v500", [4])]))
    boxes = list(boxes_of(build(graph).root))
    assert max(len(box.ops) for box in boxes) == 40
    assert sum(len(box.ops) + len(box.covers) for box in boxes) == 502


def test_options_of_a_module_are_refused(tmp_path: Path) -> None:
    path = str(written(tmp_path))
    for options in (["--batch", "2"], ["--arg", "k=1"], ["--weights", "w"], ["--input", "1x3"]):
        done = CliRunner().invoke(main, ["draw", path, *options])
        assert (done.exit_code, f"{options[0]} is for a module" in done.stderr) == (2, True)
    done = CliRunner().invoke(main, ["export", path])
    assert (done.exit_code, "needs a module" in done.stderr) == (2, True)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_a_file_with_wrong_bytes_is_read_or_refused(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.getbasetemp()
    whole = bytearray(odd_file(folder, "a/b").read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(whole) - 1))
        whole[at] = data.draw(st.integers(0, 255))
    path = folder / "wrong.onnx"
    path.write_bytes(whole)
    with contextlib.suppress(UsageError):
        assert render(read_onnx(path), "txt")
