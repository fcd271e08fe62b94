"""ONNX Runtime in a browser: a page that runs the model and shows its own parity rows.

Source: https://onnxruntime.ai/docs/tutorials/web and the package `onnxruntime-web` on npm, whose
`dist/ort.wasm.min.mjs` the page imports from the folder `ort/` beside its own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from netloft.errors import ExportError, UsageError
from netloft.protocol import datatype_of
from netloft.publishing.options import Options
from netloft.publishing.source import WEIGHTS, Source, copy_model
from netloft.publishing.templating import render
from netloft.runtime.load import Tensor

__all__ = ["write"]


def write(source: Source, folder: Path, options: Options) -> None:
    """Write the page, the model, and the test vectors with what they are judged by.

    Args:
        source: The bundle.
        folder: The model's.
        options: Not used.

    Raises:
        UsageError: The name is that of the folder beside the model's that ONNX Runtime goes to.
        ExportError: The model is too large for a browser, or has an element type that JavaScript
            has no array for.
    """
    if source.name.lower() == "ort":  # some disks make no difference
        raise UsageError(
            f"a page cannot be named {source.name}: beside it, ort/ is for ONNX Runtime",
            remedy="give another --name",
        )
    if WEIGHTS in source.manifest["files"]:
        raise ExportError(
            "a model with weights beyond 1.9 GB does not fit into a browser",
            remedy="publish it for triton or kserve",
        )
    copy_model(source, folder)
    (folder / "vectors").mkdir()
    given = _tensors(folder, "input", source.inputs, source.given)
    wanted = _tensors(folder, "output", source.outputs, source.wanted)
    expected = {
        "name": source.name,
        "bundle": source.origin,
        "inputs": given,
        "outputs": [facts | _judge(source, facts["name"]) for facts in wanted],
        "labels": list(source.labels),
    }
    text = json.dumps(expected, indent=2, allow_nan=False)
    (folder / "expected.json").write_text(text + "\n", encoding="utf-8")
    values = {"name": source.name, "bundle": source.origin, "inputs": source.inputs,
              "outputs": source.outputs}  # fmt: skip
    for file in ("index.html", "app.js", "style.css", "README.md"):
        render(f"ort_web_{file}.j2", folder / file, **values)


def _tensors(
    folder: Path, kind: str, tensors: Sequence[Tensor], arrays: Mapping[str, npt.NDArray[Any]]
) -> list[dict[str, Any]]:
    """Write the values of tensors as JavaScript's arrays have them, and describe them."""
    found = []
    for index, tensor in enumerate(tensors):
        datatype_of(tensor.dtype)
        array = arrays[tensor.name]
        file = f"vectors/{kind}_{index}.bin"
        little = array.astype(array.dtype.newbyteorder("<"), copy=False)
        (folder / file).write_bytes(np.ascontiguousarray(little).tobytes())
        found.append({"name": tensor.name, "dtype": tensor.dtype, "shape": list(array.shape),
                      "file": file})  # fmt: skip
    return found


def _judge(source: Source, name: str) -> dict[str, Any]:
    """Return what an output is judged by, as `netloft verify` does; nothing where it is not."""
    row = source.rows().get(name)
    if row is None:
        return {"measure": None, "tolerance": None, "noise_floor": None}
    return {
        "measure": "rms" if "rms_error" in row else "scaled",
        "tolerance": row["tolerance"],
        "noise_floor": row["noise_floor"],
    }
