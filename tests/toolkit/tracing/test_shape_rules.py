"""The rules of shape give what PyTorch gives, or no answer."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from netloft.tracing.shape_rules import SHAPE_RULES

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
    (nn.AdaptiveAvgPool2d((3, 2)), (2, 5, 9, 9)),
    (nn.AdaptiveAvgPool2d(1), (2, 5, 9, 9)),
    (nn.ReLU(inplace=True), (2, 3)),
    (nn.Softmax(1), (2, 3)),
]


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel:UserWarning")
@pytest.mark.parametrize(("module", "shape"), CASES, ids=lambda v: str(v)[:40])
def test_a_rule_gives_the_shape_and_type_that_the_module_gives(
    module: nn.Module, shape: tuple[int, ...]
) -> None:
    expected = module.eval()(torch.randn(shape))
    made = SHAPE_RULES[type(module)](module, torch.empty(shape, device="meta"))
    assert (made.shape, made.dtype, made.device.type) == (expected.shape, expected.dtype, "meta")


def test_every_rule_is_tried() -> None:
    activations = {type(m) for m, _ in CASES} | {
        m for m in SHAPE_RULES if SHAPE_RULES[m] is SHAPE_RULES[nn.ReLU]
    }
    assert set(SHAPE_RULES) == activations


REFUSED: list[tuple[nn.Module, tuple[int, ...], torch.dtype]] = [
    (nn.Conv2d(4, 6, 3), (2, 5, 9, 9), torch.float32),
    (nn.Conv2d(4, 6, 3), (2, 4, 2, 9), torch.float32),
    (nn.Conv2d(4, 6, 3), (4, 9, 9), torch.float32),
    (nn.Linear(7, 3), (2, 6), torch.float32),
    (nn.Linear(7, 3), (2, 7), torch.float64),
    (nn.BatchNorm2d(5), (2, 5, 4), torch.float32),
    (nn.BatchNorm2d(5), (2, 4, 4, 4), torch.float32),
    (nn.LayerNorm(3), (2, 4), torch.float32),
    (nn.ReLU(), (2, 3), torch.int64),
    (nn.AdaptiveAvgPool2d((None, 1)), (2, 5, 9, 9), torch.float32),
]


@pytest.mark.parametrize(("module", "shape", "dtype"), REFUSED, ids=lambda v: str(v)[:40])
def test_a_rule_gives_no_answer_where_the_module_fails_or_is_unusual(
    module: nn.Module, shape: tuple[int, ...], dtype: torch.dtype
) -> None:
    with pytest.raises(Exception, match=r"^$|index out of range"):
        SHAPE_RULES[type(module)](module, torch.empty(shape, dtype=dtype, device="meta"))
