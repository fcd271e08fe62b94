"""KServe: an InferenceService whose container serves the bundle itself, by `netloft.runtime`.

Sources: https://kserve.github.io/website/docs/reference/crd-api (InferenceService, v1beta1) and
https://kserve.github.io/website/docs/model-serving/predictive-inference/frameworks/custom-predictor
"""

from __future__ import annotations

import re
from pathlib import Path

from netloft.protocol import datatype_of
from netloft.publishing.options import Options
from netloft.publishing.source import Source, copy_model
from netloft.publishing.templating import render

__all__ = ["write"]

_LONGEST = 40  # characters of a name to which Kubernetes adds its own, 63 together


def write(source: Source, folder: Path, options: Options) -> None:
    """Write the bundle, the predictor that loads it, its image and its InferenceService.

    Args:
        source: The bundle, which is copied whole: the predictor checks every file as it starts.
        folder: The model's.
        options: The provider.

    Raises:
        ExportError: A tensor has an element type that the protocol does not know.
    """
    for tensor in (*source.inputs, *source.outputs):
        datatype_of(tensor.dtype)
    copy_model(source, folder / "model", *source.manifest["files"], "manifest.json")
    from netloft import __version__

    values = {
        "name": source.name,
        "service": _service(source.name),
        "provider": options.provider,
        "runtime": "onnxruntime" if options.provider == "cpu" else _runtime(options.provider),
        "version": __version__,
        "tag": source.sha256[:12],
        "sha256": source.sha256,
    }
    for file in ("server.py", "requirements.txt", "Dockerfile", "inferenceservice.yaml"):
        render(f"kserve_{file}.j2", folder / file, **values)
    render("kserve_README.md.j2", folder / "README.md", **values)


def _runtime(provider: str) -> str:
    """Return the package that has a provider."""
    return "onnxruntime-openvino" if provider == "openvino" else "onnxruntime-gpu[cuda,cudnn]"


def _service(name: str) -> str:
    """Return a name that Kubernetes allows: small letters, digits and `-`.

    Source: RFC 1035, section 2.3.1, which Kubernetes holds names of services to.
    """
    plain = re.sub("[^a-z0-9]+", "-", name.lower()).strip("-")[:_LONGEST].strip("-")
    return plain if plain[:1].isalpha() else f"model-{plain}"
