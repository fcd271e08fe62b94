"""A graph's module writes its Python code when somebody runs or reads it."""

from __future__ import annotations

import copy
import inspect

import torch
from torch import fx, nn

from netloft.graph import Graph
from netloft.graph.module import compiled
from netloft.passes import run_passes
from netloft.tracing import trace


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)

    def forward(self, picture: torch.Tensor) -> torch.Tensor:
        return torch.relu_(self.norm(self.conv(picture)))


def unproven() -> tuple[nn.Module, torch.Tensor, Graph]:
    net, x = Net().eval(), torch.randn(2, 3, 8, 8)
    graph = trace(net, (x,), prove=False)
    return net, x, graph


def test_the_code_is_written_when_it_is_first_asked_for() -> None:
    net, x, graph = unproven()
    assert not hasattr(graph.module, "_code")
    assert torch.equal(graph.module(x), net(x))
    assert "self.conv" in graph.module.code
    assert list(inspect.signature(graph.module.forward).parameters) == ["picture"]


def test_a_copy_of_what_has_not_run_runs() -> None:
    net, x, graph = unproven()
    assert torch.equal(copy.deepcopy(graph.module)(x), net(x))


def test_the_module_of_a_graph_is_traced_like_any_other() -> None:
    net, x, graph = unproven()
    again = trace(graph.module.eval(), (x,))
    assert [value.name for value in again.inputs] == ["input"]
    assert again.inputs[0].node == "picture"
    assert torch.equal(again.module(x), net(x))


def test_what_passes_have_proven_tells_its_inputs_to_torch_export() -> None:
    net, x, graph = unproven()
    passed = run_passes(graph, example={"picture": x}).graph
    program = torch.export.export(passed.module.eval(), (x,))
    assert program.graph_signature.user_inputs == ("picture",)
    torch.testing.assert_close(program.module()(x), net(x))


def test_another_module_is_returned_as_it_is() -> None:
    net = nn.Conv2d(3, 4, 3)
    assert compiled(net) is net
    plain = fx.symbolic_trace(net)
    assert compiled(plain) is plain
