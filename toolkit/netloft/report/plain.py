"""Data that JSON can hold."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

__all__ = ["plain", "public"]


def plain(value: Any) -> Any:
    """Return JSON-safe data: infinities as text, floats to six digits, other objects as text."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else str(value)
    if isinstance(value, str | int | bool) or value is None:
        return value
    return str(value)


def public(value: Any) -> Any:
    """Return an argument as the bundle tells it: as JSON, and without this machine's folders."""
    if isinstance(value, str):
        return re.split(r"[/\\]", value.rstrip("/\\"))[-1]
    if isinstance(value, Mapping):
        return {str(public(key)): public(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [public(item) for item in value]
    if (
        value is None
        or isinstance(value, int)
        or (isinstance(value, float) and math.isfinite(value))
    ):
        return value
    return public(str(value))
