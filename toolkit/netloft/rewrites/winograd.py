"""Compute convolutions with half of the multiplications, along the height of the picture.

Given:
    %y = Conv(%x, %w, %b)                     # 3x3, step 1, C to M channels, H rows

Result:
    %v0 … %v5 = Conv(%x, B^T[k])              # each channel alone, 6 rows high, every fourth row
    %v = Concat(%v0 … %v5)                    # 6 C channels of H/4 rows
    %z = Conv(%v, G w, group=6)               # 1x3: half of the multiplications of %y
    %y = A^T %z                               # four rows from six products, put into their order

Leaves alone:
    What is not a float32 convolution of step 1, without groups, with filters three or five high and
    a picture whose size is known.

The algorithm works along one axis (`toom_cook.py`). Along both it would take a quarter of the
multiplications, with ten times the rounding error and transformations that cost what they save; so
it takes half, the error stays within twice that of the plain convolution, and what is left is a
convolution that ONNX Runtime has a fast kernel for. The bias goes to the product at the point 1,
which comes into every row once. All that is added is exact but for G w, rounded once.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from netloft.rewrites.site import Kind, Site, constant, sites_of
from netloft.rewrites.toom_cook import OF_ONE, ToomCook, toom_cook

__all__ = ["winograd"]


def winograd(model: ir.Model, kinds: Collection[Kind] | None = None) -> int:
    """Rewrite the convolutions of some kinds, in place.

    Args:
        model: With the shape of every value.
        kinds: Which of them; None for all that can be.

    Returns:
        How many were rewritten.
    """
    constants = _Constants(model.graph)
    sites = [site for site in sites_of(model) if kinds is None or site.kind in kinds]
    for site in sites:
        _Rewriting(site, constants).run(model.graph)
    constants.drop_unread()
    return len(sites)


class _Constants:
    """Tensors of the file; what several convolutions need is written once."""

    def __init__(self, graph: ir.Graph) -> None:
        self._graph = graph
        self._made: dict[str, ir.Value] = {}

    def new(self, name: str, array: npt.NDArray[np.generic]) -> ir.Value:
        """Return a tensor; one that was made under this name before is taken again."""
        if name not in self._made:
            self._made[name] = self._added(name, array)
        return self._made[name]

    def _added(self, name: str, array: npt.NDArray[np.generic]) -> ir.Value:
        while name in self._graph.initializers:  # the file has one of its own
            name += "_"
        value = constant(name, array)
        self._graph.register_initializer(value)
        return value

    def drop_unread(self) -> None:
        """Leave out the weights that nothing reads any more."""
        outputs = set(self._graph.outputs)
        for name, value in list(self._graph.initializers.items()):
            if not value.uses() and value not in outputs and not value.is_graph_input():
                del self._graph.initializers[name]


class _Rewriting:
    """One convolution; its nodes carry its name and what it is known of it."""

    def __init__(self, site: Site, constants: _Constants) -> None:
        self._kind, self._node, self._constants = site.kind, site.node, constants
        self._weights = np.asarray(site.weights.numpy(), np.float64)
        self._bias = None if site.bias is None else np.asarray(site.bias.numpy(), np.float32)
        self._how = toom_cook(site.kind.kernel[0])
        self._tiles = -(-site.kind.rows // self._how.step)
        self._made: list[ir.Node] = []

    def run(self, graph: ir.Graph) -> None:
        """Put other nodes in the place of the convolution."""
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
                [self._node.inputs[0], self._row_filter(how, k)],
                {
                    "group": kind.channels,
                    "strides": [how.step, 1],
                    "pads": [kind.pads[0], 0, max(below, 0), 0],
                },
            )
            for k in range(how.points)
        ]
        joined = self._make("data", "Concat", parts, {"axis": 1})
        return joined

    def _row_filter(self, how: ToomCook, row: int) -> ir.Value:
        channels = self._kind.channels
        filters = np.tile(how.data[row].reshape(1, 1, -1, 1), (channels, 1, 1, 1))
        name = f"netloft.winograd/{how.step}/{row}/{channels}"
        return self._constants.new(name, filters.astype(np.float32))

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
        matrix = self._constants.new(name, how.results.astype(np.float32))
        flat = self._reshaped(
            "flat", products, (0, how.points, kind.filters * tiles * kind.columns)
        )
        rows = self._make("rows", "MatMul", [matrix, flat], {})
        apart = self._reshaped("apart", rows, (0, how.step, kind.filters, tiles, kind.columns))
        ordered = self._make("ordered", "Transpose", [apart], {"perm": [0, 2, 3, 1, 4]})
        shape = 0, kind.filters, how.step * tiles, kind.columns
        picture = self._reshaped("picture", ordered, shape)
        if how.step * tiles == kind.rows:
            return picture
        ends = [[0], [kind.rows], [2]]
        bounds = [
            self._constants.new(f"netloft.winograd/int/{end[0]}", np.array(end)) for end in ends
        ]
        return self._make("cut", "Slice", [picture, *bounds], {})

    def _reshaped(self, step: str, value: ir.Value, shape: tuple[int, ...]) -> ir.Value:
        name = "netloft.winograd/shape/" + "x".join(map(str, shape))
        return self._make(
            step, "Reshape", [value, self._constants.new(name, np.array(shape, np.int64))], {}
        )

    def _own(self, what: str, array: npt.NDArray[np.generic]) -> ir.Value:
        return self._constants.new(f"{self._node.outputs[0].name}/winograd/{what}", array)

    def _make(
        self,
        step: str,
        op_type: str,
        inputs: list[ir.Value | None] | list[ir.Value],
        attributes: Mapping[str, int | list[int]],
    ) -> ir.Value:
        known = dict(self._node.metadata_props)
        name = f"{self._node.name}/winograd/{step}"
        node = ir.node(op_type, inputs, attributes, name=name, metadata_props=known)
        node.outputs[0].name = f"{self._node.outputs[0].name}/winograd/{step}"
        self._made.append(node)
        return node.outputs[0]
