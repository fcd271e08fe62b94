"""What is said of one layer of a file, and of all."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["LayerRow", "Located", "Unlike"]


@dataclass(frozen=True)
class Unlike:
    """An operation that differs between the module and the file, found without running them.

    Attributes:
        module: Path of the layer.
        op: Operation.
        source: Line of the user's code, `file:line`.
        node: Name of the graph's node; the file's, for what the module does not have.
        what: What differs, in words.
        is_weight: A weight has other values than the module's.
    """

    module: str
    op: str
    source: str
    node: str
    what: str
    is_weight: bool

    def __str__(self) -> str:
        return f"{_place(self)}: {self.what}"


@dataclass(frozen=True)
class LayerRow:
    """One value inside the network; errors are scaled and without a unit.

    Attributes:
        module: Path of the layer.
        op: Operation.
        source: Line of the user's code, `file:line`.
        node: Name of the graph's node.
        onnx_node: Name of the file's node.
        provider: What ran the file.
        scaled_error: Error against float64, from the inputs on.
        noise_floor: PyTorch's own in float32.
        ratio: The first over the second.
        own_error: Error where the layer reads true values: its own alone.
        own_floor: PyTorch's own in float32, likewise.
        own_ratio: The first over the second.
        status: `fail` where the own error leaves the floor, `inherits` where only the whole error
            does, else `pass`.
    """

    module: str
    op: str
    source: str
    node: str
    onnx_node: str
    provider: str
    scaled_error: float
    noise_floor: float
    ratio: float
    own_error: float
    own_floor: float
    own_ratio: float
    status: str

    def __str__(self) -> str:
        return (
            f"{_place(self)}: with true inputs its error is {self.own_ratio:.3g} times PyTorch's "
            f"own; node '{self.onnx_node}' of the file"
        )


@dataclass(frozen=True)
class Located:
    """Where a file leaves its module.

    Attributes:
        layers: One row for each value that both have, in the order of the graph.
        unlike: What differs without running anything, in the order of the graph.
        first: The first bad operation, in words; empty where there is none.
        first_node: Its node in the graph; empty likewise, and for what only the file has.
        weights: How many weights were compared by value.
        notes: What a reader has to know to trust this.
    """

    layers: tuple[LayerRow, ...]
    unlike: tuple[Unlike, ...]
    first: str
    first_node: str
    weights: int
    notes: tuple[str, ...]

    @property
    def status(self) -> str:
        """`fail` where a layer's own error leaves the floor, or a weight is another."""
        return "fail" if self.first else "pass"


def _place(row: Unlike | LayerRow) -> str:
    where = f", {row.source}" if row.source else ""
    return f"{row.module or row.node} ({row.op}{where})"
