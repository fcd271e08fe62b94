"""Is a file ONNX at all, before anything is read out of it."""

from __future__ import annotations

from pathlib import Path

import onnx

from netloft.errors import IntegrityError

__all__ = ["check_structure"]


def check_structure(model: Path) -> None:
    """Let onnx.checker and strict shape inference look at a file.

    Raises:
        IntegrityError: Says what is wrong with it.
    """
    try:
        onnx.checker.check_model(str(model), full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise IntegrityError(f"{model.name} is not valid ONNX: {error}") from error
    except Exception as error:
        raise IntegrityError(f"{model.name} is not an ONNX file: {error}") from error
