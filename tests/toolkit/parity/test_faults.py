"""Planted faults are what they are called, and what the checks make of them is told as it is."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from netloft.errors import UsageError
from netloft.parity.check import certify
from netloft.parity.faults.draft import Original
from netloft.parity.faults.kinds import KINDS, plant
from netloft.parity.faults.mutant import Mutant, Run
from netloft.parity.faults.mutate import mutate
from netloft.parity.faults.outputs import outputs_check, runs_of
from netloft.parity.faults.replay import vectors_run
from netloft.parity.inputs import cases
from netloft.tracing import trace
from netloft_exporters import to_onnx

rng = np.random.default_rng(0)


def floats(*shape: int) -> np.ndarray:
    return rng.standard_normal(shape).astype(np.float32)


def number(value: float) -> np.ndarray:
    return np.array(value, np.float32)


def whole(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


Nodes = list[tuple[str, dict[str, np.ndarray], dict[str, Any]]]
IMAGE, ROWS = (2, 3, 7, 7), (2, 3, 5)


def chain(path: Path, given: tuple[int, ...], nodes: Nodes) -> Path:
    """Write a file of nodes in a row; '@' is the file's input."""
    made, weights, taken = [], [], "x"
    for index, (kind, operands, options) in enumerate(nodes):
        names = [f"{index}/{name}" for name in operands if name != "@"]
        weights += [
            numpy_helper.from_array(array, f"{index}/{name}")
            for name, array in operands.items()
            if name != "@"
        ]
        names = [taken, *names, *(["x"] if "@" in operands else [])]
        made.append(helper.make_node(kind, names, [f"v{index}"], name=f"n{index}", **options))
        taken = f"v{index}"
    graph = helper.make_graph(
        made, "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, given)],
        [helper.make_tensor_value_info(taken, TensorProto.FLOAT, None)],
        weights,
    )  # fmt: skip
    opset = [helper.make_opsetid("", 20)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=10), str(path))
    return path


CONV: Nodes = [("Conv", {"w": floats(4, 3, 3, 3), "b": floats(4)}, {"pads": [1, 1, 1, 1]})]
GEMM: Nodes = [
    ("Flatten", {}, {}),
    ("Gemm", {"w": floats(147, 6), "b": floats(6)}, {}),
    ("Gemm", {"w": floats(6, 6), "b": floats(6)}, {}),
]
SKIP: Nodes = [("Conv", {"w": floats(3, 3, 1, 1)}, {}), ("Add", {"@": floats(1)}, {})]
POOL = {"kernel_shape": [2, 2], "strides": [2, 2]}
NETS: dict[str, tuple[tuple[int, ...], Nodes]] = {
    "conv": (IMAGE, CONV),
    "gemm": (IMAGE, GEMM),
    "two": (IMAGE, [SKIP[0], ("Conv", {"w": floats(3, 3, 1, 1)}, {})]),
    "norm": (IMAGE, [("InstanceNormalization", {"s": floats(3), "b": floats(3)}, {})]),
    "relu": (IMAGE, [*CONV, ("Relu", {}, {})]),
    "clip": (IMAGE, [*CONV, ("Clip", {"least": number(-0.1), "most": number(0.1)}, {})]),
    "softmax": (IMAGE, [("Softmax", {}, {"axis": 1})]),
    "skip": (IMAGE, SKIP),
    "gate": (IMAGE, [SKIP[0], ("Mul", {"@": floats(1)}, {})]),
    "sub": (IMAGE, [("Sub", {"one": number(1)}, {})]),
    "concat": (IMAGE, [*SKIP[:1], ("Concat", {"@": floats(1)}, {"axis": 1})]),
    "strided": (
        IMAGE,
        [("Conv", {"w": floats(4, 3, 3, 3)}, {"strides": [2, 2]}), ("GlobalAveragePool", {}, {})],
    ),
    "pool": (IMAGE, [("MaxPool", {}, POOL)]),
    "padded": (IMAGE, [("AveragePool", {}, {**POOL, "pads": [1, 1, 0, 0]})]),
    "turned": (IMAGE, [("Transpose", {}, {"perm": [0, 1, 3, 2]})]),
    "slice": (ROWS, [("Slice", {"from": whole(0), "to": whole(2), "axes": whole(1)}, {})]),
    "index": (ROWS, [("Gather", {"i": np.array(0, np.int64)}, {"axis": 1})]),
}
PLACES = {
    "square weight transposed": "gemm", "Gemm factor changed": "gemm",
    "Gemm transposition flipped": "gemm", "flattened in another order": "gemm",
    "weights of two layers exchanged": "two", "epsilon changed": "norm",
    "activation dropped": "relu", "activation exchanged": "relu",
    "another value taken": "two", "bound or slope changed": "clip",
    "softmax axis changed": "softmax", "skip connection dropped": "skip", "gate dropped": "gate",
    "sum subtracted": "skip", "operands swapped": "sub", "concatenation turned round": "concat",
    "stride halved": "strided", "pool exchanged": "pool", "padding counted": "padded",
    "ceil mode flipped": "pool", "constant changed": "sub", "axes exchanged": "turned",
    "slice moved": "slice", "index moved": "index",
}  # fmt: skip
"""Which of the nets has a place for a kind; the others are planted in the convolution."""


def run_of(given: tuple[int, ...], path: Path) -> Run:
    inputs = {"x": np.random.default_rng(1).standard_normal(given).astype(np.float32)}
    name = onnx.load(str(path)).graph.output[0].name
    return vectors_run(inputs, [name], path.parent, "cpu", 1)


@pytest.mark.parametrize("kind", KINDS)
def test_a_planted_fault_changes_what_the_file_gives_and_not_the_file(
    kind: str, tmp_path: Path
) -> None:
    given, nodes = NETS[PLACES.get(kind, "conv")]
    path = chain(tmp_path / "net.onnx", given, nodes)
    before, run = path.read_bytes(), run_of(given, path)
    original = Original(path)
    found = plant(kind, original, Random(0))
    assert found is not None
    fault, model = found
    assert fault.kind == kind
    assert fault.node in {node.name for node in original.model.graph.node}
    (right,) = Mutant(original.model, tmp_path, None, run).results()
    (wrong,) = Mutant(model, tmp_path, fault, run).results()
    (mine,), (theirs,) = right.values(), wrong.values()
    assert mine.shape != theirs.shape or not np.array_equal(mine, theirs), fault
    assert path.read_bytes() == before
    again = plant(kind, Original(path), Random(0))
    assert again is not None
    assert (again[0], again[1].SerializeToString()) == (fault, model.SerializeToString())


def arrays(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    return {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}


def test_values_are_what_the_kind_says(tmp_path: Path) -> None:
    original = Original(chain(tmp_path / "net.onnx", IMAGE, CONV))
    weight, bias = arrays(original.model)["0/w"], arrays(original.model)["0/b"]
    made = {}
    for kind in KINDS:
        found = plant(kind, original, Random(0))
        if found is not None:
            made[kind] = arrays(found[1])
    assert np.allclose(made["weight scaled by 1e-3"]["0/w"] / weight, 1.001, rtol=1e-6)
    assert np.allclose(made["weight scaled by 1e-4"]["0/w"] / weight, 1.0001, rtol=1e-6)
    flipped = made["sign of one weight flipped"]["0/w"]
    assert np.count_nonzero(flipped != weight) == 1
    assert np.array_equal(np.abs(flipped), np.abs(weight))
    zeroed = [not row.any() for row in made["filter zeroed"]["0/w"]]
    assert sum(zeroed) == 1
    rows = {row.tobytes() for row in weight}
    swapped = made["channels swapped"]["0/w"]
    assert {row.tobytes() for row in swapped} == rows
    assert np.count_nonzero([(a != b).any() for a, b in zip(swapped, weight, strict=True)]) == 2
    half = weight.astype(np.float16).astype(np.float32)
    assert np.array_equal(made["weight rounded to float16"]["0/w"], half)
    rounded = torch.from_numpy(weight.copy()).to(torch.bfloat16).float().numpy()
    assert np.array_equal(made["weight rounded to bfloat16"]["0/w"], rounded)
    assert np.array_equal(made["kernel mirrored"]["0/w"], weight[:, :, ::-1, ::-1])
    assert np.array_equal(made["bias shifted"]["0/b"], np.roll(bias, 1))
    assert not made["bias zeroed"]["0/b"].any()
    assert "0/w" not in made["all weights zeroed"]


class Small(nn.Module):
    """One branch of dead channels, and a sum."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, 4, 3, padding=1), nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(torch.relu(self.conv(x)).mean((2, 3)))


class Fixture:
    """A module, a file of it, and the check of its outputs."""

    def __init__(self, folder: Path) -> None:
        torch.manual_seed(0)
        module, inputs = Small().eval(), {"x": torch.randn(2, 3, 6, 6)}
        with torch.no_grad():
            module.get_parameter("conv.bias")[0] = -1e3  # a channel that no input wakes
        self.path = folder / "net.onnx"
        to_onnx(module, inputs, self.path, prove=False)
        graph = trace(module, inputs)
        self.result, expected = certify(graph, module, self.path, cases(inputs, (1, 2), 0), ["cpu"])
        self.run = runs_of(expected, self.path, "cpu", 1)
        self.checks = {"outputs": outputs_check(expected, "cpu")}


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Fixture:
    return Fixture(tmp_path_factory.mktemp("faults"))


def test_the_file_passes_and_its_faults_are_caught(net: Fixture) -> None:
    assert net.result.status == "pass"
    told: list[str] = []
    found = mutate(net.path, net.checks, net.run, per_kind=2, progress=told.append)
    assert len(told) == len(found.trials) > 20
    caught = [trial for trial in found.trials if trial.status == "caught"]
    assert {trial.check for trial in caught} == {"outputs"}
    assert all("PyTorch's own error" in trial.reason for trial in caught)
    assert {trial.fault.module for trial in caught} >= {"conv", "fc"}
    assert "skip connection dropped" in found.without_place
    facts = found.facts()
    assert facts["planted"] == facts["caught"] + facts["missed"] + facts["no_effect"]
    assert sum(row["planted"] for row in facts["kinds"]) == facts["planted"]
    assert found == mutate(net.path, net.checks, net.run, per_kind=2)


def test_a_fault_in_a_dead_channel_is_told_to_have_no_effect(net: Fixture) -> None:
    kinds = ["sign of one weight flipped"]
    found = mutate(net.path, net.checks, net.run, per_kind=40, kinds=kinds)
    idle = {trial.fault.what for trial in found.trials if trial.status == "no effect"}
    dead = {
        trial.fault.what
        for trial in found.trials
        if trial.fault.module == "conv" and "weight[0, " in trial.fault.what
    }
    assert dead
    assert dead <= idle
    assert found.count("missed") == 0
    assert 0 < found.count("caught") == len(found.trials) - len(idle)
    assert found.score == 1


def test_a_check_that_sees_nothing_misses_everything(net: Fixture) -> None:
    kinds = ["weight zeroed", "bias zeroed"]
    found = mutate(net.path, {"blind": lambda _: None}, net.run, kinds=kinds)
    assert [trial.status for trial in found.trials] == ["missed", "missed"]
    assert found.score == 0


def test_checks_are_asked_in_turn_until_one_finds_the_fault(net: Fixture) -> None:
    asked: list[str] = []

    def second(mutant: Mutant) -> str | None:
        asked.append("second")
        return None if mutant.fault is None else "seen"

    def third(mutant: Mutant) -> str | None:
        asked.append("third")
        return None

    checks = {"first": lambda _: None, "second": second, "third": third}
    (trial,) = mutate(net.path, checks, net.run, kinds=["weight zeroed"]).trials
    assert (trial.check, trial.reason) == ("second", "seen")
    assert asked == ["second", "third", "second"]


def test_a_file_that_fails_as_it_is_is_refused(net: Fixture) -> None:
    with pytest.raises(UsageError, match="does not pass the check of its strict as it is: no"):
        mutate(net.path, {"strict": lambda _: "no"}, net.run)


def test_a_file_that_does_not_run_is_told_each_time(net: Fixture) -> None:
    original = Original(net.path)
    original.model.graph.node[0].op_type = "NoSuchOperation"
    mutant = Mutant(original.model, original.folder, None, net.run)
    for _ in range(2):
        with pytest.raises(UsageError, match="NoSuchOperation"):
            list(mutant.results())
    assert "NoSuchOperation" in (net.checks["outputs"](mutant) or "")


def test_what_changes_nothing_is_not_planted(tmp_path: Path) -> None:
    twice: Nodes = [*CONV, ("Relu", {}, {}), ("Relu", {}, {})]
    again = Original(chain(tmp_path / "twice.onnx", IMAGE, twice))
    assert plant("activation dropped", again, Random(0)) is None
    nothing: Nodes = [
        ("Conv", {"w": np.ones((3, 3, 1, 1), np.float32), "b": np.zeros(3, np.float32)}, {}),
        ("Abs", {}, {}),
        ("Relu", {}, {}),
        ("MaxPool", {}, {"kernel_shape": [1, 1]}),
    ]
    original = Original(chain(tmp_path / "net.onnx", IMAGE, nothing))
    idle = ("bias zeroed", "bias shifted", "channels swapped", "kernel mirrored",
            "ceil mode flipped",
            "weight rounded to float16", "activation dropped", "activation exchanged",
            "pool exchanged", "pad moved")  # fmt: skip
    for kind in idle:
        assert plant(kind, original, Random(0)) is None, kind
    assert plant("weight zeroed", original, Random(0)) is not None
