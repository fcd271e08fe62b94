"""Hyper-parameters written alike for all ways to give them."""

from __future__ import annotations

import math

__all__ = ["plain"]

_SIZES = ("kernel_size", "stride", "padding", "dilation", "output_size", "output_padding")


def plain(name: str, value: object, *, exact: bool = False) -> object:
    """Write (2, 2) and 2 alike, and numbers as a file in float32 holds them, unless `exact`."""
    if isinstance(value, tuple | list):
        items = tuple(plain(name, item, exact=exact) for item in value)
        one = name in _SIZES and len(set(items)) == 1
        return items[0] if one or (len(items) == 1 and isinstance(items[0], int)) else items
    if isinstance(value, bool):
        return value
    if isinstance(value, float):
        if math.isnan(value) or (value == 0 and math.copysign(1, value) < 0):
            return repr(value)
        return value if exact else float(f"{value:.6g}")
    return value
