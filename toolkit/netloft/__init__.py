"""Trace a PyTorch network into one graph, then draw, export, prove and measure it.

>>> import netloft
>>> module = netloft.load("alphago", k=192)
>>> bundle = netloft.export(module, (torch.randn(2, 48, 19, 19),), "out/alphago")

The names below are imported when first used, so `import netloft` stays light.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from netloft.errors import NetloftError

if TYPE_CHECKING:
    from netloft.comparing import diff
    from netloft.exporting import export
    from netloft.graph import Graph
    from netloft.models import load
    from netloft.onnx_graph import read_onnx
    from netloft.showing import show
    from netloft.speed import bench
    from netloft.tracing import trace
    from netloft.verification import verify
    from netloft_diagrams import draw
    from netloft_exporters import to_onnx

__all__ = [
    "Graph",
    "NetloftError",
    "__version__",
    "bench",
    "diff",
    "draw",
    "export",
    "load",
    "read_onnx",
    "show",
    "to_onnx",
    "trace",
    "verify",
]
__version__ = "0.1.0"

_HOMES = {
    "Graph": "netloft.graph",
    "bench": "netloft.speed",
    "diff": "netloft.comparing",
    "draw": "netloft_diagrams",
    "export": "netloft.exporting",
    "load": "netloft.models",
    "read_onnx": "netloft.onnx_graph",
    "show": "netloft.showing",
    "to_onnx": "netloft_exporters",
    "trace": "netloft.tracing",
    "verify": "netloft.verification",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'netloft' has no attribute {name!r}")
    found = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted(__all__)
