"""Which nodes of a file read a tensor, and so which way round a matrix stands in it."""

from __future__ import annotations

from collections.abc import Sequence

from netloft.onnx_graph.step import Step

__all__ = ["Readers"]

_THROUGH = ("Identity", "Cast", "DequantizeLinear")


class Readers:
    """The nodes of a file by the tensors that they read."""

    def __init__(self, steps: Sequence[Step], opset: int) -> None:
        self.opset = opset
        self._of: dict[str, list[Step]] = {}
        for step in steps:
            for name in dict.fromkeys((*step.reads, *step.captured)):
                self._of.setdefault(name, []).append(step)

    def attribute(
        self, names: Sequence[str], op_type: str, name: str, otherwise: int
    ) -> int | None:
        """Return a number of the one node of a kind that reads some tensors; else None.

        Args:
            names: The tensors.
            op_type: The kind of node.
            name: Of the attribute.
            otherwise: What it is where the node does not tell it.
        """
        found = {
            step.attributes[name].i if name in step.attributes else otherwise
            for tensor in names[:1]
            for step in self._of.get(tensor, ())
            if step.op_type == op_type
        }
        return int(found.pop()) if len(found) == 1 else None

    def modes(self) -> list[str]:
        """Return the operands that tell dropouts whether they train."""
        steps = {id(s): s for found in self._of.values() for s in found if s.op_type == "Dropout"}
        return [s.reads[2] for s in steps.values() if len(s.reads) > 2 and s.reads[2]]

    def turned(self, name: str) -> bool | None:
        """Tell whether a matrix stands as (inputs, outputs); None where that is not clear."""
        found = self._turned(name, 8)
        return found.pop() if len(found) == 1 else None

    def _turned(self, name: str, depth: int) -> set[bool | None]:
        found: set[bool | None] = set()
        for step in self._of.get(name, ()):
            at = list(step.reads).index(name) if name in step.reads else -1
            after = self._turned(step.gives[0], depth - 1) if depth and step.gives else {None}
            if step.op_type == "MatMul" and at == 1:
                found.add(True)
            elif step.op_type == "Gemm" and at == 1:
                found.add(not (step.attributes["transB"].i if "transB" in step.attributes else 0))
            elif step.op_type == "Transpose" and at == 0:
                found |= {None if way is None else not way for way in after}
            elif step.op_type in _THROUGH and at == 0:
                found |= after
            else:
                found.add(None)
        return found
