"""The comparison as a page: one file, a table that can be read aloud, no script, no address."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from netloft.explain.seen import Seen
from netloft.report.html import render
from netloft_diagrams.seen.frame import tidy
from netloft_diagrams.seen.grid import (
    Row,
    agreement,
    described,
    grid_of,
    how,
    named,
    other,
    ranks,
    share,
    weights,
)
from netloft_diagrams.seen.heat import legend, overlay
from netloft_diagrams.seen.tiles import data_uri, sharp

__all__ = ["comparison_html"]

_LARGEST = 448
"""Pixels of an image's longer side: no more are kept, and of fewer each becomes a square."""


def comparison_html(rows: Sequence[Seen]) -> str:
    """Return what networks saw in pictures as one HTML page that needs nothing else.

    Args:
        rows: In any order; a network that was not asked about a picture leaves its place free.

    Raises:
        UsageError: There is nothing.
        ValueError: Pixels or a map have not the shapes that `Seen` tells.
    """
    grid = grid_of(rows)
    return render(
        "explain.html.j2",
        models=list(zip(map(tidy, grid.models), weights(grid), strict=True)),
        rows=[_row(row) for row in grid.rows],
        legend=data_uri(legend(256, 2)),
    ).decode("utf-8")


def _row(row: Row) -> Mapping[str, Any]:
    found, bare = agreement(row), row.clearest
    return {
        "picture": tidy(row.picture),
        "sign": found.sign,
        "words": found.words,
        "image": data_uri(sharp(bare.pixels, _LARGEST)),
        "seen_by": tidy(bare.model),
        "size": f"{bare.pixels.shape[1]} × {bare.pixels.shape[0]}",
        "cells": [cell and _cell(cell) for cell in row.cells],
    }


def _cell(seen: Seen) -> Mapping[str, Any]:
    assigned = other(seen)
    return {
        "image": data_uri(overlay(sharp(seen.pixels, _LARGEST), seen.map)),
        "alt": described(seen),
        "predicted": named(seen.predicted),
        "assigned": named(assigned) if assigned else "",
        "ranks": [
            {
                "name": named(ranked),
                "share": share(ranked.share),
                "percent": f"{100 * min(ranked.share, 1.0) if ranked.share > 0 else 0:.2f}",
                "kind": kind,
            }
            for ranked, kind in ranks(seen)
        ],
        "layer": tidy(seen.layer),
        "how": how(seen),
    }
