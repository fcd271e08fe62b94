"""NVIDIA Triton: a model of a model repository.

Sources, in https://github.com/triton-inference-server:

* server/blob/main/docs/user_guide/model_repository.md has the layout,
* common/blob/main/protobuf/model_config.proto has the fields of `config.pbtxt` (`ModelConfig`),
* onnxruntime_backend/blob/main/README.md has the names of the backend's parameters,
* python_backend/blob/main/README.md has what `model.py` has to be.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from netloft.errors import ExportError, UsageError
from netloft.protocol import datatype_of
from netloft.publishing.options import Options
from netloft.publishing.pbtxt import Word, to_pbtxt
from netloft.publishing.source import Source, copy_model
from netloft.publishing.templating import render
from netloft.runtime.load import Tensor
from netloft.runtime.providers import PROVIDERS

__all__ = ["write"]

_VERSION = "1"
_LABELS = "labels.txt"

_MAX_BATCH = 8

_GPU = frozenset({"cuda", "tensorrt"})
# without this the backend lets CUDA round factors to 10 bits, which no tolerance allows
_CUDA = {"name": "cuda", "parameters": {"key": "use_tf32", "value": "0"}}
# the backend gives TensorRT the number of its GPU only where there is a parameter
_TENSORRT = {"name": "tensorrt", "parameters": {"key": "precision_mode", "value": "FP32"}}
_ACCELERATORS: Mapping[str, list[Mapping[str, Any]]] = {
    "cuda": [_CUDA],
    "tensorrt": [_TENSORRT, _CUDA],  # what TensorRT leaves would else run with CUDA's own options
}


def write(source: Source, folder: Path, options: Options) -> None:
    """Write `config.pbtxt`, version 1 of the model, the data it is warmed up with and the labels.

    Args:
        source: The bundle.
        folder: The model's, in the repository.
        options: Provider, backend and the largest batch.

    Raises:
        UsageError: The provider would not be held to float32, or there is a largest batch and
            Triton may form none.
        ExportError: A tensor has no axis, or an element type that Triton does not know.
    """
    _check(source, options)
    copy_model(source, folder / _VERSION)
    if options.backend == "python":
        render("triton_model.py.j2", folder / _VERSION / "model.py")
    labelled = _labelled(source)
    if labelled:
        lines = "".join(f"{' '.join(label.splitlines())}\n" for label in source.labels)
        (folder / _LABELS).write_text(lines, encoding="utf-8")
    config = to_pbtxt(_config(source, options, labelled))
    (folder / "config.pbtxt").write_text(config, encoding="utf-8")
    _write_warmup(source, folder / "warmup")


def _check(source: Source, options: Options) -> None:
    """Refuse what would not be done as it was asked for."""
    if options.backend == "onnxruntime" and options.provider == "openvino":
        raise UsageError(
            "Triton's ONNX Runtime backend has no option that keeps OpenVINO in float32",
            remedy="give --backend python, or another provider",
        )
    if options.max_batch is not None and not source.is_batched:
        raise UsageError(
            "--max-batch means nothing here: Triton forms batches only where the first axis of "
            "every input and output is an open batch, and no other axis follows it",
            remedy="leave it out",
        )


_EXTENDED = 1
"""The backend's number for all optimisations but those of the layout; others mean fewer or none."""


def _config(source: Source, options: Options, labelled: str) -> dict[str, Any]:
    engine = {"platform": "onnxruntime_onnx", "backend": "onnxruntime"}
    config: dict[str, Any] = {"name": source.name}
    config |= engine if options.backend == "onnxruntime" else {"backend": "python"}
    config["max_batch_size"] = _largest(options) if source.is_batched else 0
    config["input"] = [_tensor(source, tensor) for tensor in source.inputs]
    config["output"] = [
        _tensor(source, tensor) | ({"label_filename": _LABELS} if tensor.name == labelled else {})
        for tensor in source.outputs
    ]
    if source.is_batched:
        config["dynamic_batching"] = {}
    kind = Word("KIND_GPU" if options.provider in _GPU else "KIND_CPU")
    config["instance_group"] = {"count": 1, "kind": kind}
    if options.backend == "onnxruntime" and options.provider in _ACCELERATORS:
        accelerators = {"gpu_execution_accelerator": _ACCELERATORS[options.provider]}
        config["optimization"] = {"execution_accelerators": accelerators}
    tuned = source.tuned(options.provider)
    if options.backend == "onnxruntime" and tuned is not None and tuned.optimisation == "extended":
        level = {"graph": {"level": _EXTENDED}}
        config["optimization"] = config.get("optimization", {}) | level
    config["parameters"] = [
        {"key": key, "value": {"string_value": value}}
        for key, value in _parameters(source, options).items()
    ]
    config["model_warmup"] = list(_warmup(source, options))
    return config


def _largest(options: Options) -> int:
    return _MAX_BATCH if options.max_batch is None else options.max_batch


def _tensor(source: Source, tensor: Tensor) -> dict[str, Any]:
    """Describe an input or output; where Triton forms batches, the batch is left out."""
    if not tensor.shape:
        raise ExportError(
            f"'{tensor.name}' is a single number, and Triton's tensors have an axis",
            remedy="let the network give it as a tensor with one element",
        )
    shape = tensor.shape[1:] if source.is_batched else tensor.shape
    return {
        "name": tensor.name,
        "data_type": Word(f"TYPE_{datatype_of(tensor.dtype)}"),
        "dims": [length if isinstance(length, int) else -1 for length in shape],
    }


def _parameters(source: Source, options: Options) -> dict[str, str]:
    """Return the session options, under the names that the ONNX Runtime backend has for them."""
    # one after another, as every measurement of netloft runs
    found = {"execution_mode": "0", "inter_op_thread_count": "1"}
    tuned = source.tuned(options.provider)
    if tuned is not None:
        found |= {"intra_op_thread_count": str(tuned.threads)} if tuned.threads else {}
        found |= {} if tuned.arena else {"enable_mem_arena": "0"}
    if options.backend == "python":
        found["execution_provider"] = PROVIDERS[options.provider]
        if tuned is not None:
            found["allow_spinning"] = str(int(tuned.spinning))
            found["graph_optimization"] = tuned.optimisation
    return found


def _warmup(source: Source, options: Options) -> Iterator[dict[str, Any]]:
    """Describe runs that are made before the model is ready, on the bundle's own test vectors."""
    for batch in sorted({1, _largest(options)} if source.is_batched else {1}):
        yield {
            "name": f"batch_{batch}" if source.is_batched else "test_vectors",
            "batch_size": batch,
            "inputs": [
                {
                    "key": tensor.name,
                    "value": {
                        "data_type": Word(f"TYPE_{datatype_of(tensor.dtype)}"),
                        "dims": list(source.given[tensor.name].shape[int(source.is_batched) :]),
                        "input_data_file": f"input_{index}",
                    },
                }
                for index, tensor in enumerate(source.inputs)
            ],
        }


def _write_warmup(source: Source, folder: Path) -> None:
    """Write the data, row by row; of a batch that Triton forms, its first item."""
    folder.mkdir()
    for index, tensor in enumerate(source.inputs):
        array = source.given[tensor.name]
        data = (array[0] if source.is_batched else array).tobytes()
        (folder / f"input_{index}").write_bytes(data)


def _labelled(source: Source) -> str:
    """Return the output whose last axis the labels name; empty for none."""
    count = len(source.labels)
    names = [t.name for t in source.outputs if count and t.shape and t.shape[-1] == count]
    return names[0] if names else ""
