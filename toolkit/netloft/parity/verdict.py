"""Which rows of a parity check count against a file, and what they say of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["counts", "told"]

UNUSUAL = ("extreme", "zeros", "stress", "search")
"""Kinds of input that the network is not made for; more may be said of one after a colon."""


def counts(status: str, input: str) -> bool:
    """Tell whether a row keeps a file from passing; undecided ones on unusual inputs do not."""
    return status == "fail" or (status == "undecided" and input.partition(":")[0] not in UNUSUAL)


def told(failed: Sequence[Mapping[str, Any]], n_rows: int) -> str:
    """Say of a file what the worst of its rows shows: what it does, or that nothing can be said.

    Args:
        failed: The rows that count, at least one; keys as in `report.json`.
        n_rows: How many were compared.
    """
    if all(row["status"] == "undecided" for row in failed):
        worst = max(failed, key=lambda row: float(row["noise_floor"]))
        return (
            f"cannot be judged: PyTorch's own float32 error on '{worst['output']}' is "
            f"{worst['noise_floor']:.2g} of the result on {worst['input']} at batch "
            f"{worst['batch']}"
        )
    worst = max(failed, key=lambda row: float(row["ratio"]))
    return (
        f"computes another function: {len(failed)} of {n_rows} comparisons fail; worst is "
        f"'{worst['output']}'{list(worst['worst_index'])} on {worst['input']} at batch "
        f"{worst['batch']} on {worst['provider']}: {worst['worst_actual']:.9g} instead of "
        f"{worst['worst_expected']:.9g}, a scaled error of {worst['scaled_error']:.2e} where "
        f"{worst['tolerance']:.2e} is allowed ({worst['ratio']:.0f}× PyTorch's own float32 error)"
    )
