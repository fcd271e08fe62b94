"""One node with what is known of its operands: what the table of operators is asked with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from netloft.graph.annotation import TensorInfo
from netloft.onnx_graph.constants import Constant
from netloft.onnx_graph.step import Step, cleaned
from netloft.onnx_graph.values import Values

__all__ = ["Node"]


@dataclass(frozen=True)
class Node:
    """A node, its constants and the shapes of its operands.

    Attributes:
        step: The node.
        constants: All constants, by name.
        values: All shapes.
    """

    step: Step
    constants: Mapping[str, Constant]
    values: Values

    def number(self, name: str, otherwise: float) -> int | float:
        """Return an attribute that is a number; a file may hold anything under its name."""
        found = self.step.values.get(name)
        return found if isinstance(found, int | float) else otherwise

    def integer(self, name: str, otherwise: int) -> int:
        """Return an attribute that is a whole number."""
        found = self.step.values.get(name)
        return found if isinstance(found, int) else otherwise

    def word(self, name: str, otherwise: str) -> str:
        """Return an attribute that is a text."""
        found = self.step.values.get(name)
        return cleaned(found, 80) if isinstance(found, str) else otherwise

    def integers(self, name: str, otherwise: tuple[int, ...] = ()) -> tuple[int, ...]:
        """Return an attribute that is a list of whole numbers."""
        found = self.step.values.get(name)
        whole = isinstance(found, tuple) and all(isinstance(item, int) for item in found)
        return found if found and whole else otherwise

    def name(self, position: int) -> str:
        """Return the name of an operand; empty where it is left out."""
        return self.step.reads[position] if position < len(self.step.reads) else ""

    def constant(self, position: int) -> Constant | None:
        """Return an operand that is a constant."""
        return self.constants.get(self.name(position))

    def info(self, position: int) -> TensorInfo | None:
        """Return shape and type of an operand."""
        name = self.name(position)
        return self.values.info(name) if name else None

    def numbers(self, position: int, attribute: str = "") -> tuple[Any, ...] | None:
        """Return a list that stands in an operand, or in an attribute in older operator sets."""
        found = self.step.values.get(attribute) if attribute else None
        if isinstance(found, tuple) and all(isinstance(item, int | float) for item in found):
            return found
        constant = self.constant(position)
        if constant is None or constant.array is None or constant.array.dtype.kind not in "iuf":
            return None
        return tuple(constant.array.reshape(-1).tolist())

    def weight(self, position: int) -> tuple[int, ...] | None:
        """Return the shape of a weight."""
        constant = self.constant(position)
        return constant.shape if constant is not None else None

    def rank(self, position: int = 0) -> int:
        """Return the number of axes of an operand; 0 where it is not known."""
        constant = self.constant(position)
        if constant is not None:
            return len(constant.shape or ())
        info = self.info(position)
        return len(info.shape) if info else 0
