"""How to publish."""

from __future__ import annotations

from dataclasses import dataclass

from netloft.errors import UsageError
from netloft.runtime.providers import PROVIDERS

__all__ = ["BACKENDS", "Options"]

BACKENDS = ("onnxruntime", "python")


@dataclass(frozen=True)
class Options:
    """How to publish; each target takes some of these.

    Attributes:
        provider: What is to run the model: `cpu`, `cuda`, `tensorrt` or `openvino`.
        backend: Triton's: `onnxruntime`, or `python` for a server that has that alone.
        max_batch: The most items that Triton puts into one run; None for 8, where it forms batches.

    Raises:
        UsageError: One has no such value.
    """

    provider: str = "cpu"
    backend: str = "onnxruntime"
    max_batch: int | None = None

    def __post_init__(self) -> None:
        for what, value, known in (
            ("provider", self.provider, tuple(PROVIDERS)),
            ("backend", self.backend, BACKENDS),
        ):
            if value not in known:
                raise UsageError(
                    f"there is no {what} '{value}'", remedy=f"use one of {', '.join(known)}"
                )
        if self.max_batch is not None and self.max_batch < 1:
            raise UsageError(
                f"a batch of {self.max_batch} items cannot be run", remedy="give 1 or more"
            )
