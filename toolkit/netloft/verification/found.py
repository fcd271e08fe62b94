"""What a verification found."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

__all__ = ["Verification"]


@dataclasses.dataclass(frozen=True)
class Verification:
    """What a verification found.

    Attributes:
        status: `pass` or `fail`.
        checks: What was checked besides parity, in order.
        parity: One row for each provider and output; keys as in `report.json`.
        not_run: What was not checked, and why.
        notes: What a reader has to know to trust the parity rows.
        layers: One row for each value inside the network; see `netloft.locating.LayerRow`.
        unlike: Operations that differ between module and file, found without running them.
        first_bad: The first operation that is wrong by itself, in words; empty for none.
        mutation: How many planted faults the same checks find, where that was asked for.
        runtimes: One row for each setting of ONNX Runtime and output; see
            `netloft.parity.rerun.runtimes.RuntimeRow`.
        verdicts: Whose fault it is, by what other settings and other implementations give.
        search: What a search for the worst input found, where that was asked for
            (`docs/parity.md`).
    """

    status: str
    checks: tuple[str, ...]
    parity: tuple[Mapping[str, Any], ...]
    not_run: tuple[Mapping[str, str], ...]
    notes: tuple[str, ...] = ()
    layers: tuple[Mapping[str, Any], ...] = ()
    unlike: tuple[Mapping[str, Any], ...] = ()
    first_bad: str = ""
    mutation: Mapping[str, Any] | None = None
    runtimes: tuple[Mapping[str, Any], ...] = ()
    verdicts: tuple[str, ...] = ()
    search: Mapping[str, Any] | None = None
