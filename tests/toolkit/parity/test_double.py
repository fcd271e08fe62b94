"""A file in float64 gives what its module gives in float64, to float64's own rounding."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

import netloft
from netloft.errors import CheckError
from netloft.parity.wide.double import doubled
from netloft.parity.wide.evaluator import evaluator
from netloft.parity.wide.operators import FAST
from netloft.runtime.providers import start_session

GENERATOR = torch.Generator().manual_seed(4)


class Pictures(nn.Module):
    """Windows of every kind, scales that ONNX wants in float32, and constants."""

    def __init__(self) -> None:
        super().__init__()
        self.grouped = nn.Conv2d(4, 8, 3, stride=2, padding=(1, 2), groups=2)
        self.wide = nn.Conv2d(8, 8, 3, dilation=2, padding="same")
        self.norm = nn.BatchNorm2d(8, eps=2**-16)
        self.up = nn.ConvTranspose2d(8, 3, 2, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        x = nn.functional.max_pool2d(self.grouped(x), 3, stride=2, padding=1)
        x = torch.nn.functional.leaky_relu(self.norm(self.wide(x)), 0.25) + 0.5
        x = nn.functional.interpolate(x, scale_factor=2.0, mode="bilinear")
        return nn.functional.avg_pool2d(self.up(x), 2) * torch.full_like(x[:, :1], 0.25)


class Words(nn.Module):
    """What ONNX Runtime has float64 kernels for."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(11, 16)  # 1 / sqrt(16) and the epsilon are numbers of float32
        self.norm = nn.LayerNorm(16, eps=2**-16)
        self.q, self.k, self.v = (nn.Linear(16, 16) for _ in range(3))

    def forward(self, ids: Tensor) -> Tensor:
        x = self.norm(self.table(ids))
        return nn.functional.scaled_dot_product_attention(self.q(x), self.k(x), self.v(x))


def widened(path: Path, feeds: dict[str, np.ndarray], *, by_runtime: bool) -> np.ndarray:
    model = doubled(path).model
    onnx.checker.check_model(model, full_check=True)
    if by_runtime:
        session = start_session(model.SerializeToString(), optimisation="none")
        return np.asarray(session.run(None, feeds)[0])
    (result,) = evaluator(model, FAST).run(None, feeds)
    return np.asarray(result)


@pytest.mark.parametrize("by_runtime", [True, False], ids=["ONNX Runtime", "onnx.reference"])
def test_words(tmp_path: Path, by_runtime: bool) -> None:
    torch.manual_seed(0)
    net, ids = Words().eval(), torch.randint(0, 11, (2, 5), generator=GENERATOR)
    netloft.to_onnx(net, (ids,), tmp_path / "net.onnx", passes=())
    model = onnx.load(str(tmp_path / "net.onnx"))
    (norm,) = [node for node in model.graph.node if node.op_type == "LayerNormalization"]
    if not any(attribute.name == "stash_type" for attribute in norm.attribute):
        norm.attribute.append(helper.make_attribute("stash_type", TensorProto.FLOAT))
    onnx.save(model, str(tmp_path / "net.onnx"))  # as torch.onnx writes it
    found = widened(tmp_path / "net.onnx", {"input": ids.numpy()}, by_runtime=by_runtime)
    with torch.no_grad():
        single, wanted = net(ids).numpy(), net.double()(ids).numpy()
    assert found.dtype == np.float64
    assert np.abs(found - wanted).max() < 1e-14
    assert np.abs(single - wanted).max() > 1e-9, "float32 would have passed too"


def resize(path: Path, axes: list[int]) -> None:
    """Name the axes of the one Resize otherwise."""
    model = onnx.load(str(path))
    (node,) = [node for node in model.graph.node if node.op_type == "Resize"]
    (attribute,) = [each for each in node.attribute if each.name == "axes"]
    attribute.ints[:] = axes
    onnx.save(model, str(path))


def test_pictures(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net, x = Pictures().eval(), torch.randn(2, 4, 17, 20, generator=GENERATOR)
    netloft.to_onnx(net, (x,), tmp_path / "net.onnx", passes=())
    resize(tmp_path / "net.onnx", axes=[-2, -1])  # ONNX allows it
    found = widened(tmp_path / "net.onnx", {"input": x.double().numpy()}, by_runtime=False)
    with torch.no_grad():
        single, wanted = net(x).numpy(), net.double()(x.double()).numpy()
    assert found.shape == wanted.shape
    assert np.abs(found - wanted).max() < 1e-13
    assert np.abs(single - wanted).max() > 1e-9, "float32 would have passed too"
    assert doubled(tmp_path / "net.onnx").narrow == ()


def node_file(path: Path, node: onnx.NodeProto, *weights: onnx.TensorProto) -> Path:
    given = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 4])
    made = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 4])
    graph = helper.make_graph([node], "one", [given], [made], list(weights))
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), str(path))
    return path


def test_what_still_rounds_is_named(tmp_path: Path) -> None:
    weight = numpy_helper.from_array(np.arange(4, dtype=np.int8), "w")
    scale = numpy_helper.from_array(np.array(0.1, np.float32), "scale")
    model = onnx.load(
        str(node_file(tmp_path / "q.onnx", helper.make_node("Mul", ["x", "real"], ["y"]), weight,
                      scale))
    )  # fmt: skip
    model.graph.node.insert(0, helper.make_node("DequantizeLinear", ["w", "scale"], ["real"]))
    onnx.save(model, str(tmp_path / "q.onnx"))
    made = doubled(tmp_path / "q.onnx")
    assert made.narrow == ("DequantizeLinear",)
    session = start_session(made.model.SerializeToString(), optimisation="none")
    (y,) = session.run(None, {"x": np.full((1, 4), 1 / 3)})
    assert y.dtype == np.float64
    real = np.arange(4, dtype=np.float32) * np.float32(0.1)
    np.testing.assert_allclose(y[0], real / np.float64(3), rtol=1e-15)


def test_an_operator_of_unknown_types_is_refused(tmp_path: Path) -> None:
    node = helper.make_node("Gelu", ["x"], ["y"], domain="com.microsoft")
    with pytest.raises(CheckError, match=r"which types com\.microsoft\.Gelu takes is not known"):
        doubled(node_file(tmp_path / "net.onnx", node))


def test_graphs_inside_of_nodes_are_widened(tmp_path: Path) -> None:
    branches = {}
    for name, number in (("then_branch", 0.1), ("else_branch", 0.2)):
        constant = helper.make_node("Constant", [], [f"{name}_c"], value_float=number)
        add = helper.make_node("Mul", ["x", f"{name}_c"], [f"{name}_y"])
        out = helper.make_tensor_value_info(f"{name}_y", TensorProto.FLOAT, ["batch", 4])
        branches[name] = helper.make_graph([constant, add], name, [], [out])
    true = numpy_helper.from_array(np.array(True), "true")
    path = node_file(
        tmp_path / "if.onnx", helper.make_node("If", ["true"], ["y"], **branches), true
    )
    found = widened(path, {"x": np.full((1, 4), 1 / 3)}, by_runtime=True)
    np.testing.assert_allclose(found, np.float64(np.float32(0.1)) / 3, rtol=1e-15)
