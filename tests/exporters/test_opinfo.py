"""Every lowering against PyTorch's own tables of operators, layers and sample arguments."""

from __future__ import annotations

import os
from collections import Counter

import pytest
from tests.exporters.opinfo import Form, entries, outcomes

EVERY = "NETLOFT_OPINFO_ALL"
"""Set it to run all samples: there are over a thousand of some."""

MOST: dict[Form, int] = {"function": 15, "method": 3, "in place": 3, "batched": 4}
"""Samples of one operator or layer in each way of writing it."""

REFUSED: dict[str, str] = {
    "linspace tensor_overload": "its ends are computed, and ONNX has no such operator",
    "norm nuc": "needs singular values, which ONNX does not have",
}
"""Operators and layers of which no sample is lowered, and why that is right."""

UNSET = ("empty", "empty_like", "new_empty")
"""Operators that give whatever was in memory, which is 0 most of the time: no value is right."""

LEAST = 479
"""Operators and layers that have a lowering; it may only grow."""

ENTRIES = entries()


@pytest.mark.parametrize("name", ENTRIES)
def test_an_operator_is_right_or_refused(name: str) -> None:
    counted, bad, refusals = Counter[str](), [], []
    for form, most in MOST.items():
        every = bool(os.environ.get(EVERY))
        for outcome in outcomes(ENTRIES[name], form, None if every else most):
            counted[outcome.kind] += 1
            unset = name in UNSET and " instead of " in outcome.reason
            if outcome.kind in ("wrong", "crashed") and not unset:
                bad.append(f"{form} {outcome.kind}: {outcome.reason}")
            elif outcome.kind == "refused":
                refusals.append(f"{form} refused: {outcome.reason}")
    if not counted:
        pytest.skip("it takes no tensor")
    print(dict(counted), *refusals, sep="\n")
    assert not bad, f"{len(bad)} of {counted.total()} samples:\n" + "\n".join(bad)
    assert counted["right"] or name in REFUSED, "no sample is lowered:\n" + "\n".join(refusals)


def test_coverage_does_not_shrink() -> None:
    # each of them has a sample that is right, or stands in REFUSED: the test above sees to it
    assert len(ENTRIES) >= LEAST
    assert set(REFUSED) <= set(ENTRIES)
