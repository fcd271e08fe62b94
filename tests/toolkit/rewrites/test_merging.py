"""Groups of a convolution that are computed as one."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper
from tests.toolkit.rewrites.files import Array, rewritten, run, written
from torch.nn import functional as F  # noqa: N812

from netloft.rewrites import alone, input_of, rewrite, sites_of
from netloft.rewrites.site import convolutions


def groups_of(model: onnx.ModelProto) -> list[int]:
    """Return the number of groups of every convolution."""
    convs = [node for node in model.graph.node if node.op_type == "Conv"]
    return [next((a.i for a in node.attribute if a.name == "group"), 1) for node in convs]


def weights_of(model: onnx.ModelProto) -> list[tuple[int, ...]]:
    """Return the shape of the weights of every convolution."""
    shapes = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    return [shapes[node.input[1]] for node in model.graph.node if node.op_type == "Conv"]


def pictures(*shape: int) -> Array:
    return np.random.default_rng(1).standard_normal(shape).astype(np.float32)


def assert_alike(found: onnx.ModelProto, expected: onnx.ModelProto, x: Array) -> None:
    ours, theirs = run(found, x), run(expected, x)
    assert ours.shape == theirs.shape
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5 * (np.abs(theirs).max() + 1))


@settings(max_examples=40, deadline=None)
@given(
    groups=st.integers(2, 9),
    width=st.sampled_from([4, 8, 12, 16, 24]),
    filters=st.sampled_from([4, 8, 16, 20]),
    size=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    kernel=st.tuples(st.sampled_from([1, 2, 4]), st.integers(1, 3)),
    pads=st.tuples(*[st.integers(0, 2)] * 4),
    strides=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    batch=st.integers(0, 3),
    has_bias=st.booleans(),
)
def test_any_convolution_with_groups(
    groups: int,
    width: int,
    filters: int,
    size: tuple[int, int],
    kernel: tuple[int, int],
    pads: tuple[int, int, int, int],
    strides: tuple[int, int],
    batch: int,
    has_bias: bool,
) -> None:
    top, left, below, right = pads
    if size[0] + top + below < kernel[0] or size[1] + left + right < kernel[1]:
        return
    generator = np.random.default_rng(groups)
    w = generator.standard_normal((groups * filters, width, *kernel)).astype(np.float32)
    b = generator.standard_normal(groups * filters).astype(np.float32)
    how = f"group = {groups}, pads = {list(pads)}, strides = {list(strides)}"
    model = written(
        f"y = Conv<{how}>(x, w{', b' if has_bias else ''})",
        {"w": w, **({"b": b} if has_bias else {})},
        f"batch, {groups * width}, {size[0]}, {size[1]}",
    )
    number, made = rewritten(model)
    together = {4: 4, 8: 2, 12: 4, 16: 1, 24: 2, 20: 4}
    expected = max(together[width], together[filters])
    assert number == (1 < expected <= groups and groups % expected == 0)
    assert groups_of(made) == [groups // expected if number else groups]
    x = generator.standard_normal((batch, groups * width, *size)).astype(np.float32)
    wide = [torch.tensor(array).double() for array in (x, w, b)]
    padded = F.pad(wide[0], (left, right, top, below))
    exact = F.conv2d(padded, wide[1], wide[2] if has_bias else None, strides, groups=groups).numpy()
    found = run(made, x)
    assert found.shape == exact.shape
    assert np.abs(found - exact).max(initial=0) <= 1e-5 * (width * 9) ** 0.5


NARROW = "y = Conv<group = {}>(x, w)"


@pytest.mark.parametrize(
    ("line", "weights", "channels"),
    [
        ("y = Conv(x, w)", (16, 16, 1, 1), 16),
        (NARROW.format(16), (16, 1, 3, 3), 16),  # of one channel each: there are kernels for those
        (NARROW.format(2), (32, 16, 3, 3), 32),  # whole blocks
        (NARROW.format(8), (16, 2, 3, 3), 16),  # eight would become one
        (NARROW.format(8), (24, 8, 3, 3), 64),  # three filters in each
        (NARROW.format(9), (72, 8, 3, 3), 72),  # two of nine, and nothing before it
        ("y = Conv<group = 2, dilations = [2, 2]>(x, w)", (16, 8, 2, 2), 16),
        ('y = Conv<group = 2, auto_pad = "SAME_UPPER">(x, w)', (16, 8, 3, 3), 16),
    ],
)
def test_what_is_left_alone(line: str, weights: tuple[int, ...], channels: int) -> None:
    model = written(line, {"w": weights}, f"batch, {channels}, 9, 8")
    number, made = rewritten(model)
    assert number == 0
    assert groups_of(made) == groups_of(model)


def test_one_group_that_is_left_is_a_plain_convolution() -> None:
    """What was measured is the merged one: the other rewrite does not come on top."""
    lines = "y = Conv<group = 4, pads = [1, 1, 1, 1]>(x, w)"
    model = written(lines, {"w": (64, 4, 3, 3)}, "batch, 16, 9, 8")
    number, made = rewritten(model)
    assert (number, groups_of(made)) == (1, [1])
    assert_alike(made, model, pictures(2, 16, 9, 8))


TWO = np.array(2.0)

BLOCK = """
    a = Conv(x, w1, b1)
    b = Relu(a)
    c = Conv<group = 9, pads = [1, 1, 1, 1]>(b, w2, b2)
    d = Relu(c)
    pooled = {pool}
    few = Conv(pooled, w3, b3)
    kept = Relu(few)
    share = Conv(kept, w4)
    gate = Sigmoid(share)
    e = Mul(d, gate)
    y = Conv(e, w5)
"""
WEIGHTS = {
    "w1": (72, 8, 1, 1), "b1": (72,), "w2": (72, 8, 3, 3), "b2": (72,), "w3": (6, 72, 1, 1),
    "b3": (6,), "w4": (72, 6, 1, 1), "w5": (8, 72, 1, 1),
}  # fmt: skip


@pytest.mark.parametrize("pool", ["GlobalAveragePool(d)", "ReduceMean<keepdims = 1>(d, axes)"])
def test_neighbours_get_channels_that_nothing_reads(pool: str) -> None:
    """Of RegNet: nine groups of eight become five of sixteen, with eight channels of zeros."""
    held: dict[str, Any] = {**WEIGHTS, "axes": np.array([2, 3])}
    model = written(BLOCK.format(pool=pool), held)
    number, made = rewritten(model)
    assert number == 1
    assert groups_of(made) == [1, 5, 1, 1, 1]
    assert weights_of(made) == [
        (80, 8, 1, 1), (80, 16, 3, 3), (6, 80, 1, 1), (80, 6, 1, 1), (8, 80, 1, 1),
    ]  # fmt: skip
    shapes = {v.name: [d.dim_value for d in v.type.tensor_type.shape.dim[1:]]
              for v in made.graph.value_info}  # fmt: skip
    assert shapes["d"] == [80, 9, 8]
    assert shapes["gate"] == [80, 1, 1]
    assert shapes["kept"] == [6, 1, 1]
    assert [node.name for node in made.graph.node] == [node.name for node in model.graph.node]
    assert "w2" not in {tensor.name for tensor in made.graph.initializer}
    assert_alike(made, model, pictures(3, 8, 9, 8))


FIRST, MIDDLE = "a = Conv(x, w1)", "c = Conv<group = 9>(a, w2)"


@pytest.mark.parametrize(
    "lines",
    [
        f"{FIRST} {MIDDLE} y = Reshape(c, flat)",  # another operator reads it
        f"{FIRST} {MIDDLE} d = Add(c, each) y = Conv(d, w5)",  # a constant for each channel
        f"{FIRST} {MIDDLE} d = Exp(c) y = Conv(d, w5)",  # 1 at zero
        f"{FIRST} {MIDDLE} d = ReduceMean<keepdims = 1>(c, channels) y = Conv(d, one)",
        f"a = Relu(x) {MIDDLE} y = Conv(c, w5)",  # the input of the network
        f"{FIRST} y = Conv<group = 9>(a, w2)",  # its result
        f"{FIRST} {MIDDLE} d = Relu(a) e = ReduceMax<keepdims = 0>(d) f = Conv(c, w5)"
        " y = Add(e, f)",
        f"{FIRST} {MIDDLE} d = Softmax<axis = 1>(c) y = Conv(d, w5)",
        f"{FIRST} {MIDDLE} d = Mul(c, infinite) y = Conv(d, w5)",
        f"{FIRST} {MIDDLE} y = Conv(w5, c)",  # as weights
        f"{FIRST} {MIDDLE} d = Conv<group = 9>(c, w2) y = Conv(d, w5)",  # another with groups
        f"{FIRST} {MIDDLE.replace('9', '3')} y = Conv(c, w5)",  # a third more
        f"{FIRST} {MIDDLE} d = If(true)<then_branch = g () => (float[a, b, c, d] e) "
        "{ e = Identity(c) }, else_branch = h () => (float[a, b, c, d] f) { f = Neg(c) }> "
        "y = Conv(d, w5)",
    ],
)
def test_neighbours_that_cannot_have_more(lines: str) -> None:
    held: dict[str, Any] = {
        **WEIGHTS, "each": (1, 72, 1, 1), "one": (8, 1, 1, 1), "channels": np.array([1]),
        "w2": (72, 8, 1, 1), "flat": np.array([0, -1]), "infinite": np.array(np.inf),
        "true": np.array(True),
    }  # fmt: skip
    wide = "batch, 72, 9, 8" if "Relu(x)" in lines else "batch, 8, 9, 8"
    model = written(lines, held, wide)
    number, made = rewritten(model)
    assert number == 0
    assert groups_of(made) == groups_of(model)


@pytest.mark.parametrize("given", ["w1", "w5", "b1", "axes", "scale"])
def test_what_somebody_may_replace_is_no_constant(given: str) -> None:
    lines = f"""
        a = Conv(x, w1, b1) {MIDDLE} d = Mul(c, scale) e = ReduceMean<keepdims = 1>(d, axes)
        f = Add(d, e) y = Conv(f, w5)
    """
    held: dict[str, Any] = {**WEIGHTS, "axes": np.array([2, 3]), "scale": np.array([0.5])}
    model = written(lines, held)
    assert rewritten(model)[0] == 1
    (tensor,) = [tensor for tensor in model.graph.initializer if tensor.name == given]
    shape = list(tensor.dims)
    model.graph.input.append(helper.make_tensor_value_info(given, tensor.data_type, shape))
    assert rewritten(model)[0] == 0


@pytest.mark.parametrize(
    ("between", "merged"),
    [
        ("d = MaxPool<kernel_shape = [2, 2]>(c) y = Conv(d, w5)", 1),
        ("d = AveragePool<kernel_shape = [3, 3], pads = [1, 1, 1, 1]>(c) y = Conv(d, w5)", 1),
        ("d = Clip(c, low, high) y = Conv(d, w5)", 1),
        ("d = Clip(c, low) e = Sub(d, c) y = Conv(e, w5)", 1),
        ("d = Add(c, low) y = Conv(d, w5)", 1),
        ("d = HardSwish(c) e = ReduceMean<keepdims = 1>(d, last) f = Mul(d, e) y = Conv(f, w5)", 1),
        ("d = Conv(c, square) e = Add(c, d) y = Conv(e, w5)", 1),  # it reads and gives
        ("d = Conv(c, square) e = Conv<group = 9>(d, w2) y = Conv(e, w5)", 2),
        ("d = Conv(c, w5) e = Conv(a, w5) f = GlobalMaxPool(e) y = Add(d, f)", 1),
    ],
)
def test_what_may_stand_between(between: str, merged: int) -> None:
    held: dict[str, Any] = {
        **WEIGHTS, "w2": (72, 8, 1, 1), "low": np.array(-0.5), "high": np.array(1.5),
        "last": np.array([-1, -2]), "square": (72, 72, 1, 1),
    }  # fmt: skip
    model = written(f"{FIRST} {MIDDLE} {between}", held)
    number, made = rewritten(model)
    assert number == merged
    assert 9 not in groups_of(made)
    x = pictures(2, 8, 9, 8)
    ours, theirs = run(made, x), run(model, x)
    np.testing.assert_allclose(ours, theirs, atol=1e-5 * np.abs(theirs).max())


def test_axes_as_an_attribute() -> None:
    """Before operator set 18."""
    lines = f"{FIRST} {MIDDLE} d = ReduceMean<axes = [2, 3]>(c) y = Conv(d, w5)"
    model = written(lines, WEIGHTS, opset=13)
    number, made = rewritten(model)
    assert (number, groups_of(made)) == (1, [1, 5, 1])
    assert_alike(made, model, pictures(2, 8, 9, 8))
    over_channels = written(lines.replace("[2, 3]", "[1, 3]").replace("w5", "one"), {
        **WEIGHTS, "one": (8, 1, 1, 1),
    }, opset=13)  # fmt: skip
    assert rewritten(over_channels)[0] == 0


def test_names_of_the_file_stay_its_own() -> None:
    model = written(f"{FIRST} {MIDDLE} d = Mul(c, two) y = Conv(d, w5)", {**WEIGHTS, "two": TWO})
    taken = {"two": "w1/widened", "w5": "w2/merged"}  # the parser takes no such names
    for node in model.graph.node:
        for place, name in enumerate(node.input):
            node.input[place] = taken.get(name, name)
    for tensor in model.graph.initializer:
        tensor.name = taken.get(tensor.name, tensor.name)
    number, made = rewritten(model)
    assert number == 1
    names = [tensor.name for tensor in made.graph.initializer]
    assert len(names) == len(set(names))
    assert_alike(made, model, pictures(2, 8, 9, 8))


@pytest.mark.parametrize("misfit", [{"w": (30, 8, 1, 1)}, {"w": (32, 7, 1, 1)}, {"b": (31,)}])
def test_weights_that_do_not_fit(misfit: dict[str, tuple[int, ...]]) -> None:
    """No runtime takes such a node; in a branch that never runs it may stand in a file."""
    model = written("y = Conv<group = 4>(x, w, b)", {"w": (32, 8, 1, 1), "b": (32,)},
                    "batch, 32, 3, 3")  # fmt: skip
    held = ir.from_proto(model)
    for name, shape in misfit.items():
        held.graph.initializers[name].const_value = ir.tensor(np.ones(shape, np.float32), name=name)
    assert rewrite(held) == 0


def test_around_it_and_beside_it() -> None:
    """A sum of what it reads and what it gives has as many more."""
    lines = f"{FIRST} c = Conv<group = 9, pads = [1, 1, 1, 1]>(a, w2) d = Add(a, c) y = Conv(d, w5)"
    model = written(lines, {name: WEIGHTS[name] for name in ("w1", "w2", "w5")})
    number, made = rewritten(model)
    assert (number, weights_of(made)) == (1, [(80, 8, 1, 1), (80, 16, 3, 3), (8, 80, 1, 1)])
    assert_alike(made, model, pictures(2, 8, 9, 8))


def test_weights_that_two_convolutions_share() -> None:
    lines = f"{FIRST} b = Conv(x, w1) {MIDDLE} d = Conv<group = 9>(b, w2) e = Conv(c, w5) "
    lines += "f = Conv(d, w5) y = Add(e, f)"
    model = written(lines, {name: WEIGHTS[name] for name in ("w1", "w2", "w5")})
    number, made = rewritten(model)
    assert (number, groups_of(made)) == (2, [1, 1, 5, 5, 1, 1])
    assert_alike(made, model, pictures(2, 8, 9, 8))


def test_it_stands_between_two_of_the_other_rewrite() -> None:
    """Their kinds are those of the file as it was, and they are rewritten with more channels."""
    lines = f"a = Conv(x, w1) {MIDDLE} y = Conv(c, w5)"
    held = {"w1": (72, 8, 3, 3), "w2": (72, 8, 1, 1), "w5": (8, 72, 3, 3)}
    model = written(lines, held)
    number, made = rewritten(model)
    assert number == 3
    assert 5 in groups_of(made)
    assert groups_of(made).count(6) == 2
    x = pictures(2, 8, 9, 8)
    np.testing.assert_allclose(run(made, x), run(model, x), atol=2e-3)


def test_what_is_not_finite_stays_among_the_groups_that_became_one() -> None:
    model = written("y = Conv<group = 4>(x, w)", {"w": (32, 8, 1, 1)}, "batch, 32, 3, 3")
    _, made = rewritten(model)
    x = pictures(1, 32, 3, 3)
    x[0, 3, 1, 1] = np.inf
    plain, merged = (np.argwhere(~np.isfinite(run(m, x)))[:, 1].tolist() for m in (model, made))
    assert plain == list(range(8))
    assert merged == list(range(16))


@pytest.mark.parametrize(("groups", "expected"), [(4, [1, 2, 1]), (9, [1, 5, 1])])
def test_one_alone(groups: int, expected: list[int]) -> None:
    """It may have more channels there as in its network."""
    lines = f"{FIRST} b = Conv<group = {groups}, strides = [1, 2]>(a, w2, b2) y = Conv(b, w5)"
    channels = 8 * groups
    model = written(lines, {
        "w1": (channels, 8, 1, 1), "w2": (channels, 8, 3, 3), "b2": (channels,),
        "w5": (8, channels, 1, 1),
    })  # fmt: skip
    (site,) = sites_of(ir.from_proto(model))
    assert str(site.kind) == f"3x3, {channels} to {channels} at 9x8, step 1x2, {groups} groups"
    assert (site.kind.rows, site.kind.columns) == (7, 3)
    plain = ir.to_proto(alone(site, 3))
    onnx.checker.check_model(plain, full_check=True)
    number, made = rewritten(plain)
    assert (number, groups_of(made)) == (1, expected)
    assert len(convolutions(ir.from_proto(plain))) == 3
    assert_alike(made, plain, pictures(*input_of(site, 3)))
