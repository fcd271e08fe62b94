"""Small real bundles, made in a moment and without torch."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

from netloft import __version__
from netloft.bundle import Manifest, TensorSpec, hash_files
from netloft.bundle.vectors import write_vectors
from netloft.runtime.manifest import sealed

CLASSES = 5
SHAPE = (3, 8, 8)
BATCH = 3


def make_bundle(
    folder: Path,
    *,
    batch: str | int = "dynamic",
    names: tuple[str, str] = ("input", "scores"),
    labels: Sequence[str] = (),
    **changes: Any,
) -> Path:
    """Write a bundle of a convolution, a mean and a product.

    Args:
        folder: Its place.
        batch: As in the manifest.
        names: Of its input and its output.
        labels: Of its classes.
        changes: More fields of the manifest.
    """
    folder.mkdir(parents=True)
    model = _model(batch, *names)
    (folder / "model.onnx").write_bytes(model.SerializeToString(deterministic=True))
    items = BATCH if batch == "dynamic" else int(batch)
    x = np.random.default_rng(0).standard_normal((items, *SHAPE)).astype(np.float32)
    session = ort.InferenceSession(model.SerializeToString())
    (y,) = session.run(None, {names[0]: x})
    write_vectors(folder / "test_data_set_0", {names[0]: x}, {names[1]: np.asarray(y)})
    seal(folder, batch, names, tuple(labels), **changes)
    return folder


def seal(
    folder: Path, batch: str | int, names: tuple[str, str], labels: tuple[str, ...], **changes: Any
) -> None:
    """Write a manifest that agrees with the files."""
    axis: int | str = "batch" if batch == "dynamic" else batch
    manifest = Manifest(
        netloft=__version__, name="tiny", class_name="Tiny", model="tiny", arguments={},
        weights="random, seed 0", seed=0, graph_hash="", opset=20, ir_version=10, batch=batch,
        inputs=(TensorSpec(names[0], "float32", (axis, *SHAPE)),),
        outputs=(TensorSpec(names[1], "float32", (axis, CLASSES)),),
        tolerances={names[1]: 2e-6}, files=hash_files(folder), labels=labels,
    )  # fmt: skip
    tuning = changes.pop("tuning", None)
    text = replace(manifest, **changes).to_json()
    if tuning is not None:
        text = sealed(json.loads(text) | {"tuning": tuning})
    (folder / "manifest.json").write_bytes(text)


def tuned_row(**changes: Any) -> dict[str, Any]:
    """Return a row of session options that were found to be best."""
    row = {
        "cpu": "some processor", "cpus": 4, "onnxruntime": "1.31.1", "provider": "cpu",
        "batch": 1, "threads": 3, "spinning": False, "file": "model.onnx", "p50_ms": 1.0,
        "ratio": 0.9, "ratio_low": 0.8, "ratio_high": 0.95,
    }  # fmt: skip
    return row | changes


def files_of(folder: Path) -> dict[str, bytes]:
    """Return every file below a folder, by path."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def _model(batch: str | int, input_name: str, output_name: str) -> onnx.ModelProto:
    random = np.random.default_rng(1)
    weights = {
        "kernel": random.standard_normal((4, 3, 3, 3)) / 5,
        "bias": random.standard_normal(4),
        "matrix": random.standard_normal((4, CLASSES)),
    }
    axis = "batch" if batch == "dynamic" else batch
    graph = helper.make_graph(
        [
            helper.make_node("Conv", [input_name, "kernel", "bias"], ["c"], pads=[1, 1, 1, 1]),
            helper.make_node("Relu", ["c"], ["r"]),
            helper.make_node("GlobalAveragePool", ["r"], ["p"]),
            helper.make_node("Flatten", ["p"], ["f"]),
            helper.make_node("MatMul", ["f", "matrix"], [output_name]),
        ],
        "tiny",
        [helper.make_tensor_value_info(input_name, TensorProto.FLOAT, [axis, *SHAPE])],
        [helper.make_tensor_value_info(output_name, TensorProto.FLOAT, [axis, CLASSES])],
        [numpy_helper.from_array(v.astype(np.float32), k) for k, v in weights.items()],
    )
    opset = [helper.make_opsetid("", 20)]
    return helper.make_model(graph, opset_imports=opset, ir_version=10)


def make_pairs_bundle(folder: Path) -> Path:
    """Write a bundle that holds each item against the others: its output is [batch, batch]."""
    folder.mkdir(parents=True)
    graph = helper.make_graph(
        [
            helper.make_node("Transpose", ["input"], ["t"], perm=[1, 0]),
            helper.make_node("MatMul", ["input", "t"], ["scores"]),
        ],
        "pairs",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["batch", 4])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["batch", "batch"])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    (folder / "model.onnx").write_bytes(model.SerializeToString(deterministic=True))
    x = np.random.default_rng(0).standard_normal((BATCH, 4)).astype(np.float32)
    write_vectors(folder / "test_data_set_0", {"input": x}, {"scores": x @ x.T})
    seal(
        folder, "dynamic", ("input", "scores"), (),
        inputs=(TensorSpec("input", "float32", ("batch", 4)),),
        outputs=(TensorSpec("scores", "float32", ("batch", "batch")),),
    )  # fmt: skip
    return folder
