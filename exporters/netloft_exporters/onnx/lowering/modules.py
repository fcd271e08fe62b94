"""Calls of leaf modules, as calls of the functions that are lowered."""

from __future__ import annotations

from torch import nn

from netloft.graph.layer_calls import Call, UnknownLayerError, function_call
from netloft.passes.affine import Affine
from netloft_exporters.onnx.lowering.context import Unsupported

__all__ = ["module_call"]


def module_call(module: nn.Module) -> Call:
    """Return the function call that a leaf module stands for, without its inputs.

    Raises:
        Unsupported: It stands for none.
    """
    if isinstance(module, Affine):
        return module.op, dict(module.options), ("weight", "bias")
    try:
        return function_call(module)
    except UnknownLayerError as error:
        raise Unsupported(str(error)) from error
