"""The form that operations are compared in, and what is known when one is made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import fx

from netloft.comparing.readers import Readers
from netloft.graph.annotation import Annotation
from netloft.graph.graph import Graph
from netloft.onnx_graph.stand_in import Operation

__all__ = ["COMMUTES", "Form", "Shape", "Wants", "even_padding", "known", "pooled", "split"]

Shape = tuple[object, ...] | None

COMMUTES = ("add", "mul", "maximum", "minimum", "and", "or", "xor", "eq")
"""Operations whose two operands may stand in either order."""


@dataclass(frozen=True)
class Form:
    """What an operation does.

    Attributes:
        facts: By name.
        whole: Whether that is all that it does; else two of the same facts may still differ.
    """

    facts: Mapping[str, object]
    whole: bool = True


@dataclass(frozen=True)
class Wants:
    """What a form is made of.

    Attributes:
        node: The operation.
        record: What is known of it.
        shape: Of its result, the batch as `batch`.
        rank: Axes of its first operand; 0 where that is not known.
        readers: Of a file's tensors; None for a module.
        graph: Where it is.
    """

    node: fx.Node
    record: Annotation
    shape: Shape
    rank: int
    readers: Readers | None
    graph: Graph

    @property
    def op_type(self) -> str:
        """The ONNX operator of a node of a file."""
        if self.node.op == "call_module":
            module = self.graph.module.get_submodule(str(self.node.target))
            return module.name if isinstance(module, Operation) else ""
        if self.node.op == "get_attr":
            return "Constant"
        return str(getattr(self.node.target, "__name__", "")).removeprefix("onnx_")

    def axis(self, dim: object) -> int | None:
        """Return an axis counted from the front; None where the rank is not known."""
        if isinstance(dim, bool) or not isinstance(dim, int) or not self.rank:
            return None
        return dim + self.rank if dim < 0 else dim

    def reads_all_parts(self) -> bool:
        """Tell whether each of several results is read."""
        value = self.record.value
        read = {n.args[1] for n in self.node.users if len(n.args) > 1}
        return isinstance(value, tuple) and len(read) == len(value) > 1

    def lengths(self, dim: int | None) -> tuple[object, ...] | None:
        """Return the lengths of all results along an axis; None where one is not known."""
        value = self.record.value
        if not isinstance(value, tuple) or dim is None:
            return None
        found = tuple(v.shape[dim] if dim < len(v.shape) else "?" for v in value)
        return found if all(isinstance(n, int) for n in found) else None


def known(shape: Shape) -> bool:
    """Tell whether all lengths of a shape are known but the batch."""
    return shape is not None and all(isinstance(dim, int) or dim == "batch" for dim in shape)


def even_padding(kernel: object, dilation: object) -> object:
    """Return the padding that keeps the length; None where it is not the same at both ends."""
    if not isinstance(kernel, tuple) or not isinstance(dilation, tuple):
        return None
    total = [d * (k - 1) for k, d in zip(kernel, dilation, strict=False)]
    return None if any(n % 2 for n in total) else tuple(n // 2 for n in total)


def split(wants: Wants, dim: int | None) -> Form:
    """Return the form of a value cut into several, all of which are read."""
    lengths = wants.lengths(dim)
    if lengths is None or not wants.reads_all_parts():
        return Form({"dim": dim}, whole=False)
    return Form({"dim": dim, "lengths": lengths})


def pooled(wants: Wants, facts: dict[str, object]) -> Form:
    """Return the form of a pooling, from its window, its padding and how it rounds.

    A largest value does not see what is padded: where windows begin and how many there are says
    all. An average may count it, and at a rounded end spellings count differently.
    """
    padding, rounds_up = facts["padding"], facts.pop("ceil_mode")
    rank = int(wants.record.op[-2])
    is_even = not (isinstance(padding, tuple) and len(padding) == 2 * rank)
    if wants.record.op.startswith("avg"):
        if rounds_up or not is_even:
            del facts["padding"], facts["count_include_pad"]
            return Form(facts, whole=False)
        return Form(facts)
    if isinstance(padding, tuple) and not is_even:
        begins = padding[:rank]
        facts["padding"] = begins[0] if len(set(begins)) == 1 else begins
    return Form({**facts, "shape": wants.shape}, whole=known(wants.shape))
