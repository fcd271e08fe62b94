"""Rewrites of a finished file that pay on some machines and not on others.

Each gives the same function from other operations. None is applied by habit: `netloft bench --tune`
measures them where the file is to run (`docs/bench.md`). They need no torch.

A rewrite is a file of its own with two functions: `suits` tells whether a convolution can be
written in its way, and `write` does it. None suits two of them.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

import onnx_ir as ir

from netloft.rewrites import merging, winograd
from netloft.rewrites.alone import alone, input_of
from netloft.rewrites.names import Names
from netloft.rewrites.site import Kind, Site, convolutions, site_of

__all__ = ["Kind", "Site", "alone", "input_of", "rewrite", "sites_of"]


class _Way(Protocol):
    def suits(self, site: Site) -> bool: ...

    def write(self, site: Site, names: Names) -> None: ...


_WAYS: tuple[_Way, ...] = (merging, winograd)
"""In the order of their turns: merging wants neighbours that are convolutions still."""


def sites_of(model: ir.Model) -> list[Site]:
    """Return the convolutions that can be computed in another way.

    Args:
        model: With the shape of every value.
    """
    return [site for site in convolutions(model) if any(way.suits(site) for way in _WAYS)]


def rewrite(model: ir.Model, kinds: Collection[Kind] | None = None) -> int:
    """Write the convolutions of some kinds in another way, in place.

    Args:
        model: With the shape of every value.
        kinds: Which of them; None for all that can be.

    Returns:
        How many were rewritten.
    """
    names, number, sites = Names(model.graph), 0, convolutions(model)
    chosen = [
        (way, site.node)
        for way in _WAYS
        for site in sites
        if way.suits(site) and (kinds is None or site.kind in kinds)
    ]
    for way, node in chosen:
        site = site_of(node)  # as it is by now: it may have more channels
        if site is not None and way.suits(site):
            way.write(site, names)
            number += 1
    names.drop_unread()
    return number
