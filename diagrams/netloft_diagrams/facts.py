"""The title block's words: the network's name, what goes in and out, and its totals."""

from __future__ import annotations

from netloft_diagrams import words
from netloft_diagrams.scene import Facts

__all__ = ["facts_line", "flow", "heading"]


def heading(facts: Facts) -> str:
    """Return the network's name, and its class where that is another word."""
    same = facts.class_name.lower() == facts.name.lower().replace("_", "")
    return facts.class_name if same else f"{facts.name} · {facts.class_name}"


def flow(facts: Facts) -> str:
    """Return `3×224×224 → 1000`."""
    return f"{', '.join(facts.inputs)} → {', '.join(facts.outputs)}"


def facts_line(facts: Facts) -> str:
    """Return the totals in one line."""
    more = f" (and {words.count(facts.n_unused)} unused)" if facts.n_unused else ""
    parts = [
        f"{words.count(facts.n_params)} parameters{more}",
        f"{words.short_count(facts.macs)} multiply-adds",
    ]
    if facts.peak_activation_bytes:
        parts.append(f"{words.bytes_text(facts.peak_activation_bytes)} peak activations")
    if facts.depth:
        parts.append(f"depth {facts.depth}")
    return " · ".join(parts)
