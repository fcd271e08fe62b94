"""Names that are free in a file, and tensors that are written in it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

__all__ = ["Names", "constant"]


class Names:
    """Values and tensors of the file; what several convolutions need is written once."""

    def __init__(self, graph: ir.Graph) -> None:
        self._graph = graph
        values = [value for node in graph.all_nodes() for value in node.outputs]
        for each in (graph, *graph.subgraphs()):
            values += [*each.inputs, *each.initializers.values()]
        self._taken = {str(value.name) for value in values}
        self._made: dict[str, ir.Value] = {}

    def free(self, name: str) -> str:
        """Return a name that nothing in the file has, and nothing will get."""
        while name in self._taken:
            name += "_"
        self._taken.add(name)
        return name

    def own(self, name: str, array: npt.NDArray[np.generic]) -> ir.Value:
        """Return a new tensor of the file."""
        value = constant(self.free(name), array)
        self._graph.register_initializer(value)
        return value

    def shared(self, name: str, array: npt.NDArray[np.generic]) -> ir.Value:
        """Return a tensor; one that was made under this name before is taken again."""
        if name not in self._made:
            self._made[name] = self.own(name, array)
        return self._made[name]

    def drop_unread(self) -> None:
        """Leave out the weights that nothing reads any more."""
        outputs = set(self._graph.outputs)
        for name, value in list(self._graph.initializers.items()):
            if not value.uses() and value not in outputs and not value.is_graph_input():
                del self._graph.initializers[name]


def constant(name: str, array: npt.NDArray[np.generic]) -> ir.Value:
    """Return a tensor that is written in a file, under a name."""
    tensor = ir.tensor(np.ascontiguousarray(array), name=name)
    shape, kind = ir.Shape(array.shape), ir.TensorType(tensor.dtype)
    return ir.Value(name=name, const_value=tensor, shape=shape, type=kind)
