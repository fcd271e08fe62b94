from __future__ import annotations

import pytest
import torch

from netloft.models.acoustic import TABLE, AcousticNet
from netloft.models.catalog import BUILTINS


def count(name: str) -> int:
    row = next(row for row in TABLE if row.name == name)
    with torch.device("meta"):
        return sum(p.numel() for p in AcousticNet(row.layers, row.size).parameters())


@pytest.mark.parametrize(("deep", "fat"), [("5x2k", "1x3772"), ("7x2k", "1x4634")])
def test_deep_and_fat_have_the_same_number_of_parameters(deep: str, fat: str) -> None:
    assert count(deep) == pytest.approx(count(fat), rel=0.01)


def test_table_is_the_lecture_s() -> None:
    rates = {row.name: row.word_error_rate for row in TABLE}
    assert rates == {
        "1x2k": 24.2,
        "2x2k": 20.4,
        "3x2k": 18.4,
        "4x2k": 17.8,
        "5x2k": 17.2,
        "7x2k": 17.1,
        "1x3772": 22.5,
        "1x4634": 22.6,
        "1x16k": 22.1,
    }


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.name)
def test_every_row_is_a_built_in(row: object) -> None:
    from netloft.models.acoustic import Row

    assert isinstance(row, Row)
    arguments = BUILTINS[f"acoustic-{row.name}"].arguments
    assert arguments == {"layers": row.layers, "size": row.size}


def test_seven_sigmoids_let_the_signal_through() -> None:
    torch.manual_seed(0)
    net = AcousticNet(7, 256).eval()
    with torch.no_grad():
        first, second = net(torch.randn(2, 429))
    assert first.shape == (9304,)
    assert (first - second).std() > 0.1


def test_refuses_no_layers() -> None:
    with pytest.raises(ValueError, match="layers is 0 and size is 8; both are 1 or more"):
        AcousticNet(0, 8)
