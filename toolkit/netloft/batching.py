"""Which models have items that are apart: each goes through alone, whoever asked for it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

__all__ = ["items_are_apart"]

_FOLLOWS_BATCH = re.compile(r"\bbatch\b|\?")  # or may follow it: `?` is a length that is not known


def items_are_apart(manifest: Mapping[str, Any]) -> bool:
    """Tell whether every input and output has an item for each place of its first axis.

    A later axis that follows the batch, such as that of [batch, batch], holds each item against
    the others: where a server joins the requests of several clients, it mixes them.

    Args:
        manifest: The contents of a bundle's `manifest.json`.
    """
    tensors = (*manifest["inputs"], *manifest["outputs"])
    return manifest.get("batch") == "dynamic" and all(
        tensor["shape"][:1] == ["batch"]
        and not any(_FOLLOWS_BATCH.search(str(length)) for length in tensor["shape"][1:])
        for tensor in tensors
    )
