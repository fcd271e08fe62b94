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

    def __str__(self) -> str:
        threads = f"{self.threads} thread{'s' if self.threads > 1 else ''}"
        return f"batch {self.batch} on {self.provider} with {threads}"
