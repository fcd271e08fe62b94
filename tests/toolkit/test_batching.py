"""Items are apart where no later axis follows the batch."""

from __future__ import annotations

import pytest

from netloft.batching import items_are_apart


@pytest.mark.parametrize(
    ("shape", "apart"),
    [
        (["batch", 4], True),
        (["batch"], True),
        (["batch", "height//2", "batches"], True),
        (["batch", "batch"], False),
        (["batch", 4, "2*batch+1"], False),
        (["batch", "?"], False),
        ([4, 4], False),
        (["2*batch", 4], False),
        ([], False),
    ],
)
def test_every_later_axis_counts(shape: list[int | str], apart: bool) -> None:
    manifest = {
        "batch": "dynamic", "inputs": [{"shape": ["batch", 3]}], "outputs": [{"shape": shape}],
    }  # fmt: skip
    assert items_are_apart(manifest) is apart
    assert not items_are_apart(manifest | {"batch": 4})
