"""What an exported program says of its lengths: a graph must not be for more than that."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import fx, nn

from netloft.defaults import MAX_BATCH
from netloft.errors import InputError
from netloft.tracing.axes import Axes

__all__ = ["DECLARED", "Declared", "check_declared"]

DECLARED = "netloft_declared"
"""Where `meta` of a graph module holds a `Declared`."""


@dataclass(frozen=True)
class Declared:
    """The lengths that a program was exported for.

    Attributes:
        batch: Least and greatest batch; no greatest one where it is open.
        shapes: Lengths of each input after the batch; None where one is open.
        why: What fixes the batch, for messages.
    """

    batch: tuple[int, int | None]
    shapes: Mapping[str, tuple[int | None, ...]]
    why: str = ""


def check_declared(
    module: nn.Module, inputs: Mapping[str, torch.Tensor], batch: str | int, axes: Axes
) -> None:
    """Refuse lengths that the exported program in a module was not exported for.

    Raises:
        InputError: The batch, another open axis or the shape of an input is not the program's.
    """
    for path, child in module.named_modules():
        declared = child.meta.get(DECLARED) if isinstance(child, fx.GraphModule) else None
        if isinstance(declared, Declared):
            _check_batch(type(child).__name__, declared, batch)
            if not path:
                _check_shapes(type(child).__name__, declared, inputs, axes)


def _check_batch(name: str, declared: Declared, batch: str | int) -> None:
    least, most = declared.batch
    # 2 is what torch.export calls an open length, for it takes 0 and 1 for ones that never change
    is_open = least <= 2 and (most is None or most >= MAX_BATCH)
    if is_open if batch == "dynamic" else least <= int(batch) <= (most or int(batch)):
        return
    told = str(least) if least == most else f"{least} to {most}" if most else f"{least} and more"
    why = f" ({declared.why})" if declared.why else ""
    raise InputError(
        f"{name} was exported for a batch of {told}{why}, and not for {batch}",
        remedy=f"give --batch {least}, or export it again with an open batch: "
        "dynamic_shapes={'x': {0: torch.export.Dim('batch')}}",
    )


def _check_shapes(
    name: str, declared: Declared, inputs: Mapping[str, torch.Tensor], axes: Axes
) -> None:
    for key, shape in declared.shapes.items():
        own = tuple(inputs[key].shape[1:]) if key in inputs else ()
        opened = axes.get(key, {})
        for axis, (length, fixed) in enumerate(zip(own, shape, strict=False), 1):
            if fixed is not None and (axis in opened or length != fixed):
                raise InputError(
                    f"axis {axis} of '{key}' was exported with the length {fixed} in {name}",
                    remedy="leave it at that, or export the program again with dynamic_shapes",
                )
