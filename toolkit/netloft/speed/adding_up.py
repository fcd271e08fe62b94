"""Times of parts are trusted only where they add up to the time of the whole."""

from __future__ import annotations

from collections.abc import Collection

__all__ = ["SHARE", "TRIES", "adds_up", "percent"]

SHARE = 0.15
"""How far the sum of all parts may be from the time of the whole, as a share of that."""

TRIES = 3
"""Another program that woke up in the middle is no reason to refuse."""


def adds_up(parts: Collection[float], whole: float) -> bool:
    """Tell whether the parts' times make the whole's, to within `SHARE`."""
    return abs(sum(parts) - whole) <= SHARE * whole


def percent(parts: Collection[float], whole: float) -> str:
    """Return how many per cent of the whole's time the parts' times are."""
    return f"{100 * sum(parts) / whole:.0f}" if whole else "0"
