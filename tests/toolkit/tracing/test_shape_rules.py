"""The rules of shape give what PyTorch gives, or no answer."""

from __future__ import annotations

import copy
import operator
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from netloft.tracing.shape_rules import FUNCTION_RULES, SHAPE_RULES, NoAnswer

CASES: list[tuple[nn.Module, tuple[int, ...]]] = [
    (nn.Conv1d(4, 6, 3, 2, 1), (2, 4, 21)),
    (nn.Conv2d(4, 6, (3, 5), (2, 1), (1, 2), dilation=(2, 1)), (2, 4, 17, 12)),
    (nn.Conv2d(4, 6, 4, padding="same", dilation=2), (2, 4, 17, 12)),
    (nn.Conv2d(4, 6, 3, padding="valid"), (2, 4, 17, 12)),
    (nn.Conv2d(4, 4, 3, padding=1, padding_mode="circular"), (2, 4, 9, 9)),
    (nn.Conv3d(4, 8, 3, groups=2), (2, 4, 5, 6, 7)),
    (nn.Linear(7, 3), (2, 5, 7)),
    (nn.BatchNorm1d(5), (2, 5)),
    (nn.BatchNorm1d(5), (2, 5, 4)),
    (nn.BatchNorm2d(5), (2, 5, 4, 3)),
    (nn.BatchNorm3d(5), (2, 5, 4, 3, 2)),
    (nn.LayerNorm((4, 3)), (2, 5, 4, 3)),
    (nn.LayerNorm(3, elementwise_affine=False), (2, 5, 4, 3)),
    (nn.GroupNorm(2, 4), (2, 4, 3, 5)),
    (nn.GroupNorm(2, 4, affine=False), (2, 4, 3)),
    (nn.AdaptiveAvgPool2d((3, 2)), (2, 5, 9, 9)),
    (nn.AdaptiveAvgPool2d(1), (2, 5, 9, 9)),
    (nn.MaxPool2d(3, 2, 1), (2, 5, 9, 12)),
    (nn.MaxPool2d((2, 3)), (2, 5, 9, 12)),
    (nn.MaxPool2d(3, 2, ceil_mode=True), (2, 5, 9, 12)),
    (nn.MaxPool2d(2, 3, 1, ceil_mode=True), (2, 5, 9, 10)),  # the last window would begin outside
    (nn.MaxPool2d(3, 1, (0, 1), dilation=(2, 1)), (2, 5, 9, 12)),
    (nn.AvgPool2d(3, 2, 1, count_include_pad=False), (2, 5, 9, 12)),
    (nn.AvgPool2d((2, 3), ceil_mode=True), (2, 5, 9, 10)),
    (nn.ReLU(), (2, 3, 4, 5)),
    (nn.Softmax(1), (2, 3)),
    (nn.Softmax(-1), (2, 3, 4, 5)),
    (nn.Dropout(), (2, 3, 4)),
    (nn.Identity(3, of="anything"), (2, 3)),
]


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel:UserWarning")
@pytest.mark.parametrize(("module", "shape"), CASES, ids=lambda v: str(v)[:40])
def test_a_rule_gives_the_shape_and_type_that_the_module_gives(
    module: nn.Module, shape: tuple[int, ...]
) -> None:
    expected = module.eval()(torch.randn(shape))
    made = SHAPE_RULES[type(module)](module, torch.empty(shape, device="meta"))
    assert (made.shape, made.dtype, made.device.type) == (expected.shape, expected.dtype, "meta")


UNUSUAL_POOLING: list[tuple[nn.Module, Tensor]] = [
    (nn.MaxPool2d(3, 2, return_indices=True), torch.randn(2, 5, 9, 9)),
    (nn.MaxPool2d(3), torch.randn(5, 9, 9)),
    (nn.MaxPool2d(3), torch.randint(9, (2, 5, 9, 9))),
    (nn.MaxPool2d([2, 3]), torch.randn(2, 5, 9, 9)),  # type: ignore[arg-type]
    (nn.MaxPool2d((2,), stride=(3,)), torch.randn(2, 5, 9, 9)),
    (nn.MaxPool2d(2), torch.randn(0, 5, 9, 9)),
    (nn.AvgPool2d(3, divisor_override=2), torch.randn(2, 5, 9, 9)),
]


@pytest.mark.parametrize(("module", "given"), UNUSUAL_POOLING, ids=range(len(UNUSUAL_POOLING)))
def test_unusual_pooling_is_answered_too(module: nn.Module, given: Tensor) -> None:
    expected, made = module(given), SHAPE_RULES[type(module)](module, given.to("meta"))
    assert shapes(made) == shapes(expected)


def test_a_write_in_place_gives_the_very_tensor() -> None:
    given = torch.empty((2, 3), device="meta")
    assert SHAPE_RULES[nn.ReLU](nn.ReLU(inplace=True), given) is given
    assert SHAPE_RULES[nn.ReLU](nn.ReLU(), given) is not given


def test_dropout_gives_the_very_tensor_but_while_it_drops() -> None:
    given = torch.empty((2, 3), device="meta")
    assert SHAPE_RULES[nn.Dropout](nn.Dropout().eval(), given) is given
    assert SHAPE_RULES[nn.Dropout](nn.Dropout(), given) is not given
    assert SHAPE_RULES[nn.Dropout](nn.Dropout(inplace=True), given) is given


def layouts(shape: tuple[int, ...]) -> dict[str, Tensor]:
    """Tensors of one shape whose axes lie in memory in different orders."""
    axes = range(len(shape))
    wide = torch.randn(*shape[:-1], 2 * shape[-1])
    found = {
        "plain": torch.randn(shape),
        "turned": torch.randn(shape[::-1]).permute(*reversed(axes)),
        "channels last": torch.randn(shape[0], *shape[2:], shape[1]).movedim(-1, 1),
        "every other": wide[..., ::2],
        "expanded": torch.randn(1, *shape[1:]).expand(shape),
        "repeated channels": torch.randn(shape[0], 1, *shape[2:]).expand(shape),
    }
    return found


LAYOUTS = tuple(layouts((2, 3)))


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel:UserWarning")
@pytest.mark.parametrize("weights", [torch.contiguous_format, torch.channels_last], ids=str)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(("module", "shape"), CASES, ids=lambda v: str(v)[:40])
def test_a_rule_lays_the_result_out_in_memory_as_the_module_does(
    module: nn.Module, shape: tuple[int, ...], layout: str, weights: torch.memory_format
) -> None:
    if isinstance(module, nn.Conv2d):
        module = copy.deepcopy(module).to(memory_format=weights)
    given = layouts(shape)[layout]
    expected = module.eval()(given)
    on_meta = torch.empty_strided(shape, given.stride(), device="meta")
    padded = getattr(module, "padding_mode", "zeros") != "zeros"
    # in three dimensions it depends on the kernel that is chosen
    if layout == "channels last" and (len(shape) == 5 or padded):
        with pytest.raises(Exception, match=r"^$"):
            SHAPE_RULES[type(module)](module, on_meta)
    else:
        assert SHAPE_RULES[type(module)](module, on_meta).stride() == expected.stride()


LAYER = nn.TransformerEncoderLayer(12, 4, 16, batch_first=True)
OTHER = nn.TransformerDecoderLayer(12, 3, 16, norm_first=True)
ATTENDING: list[nn.Module] = [
    nn.TransformerEncoder(LAYER, 2, enable_nested_tensor=False),
    nn.TransformerEncoder(
        nn.TransformerEncoderLayer(12, 3, 16), 2, nn.LayerNorm(12), enable_nested_tensor=False
    ),
    nn.TransformerDecoder(OTHER, 2),
    nn.Transformer(12, 2, 1, 1, 16, batch_first=True),
]


@pytest.mark.parametrize("shape", [(5, 7, 12), (7, 12)])
@pytest.mark.parametrize("module", ATTENDING, ids=lambda m: type(m).__name__)
def test_a_transformer_gives_the_shape_of_its_sequence(
    module: nn.Module, shape: tuple[int, ...]
) -> None:
    given = [torch.randn(shape)] * (1 if isinstance(module, nn.TransformerEncoder) else 2)
    with torch.no_grad():
        expected = module.eval()(*given)
    made = SHAPE_RULES[type(module)](module, *(tensor.to("meta") for tensor in given))
    assert (made.shape, made.stride()) == (expected.shape, expected.stride())
    with pytest.raises(NoAnswer):
        SHAPE_RULES[type(module)](module, *(tensor.to("meta").mT.mT[..., :6] for tensor in given))


def test_every_rule_is_tried() -> None:
    tried = (
        {type(m) for m, _ in (*CASES, *RECURRENT)}
        | {type(m) for m in ATTENDING}
        | {m for m in SHAPE_RULES if SHAPE_RULES[m] is SHAPE_RULES[nn.ReLU]}
    )
    assert set(SHAPE_RULES) == tried


REFUSED: list[tuple[nn.Module, tuple[int, ...], torch.dtype]] = [
    (nn.Conv2d(4, 6, 3), (2, 5, 9, 9), torch.float32),
    (nn.Conv2d(4, 6, 3), (2, 4, 2, 9), torch.float32),
    (nn.Conv2d(4, 6, 3), (4, 9, 9), torch.float32),
    (nn.Linear(7, 3), (2, 6), torch.float32),
    (nn.Linear(7, 3), (2, 7), torch.float64),
    (nn.BatchNorm2d(5), (2, 5, 4), torch.float32),
    (nn.BatchNorm2d(5), (2, 4, 4, 4), torch.float32),
    (nn.LayerNorm(3), (2, 4), torch.float32),
    (nn.GroupNorm(2, 4), (2, 6, 3), torch.float32),
    (nn.ReLU(), (2, 3), torch.int64),
    (nn.AdaptiveAvgPool2d((None, 1)), (2, 5, 9, 9), torch.float32),
    (nn.MaxPool2d(3), (2, 5, 9, 2), torch.float32),
    (nn.MaxPool2d(3, padding=2), (2, 5, 9, 9), torch.float32),
    (nn.AvgPool2d(3), (2, 5, 2, 9), torch.float32),
]


RECURRENT: list[tuple[nn.RNNBase, tuple[int, ...]]] = [
    (nn.RNN(5, 3, num_layers=2), (4, 2, 5)),
    (nn.RNN(5, 3), (4, 5)),
    (nn.GRU(5, 3, bidirectional=True, batch_first=True), (2, 4, 5)),
    (nn.LSTM(5, 3, num_layers=2, bidirectional=True), (4, 2, 5)),
    (nn.LSTM(5, 3, proj_size=2, batch_first=True), (2, 4, 5)),
]


def rule_of(module: nn.RNNBase, shape: tuple[int, ...]) -> Any:
    return SHAPE_RULES[type(module)](module, torch.empty(shape, device="meta"))


def shapes(result: Any) -> Any:
    if isinstance(result, Tensor):
        return tuple(result.shape), result.dtype
    return [shapes(item) for item in result]


@pytest.mark.filterwarnings("ignore:LSTM with projections:UserWarning")
@pytest.mark.parametrize(("module", "shape"), RECURRENT, ids=lambda v: str(v)[:40])
def test_the_rule_of_recurrent_layers_gives_what_they_give(
    module: nn.RNNBase, shape: tuple[int, ...]
) -> None:
    output, state = module.eval()(torch.randn(shape))
    assert output.stride() == rule_of(module, shape)[0].stride()
    rule = SHAPE_RULES[type(module)]
    on_meta = torch.empty(shape, device="meta")
    assert shapes(rule(module, on_meta)) == shapes((output, state))
    given = [tensor.to("meta") for tensor in state] if isinstance(state, tuple) else state
    assert shapes(rule(module, on_meta, given)) == shapes((output, state))
    with pytest.raises(Exception, match=r"^$"):
        rule(module, torch.empty((*shape[:-1], 7), device="meta"))


@pytest.mark.parametrize(("module", "shape", "dtype"), REFUSED, ids=lambda v: str(v)[:40])
def test_a_rule_gives_no_answer_where_the_module_fails_or_is_unusual(
    module: nn.Module, shape: tuple[int, ...], dtype: torch.dtype
) -> None:
    with pytest.raises(Exception, match=r"^$|index out of range|pad should be|is too small"):
        SHAPE_RULES[type(module)](module, torch.empty(shape, dtype=dtype, device="meta"))


X, Y = torch.randn(2, 3, 4), torch.randn(2, 3, 4)
QUERY = torch.randn(2, 5, 3, 4, 6).permute(2, 0, 3, 1, 4)[0]  # one of three in one matrix
CALLS: list[tuple[Any, tuple[Any, ...]]] = [
    (operator.add, (X, Y)),
    (operator.sub, (1, X)),
    (operator.mul, (X, 2.5)),
    (operator.truediv, (X, 3)),
    (operator.iadd, (torch.randn(2, 3, 4), Y)),
    (operator.iadd, (torch.randn(2, 3, 4), torch.randn(4))),
    (operator.isub, (torch.randn(2, 3, 4), 2)),
    (operator.imul, (torch.randn(2, 3, 4), Y)),
    (operator.itruediv, (torch.randn(2, 3, 4), 0.5)),
    (torch.add, (X, Y)),
    (torch.mul, (X, Y)),
    (torch.add, (X, torch.randn(4))),
    (torch.add, (torch.randn(3, 1), X)),
    (operator.mul, (torch.randn(2, 3, 1, 1), torch.randn(2, 3, 4, 5))),
    (operator.sub, (torch.randn(2, 1, 4, 1), torch.randn(1, 3, 1, 5))),
    (torch.cat, ([X, Y, torch.randn(2, 3, 4)], 1)),
    (torch.cat, ((X, torch.randn(2, 3, 1)), -1)),
    (torch.cat, ([torch.randn(2, 1, 1, 1), torch.randn(2, 5, 1, 1)], 1)),
    (torch.cat, ([X],)),
    (torch.cat, ([X, Y.mT.contiguous().mT], 1)),
    (torch.cat, ([torch.randn(2, 6, 4, 5).chunk(2, 1)[1], torch.randn(2, 3, 4, 5)], 1)),
    (torch.cat, ([torch.randn(2, 4, 5, 6).permute(0, 2, 1, 3)] * 2, 1)),
    (torch.cat, ([torch.randn(1, 1, 4, 5).expand(2, 3, 4, 5), torch.randn(2, 3, 4, 5)], 1)),
    (torch.roll, (X, 2)),
    (torch.roll, (X, (1, -1), (0, 2))),
    (torch.roll, (X, 1, -1)),
    (nn.functional.normalize, (X,)),
    (nn.functional.normalize, (X, 3.0, -1)),
    (nn.functional.normalize, (X, 2.0, -1, 1e-12, None)),  # what torch.fx records
    (nn.functional.normalize, (X.mT,)),
    (nn.functional.normalize, (QUERY, 2.0, -1)),
    (nn.functional.normalize, (QUERY.transpose(1, 2), 2.0, -1)),
    (torch.clamp, (X.mT, -1, 0.5)),
    (torch.clamp, (QUERY, None, 0.5)),
    (torch.clamp, (torch.randn(3, 1, 1), 0)),
    (nn.functional.linear, (X, torch.randn(5, 4), torch.randn(5))),
]
UNLIKE: list[tuple[Any, tuple[Any, ...]]] = [
    (operator.iadd, (torch.randn(4), Y)),
    (operator.iadd, (2, torch.randn(4))),
    (operator.iadd, (X.long(), 2)),
    (operator.imul, (torch.randn(3, 1).expand(3, 4), torch.randn(3, 4))),
    (operator.add, (X, torch.randn(1, 2, 1, 4))),
    (operator.mul, (torch.randn(2, 3, 1, 1), torch.randn(1, 3, 1, 1))),
    (torch.cat, ([X, Y.double()], 1)),
    (torch.cat, ([],)),
    (torch.cat, ([X, torch.randn(2, 3, 5)], 1)),
    (torch.cat, ([X, torch.randn(0)], 1)),
    (torch.cat, ([X, Y], 3)),
    (torch.cat, ([torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last)] * 2, 1)),
    (torch.roll, (X, (1, 2), (0,))),
    (torch.roll, (X, 1, 3)),
    (torch.roll, (X.mT, 1)),
    (nn.functional.normalize, (X, 2.0, 3)),
    (nn.functional.normalize, (torch.randn(2, 1, 4),)),
    (nn.functional.normalize, (torch.randn(2, 3, 1).expand(2, 3, 4),)),
    (torch.clamp, (X,)),
    (torch.clamp, (X.long(), 0)),
    (torch.clamp, (X, Y)),
    (torch.clamp, (torch.randn(3, 1, 2).mT.transpose(0, 1), 0)),
    (operator.add, (X, Y.double())),
    (operator.mul, (X.long(), 2)),
    (operator.mul, (X, True)),
    (operator.mul, (3, 4)),
    (operator.mul, (X.transpose(0, 1), 2)),
    (nn.functional.linear, (X, torch.randn(5, 3))),
    (nn.functional.linear, (X.double(), torch.randn(5, 4))),
]


def names_of(calls: list[tuple[Any, tuple[Any, ...]]]) -> list[str]:
    """Name each call by its function and its place."""
    return [f"{function.__name__} {index}" for index, (function, _) in enumerate(calls)]


def on_meta(values: Sequence[Any]) -> tuple[Any, ...]:
    def bare(tensor: torch.Tensor) -> torch.Tensor:
        shape, strides = tensor.shape, tensor.stride()
        return torch.empty_strided(shape, strides, dtype=tensor.dtype, device="meta")

    return tuple(
        bare(v) if isinstance(v, torch.Tensor) else on_meta(v) if isinstance(v, list | tuple) else v
        for v in values
    )


def test_a_write_of_arithmetic_gives_the_very_tensor() -> None:
    given, other = on_meta((X, Y))
    assert FUNCTION_RULES[operator.iadd](given, other) is given


@pytest.mark.parametrize(("function", "values"), CALLS, ids=names_of(CALLS))
def test_a_rule_of_a_function_gives_what_it_gives(function: Any, values: tuple[Any, ...]) -> None:
    expected, made = function(*values), FUNCTION_RULES[function](*on_meta(values))
    assert (made.shape, made.dtype, made.stride()) == (
        expected.shape,
        expected.dtype,
        expected.stride(),
    )


def test_every_rule_of_a_function_is_tried() -> None:
    assert {function for function, _ in CALLS} == set(FUNCTION_RULES)


@pytest.mark.parametrize(("function", "values"), UNLIKE, ids=names_of(UNLIKE))
def test_what_a_rule_of_a_function_does_not_cover(function: Any, values: tuple[Any, ...]) -> None:
    with pytest.raises(NoAnswer):
        FUNCTION_RULES[function](*on_meta(values))
