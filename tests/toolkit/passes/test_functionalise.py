"""Writes in place become values, whatever shares memory with what; or they are refused."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.exporters.random_lines import KINDS
from tests.exporters.random_nets import Program, build
from tests.toolkit.passes.nets import BATCHES, Function, equals, net, shapes_hold, text, traced
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - what everybody calls it

from netloft.errors import TraceError
from netloft.graph.graph import Graph, annotation
from netloft.passes import NotFunctionalError, run_passes
from netloft.passes.functionalise import functionalise
from netloft.tracing import trace
from netloft.tracing.faithful import flatten_outputs


def functional(graph: Graph) -> Graph:
    return run_passes(graph, ()).graph


def conv() -> nn.Module:
    return nn.Conv2d(4, 4, 3, padding=1)


def test_given_and_result_of_the_docstring() -> None:
    def forward(m: Any, x: Tensor) -> Any:
        h = m.conv(x)
        v = h[:, :2]
        y = F.relu_(v)
        return h[:, 2:] + y

    module = net(forward, conv=conv())
    assert (
        text(functional(traced(module)))
        == """
%x: float32[batch, 4, 6, 6] = input()
%conv: float32[batch, 4, 6, 6] = conv2d(%x)  # conv
%getitem: float32[batch, 2, 6, 6] = getitem(%conv)
%relu_: float32[batch, 2, 6, 6] = relu(%getitem)
%setitem: float32[batch, 4, 6, 6] = setitem(%conv, %relu_)
%getitem_1: float32[batch, 2, 6, 6] = getitem(%setitem)
%add: float32[batch, 2, 6, 6] = add(%getitem_1, %relu_)
%output: float32[batch, 2, 6, 6] = output(%add)
"""
    )


def test_a_part_that_is_added_to_is_put_back_once() -> None:
    def forward(m: Any, x: Tensor) -> Any:
        h = x * 2
        h[:, :2] += 1
        return h

    assert (
        text(functional(traced(net(forward))))
        == """
%x: float32[batch, 4, 6, 6] = input()
%mul: float32[batch, 4, 6, 6] = mul(%x)
%getitem: float32[batch, 2, 6, 6] = getitem(%mul)
%iadd: float32[batch, 2, 6, 6] = add(%getitem)
%setitem_1: float32[batch, 4, 6, 6] = setitem(%mul, %iadd)
%output: float32[batch, 4, 6, 6] = output(%setitem_1)
"""
    )


def test_a_graph_without_writes_is_the_very_same() -> None:
    graph = traced(net(lambda m, x: torch.relu(x)))
    assert functional(graph) is graph


RIGHT: dict[str, tuple[Function, dict[str, Any]]] = {}
"""By name: forward passes, each with its parts."""


def rows(**parts: Any) -> Callable[[Function], Function]:
    """Put a function into the table."""

    def add(function: Function) -> Function:
        RIGHT[function.__name__] = (function, parts)
        return function

    return add


@rows(conv=conv(), relu=nn.ReLU(inplace=True))
def one_in_place_module_called_twice(m: Any, x: Tensor) -> Any:
    h = m.relu(m.conv(x))
    g = m.conv(h)
    y = m.relu(g)
    return y + g


@rows(relu=nn.ReLU(inplace=True))
def a_view_before_a_shared_module(m: Any, x: Tensor) -> Any:
    h = m.relu(x * 2 - 1)
    g = h - 0.3
    v = g.flatten(1)
    m.relu(g)
    return v


@rows()
def an_operator_on_an_alias(m: Any, x: Tensor) -> Any:
    o = x * 2
    k = o
    o += x
    return o * k


@rows()
def a_method_result_and_its_base_are_outputs(m: Any, x: Tensor) -> Any:
    h = x * 2
    k = h.add_(1)
    v = h[:, 0]
    h.mul_(3)
    return h, k, v


@rows()
def the_input_and_a_view_of_it(m: Any, x: Tensor) -> Any:
    v = x[:, 0]
    v.add_(1)
    x.mul_(2)
    return x, v


@rows()
def views_of_views(m: Any, x: Tensor) -> Any:
    h = x * 2
    a = h[:, 1:]
    b = a[..., ::2]
    c = b.transpose(2, 3)
    c.mul_(3)
    a[:, 0] = 7
    return h, c, b


@rows()
def views_that_overlap(m: Any, x: Tensor) -> Any:
    h = x * 2
    a, b = h[:, :2], h[:, 1:3]
    a.mul_(2)
    b.add_(1)
    a.sub_(3)
    return h, a, b


@rows()
def a_view_read_before_between_and_after(m: Any, x: Tensor) -> Any:
    h = x * 2
    a = h[:, :2]
    first = a.sum(1)
    a.mul_(2)
    second = a.sum(1)
    h.add_(1)
    return first, second, a.sum(1)


@rows()
def parts_of_a_chunk(m: Any, x: Tensor) -> Any:
    h = x * 2
    a, b = h.chunk(2, 1)
    a += b
    b *= a
    return h, a, b


@rows()
def parts_of_a_split(m: Any, x: Tensor) -> Any:
    h: Any = x * 2
    a, b = h.split([1, 3], 1)
    a.relu_()
    h += 1
    b -= 2
    return a, h, b


@rows()
def parts_of_parts(m: Any, x: Tensor) -> Any:
    h: Any = x * 2
    p: Any = h.chunk(2, -1)
    a = p[1].split(1, 1)
    a[1].add_(1)
    p[1].mul_(3)
    h[:, 1:3].sub_(1)
    return a[0], a[1], p[0], p[1], h


@rows()
def parts_of_an_unbind(m: Any, x: Tensor) -> Any:
    h = x * 2
    p = h.unbind(1)
    p[0].add_(p[1])
    p[-1].mul_(2)
    torch.unbind(h, dim=-1)[2].zero_()
    return h, p[0] + p[3]


@rows()
def a_split_into_one_part(m: Any, x: Tensor) -> Any:
    h: Any = x[:, :1] * 2
    c = h.split(4, 1)
    h.add_(1)
    c[0].mul_(2)
    d = h.chunk(1, 1)[-1]
    d.sub_(3)
    return c[0] * 1, h, d


@rows()
def a_slice_of_the_parts(m: Any, x: Tensor) -> Any:
    h = x * 2
    q = h.chunk(4, 1)[1:][0]
    h.add_(1)
    return q * 1


@rows()
def parts_one_by_one(m: Any, x: Tensor) -> Any:
    h = x * 2
    for part in h.unbind(1):
        part += 1
    return h


@rows()
def tensor_split(m: Any, x: Tensor) -> Any:
    h = x * 2
    h.tensor_split(4, -1)[1].zero_()
    h.tensor_split((1, 3), 1)[2].add_(1)
    return h


@rows()
def attributes_that_are_views(m: Any, x: Tensor) -> Any:
    h = x * 2
    v = h.mT
    h += 1
    w = h.data
    w -= 2
    v *= 2
    return v, w, h


@rows()
def turned_and_written(m: Any, x: Tensor) -> Any:
    h = x * 2
    h.permute(0, x.dim() - 1, 1, 2).add_(torch.arange(6.0).view(6, 1, 1))
    h.transpose(1, -2).mul_(0.5)
    torch.swapaxes(h, axis0=-1, axis1=1).add_(torch.arange(4.0))
    h.movedim(1, -1).sub_(torch.arange(4.0))
    torch.permute(h, dims=(0, -1, 1, 2)).mul_(2)
    return h


@rows()
def regrouped_and_written(m: Any, x: Tensor) -> Any:
    h: Any = x * 2
    h.view(-1)[2:4] = 3
    h.ravel()[0] = 1
    h.unflatten(1, (2, 2))[:, 0].zero_()
    h.unsqueeze(1).squeeze(1).flatten(2)[..., 5] += 1
    h.view_as(h).add_(1)
    return h


@rows()
def two_regroupings_of_one(m: Any, x: Tensor) -> Any:
    h = x * 2
    a, b = h.view(-1, 36), h.flatten(2)
    a[0].zero_()
    b[:, 1] += 1
    a.mul_(2)
    return h, a, b


@rows()
def selected_and_narrowed(m: Any, x: Tensor) -> Any:
    h = x * 2
    h.select(-1, -2).zero_()
    torch.select(h, 1, 0).add_(1)
    torch.narrow(input=h, dim=1, start=1, length=2).mul_(3)
    h.narrow(1, -1, 1).add_(9)
    return h


@rows()
def indexed_by_numbers_and_nothing(m: Any, x: Tensor) -> Any:
    h = x * 2
    h[0] = 5
    h[-1, 0] = x[0, 1]
    h[..., None, 0] = 1
    h[:, 0, 0, 0] = x.mean()
    return h


@rows()
def sizes_in_the_index(m: Any, x: Tensor) -> Any:
    h = x * 2
    n = x.shape[0]
    h[: n - 1].zero_()
    h[n // 2 :].add_(1)
    return h


@rows(index=torch.tensor([3, 1, 3]), mask=torch.tensor([True, False, True, False]))
def indexed_by_tensors(m: Any, x: Tensor) -> Any:
    h = x * 2
    h[:, [0, 2]] += 1
    h[:, m.index] += 1
    h[:, m.mask] += x[:, :2]
    h[h > 2] = 0.5
    h[torch.arange(x.shape[0]), h.flatten(1).argmax(1) % 4] = 0
    return h


@rows()
def values_that_share_the_memory_written_to(m: Any, x: Tensor) -> Any:
    h = x * 2
    h[:, 0] = h[:, 1]
    h[:, 1:3] = h[:, 2:4].clone()
    t = h[:, 0]
    h[:, 0] = h[:, 1]
    h[:, 1] = t
    h[..., 0], h[..., 1] = h[..., 1], h[..., 0]
    return h


@rows()
def broadcast_values(m: Any, x: Tensor) -> Any:
    h = x * 2
    h += x.mean((0, 1, 2))
    h.mul_(x[:, :1])
    h[:, :2] = x[:, :1, :1]
    h[:, 1:].copy_(x[:, :1])
    return h


@rows()
def element_types_stay(m: Any, x: Tensor) -> Any:
    i = (x * 3).long()
    i[:, 0] = x[:, 0] * 2
    i.copy_(x * 3)
    i += (x < 0).int()
    f = x * 2
    k = f
    f *= x.double()
    h = x.half()
    h += x
    b = x > 0
    b |= x < -1
    b ^= x > 1
    return i, k, h.float(), b


@rows()
def a_scaled_sum_of_another_type(m: Any, x: Tensor) -> Any:
    h = x * 2
    k = h
    h.add_(x.double(), alpha=x.shape[0])
    return k


@rows()
def whole_numbers(m: Any, x: Tensor) -> Any:
    h = (x * 10).int()
    k = h
    h //= 3
    h %= 5
    h **= 2
    h <<= 1
    h -= 1
    return k


@rows()
def comparisons_in_place(m: Any, x: Tensor) -> Any:
    h = x * 2
    h.logical_not_()
    h.eq_(0)
    h.gt_(0.5)
    return h


@rows()
def every_function_in_place(m: Any, x: Tensor) -> Any:
    h = x * 2
    functions: list[Any] = [F.relu, F.relu6, F.elu, F.selu, F.celu, F.leaky_relu, F.hardtanh,
                            F.hardswish, F.hardsigmoid, F.silu, F.mish, F.rrelu]  # fmt: skip
    for function in functions:
        h = h - 0.1
        function(h, inplace=True)
    F.threshold(h, 0.1, 0.2, True)
    F.threshold_(h, 0.1, 0.2)  # type: ignore[attr-defined]
    F.hardtanh_(h)
    F.leaky_relu_(h, 0.2)
    torch.selu_(h)
    torch.sigmoid_(h)
    return F.dropout(h, 0.5, m.training, True).add_(1), h


@rows()
def every_kind_of_method(m: Any, x: Tensor) -> Any:
    h = x * 2
    h.clamp_(-1, 1).clip_(min=-0.5).addcmul_(x, x, value=0.1).lerp_(x, 0.3).exp_().log1p_()
    h.pow_(2).sub_(x, alpha=2).floor_().fmod_(3).remainder_(2).cumsum_(1).tril_()
    h.index_fill_(1, torch.tensor([1]), 2.0).index_add_(1, torch.tensor([0, 0]), x[:, :2])
    h.index_copy_(1, torch.tensor([3]), x[:, :1]).masked_fill_(x > 1, 3.0)
    h.scatter_(1, torch.zeros(1, 1, 1, 1, dtype=torch.long), 3.0)
    h.index_put_((torch.tensor([0]),), torch.tensor(3.0))
    h.__iadd__(x).__imul__(2).__setitem__(0, 2.0)
    h.requires_grad_(False).detach_()
    return h


@rows()
def filled_and_copied(m: Any, x: Tensor) -> Any:
    h, g, e = x * 2, x * 3, torch.empty_like(x)
    h[:, 1].fill_(2)
    h[..., 0].zero_()
    g.fill_(x.mean())
    e.copy_(x)
    n = x.new_zeros(x.shape)
    n[:] = x
    z = torch.zeros(x.shape[0], 4)
    z[:, 0] = x.mean((1, 2, 3))
    return h, g, e, n, z


@rows()
def a_loop_that_reads_what_it_wrote(m: Any, x: Tensor) -> Any:
    h = torch.zeros_like(x)
    for i in range(4):
        h[:, i] = x[:, i] * i + (h[:, i - 1] if i else 0)
    return h


@rows()
def a_constant_made_in_forward(m: Any, x: Tensor) -> Any:
    z = torch.zeros(4)
    y = x.mean((2, 3)) + z
    z[0] = x.mean()
    z += x.mean((0, 2, 3))
    return y * z


@rows(weight=nn.Parameter(torch.randn(4)))
def a_copy_of_a_weight(m: Any, x: Tensor) -> Any:
    w = m.weight.clone()
    w.mul_(2)
    w[0] = 1
    return x.mean((2, 3)) * w + m.weight


@rows(drop=nn.Dropout(inplace=True), same=nn.Identity())
def calls_that_hand_their_operand_on(m: Any, x: Tensor) -> Any:
    h = x * 2
    k = m.drop(m.same(h)).contiguous().to(torch.float32)
    k += 1
    return h


@rows()
def copies_are_not_views(m: Any, x: Tensor) -> Any:
    h = x * 2
    v = h.transpose(1, 2).contiguous()
    v += 1
    w = h.transpose(1, 2).reshape(x.shape[0], -1)
    w += 1
    u = h.reshape(x.shape[0], -1)
    u *= 2
    return h, v, w


@rows(conv=conv(), norm=nn.LayerNorm(4), group=nn.GroupNorm(2, 4), batch=nn.BatchNorm2d(4))
def layouts_decide_what_is_a_view(m: Any, x: Tensor) -> Any:
    last = x.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)
    h, g = m.conv(last), m.group(last)
    v = h.permute(0, 2, 3, 1).reshape(x.shape[0], -1)
    v += 1
    w = g.flatten(1)
    w += 1
    n, b = m.norm(x.transpose(1, 3)), m.batch(x.transpose(2, 3))
    n.flatten(1).add_(1)
    b.flatten(1).add_(1)
    return h, g, n, b


@rows(lstm=nn.LSTM(6, 5, batch_first=True))
def results_of_a_layer_of_several(m: Any, x: Tensor) -> Any:
    o, (h, c) = m.lstm(x.mean(2))
    o.mul_(2)
    h.add_(c)
    return o, h, c


@rows()
def written_to_out(m: Any, x: Tensor) -> Any:
    h = x * 2
    v = h[:, :2]
    torch.add(x[:, :2], 3, out=v)
    torch.sin(h, out=h)
    return h, torch.mul(x, 2, out=None)


@rows()
def expanded_and_then_written_to(m: Any, x: Tensor) -> Any:
    h = x[:, :1].clone()
    e = h.expand(-1, 4, -1, -1)
    h.add_(1)
    h.expand_as(h).mul_(2)
    return e * 2, h


@rows()
def another_shape_in_place(m: Any, x: Tensor) -> Any:
    h = x * 2
    k, part = h, h[:, 1:]
    h.unsqueeze_(1)
    part.mul_(2)
    h.transpose_(1, 2).squeeze_(2)
    h += 1
    return h, k, part


@pytest.mark.parametrize("name", RIGHT)
def test_the_function_stays_the_same_to_the_last_bit(name: str) -> None:
    function, parts = RIGHT[name]
    module = net(function, **parts)
    graph = functional(traced(module))
    assert not [node for node, record in graph if record.attributes.get("inplace")]
    assert equals(graph, module)
    assert shapes_hold(graph)
    assert functional(graph) is graph


def refused_squeeze(m: Any, x: Tensor) -> Any:
    h = x[:, :1] * 2
    k = h.relu_()  # the same tensor by another name
    h.squeeze_(1)
    return k


def refused_t(m: Any, x: Tensor) -> Any:
    return (x.flatten(1) * 2).relu_().t_()


def refused_resize(m: Any, x: Tensor) -> Any:
    return (x * 2).resize_(2, 3)


def refused_diagonal(m: Any, x: Tensor) -> Any:
    h = x * 2
    h.diagonal(dim1=2, dim2=3).fill_(1)
    return h


def refused_bits(m: Any, x: Tensor) -> Any:
    h = x * 2
    h.view(torch.int32).bitwise_and_(0x7FFFFFFF)
    return h


def refused_as_strided(m: Any, x: Tensor) -> Any:
    h = x * 2
    h.as_strided((2, 2), (2, 1)).zero_()
    return h


# channels 1 to 3 are channel 0, which no index of the expansion tells
def refused_part_of_an_expansion(m: Any, x: Tensor) -> Any:
    e = (x * 2)[:, :1].expand(-1, 4, -1, -1)
    e.select(1, 0).zero_()
    return e + x


def refused_turned_part_of_an_expansion(m: Any, x: Tensor) -> Any:
    turned = (x * 2)[:, :1].expand_as(x).permute(0, 2, 3, 1)
    turned[..., 2].mul_(3)
    return turned * 2


def refused_overlapping_windows(m: Any, x: Tensor) -> Any:
    windows = (x * 2).unfold(2, 3, 1)
    windows[..., 1].fill_(5)
    return windows * 2


def refused_broadcast(m: Any, x: Tensor) -> Any:
    h = x * 2
    a, _ = torch.broadcast_tensors(h, x * 3)  # type: ignore[no-untyped-call]
    h.mul_(2)
    return a


def refused_fill_diagonal(m: Any, x: Tensor) -> Any:
    return (x[0, 0] * 2).fill_diagonal_(1) + x


# for one item, the part of a chunk lies in one piece, and contiguous() gives that very part
def refused_copy_but_for_one_item(m: Any, x: Tensor) -> Any:
    x.chunk(2, 1)[0].contiguous().add_(1)
    return x * 2


def refused_read_of_such_a_copy(m: Any, x: Tensor) -> Any:
    part = x.chunk(2, 1)[0].contiguous()
    x.add_(1)
    return part * 2


def refused_field(m: Any, x: Tensor) -> Any:
    found = (x * 2).max(1)
    found.values.mul_(2)
    return found[0], found.values


REFUSED: dict[Function, str] = {
    refused_squeeze: "%squeeze_: squeeze_ has no form that gives a value",
    refused_t: "%t_: t_ has no form that gives a value",
    refused_resize: "%resize_: resize_ has no form that gives a value",
    refused_diagonal: "a write through %diagonal (diagonal), which cannot be put back",
    refused_bits: "a write through %view (reshape), which cannot be put back",
    refused_as_strided: (
        "%zero_ writes through %as_strided (as_strided), of which several elements may be one in "
        "memory"
    ),
    refused_part_of_an_expansion: (
        "%zero_ writes through %expand (expand), of which several elements may be one in memory"
    ),
    refused_turned_part_of_an_expansion: (
        "%mul_ writes through %expand_as (expand_as), of which several elements may be one in "
        "memory"
    ),
    refused_overlapping_windows: (
        "%fill_ writes through %unfold (unfold), of which several elements may be one in memory"
    ),
    refused_broadcast: "%getitem shares memory in a way that cannot be followed",
    refused_fill_diagonal: "%fill_diagonal_: fill_diagonal_ has no form that gives a value",
    refused_copy_but_for_one_item: "%add_ writes to what is not one tensor",
    refused_read_of_such_a_copy: (
        "a write may reach %contiguous, which shares memory with more than one tensor"
    ),
    refused_field: "a write may reach %max_1, which shares memory with more than one tensor",
}


@pytest.mark.parametrize("function", REFUSED, ids=lambda f: f.__name__)
def test_a_write_that_has_no_value_is_refused_with_its_node(function: Function) -> None:
    with pytest.raises(NotFunctionalError) as caught:
        functional(traced(net(function)))
    assert str(caught.value) == REFUSED[function]


def test_what_was_done_is_told_with_module_and_line() -> None:
    def forward(m: Any, x: Tensor) -> Any:
        h = m.conv(x)
        y = m.relu(h)
        return y + h

    module = net(forward, conv=conv(), relu=nn.ReLU(inplace=True))
    (note,) = run_passes(traced(module), ()).notes
    assert (note.node, note.module) == ("relu", "relu")
    assert (
        note.source.startswith("tests/toolkit/passes/test_functionalise.py:") or ":" in note.source
    )
    assert note.text == "relu in place became a value; %add reads %relu in place of %conv"


def test_annotations_stay_but_for_the_flag() -> None:
    def forward(m: Any, x: Tensor) -> Any:
        h = m.relu(m.conv(x))
        h += x
        return h

    graph = traced(net(forward, conv=conv(), relu=nn.ReLU(inplace=True)))
    made = functional(graph)
    for (node, old), (_, new) in zip(graph, made, strict=True):
        assert (old.op, old.module, old.source, old.value) == (
            new.op,
            new.module,
            new.source,
            new.value,
        ), node
    assert annotation(graph.node("relu")).attributes["inplace"] is True
    assert "inplace" not in annotation(made.node("relu")).attributes
    assert made.totals.n_params == graph.totals.n_params


def test_a_thousand_writes_to_one_tensor() -> None:
    def forward(m: Any, x: Tensor) -> Any:
        first = y = x * 1
        for _ in range(1000):
            y += 0.001
        return first * y

    module = net(forward)
    assert equals(functional(traced(module)), module)


def test_the_module_that_was_traced_is_as_it_was() -> None:
    relu = nn.ReLU(inplace=True)
    module = net(lambda m, x: m.relu(m.conv(x)), conv=conv(), relu=relu)
    before = {name: (id(t), t.clone()) for name, t in module.state_dict(keep_vars=True).items()}
    graph = trace(module, {"x": torch.randn(2, 4, 6, 6)})
    functional(graph)
    assert relu.inplace is True
    for name, tensor in module.state_dict(keep_vars=True).items():
        assert id(tensor) == before[name][0]
        assert torch.equal(tensor, before[name][1])
    assert graph.module.get_parameter("conv.weight") is module.get_parameter("conv.weight")


WRITING = ["in place", "write", "view", "in place", "write", "value", "module"]
"""Kinds of lines to choose from, twice the ones that write."""


@st.composite
def programs(draw: st.DrawFn) -> Program:
    def choose(options: Any) -> Any:
        options = list(options)
        return draw(st.sampled_from(WRITING if options == list(KINDS) else options))

    return build(choose)


def verdict(program: Program) -> str:
    """Return `right`, `refused` or what is wrong."""
    module, example = program.module(), program.inputs(2)
    try:
        graph = trace(module, example, prove=False)
        graph = run_passes(graph, example=example).graph
        found = [difference(graph, module, program.inputs(batch)) for batch in BATCHES]
        if any(found):
            trace(module, example)  # the proof may refuse it
    except (TraceError, NotFunctionalError):
        return "refused"
    return "; ".join(filter(None, found)) or "right"


def difference(graph: Graph, module: nn.Module, inputs: dict[str, Tensor]) -> str:
    """Return which output differs, or nothing."""
    with torch.no_grad():
        wanted = flatten_outputs(module(**{k: t.clone() for k, t in inputs.items()}))
        made = flatten_outputs(graph.module(*(t.clone() for t in inputs.values())))
    for name, tensor in wanted.items():
        given, near = made[name], 1e-5 * max(float(tensor.abs().max()), 1)
        same = given.dtype == tensor.dtype and given.shape == tensor.shape
        if not same or not torch.allclose(given, tensor, rtol=1e-4, atol=near, equal_nan=True):
            return f"{name} differs"
    return ""


def test_random_programs_stay_the_same_or_are_refused() -> None:
    found: Counter[str] = Counter()

    @settings(
        derandomize=True,
        max_examples=30,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
    )
    @given(programs())
    def each(program: Program) -> None:
        became = verdict(program)
        found[became] += 1
        assert became in ("right", "refused"), program.source()

    each()
    assert found["right"] > 2 * found["refused"]


def runs_without_data(forward: Function) -> int:
    """Count the calls that `functionalise` has PyTorch run without data."""
    graph = traced(net(forward))
    with pytest.MonkeyPatch.context() as patch:
        asked = list[Any]()
        module = sys.modules[functionalise.__module__]
        patch.setattr(module, "_given", lambda node: asked.append(node))
        functional(graph)
    return len(asked)


def summed(m: Any, x: Tensor) -> Any:
    y = x * 3
    y += x
    y *= 2
    y -= 0.5
    return y


def rounded(m: Any, x: Tensor) -> Any:
    y = x * 3
    y //= 2
    y.add_(x)
    return y


def mixed(m: Any, x: Tensor) -> Any:
    y = x.double()
    y += x
    return y


def whole(m: Any, x: Tensor) -> Any:
    y = x.long()
    y += 1
    return y


@pytest.mark.parametrize(("forward", "runs"), [(summed, 0), (rounded, 2), (mixed, 1), (whole, 1)])
def test_arithmetic_of_one_floating_type_is_not_run(forward: Function, runs: int) -> None:
    assert runs_without_data(forward) == runs
    module = net(forward)
    assert equals(functional(traced(module)), module)
