"""The written file: names, versions, batch, bytes, and refusals."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from torch import Tensor, nn

from netloft.errors import CheckError, ExportError, NetloftError, OutputError
from netloft.tracing import trace
from netloft_exporters import to_onnx
from netloft_exporters.onnx.check import check_model

SOURCE = """
import torch
from torch import nn


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(4)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x):
        out = self.relu(self.bn(self.conv(x)))
        out += x
        return self.relu(out)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, stride=2, padding=1)
        self.blocks = nn.Sequential(Block(), Block())
        self.fc = nn.Linear(4, 2)

    def forward(self, x):
        return self.fc(self.blocks(self.stem(x)).mean((2, 3)))
"""


def net_from(folder: Path) -> nn.Module:
    """Return the network of SOURCE, defined in a file in `folder`."""
    folder.mkdir(parents=True)
    path = folder / "net.py"
    path.write_text(SOURCE)
    spec = importlib.util.spec_from_file_location("net", path)
    assert spec is not None
    assert spec.loader is not None
    module: ModuleType = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    torch.manual_seed(0)
    net: nn.Module = module.Net().eval()
    return net


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[nn.Module, Path]:
    folder = tmp_path_factory.mktemp("export")
    net = net_from(folder / "source")
    return net, to_onnx(net, (torch.randn(2, 3, 16, 16),), folder / "net.onnx")


def test_it_equals_the_module_at_every_batch(written: tuple[nn.Module, Path]) -> None:
    net, path = written
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    for batch in (1, 2, 3, 8):
        x = torch.randn(batch, 3, 16, 16)
        (y,) = session.run(None, {"input": x.numpy()})
        with torch.no_grad():
            np.testing.assert_allclose(y, net(x).numpy(), rtol=0, atol=1e-6)


def test_names_carry_the_module_path(written: tuple[nn.Module, Path]) -> None:
    nodes = onnx.load(written[1]).graph.node
    assert [node.name for node in nodes][:6] == [
        "stem/Conv",
        "blocks.0.conv/Conv",
        "blocks.0.relu/Relu",
        "blocks.0/Add",
        "blocks.0.relu@1/Relu",
        "blocks.1.conv/Conv",
    ]
    facts = {p.key: p.value for p in nodes[3].metadata_props}
    assert facts["netloft.module"] == "blocks.0"
    assert facts["netloft.class"] == "Block"
    assert facts["netloft.source"].endswith("net.py:15")


def test_versions_and_shapes_are_what_was_asked_for(written: tuple[nn.Module, Path]) -> None:
    model = onnx.load(written[1])
    assert [i.version for i in model.opset_import if not i.domain] == [20]
    assert model.ir_version == 10
    assert model.producer_name == "netloft"
    shape = model.graph.input[0].type.tensor_type.shape.dim
    assert [d.dim_param or d.dim_value for d in shape] == ["batch", 3, 16, 16]


def test_bytes_are_the_same_in_another_folder(
    written: tuple[nn.Module, Path], tmp_path: Path
) -> None:
    net = net_from(tmp_path / "elsewhere" / "deep")
    again = to_onnx(net, (torch.randn(3, 3, 16, 16),), tmp_path / "again.onnx")
    assert again.read_bytes() == written[1].read_bytes()
    assert str(tmp_path).encode() not in again.read_bytes()


def test_a_fixed_batch_is_in_the_file(tmp_path: Path) -> None:
    net = net_from(tmp_path / "source")
    path = to_onnx(net, (torch.randn(2, 3, 16, 16),), tmp_path / "net.onnx", batch=3, opset=21)
    model = onnx.load(path)
    assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_value == 3
    assert model.opset_import[0].version == 21


@pytest.mark.parametrize("opset", [9, 17, 27])
def test_an_opset_that_cannot_be_written_is_refused(tmp_path: Path, opset: int) -> None:
    net = net_from(tmp_path / "source")
    with pytest.raises(ExportError, match=f"opset {opset} cannot be exported"):
        to_onnx(net, (torch.randn(2, 3, 16, 16),), tmp_path / "net.onnx", opset=opset)
    assert not (tmp_path / "net.onnx").exists()


class Spectrum(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.linalg.eigvals(x @ x.transpose(1, 2)).real


def test_an_operator_that_onnx_lacks_is_named_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(ExportError) as caught:
        to_onnx(Spectrum().eval(), (torch.randn(2, 4, 4),), tmp_path / "net.onnx")
    assert caught.value.problem == (
        "torch.onnx cannot export Spectrum: aten.linalg_eig has no ONNX counterpart"
    )
    assert "return torch.linalg.eigvals(x @ x.transpose(1, 2)).real" in caught.value.source
    assert caught.value.exit_code == 2
    assert list(tmp_path.iterdir()) == []


class Named(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, image: Tensor, mask: Tensor | None = None) -> dict[str, Tensor]:
        h = self.conv(image)
        return {"features": h, "mean": h.mean((2, 3))}


def test_outputs_keep_the_names_of_a_dict(tmp_path: Path) -> None:
    path = to_onnx(Named().eval(), (torch.randn(2, 3, 8, 8),), tmp_path / "net.onnx")
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    assert [v.name for v in session.get_inputs()] == ["input"]
    assert [v.name for v in session.get_outputs()] == ["features", "mean"]


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError):
        to_onnx(Named().eval(), (torch.randn(2, 3, 8, 8),), tmp_path / "no" / "net.onnx")


def test_the_structural_check_can_fail(written: tuple[nn.Module, Path], tmp_path: Path) -> None:
    net, path = written
    graph = trace(net, (torch.randn(2, 3, 16, 16),))
    model = onnx.load(path)
    model.graph.node[0].input[0] = "nothing"
    onnx.save(model, tmp_path / "broken.onnx")
    with pytest.raises(CheckError, match="not valid ONNX"):
        check_model(tmp_path / "broken.onnx", graph, 20)
    model = onnx.load(path)
    model.graph.output[0].type.tensor_type.shape.dim[1].dim_value = 5
    onnx.save(model, tmp_path / "shapes.onnx")
    with pytest.raises(CheckError, match=r"not valid ONNX.*dimension"):
        check_model(tmp_path / "shapes.onnx", graph, 20)
    model = onnx.load(path)
    model.metadata_props.add(key="origin", value="/home/someone/net.py")
    onnx.save(model, tmp_path / "leak.onnx")
    with pytest.raises(CheckError, match="absolute path"):
        check_model(tmp_path / "leak.onnx", graph, 20)
    with pytest.raises(CheckError, match="opset"):
        check_model(path, graph, 21)


class Branching(nn.Module):
    """A hook that fx cannot look into chooses by the batch."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.conv.register_forward_hook(lambda m, i, o: o * 5 if o.shape[0] > 1 else o)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


def test_a_file_that_is_wrong_at_one_batch_is_not_kept(tmp_path: Path) -> None:
    with pytest.raises(NetloftError):
        to_onnx(Branching().eval(), (torch.randn(2, 3, 8, 8),), tmp_path / "net.onnx")
    assert list(tmp_path.iterdir()) == []


class OddLengths(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x[::2] * 2, (x @ x.transpose(0, 1)).reshape(-1)


def test_lengths_that_follow_the_batch_in_odd_ways_come_out_right(tmp_path: Path) -> None:
    graph = trace(OddLengths().eval(), (torch.randn(2, 3),))
    assert [value.info.shape for value in graph.outputs] == [("?", 3), ("?",)]
    path = to_onnx(OddLengths().eval(), (torch.randn(2, 3),), tmp_path / "net.onnx")
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    for batch in (1, 2, 5):
        first, second = session.run(None, {"input": np.ones((batch, 3), np.float32)})
        assert first.shape == (-(-batch // 2), 3)
        assert second.shape == (batch * batch,)


@pytest.mark.parametrize("mode", ["nearest", "bilinear"])
def test_the_axes_of_a_resize_are_counted_from_the_start(tmp_path: Path, mode: str) -> None:
    """ONNX allows both; OpenVINO 2026.4 and onnx.reference 1.23 refuse the others."""
    path = to_onnx(nn.Upsample(scale_factor=2.0, mode=mode).eval(), (torch.randn(2, 3, 4, 5),),
                   tmp_path / "net.onnx")  # fmt: skip
    (node,) = [node for node in onnx.load(str(path)).graph.node if node.op_type == "Resize"]
    assert [list(a.ints) for a in node.attribute if a.name == "axes"] == [[2, 3]]
