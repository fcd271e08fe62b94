"""ONNX files that are out to do harm, or are damaged."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

Make = Callable[[Path], Path]


def saved(graph: onnx.GraphProto, path: Path) -> Path:
    opsets = [helper.make_opsetid("", 20)]
    path.write_bytes(
        helper.make_model(graph, opset_imports=opsets, ir_version=10).SerializeToString()
    )
    return path


def value(name: str, *shape: int | str, kind: int = TensorProto.FLOAT) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, list(shape))


def constant(name: str, *numbers: int) -> onnx.TensorProto:
    return helper.make_tensor(name, TensorProto.INT64, [len(numbers)], numbers)


def plain(folder: Path, weight: onnx.TensorProto | None = None) -> Path:
    """y = x + w, which is harmless."""
    w = weight or numpy_helper.from_array(np.ones(4, np.float32), "w")
    nodes = [helper.make_node("Add", ["x", "w"], ["y"])]
    graph = helper.make_graph(nodes, "g", [value("x", 4)], [value("y", 4)], [w])
    return saved(graph, folder / "plain.onnx")


def endless(folder: Path) -> Path:
    """A loop of 2^62 rounds."""
    names = ["i", "going", "v"]
    kinds = [TensorProto.INT64, TensorProto.BOOL, TensorProto.FLOAT]
    inner = [
        helper.make_node("Identity", ["going"], ["on"]),
        helper.make_node("Sin", ["v"], ["next"]),
    ]
    shapes = [value(n, kind=k) for n, k in zip(names, kinds, strict=True)]
    body = helper.make_graph(
        inner, "body", shapes, [value("on", kind=TensorProto.BOOL), value("next")]
    )
    once = helper.make_tensor("count", TensorProto.INT64, [], [2**62])
    true = helper.make_tensor("true", TensorProto.BOOL, [], [True])
    loop = helper.make_node("Loop", ["count", "true", "x"], ["y"], body=body)
    graph = helper.make_graph([loop], "g", [value("x")], [value("y")], [once, true])
    return saved(graph, folder / "endless.onnx")


def doubling(folder: Path) -> Path:
    """Forty doublings of four numbers: 16 TiB."""
    nodes = [helper.make_node("Concat", ["x", "x"], ["v0"], axis=0)]
    nodes += [helper.make_node("Concat", [f"v{i}"] * 2, [f"v{i + 1}"], axis=0) for i in range(39)]
    nodes.append(helper.make_node("ReduceSum", ["v39"], ["y"], keepdims=0))
    graph = helper.make_graph(nodes, "g", [value("x", 4)], [value("y")])
    return saved(graph, folder / "doubling.onnx")


def huge(folder: Path) -> Path:
    """A tensor of 10^10 numbers, made from one that says so."""
    nodes = [
        helper.make_node("ConstantOfShape", ["n"], ["big"]),
        helper.make_node("ReduceSum", ["big"], ["sum"], keepdims=0),
        helper.make_node("Add", ["x", "sum"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes, "g", [value("x", 4)], [value("y", 4)], [constant("n", 10_000_000_000)]
    )
    return saved(graph, folder / "huge.onnx")


def nested(depth: int) -> Make:
    def make(folder: Path) -> Path:
        graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "g", [],
                                  [value("y", 4)])  # fmt: skip
        for _ in range(depth):
            node = helper.make_node("If", ["c"], ["y"], then_branch=graph, else_branch=graph)
            graph = helper.make_graph([node], "g", [], [value("y", 4)])
        graph.input.extend([value("x", 4), value("c", kind=TensorProto.BOOL)])
        return saved(graph, folder / "nested.onnx")

    return make


def many_nodes(folder: Path) -> Path:
    names = [f"v{i}" for i in range(100_002)]
    nodes = [helper.make_node("Relu", [a], [b]) for a, b in pairwise(names)]
    graph = helper.make_graph(nodes, "g", [value("v0", 4)], [value(names[-1], 4)])
    return saved(graph, folder / "many.onnx")


def _weight(*dims: int, raw: bytes | None = None) -> onnx.TensorProto:
    w = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=dims)
    if raw is not None:
        w.raw_data = raw
    return w


def overflowing(folder: Path) -> Path:
    return plain(folder, _weight(2**40, 2**40, raw=b"\0" * 16))


def negative(folder: Path) -> Path:
    return plain(folder, _weight(-4, raw=b"\0" * 16))


def short(folder: Path) -> Path:
    return plain(folder, _weight(4, raw=b"\0" * 12))


def without_data(folder: Path) -> Path:
    return plain(folder, _weight(4))


def declared_huge(folder: Path) -> Path:
    nodes = [helper.make_node("Relu", ["x"], ["y"])]
    sizes = 2**31, 2**31
    graph = helper.make_graph(nodes, "g", [value("x", *sizes)], [value("y", *sizes)])
    return saved(graph, folder / "declared.onnx")


def outside(location: str, **more: str) -> Make:
    """A weight that lies in another file."""

    def make(folder: Path) -> Path:
        w = _weight(4)
        w.data_location = TensorProto.EXTERNAL
        for key, text in ({"location": location} | more).items():
            w.external_data.add(key=key, value=text)
        return plain(folder, w)

    return make


def secret(folder: Path) -> Path:
    path = folder / "secret"
    path.write_bytes(np.arange(4, dtype=np.float32).tobytes())
    return path


def linked(link: Callable[[Path, Path], None]) -> Make:
    """A weight in a file beside the model that is another name of a file elsewhere."""

    def make(folder: Path) -> Path:
        inner = folder / "inner"
        inner.mkdir()
        link(secret(folder), inner / "w.bin")
        return outside("w.bin")(inner)

    return make


def _hard(target: Path, name: Path) -> None:
    os.link(target, name)


def _soft(target: Path, name: Path) -> None:
    name.symlink_to(target)


def _in_linked_folder(folder: Path) -> Path:
    secret(folder)
    inner = folder / "inner"
    inner.mkdir()
    (inner / "away").symlink_to(folder)
    return outside("away/secret")(inner)


def _pipe(folder: Path) -> Path:
    os.mkfifo(folder / "w.bin")
    return outside("w.bin")(folder)


def _with_data(make: Make, size: int = 16) -> Make:
    def made(folder: Path) -> Path:
        (folder / "w.bin").write_bytes(b"\0" * size)
        return make(folder)

    return made


OUTSIDE: Mapping[str, tuple[Make, str]] = {
    "parent": (outside("../secret"), "which is not beside it"),
    "deep parent": (outside("../../../../etc/passwd"), "which is not beside it"),
    "through a folder": (outside("a/../../x"), "which is not beside it"),
    "absolute": (outside("/etc/passwd"), "which is not beside it"),
    "another drive": (outside("C:secret"), "which is not beside it"),
    "backslashes": (outside("..\\secret"), "which is not beside it"),
    "nowhere": (outside(""), "which is not beside it"),
    "memory of the runtime": (outside("*/_ORT_MEM_ADDR_/*", offset="0"), "which is not beside it"),
    "soft link": (linked(_soft), "'w.bin', which is a link"),
    "linked folder": (_in_linked_folder, "which is not beside it"),
    "hard link": (linked(_hard), "is a hard link"),
    "a pipe": (_pipe, "is no file"),
    "missing": (outside("w.bin"), "No such file"),
    "shorter than said": (_with_data(outside("w.bin", length="16"), 8), "ends within 'w'"),
    "longer than said": (_with_data(outside("w.bin"), 64), "has 64 bytes for [4]"),
    "length 2^62": (_with_data(outside("w.bin", length=str(2**62))), "ends within 'w'"),
    "length 2^70": (_with_data(outside("w.bin", length=str(2**70))), "is no place in a file"),
    "length -1": (_with_data(outside("w.bin", length="-1")), "is no place in a file"),
    "offset beyond": (_with_data(outside("w.bin", offset="64")), "ends within 'w'"),
    "unknown key": (_with_data(outside("w.bin", basepath="/")), "unknown key 'basepath'"),
    "python's own": (_with_data(outside("w.bin", __class__="x")), "unknown key '__class__'"),
}
"""How a weight reaches for what is not its own, and what is said of it."""

REFUSED: Mapping[str, tuple[Make, str]] = {
    "many nodes": (nested(12), "has more than 100 nodes"),
    "dims overflow": (overflowing, "beyond what is read"),
    "negative dim": (negative, "has lengths that are none"),
    "short data": (short, "has 12 bytes for [4]"),
    "no data": (without_data, "has 0 values for (4,)"),
    "declared huge": (declared_huge, "beyond what is read"),
}
"""What is refused before anything runs, within a budget of 100 nodes."""
