"""What differs between two graphs: by structure, by value, and with the reasons that are known."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
import torchvision
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import numpy_helper
from tests.toolkit.onnx_graph.files import PICTURE, Net, net, written
from torch import Tensor, nn

import netloft
from netloft.comparing import Change, Difference, diff
from netloft.errors import InputError
from netloft.graph import Graph
from netloft.passes import choose_passes, run_passes
from netloft.tracing import trace
from netloft_exporters.onnx import write_onnx


def graph_of(module: nn.Module, example: Tensor = PICTURE) -> Graph:
    return trace(module.eval(), (example,), name="net")


@pytest.fixture(scope="module")
def base() -> Graph:
    return graph_of(net())


def differing(found: Difference) -> list[Change]:
    return [change for change in found.changes if change.kind != "same"]


def test_a_graph_is_equal_to_itself_and_to_its_copy(base: Graph) -> None:
    for other in (base, graph_of(net())):
        found = diff(base, other)
        assert found.equal
        assert found.counts == {
            "same": len(base),
            "changed": 0,
            "added": 0,
            "removed": 0,
            "uncompared": 0,
        }
        assert found.text() == f"{len(base)} same, 0 changed, 0 added, 0 removed\n"


def test_one_weight_that_is_one_per_cent_off_is_seen_and_named(base: Graph) -> None:
    module = net()
    with torch.no_grad():
        module.block(1).conv.weight[3, 2, 1, 1] *= 1.01
    (change,) = differing(diff(base, graph_of(module)))
    assert change.entry.path == "blocks.1.conv"
    assert change.words.startswith("weight differs in 1 of 576 values, by ")
    assert "files.py" in str(change)


def test_a_buffer_and_a_norms_epsilon_are_compared(base: Graph) -> None:
    module = net()
    torch.nn.init.ones_(module.block(0).norm.get_buffer("running_mean"))
    module.block(1).norm.eps = 0.001
    found = {c.entry.path: c.words for c in differing(diff(base, graph_of(module)))}
    assert found["blocks.0.norm"].startswith("running_mean differs in 8 of 8")
    assert found["blocks.1.norm"] == "eps 1e-05 → 0.001"


class Longer(Net):
    """A layer more."""

    def __init__(self) -> None:
        super().__init__()
        self.extra = nn.Conv2d(8, 8, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.extra(self.blocks(torch.relu(self.stem(x))))
        return self.head(x.mean((2, 3)))


def test_a_layer_more_or_less_is_added_or_removed(base: Graph) -> None:
    torch.manual_seed(0)
    longer = Longer()
    longer.load_state_dict(net().state_dict(), strict=False)
    other = graph_of(longer)
    (change,) = differing(diff(base, other))
    assert (change.kind, change.entry.path, change.a) == ("added", "extra", None)
    (change,) = differing(diff(other, base))
    assert (change.kind, change.entry.path, change.b) == ("removed", "extra", None)


def test_a_stride_and_an_activation_that_changed_are_told(base: Graph) -> None:
    module = net()
    module.stem.stride = (1, 1)
    module.blocks[0].relu = nn.GELU()
    found = {c.entry.path: c.words for c in differing(diff(base, graph_of(module)))}
    assert found == {"stem": "stride 2 → 1", "blocks.0.relu": "operation relu → gelu"}


class Renamed(Net):
    """The same network under other names."""

    def __init__(self) -> None:
        super().__init__()
        self.body = self.blocks
        del self.blocks

    def forward(self, x: Tensor) -> Tensor:
        x = self.body(torch.relu(self.stem(x)))
        return self.head(x.mean((2, 3)))


def test_renamed_modules_are_recognised(base: Graph) -> None:
    renamed = Renamed()
    state = {k.replace("blocks", "body"): v for k, v in net().state_dict().items()}
    renamed.load_state_dict(state)
    found = diff(base, graph_of(renamed))
    assert found.counts["added"] == found.counts["removed"] == 0
    assert {row[0] for c in differing(found) for row in c.what} == {"module"}
    told = {(c.a.path, c.b.path) for c in differing(found) if c.a and c.b}
    assert ("blocks.0.conv", "body.0.conv") in told


class Wired(nn.Module):
    """Which value a sum takes is all that two of these differ in."""

    def __init__(self, turn: bool) -> None:
        super().__init__()
        self.a, self.b, self.turn = nn.Linear(4, 4), nn.Linear(4, 4), turn

    def forward(self, x: Tensor) -> Tensor:
        a = self.a(x)
        b = self.b(a)
        return b - x if self.turn else b - a


def test_other_wiring_is_a_difference() -> None:
    torch.manual_seed(0)
    one = Wired(False)
    two = copy.deepcopy(one)
    two.turn = True
    x = torch.zeros(2, 4)
    (change,) = differing(diff(graph_of(one, x), graph_of(two, x)))
    assert change.entry.op == "sub"
    assert change.what[0][0] == "reads"


def test_a_constant_is_compared() -> None:
    class Times(nn.Module):
        def __init__(self, by: float) -> None:
            super().__init__()
            self.by = by

        def forward(self, x: Tensor) -> Tensor:
            return x * self.by

    found = diff(graph_of(Times(2.0)), graph_of(Times(3.0)))
    (change,) = differing(found)
    assert change.words == "constant 2.0 → 3.0"


@pytest.fixture(scope="module")
def resnet() -> tuple[nn.Module, Graph]:
    torch.manual_seed(0)
    module = torchvision.models.resnet18().eval()
    for norm in (m for m in module.modules() if isinstance(m, nn.BatchNorm2d)):
        nn.init.uniform_(norm.weight, 0.5, 2)
        nn.init.uniform_(norm.bias)
        norm.get_buffer("running_var").uniform_(0.5, 2)
    return module, graph_of(module, torch.zeros(2, 3, 64, 64))


def test_passes_are_explained_by_value(resnet: tuple[nn.Module, Graph]) -> None:
    _, graph = resnet
    passed = run_passes(graph, choose_passes()).graph
    for found in (diff(graph, passed), diff(passed, graph)):
        assert sum("folded into" in c.reason for c in found.changes) == 20
        assert sum("folded in" in c.reason for c in found.changes if c.kind == "changed") == 20
        assert not found.unexplained
        assert not found.equal


def test_a_fold_with_other_weights_is_not_explained(base: Graph) -> None:
    module = net()
    with torch.no_grad():
        module.block(0).conv.weight[0, 0, 0, 0] += 0.5
    passed = run_passes(graph_of(module), choose_passes()).graph
    left = diff(base, passed).unexplained
    assert {change.entry.path for change in left} == {"blocks.0.conv", "blocks.0.norm"}


@pytest.mark.parametrize("functions", [False, True])
def test_a_graph_and_its_own_file(base: Graph, tmp_path: Path, functions: bool) -> None:
    path = written(tmp_path, functions=functions)
    found = diff(base, path)
    assert not found.unexplained
    assert found.counts == {
        "same": len(base) - 4,
        "changed": 2,
        "added": 0,
        "removed": 2,
        "uncompared": 0,
    }
    passed = run_passes(base, choose_passes()).graph
    assert diff(passed, path).equal


class Attention(nn.Module):
    """One layer that a file has as several operations, some weights the other way round."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.MultiheadAttention(8, 2, batch_first=True)
        self.out, self.shift = nn.Linear(8, 3), nn.Parameter(torch.ones(3))

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.mix(x, x, x)[0]) + self.shift


def test_layers_that_are_written_out_are_explained(tmp_path: Path) -> None:
    module, x = Attention().eval(), torch.zeros(2, 5, 8)
    graph = graph_of(module, x)
    write_onnx(graph, module, {"x": x}, tmp_path / "net.onnx", prove=False)
    found = diff(graph, tmp_path / "net.onnx")
    assert not found.unexplained
    kinds = {c.entry.path: c.kind for c in found.changes}
    assert (kinds["out"], kinds["shift"]) == ("same", "same")


def edited(path: Path, edit: Callable[[onnx.ModelProto], None]) -> Path:
    model = onnx.load(path)
    edit(model)
    other = path.with_name("other.onnx")
    onnx.save(model, other)
    return other


def test_files_are_compared_by_value(tmp_path: Path) -> None:
    path = written(tmp_path)

    def bump(model: onnx.ModelProto) -> None:
        (tensor,) = (t for t in model.graph.initializer if t.name == "head.weight")
        array = numpy_helper.to_array(tensor).copy()
        array[1, 2] *= 1.01
        tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))

    assert diff(path, path).equal
    (change,) = differing(diff(path, edited(path, bump)))
    assert change.entry.path == "head"
    assert "1 of 40 values" in change.words


def test_inputs_and_outputs_are_compared(tmp_path: Path) -> None:
    path = written(tmp_path)

    def rename(model: onnx.ModelProto) -> None:
        model.graph.output[0].name = model.graph.node[-1].output[0] = "scores"

    (change,) = differing(diff(path, edited(path, rename)))
    assert change.words == "output name output → scores"


def test_weights_outside_of_the_folder_are_not_read(tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    path = written(inner)
    (tmp_path / "secret").write_bytes(np.zeros(10_000, np.float32).tobytes())
    (inner / "link").symlink_to(tmp_path / "secret")

    def far(location: str) -> Callable[[onnx.ModelProto], None]:
        def edit(model: onnx.ModelProto) -> None:
            tensor = next(t for t in model.graph.initializer if t.name == "head.weight")
            tensor.ClearField("raw_data")
            tensor.data_location = onnx.TensorProto.EXTERNAL
            tensor.external_data.add(key="location", value=location)

        return edit

    for location in ("../secret", str(tmp_path / "secret"), "link", "missing"):
        model = onnx.load(path)
        far(location)(model)
        other = inner / "far.onnx"
        other.write_bytes(model.SerializeToString())
        with pytest.raises(InputError, match="not in the folder"):
            diff(path, other)


def test_weights_beside_the_file_are_read(tmp_path: Path) -> None:
    path = written(tmp_path)
    model = onnx.load(path)
    onnx.save(
        model, tmp_path / "far.onnx", save_as_external_data=True, location="far.data",
        size_threshold=64,
    )  # fmt: skip
    assert diff(path, tmp_path / "far.onnx").equal
    data = bytearray((tmp_path / "far.data").read_bytes())
    data[5] ^= 1
    (tmp_path / "far.data").write_bytes(data)
    assert not diff(path, tmp_path / "far.onnx").equal


def test_a_weight_of_a_type_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    weight = numpy_helper.from_array(np.ones(4, np.float32), "w")
    weight.data_type = 99
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Add", ["x", "w"], ["y"])],
        "odd",
        [onnx.helper.make_tensor_value_info("x", 1, ["b", 4])],
        [onnx.helper.make_tensor_value_info("y", 1, None)],
        initializer=[weight],
    )
    file = tmp_path / "odd.onnx"
    file.write_bytes(onnx.helper.make_model(graph).SerializeToString())
    with pytest.raises(InputError, match=r"the weight 'w' of .* cannot be read"):
        diff(file, file)


def test_the_function_is_at_the_front_door(base: Graph) -> None:
    assert netloft.diff(base, base).equal
    facts = netloft.diff(base, graph_of(Longer())).to_json()
    assert facts["counts"]["added"] == 1
    assert facts["changes"][0].keys() == {"kind", "a", "b", "what", "reason", "compared"}


STEPS: list[Callable[[], nn.Module]] = [
    lambda: nn.Conv2d(4, 4, 3, padding=1), lambda: nn.Conv2d(4, 4, 1), nn.ReLU, nn.Sigmoid,
    lambda: nn.BatchNorm2d(4), lambda: nn.MaxPool2d(3, 1, 1), nn.Identity,
    lambda: nn.Sequential(nn.Conv2d(4, 4, 1), nn.ReLU()),
]  # fmt: skip
CHOICES = st.lists(st.integers(0, len(STEPS) - 1), min_size=1, max_size=7)


def chain(choices: list[int]) -> Graph:
    torch.manual_seed(0)
    module = nn.Sequential(*(STEPS[i]() for i in choices)).eval()
    return trace(module, (torch.zeros(2, 4, 6, 6),), prove=False)


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(first=CHOICES, second=CHOICES)
def test_any_net_equals_itself_and_differences_are_mirrored(
    first: list[int], second: list[int]
) -> None:
    a, b = chain(first), chain(second)
    assert diff(a, chain(first)).equal
    there, back = diff(a, b), diff(b, a)
    for kind, mirrored in (("added", "removed"), ("removed", "added"), ("same", "same")):
        ours = {c.entry.position for c in there.changes if c.kind == kind}
        theirs = {
            (c.a or c.entry).position if kind == "same" else c.entry.position
            for c in back.changes
            if c.kind == mirrored
        }
        if kind == "same":
            assert len(ours) == len(theirs)
        else:
            assert ours == theirs
