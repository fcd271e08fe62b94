"""The filters of a first convolution, which can be looked at as they are."""

from __future__ import annotations

import numpy as np
from torch import nn

from netloft.errors import UsageError
from netloft.explain.pixels import as_pixels
from netloft.explain.seen import Sheet, Tile
from netloft.graph.graph import Graph

__all__ = ["filters_of"]


def filters_of(network: Graph | nn.Module, path: str = "") -> Sheet:
    """Show the weights of a convolution that takes pictures of one or three channels.

    0 is mid-grey. Each filter is scaled by its own largest weight, which its second line tells.

    Args:
        network: The network, or its graph.
        path: Of the convolution; by default the first.

    Raises:
        UsageError: There is no such convolution, or its filters have another number of channels.
    """
    module = network.module if isinstance(network, Graph) else network
    name = network.name if isinstance(network, Graph) else type(network).__name__
    found = {where: part for where, part in module.named_modules() if isinstance(part, nn.Conv2d)}
    chosen = path or next(iter(found), "")
    if chosen not in found:
        others = ", ".join(list(found)[:3])
        raise UsageError(
            f"{name} has no convolution of pictures '{path}'" if path else f"{name} has none",
            remedy=f"--layer is a path such as {others}" if found else "take another network",
        )
    weights = found[chosen].weight.detach().float().cpu().numpy()
    if weights.shape[1] not in (1, 3):
        raise UsageError(
            f"a filter of {chosen} has {weights.shape[1]} channels, and a picture has one or three",
            remedy="show what it looks for instead, or name the first convolution",
        )
    tiles = tuple(
        Tile(as_pixels(each, symmetric=True), f"filter {k}", f"± {np.abs(each).max():.2g}")
        for k, each in enumerate(weights)
    )
    high, wide = weights.shape[2:]
    how = "grey is 0, white and black the largest weight" if weights.shape[1] == 1 else (
        "in red, green and blue, grey is 0"
    )  # fmt: skip
    return Sheet(
        f"The filters of {chosen} of {name}",
        f"{len(tiles)} filters of {high} × {wide}, {how}",
        tiles,
    )
