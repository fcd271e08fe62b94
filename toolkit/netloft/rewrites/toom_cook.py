"""Short convolutions with few products: the algorithm of Toom and Cook, as Winograd wrote it down.

y[i] = sum_j w[j] x[i + j] for m values of i and r of j takes m r products when it is computed as it
stands. With polynomials that are multiplied at m + r - 1 points it takes one a point:

    y = A^T [(G w) * (B^T x)]

The multiplications by B^T and A^T are with constants, and shared by all filters and channels. The
points 0, 1, -1, 1/2, -2 and infinity keep the rounding errors small (Barabasz, Anderson, Soodhalter
and Gregg, "Error analysis and improving the accuracy of Winograd convolution", 2018).
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["OF_ONE", "ToomCook", "toom_cook"]

Array = npt.NDArray[np.float64]

_POINTS = (0.0, 1.0, -1.0, 0.5, -2.0)

OF_ONE = _POINTS.index(1.0)
"""A constant that is added to the product at the point 1 comes out in every result once."""


@dataclass(frozen=True)
class ToomCook:
    """The three constant matrices, in float64; all of their entries but G's are exact.

    Attributes:
        data: B^T, of shape (points, points).
        weights: G, of shape (points, r).
        results: A^T, of shape (m, points).
    """

    data: Array
    weights: Array
    results: Array

    @property
    def points(self) -> int:
        """How many products there are."""
        return len(self.data)

    @property
    def step(self) -> int:
        """How many results come out at once; m."""
        return len(self.results)


@functools.cache
def toom_cook(taps: int) -> ToomCook:
    """Return the matrices for filters of some taps, which give `7 - taps` results at once.

    Args:
        taps: r, from 2 to 5.
    """
    points = np.array(_POINTS)
    others = [np.delete(points, i) for i in range(len(points))]
    step = len(points) + 2 - taps
    scale = np.array([np.prod(x - rest) for x, rest in zip(points, others, strict=True)])
    weights = np.vstack([np.vander(points, taps, increasing=True) / scale[:, None], _last(taps)])
    results = np.column_stack([np.vander(points, step, increasing=True).T, _last(step)])
    rows = [[*np.poly(rest)[::-1], 0.0] for rest in others]
    return ToomCook(np.array([*rows, np.poly(points)[::-1]]), weights, results)


def _last(length: int) -> Array:
    """Return what stands at infinity: the highest power alone."""
    last = np.zeros(length)
    last[-1] = 1
    return last
