"""What is known of one operation: the record in `node.meta["netloft"]` that every stage reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["Annotation", "Dim", "ModuleCall", "Source", "TensorInfo", "format_shape"]

Dim = int | str
"""A length, or an expression of the symbolic batch: `batch`, `2*batch`, `batch+1`."""


@dataclass(frozen=True)
class TensorInfo:
    """Shape and element type of one value.

    Attributes:
        shape: Lengths in order; a symbolic one is text such as `batch`.
        dtype: Name without the `torch.` prefix, e.g. `float32`.
    """

    shape: tuple[Dim, ...]
    dtype: str

    def __str__(self) -> str:
        return f"{self.dtype}[{', '.join(map(str, self.shape))}]"


def format_shape(shape: tuple[Dim, ...], *, batch: str | None = "batch") -> str:
    """Return `64×56×56`; a leading axis that is just `batch` is left out (None keeps it)."""
    dims = shape[1:] if batch is not None and shape and shape[0] == batch else shape
    return "×".join(map(str, dims)) if dims else "scalar"


@dataclass(frozen=True)
class ModuleCall:
    """One call of one submodule; a module called twice makes two calls.

    Attributes:
        path: Where the module hangs, e.g. `layer1.0.conv1`; empty for the root.
        class_name: Its class, without the package.
        index: 0 for the first call of this module in the forward pass, then 1, …
    """

    path: str
    class_name: str
    index: int = 0

    def __str__(self) -> str:
        return self.path if self.index == 0 else f"{self.path}@{self.index}"


@dataclass(frozen=True)
class Source:
    """A line of the user's code; the file is relative, never an absolute path."""

    file: str
    line: int
    text: str = ""

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(frozen=True)
class Annotation:
    """Everything known of one node.

    Attributes:
        op: Canonical operation, the same for a module, a function and a method: `conv2d`,
            `batch_norm`, `relu`, `add`, `flatten` …; `input`, `output` and `parameter` too.
        family: Kind of operation, for colour and grouping; one of `netloft.graph.ops.FAMILIES`.
        attributes: Hyper-parameters by name (`kernel_size`, `stride`, `out_channels` …).
        value: What the node gives: a tensor, a tuple of them, or None for a plain number.
        plain: The plain number, or the tuple of them; text such as `batch` where it follows the
            batch. None for tensors.
        calls: Module calls that enclose the node, root first; a module node's own call is last.
        source: Line of the user's code that made the node.
        parameters: Names of the parameters it reads first; a tied one is counted once, here.
        n_params: Number of elements in `parameters`.
        macs: Multiply-adds for one item of the batch.
        bytes_out: Bytes of the values it gives, for one item of the batch.
        memory: Numbers of the memories that its tensors live in, one each; what has the same number
            shares memory, as a view or a result of a write in place does.
    """

    op: str
    family: str
    attributes: Mapping[str, object] = field(default_factory=dict)
    value: TensorInfo | tuple[TensorInfo, ...] | None = None
    plain: object = None
    calls: tuple[ModuleCall, ...] = ()
    source: Source | None = None
    parameters: tuple[str, ...] = ()
    n_params: int = 0
    macs: int = 0
    bytes_out: int = 0
    memory: tuple[int, ...] = ()

    @property
    def module(self) -> str:
        """Path of the innermost module call."""
        return self.calls[-1].path if self.calls else ""

    @property
    def module_class(self) -> str:
        """Class of the innermost module call."""
        return self.calls[-1].class_name if self.calls else ""

    @property
    def shape(self) -> tuple[Dim, ...] | None:
        """Shape of the one tensor it gives; None for several or none."""
        return self.value.shape if isinstance(self.value, TensorInfo) else None
