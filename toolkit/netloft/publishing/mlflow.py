"""MLflow: a model folder of the `onnx` flavour, made without MLflow.

Sources: https://mlflow.org/docs/latest/ml/model (the `MLmodel` file),
https://mlflow.org/docs/latest/ml/model/signatures (tensors, and the input example) and
https://mlflow.org/docs/latest/api_reference/python_api/mlflow.onnx.html (the flavour's fields).
MLflow itself adds a random name and the time; both may be left out, and are.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from netloft.publishing.options import Options
from netloft.publishing.source import Source, copy_model
from netloft.runtime.load import Tensor
from netloft.runtime.providers import PROVIDERS
from netloft.runtime.tuning import MODEL

__all__ = ["write"]

_PYTHON = "3.11"
_REQUIREMENTS = ("mlflow>=2.10", "numpy>=1.26", "onnx>=1.21", "onnxruntime>=1.22")
_EXAMPLE = "input_example.json"

# Source: https://yaml.org/spec/1.2.2/#51-character-set, and its line breaks of version 1.1
_UNPRINTABLE = re.compile("[\x7f-\xa0\u2028\u2029\ufeff\ufffe\uffff]")


def write(source: Source, folder: Path, options: Options) -> None:
    """Write the model, `MLmodel`, the environments and the input example.

    Args:
        source: The bundle.
        folder: The model's.
        options: The CPU's: MLflow hands no options to a provider, so that CUDA would round factors
            to 10 bits, and it goes on with the CPU where another provider does not start.
    """
    copy_model(source, folder)
    text = {
        "MLmodel": "".join(f"{line}\n" for line in _yaml(_mlmodel(source, options))),
        "requirements.txt": "".join(f"{line}\n" for line in _REQUIREMENTS),
        "python_env.yaml": _python_env(),
        "conda.yaml": _conda_env(),
        _EXAMPLE: json.dumps({"inputs": _example(source)}, separators=(",", ":")) + "\n",
    }
    for name, content in text.items():
        (folder / name).write_text(content, encoding="utf-8")


def _mlmodel(source: Source, options: Options) -> dict[str, Any]:
    return {
        "flavors": {
            "onnx": {
                "data": MODEL,
                "onnx_session_options": _session_options(source, options),
                "onnx_version": version("onnx"),
                "providers": [PROVIDERS[options.provider]],
            },
            "python_function": {
                "data": MODEL,
                "env": {"conda": "conda.yaml", "virtualenv": "python_env.yaml"},
                "loader_module": "mlflow.onnx",
                "python_version": _PYTHON,
            },
        },
        "metadata": {"netloft": source.origin, "labels": list(source.labels)},
        "saved_input_example_info": {
            "artifact_path": _EXAMPLE,
            "format": "tf-serving",
            "type": "ndarray",
        },
        "signature": {
            "inputs": json.dumps([_spec(tensor) for tensor in source.inputs]),
            "outputs": json.dumps([_spec(tensor) for tensor in source.outputs]),
            "params": None,
        },
    }


_EXTENDED = 2
"""`GraphOptimizationLevel.ORT_ENABLE_EXTENDED`, which MLflow takes as its number."""


def _session_options(source: Source, options: Options) -> dict[str, Any]:
    """Return the options that MLflow hands to ONNX Runtime, under its names for them."""
    found: dict[str, Any] = {"execution_mode": "sequential", "inter_op_num_threads": 1}
    tuned = source.tuned(options.provider)
    if tuned is not None:
        found |= {"intra_op_num_threads": tuned.threads} if tuned.threads else {}
        spinning = str(int(tuned.spinning))
        found["extra_session_config"] = {"session.intra_op.allow_spinning": spinning}
        if tuned.optimisation == "extended":
            found["graph_optimization_level"] = _EXTENDED
    return found


def _spec(tensor: Tensor) -> dict[str, Any]:
    shape = [length if isinstance(length, int) else -1 for length in tensor.shape]
    return {
        "name": tensor.name,
        "type": "tensor",
        "tensor-spec": {"dtype": tensor.dtype, "shape": shape},
    }


def _example(source: Source) -> dict[str, Any]:
    """Return the first item of the test vectors, or all of them where items are not apart."""
    end = 1 if source.is_batched else None
    return {t.name: source.given[t.name][slice(end)].tolist() if t.shape else
            source.given[t.name].item() for t in source.inputs}  # fmt: skip


def _python_env() -> str:
    return (
        f'python: "{_PYTHON}"\nbuild_dependencies:\n  - pip\n'
        "dependencies:\n  - -r requirements.txt\n"
    )


def _conda_env() -> str:
    pip = "".join(f"      - {line}\n" for line in _REQUIREMENTS)
    return (
        "name: mlflow-env\nchannels:\n  - conda-forge\n"
        f"dependencies:\n  - python={_PYTHON}\n  - pip\n  - pip:\n{pip}"
    )


def _yaml(value: Mapping[str, Any]) -> Iterator[str]:
    """Write nested mappings as YAML; what is in them as JSON, which YAML contains."""
    for key, item in value.items():
        if isinstance(item, Mapping):
            yield f"{key}:"
            yield from (f"  {line}" for line in _yaml(item))
        else:
            yield f"{key}: {_quoted(item)}"


def _quoted(value: object) -> str:
    """Return JSON that YAML reads alike: it knows no pairs of surrogates, and fewer characters."""
    text = json.dumps(value, ensure_ascii=False)
    return _UNPRINTABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
