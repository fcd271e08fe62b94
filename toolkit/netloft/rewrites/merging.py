"""Compute several groups of a convolution as one, with zeros between them.

Given:
    %y = Conv(%x, %w, group=6)                # 8 channels in each group

Result:
    %y = Conv(%x, [%w 0; 0 %w], group=3)      # 16 channels, half of them times zero

Leaves alone:
    Convolutions without groups and of one channel each; groups of whole blocks; those of which more
    than four would have to become one, or more than there are; and those whose number is no
    multiple, where that would add more than an eighth or where a neighbour cannot have channels
    that nothing reads (`widening.py`).

ONNX Runtime lays values out in blocks of channels, 16 with AVX-512 and 8 without, and has fast
kernels for groups of whole blocks. Others go group by group, through copies of the picture. Two or
four groups as one are two or four times the multiplications, and can take half of the time.
Thirteen groups get one of zeros beside them.

The sums have the same terms, and zeros. A NaN or an infinity in one group reaches those that share
its convolution, and one before a neighbour that got filters of zeros reaches every group.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from netloft.rewrites.names import Names
from netloft.rewrites.site import Kind, Site, constant_of
from netloft.rewrites.widening import Widening, widening_of

__all__ = ["suits", "write"]

_BLOCK = 16
"""Channels of the largest block that ONNX Runtime has kernels for."""

_MOST = 4
"""Groups that become one: more are mostly zeros."""

_ADDED = 8
"""Groups to each that is added: the convolutions around it get as many more channels."""


def suits(site: Site) -> bool:
    """Tell whether groups of a convolution can be put together.

    Args:
        site: Of any groups.
    """
    together = _together(site.kind)
    return together > 1 and _widening(site, together) is not None


def write(site: Site, names: Names) -> None:
    """Put groups of a convolution together, in place.

    Args:
        site: One that suits.
        names: Of its file.
    """
    node, together = site.node, _together(site.kind)
    widening = _widening(site, together)
    assert widening is not None
    widening.write(names)
    groups = site.kind.groups + -site.kind.groups % together
    weights, old = constant_of(node, 1), node.inputs[1]
    assert weights is not None
    assert old is not None
    merged = names.own(f"{old.name}/merged", _merged(weights.numpy(), groups, together))
    node.replace_input_with(1, merged)
    node.attributes["group"] = ir.AttrInt64("group", groups // together)


def _together(kind: Kind) -> int:
    """Return how many groups become one; 1 for none."""
    widths = kind.channels // kind.groups, kind.filters // kind.groups
    together = max(_BLOCK // math.gcd(width, _BLOCK) for width in widths)
    return together if together <= min(_MOST, kind.groups) else 1


def _widening(site: Site, together: int) -> Widening | None:
    """Return what gives the convolution as many groups as it takes."""
    kind = site.kind
    added = -kind.groups % together
    if not added:
        return Widening()
    if added * _ADDED > kind.groups:
        return None
    width, filters = kind.channels // kind.groups, kind.filters // kind.groups
    return widening_of(site, added * width, added * filters)


def _merged(
    weights: npt.NDArray[np.float32], groups: int, together: int
) -> npt.NDArray[np.float32]:
    """Return the weights of fewer groups: for each filter, zeros for what it does not read."""
    filters, width = weights.shape[:2]
    merged = np.zeros((filters, together, *weights.shape[1:]), np.float32)
    of_filter = np.arange(filters)
    merged[of_filter, of_filter // (filters // groups) % together] = weights
    return merged.reshape(filters, together * width, *weights.shape[2:])
