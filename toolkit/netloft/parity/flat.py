"""A file's graph as a check looks at it."""

from __future__ import annotations

from pathlib import Path

import onnx
import onnx.inliner

from netloft.runtime.header import header_of

__all__ = ["flat_header"]


def flat_header(path: Path) -> onnx.ModelProto:
    """Return a file without its weights, and with the nodes of its functions where they are called.

    The values before a saturating head have to be in the main graph to be looked at.
    """
    header = onnx.load_from_string(header_of(path))
    return onnx.inliner.inline_local_functions(header) if header.functions else header
