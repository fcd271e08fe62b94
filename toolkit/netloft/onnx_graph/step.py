"""One node of an ONNX file, with the names it reads and gives in the flat graph."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import onnx

from netloft.errors import InputError

__all__ = ["Level", "Scope", "Step", "attribute_value", "cleaned", "refusal"]


@dataclass(frozen=True)
class Level:
    """A module call as a file tells it: `layer1.0.relu@1`, and its class where it is known."""

    call: str
    class_name: str = ""

    @property
    def path(self) -> str:
        """Where the module hangs: the call without the number of the call."""
        return re.sub(r"@\d+(?=[./]|$)", "", self.call)


Scope = tuple[Level, ...]
"""The module calls around a node, outermost first, without the root."""


@dataclass(frozen=True)
class Step:
    """A node to draw.

    Attributes:
        proto: As it stands in the file.
        reads: Names of its operands in the flat graph; empty for one that is left out.
        gives: Names of its results; empty for one that is left out.
        captured: Names that the graphs inside it read from outside.
        scope: The module calls around it.
        attributes: By name; those of a function's caller are put in.
        opset: Version of the operator's set; 0 where the file does not say.
    """

    proto: onnx.NodeProto
    reads: tuple[str, ...]
    gives: tuple[str, ...]
    scope: Scope = ()
    captured: tuple[str, ...] = ()
    attributes: Mapping[str, onnx.AttributeProto] = field(default_factory=dict)
    opset: int = 0

    @property
    def op_type(self) -> str:
        """The ONNX operator."""
        return str(self.proto.op_type)

    @property
    def domain(self) -> str:
        """Where the operator is from; empty for ONNX's own."""
        return "" if self.proto.domain == "ai.onnx" else str(self.proto.domain)

    @property
    def overload(self) -> str:
        """Which of several functions of one name is called."""
        return str(getattr(self.proto, "overload", ""))

    @property
    def known(self) -> bool:
        """Tell whether the operator is ONNX's or ONNX Runtime's own."""
        return self.domain in ("", "com.microsoft", "ai.onnx.ml")

    @cached_property
    def values(self) -> dict[str, Any]:
        """The attributes that are numbers, text or lists of them, by name."""
        found = {name: attribute_value(value) for name, value in self.attributes.items()}
        return {name: value for name, value in found.items() if value is not None}

    @property
    def facts(self) -> dict[str, str]:
        """What the node's metadata says, by key."""
        return {entry.key: entry.value for entry in self.proto.metadata_props}

    @property
    def graphs(self) -> dict[str, onnx.GraphProto]:
        """The graphs inside it, by the name of their attribute: the two ways of an If."""
        return {name: a.g for name, a in self.attributes.items() if a.HasField("g")}


def attribute_value(attribute: onnx.AttributeProto) -> Any:
    """Return a number, a text, or a tuple of them; None for a tensor or a graph."""
    kinds = onnx.AttributeProto
    match attribute.type:
        case kinds.FLOAT:
            return float(attribute.f)
        case kinds.INT:
            return int(attribute.i)
        case kinds.STRING:
            return attribute.s.decode("utf-8", "replace")
        case kinds.FLOATS:
            return tuple(float(value) for value in attribute.floats)
        case kinds.INTS:
            return tuple(int(value) for value in attribute.ints)
        case kinds.STRINGS:
            return tuple(value.decode("utf-8", "replace") for value in attribute.strings)
    return None


def cleaned(name: str, longest: int = 200) -> str:
    """Return a name fit for a line of text: no control codes, and no longer than a line."""
    kept = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in name)
    return kept if len(kept) <= longest else f"{kept[: longest - 1]}…"


def refusal(problem: str, step: Step, remedy: str) -> InputError:
    """Return the error that a node of a file makes."""
    where = step.scope[-1].call if step.scope else ""
    name = cleaned(step.proto.name or f"{step.op_type} without a name")
    return InputError(problem, node=name, module=cleaned(where), remedy=remedy)
