"""Convolutions with half of the multiplications."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from tests.toolkit.rewrites.files import Array, rewritten, run
from torch.nn import functional as F  # noqa: N812

from netloft.rewrites import alone, rewrite, sites_of
from netloft.rewrites.toom_cook import OF_ONE, toom_cook


def conv(
    weights: Array,
    bias: Array | None = None,
    size: Sequence[int | str] = ("batch", 4, 9, 8),
    more: Sequence[onnx.NodeProto] = (),
    result: str = "y",
    **attributes: Any,
) -> onnx.ModelProto:
    """Return a file with one convolution, and whatever follows it."""
    inputs = ["x", "w", *(["b"] if bias is not None else [])]
    node = helper.make_node("Conv", inputs, ["y"], name="stem.conv/Conv", **attributes)
    node.metadata_props.add(key="netloft.module", value="stem.conv")
    held = [numpy_helper.from_array(weights, "w")]
    held += [numpy_helper.from_array(bias, "b")] if bias is not None else []
    graph = helper.make_graph(
        [node, *more],
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, list(size))],
        [helper.make_tensor_value_info(result, TensorProto.FLOAT, None)],
        held,
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    return onnx.shape_inference.infer_shapes(made, strict_mode=True)


@pytest.mark.parametrize("taps", [2, 3, 4, 5])
def test_few_products_give_the_convolution(taps: int) -> None:
    how = toom_cook(taps)
    w, x = np.random.default_rng(taps).standard_normal((2, how.points))
    products = (how.weights @ w[:taps]) * (how.data @ x)
    assert how.step == 7 - taps
    np.testing.assert_allclose(
        how.results @ products, [w[:taps] @ x[i : i + taps] for i in range(how.step)], atol=1e-12
    )
    products[OF_ONE] += 3
    np.testing.assert_allclose(
        how.results @ products,
        [3 + w[:taps] @ x[i : i + taps] for i in range(how.step)],
        atol=1e-12,
    )
    for exact in (how.data, how.results):
        assert (exact.astype(np.float32) == exact).all()


@settings(max_examples=60, deadline=None)
@given(
    channels=st.integers(1, 9),
    filters=st.integers(1, 9),
    height=st.integers(1, 14),
    width=st.integers(1, 9),
    taps=st.sampled_from([3, 5]),
    across=st.integers(1, 5),
    pads=st.tuples(*[st.integers(0, 3)] * 4),
    batch=st.integers(0, 3),
    has_bias=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_any_convolution_of_step_one(
    channels: int,
    filters: int,
    height: int,
    width: int,
    taps: int,
    across: int,
    pads: tuple[int, int, int, int],
    batch: int,
    has_bias: bool,
    seed: int,
) -> None:
    top, left, below, right = pads
    if height + top + below < taps or width + left + right < across:
        return
    generator = np.random.default_rng(seed)
    w = generator.standard_normal((filters, channels, taps, across)).astype(np.float32)
    b = generator.standard_normal(filters).astype(np.float32) if has_bias else None
    x = generator.standard_normal((batch, channels, height, width)).astype(np.float32)
    model = conv(w, b, ("batch", channels, height, width), pads=pads)
    number, made = rewritten(model)
    assert number == 1
    wide = [torch.tensor(a).double() if a is not None else None for a in (x, w, b)]
    padded = F.pad(wide[0], (left, right, top, below))  # type: ignore[arg-type]
    expected = F.conv2d(padded, wide[1], wide[2]).numpy()  # type: ignore[arg-type]
    found = run(made, x)
    assert found.shape == expected.shape
    size = max(np.abs(expected).max(initial=0), channels**0.5)
    assert (
        np.abs(found - expected).max(initial=0)
        <= 8 * 2**-24 * size * (channels * taps * across) ** 0.5
    )


WEIGHTS = np.random.default_rng(0).standard_normal((8, 4, 3, 3)).astype(np.float32)


@pytest.mark.parametrize(
    ("weights", "size", "attributes"),
    [
        (WEIGHTS, ("n", 4, 9, 8), {"strides": [2, 2]}),
        (WEIGHTS, ("n", 4, 9, 8), {"strides": [1, 2]}),
        (WEIGHTS, ("n", 4, 9, 8), {"dilations": [2, 2]}),
        (WEIGHTS, ("n", 8, 9, 8), {"group": 2}),
        (WEIGHTS, ("n", 4, 9, 8), {"auto_pad": "SAME_UPPER"}),
        (WEIGHTS, ("n", 4, "height", 8), {}),
        (WEIGHTS, ("n", 4, 9, "width"), {}),
        (WEIGHTS[:, :, :1], ("n", 4, 9, 8), {}),
        (WEIGHTS[:, :, :2], ("n", 4, 9, 8), {}),
        (WEIGHTS[:, :, 0], ("n", 4, 9), {}),
    ],
)
def test_what_is_left_alone(weights: Array, size: Any, attributes: dict[str, Any]) -> None:
    model = conv(weights, None, size, **attributes)
    number, made = rewritten(model)
    assert number == 0
    assert [node.op_type for node in made.graph.node] == ["Conv"]


def test_weights_that_are_no_constants_are_left_alone() -> None:
    model = conv(WEIGHTS)
    model.graph.input.append(helper.make_tensor_value_info("w", TensorProto.FLOAT, [8, 4, 3, 3]))
    assert rewritten(model)[0] == 0  # somebody may give others
    half = conv(WEIGHTS)
    half.graph.initializer[0].CopyFrom(numpy_helper.from_array(WEIGHTS.astype(np.float16), "half"))
    cast = helper.make_node("Cast", ["half"], ["w"], to=TensorProto.FLOAT)
    half.graph.node.insert(0, cast)
    assert rewritten(half)[0] == 0


def test_nodes_keep_what_is_known_of_the_layer() -> None:
    relu = helper.make_node("Relu", ["y"], ["z"], name="relu/Relu")
    _, made = rewritten(conv(WEIGHTS, WEIGHTS[:, 0, 0, 0], more=[relu], result="z"))
    *mine, last = made.graph.node
    assert all(node.name.startswith("stem.conv/Conv/winograd/") for node in mine)
    assert {p.value for node in mine for p in node.metadata_props} == {"stem.conv"}
    assert last.name == "relu/Relu"
    assert len({node.name for node in made.graph.node}) == len(made.graph.node)
    assert "w" not in {tensor.name for tensor in made.graph.initializer}  # nothing reads it


def test_two_convolutions_share_what_is_constant() -> None:
    more = [helper.make_node("Conv", ["x", "w"], ["z"], name="other"),
            helper.make_node("Add", ["y", "z"], ["sum"], name="sum")]  # fmt: skip
    model = conv(WEIGHTS, more=more, result="sum")
    number, made = rewritten(model)
    assert number == 2
    names = [tensor.name for tensor in made.graph.initializer]
    assert len(names) == len(set(names))
    assert sum(name.endswith("winograd/weights") for name in names) == 2
    assert sum("/4/0/4" in name for name in names) == 1
    x = np.random.default_rng(1).standard_normal((2, 4, 9, 8)).astype(np.float32)
    np.testing.assert_allclose(run(made, x), run(model, x), atol=2e-5)


def test_names_that_the_file_has_already_stay_its_own() -> None:
    taken = "netloft.winograd/4/results"
    more = [helper.make_node("Mul", ["y", taken], ["z"], name="scaled")]
    model = conv(WEIGHTS)
    model.graph.node.extend(more)
    model.graph.initializer.append(numpy_helper.from_array(np.array(7, np.float32), taken))
    model.graph.output[0].name = "z"
    number, made = rewritten(model)
    assert number == 1
    x = np.random.default_rng(1).standard_normal((2, 4, 9, 8)).astype(np.float32)
    np.testing.assert_allclose(run(made, x), run(model, x), atol=2e-4)


def test_nodes_without_names() -> None:
    more = [helper.make_node("Conv", ["x", "w"], ["z"]), helper.make_node("Add", ["y", "z"], ["s"])]
    model = conv(WEIGHTS, more=more, result="s")
    model.graph.node[0].name = ""
    number, made = rewritten(model)
    assert number == 2
    names = [node.name for node in made.graph.node if node.name]
    assert len(names) == len(set(names))
    x = np.random.default_rng(1).standard_normal((2, 4, 9, 8)).astype(np.float32)
    np.testing.assert_allclose(run(made, x), run(model, x), atol=2e-5)


def test_old_operator_sets_are_left_alone() -> None:
    model = conv(WEIGHTS)
    model.opset_import[0].version = 11
    assert rewritten(model)[0] == 0


def test_what_is_not_finite_reaches_further_and_no_further_than_its_tiles() -> None:
    model = conv(WEIGHTS)
    _, made = rewritten(model)
    x = np.zeros((1, 4, 9, 8), np.float32)
    x[0, 0, 4, 4] = np.nan
    plain, few = (set(np.argwhere(np.isnan(run(m, x)))[:, 2].tolist()) for m in (model, made))
    assert plain == {2, 3, 4}
    assert few == {0, 1, 2, 3, 4, 5, 6}  # the tiles of rows 0 to 3 and 4 to 6


def test_only_the_kinds_that_are_chosen() -> None:
    held = ir.from_proto(conv(WEIGHTS))
    (site,) = sites_of(held)
    assert str(site.kind) == "3x3, 4 to 8 at 9x8"
    assert rewrite(held, set()) == 0
    assert rewrite(held, {site.kind}) == 1
    assert sites_of(held) == []  # nothing to rewrite again


def test_one_alone() -> None:
    (site,) = sites_of(ir.from_proto(conv(WEIGHTS, WEIGHTS[:, 0, 0, 0], pads=[1, 0, 2, 1])))
    made = ir.to_proto(alone(site, 3))
    onnx.checker.check_model(made, full_check=True)
    x = np.random.default_rng(1).standard_normal((3, 4, 9, 8)).astype(np.float32)
    whole = run(conv(WEIGHTS, WEIGHTS[:, 0, 0, 0], pads=[1, 0, 2, 1]), x)
    np.testing.assert_array_equal(run(made, x), np.maximum(whole, 0))
