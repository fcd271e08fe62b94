"""Compute convolutions with half of the multiplications, along the height of the picture.

Given:
    %y = Conv(%x, %w, %b)                     # 3x3, step 1, C to M channels, H rows

Result:
    %v0 … %v5 = Conv(%x, B^T[k])              # each channel alone, 6 rows high, every fourth row
    %v = Concat(%v0 … %v5)                    # 6 C channels of H/4 rows
    %z = Conv(%v, G w, group=6)               # 1x3: half of the multiplications of %y
    %y = Conv(%z, A^T)                        # four rows from six products, put into their order

Leaves alone:
    What is not a float32 convolution of step 1, without groups, with filters three or five high and
    a picture whose size is known.

The algorithm works along one axis (`toom_cook.py`). Along both it would take a quarter of the
multiplications, with ten times the rounding error and transformations that cost what they save; so
it takes half of them for filters three high and six tenths for five. The error is two to four times
that of the plain convolution, and what is left is one that ONNX Runtime has a fast kernel for. The
bias goes to the product at the point 1, which comes into every row once. B^T and A^T are exact in
float32, and G w is rounded once.

Six rows of the input come into each of four rows of the result, and most of them cancel out; what
does not cancel, NaN and infinity, comes into all four, and what is near the largest float32 may
become infinite. For finite input of a usual size it is the same function.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from netloft.rewrites.names import Names
from netloft.rewrites.site import Site
from netloft.rewrites.toom_cook import OF_ONE, toom_cook

__all__ = ["suits", "write"]

_TAPS = (3, 5)
"""Heights of filters that few products are known for, with errors that float32 bears."""


def suits(site: Site) -> bool:
    """Tell whether few products are known for a convolution.

    Args:
        site: Of any width.
    """
    kind = site.kind
    return kind.groups == 1 and kind.strides == (1, 1) and kind.kernel[0] in _TAPS


def write(site: Site, names: Names) -> None:
    """Put other nodes in the place of a convolution.

    Args:
        site: One that suits.
        names: Of its file.
    """
    _Rewriting(site, names).run()


class _Rewriting:
    """One convolution; its nodes carry its name and what it is known of it."""

    def __init__(self, site: Site, names: Names) -> None:
        self._kind, self._node, self._names = site.kind, site.node, names
        self._result = str(site.node.outputs[0].name)
        self._weights = np.asarray(site.weights.numpy(), np.float64)
        self._bias = None if site.bias is None else np.asarray(site.bias.numpy(), np.float32)
        self._how = toom_cook(site.kind.kernel[0])
        self._tiles = -(-site.kind.rows // self._how.step)
        self._made: list[ir.Node] = []

    def run(self) -> None:
        """Put other nodes in the place of the convolution."""
        graph = self._node.graph
        assert isinstance(graph, ir.Graph)
        result = self._results(self._products(self._data()))
        (old,) = self._node.outputs
        result.shape, result.type = old.shape, old.type
        ir.convenience.replace_nodes_and_values(
            graph, self._node, [self._node], self._made, [old], [result]
        )

    def _data(self) -> ir.Value:
        """Return B^T x: of shape (batch, points x channels, tiles, width)."""
        kind, how = self._kind, self._how
        below = how.step * (self._tiles - 1) + how.points - kind.height - kind.pads[0]
        parts = [
            self._make(
                f"data{k}",
                "Conv",
                [self._node.inputs[0], self._row_filter(k)],
                {
                    "group": kind.channels,
                    "strides": [how.step, 1],
                    "pads": [kind.pads[0], 0, below, 0],
                },
            )
            for k in range(how.points)
        ]
        return self._make("data", "Concat", parts, {"axis": 1})

    def _row_filter(self, row: int) -> ir.Value:
        channels, how = self._kind.channels, self._how
        filters = np.tile(how.data[row].reshape(1, 1, -1, 1), (channels, 1, 1, 1))
        name = f"netloft.winograd/{how.step}/{row}/{channels}"
        return self._names.shared(name, filters.astype(np.float32))

    def _products(self, data: ir.Value) -> ir.Value:
        """Return (G w) * (B^T x), summed over channels and the width of the filters."""
        kind, how = self._kind, self._how
        filters = np.einsum("kr,mcrs->kmcs", how.weights, self._weights)
        shape = how.points * kind.filters, kind.channels, 1, kind.kernel[1]
        operands = [data, self._own("weights", filters.reshape(shape).astype(np.float32))]
        if self._bias is not None:
            biases = np.zeros((how.points, kind.filters), np.float32)
            biases[OF_ONE] = self._bias
            operands.append(self._own("bias", biases.reshape(-1)))
        pads = [0, kind.pads[1], 0, kind.pads[3]]
        return self._make("products", "Conv", operands, {"group": how.points, "pads": pads})

    def _results(self, products: ir.Value) -> ir.Value:
        """Return A^T of the products, as a picture."""
        kind, how, tiles = self._kind, self._how, self._tiles
        name = f"netloft.winograd/{how.step}/results"
        matrix = self._names.shared(name, how.results[:, :, None].astype(np.float32))
        flat = self._reshaped(
            "flat", products, (0, how.points, kind.filters * tiles * kind.columns)
        )
        rows = self._make("rows", "Conv", [flat, matrix], {})  # MatMul takes no empty batch
        apart = self._reshaped("apart", rows, (0, how.step, kind.filters, tiles, kind.columns))
        ordered = self._make("ordered", "Transpose", [apart], {"perm": [0, 2, 3, 1, 4]})
        shape = 0, kind.filters, how.step * tiles, kind.columns
        picture = self._reshaped("picture", ordered, shape)
        if how.step * tiles == kind.rows:
            return picture
        ends = [[0], [kind.rows], [2]]
        bounds = [
            self._names.shared(f"netloft.winograd/int/{end[0]}", np.array(end)) for end in ends
        ]
        return self._make("cut", "Slice", [picture, *bounds], {})

    def _reshaped(self, step: str, value: ir.Value, shape: tuple[int, ...]) -> ir.Value:
        name = "netloft.winograd/shape/" + "x".join(map(str, shape))
        return self._make(
            step, "Reshape", [value, self._names.shared(name, np.array(shape, np.int64))], {}
        )

    def _own(self, what: str, array: npt.NDArray[np.generic]) -> ir.Value:
        return self._names.own(f"{self._result}/winograd/{what}", array)

    def _make(
        self,
        step: str,
        op_type: str,
        inputs: list[ir.Value | None] | list[ir.Value],
        attributes: Mapping[str, int | list[int]],
    ) -> ir.Value:
        known = dict(self._node.metadata_props)
        name = f"{self._node.name or self._result}/winograd/{step}"
        node = ir.node(op_type, inputs, attributes, name=name, metadata_props=known)
        node.outputs[0].name = self._names.free(f"{self._result}/winograd/{step}")
        self._made.append(node)
        return node.outputs[0]
