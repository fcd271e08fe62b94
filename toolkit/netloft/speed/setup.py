"""How something runs."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Setup"]


@dataclass(frozen=True)
class Setup:
    """How a contestant runs.

    Attributes:
        provider: Such as `cpu`.
        batch: Items in one run.
        threads: For one operation.
    """

    provider: str
    batch: int
    threads: int
