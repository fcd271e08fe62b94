"""A bill of materials of a bundle: CycloneDX 1.6, for the model and what it was made with.

Source: https://cyclonedx.org/docs/1.6/json/, `machine-learning-model` and `modelCard`. It has no
time and no serial number, so that the same bundle has the same one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from netloft.errors import IntegrityError
from netloft.runtime.manifest import read_json_bytes

__all__ = ["BOM", "bom_of", "write_bom"]

BOM = "bom.cdx.json"
"""The file's name in a bundle."""

_LIBRARIES = ("torch", "onnxruntime", "onnx")


def write_bom(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Write a bill of materials into a copy of a bundle, before that is sealed.

    Raises:
        IntegrityError: The bundle lacks what it would tell.
    """
    try:
        facts = bom_of(manifest, _report(folder))
    except (KeyError, TypeError, AttributeError) as error:
        raise IntegrityError(f"the bundle does not say what it is made of: {error!r}") from error
    text = json.dumps(facts, indent=2, ensure_ascii=False)
    (folder / BOM).write_text(text + "\n", encoding="utf-8", errors="replace")


def _report(folder: Path) -> Mapping[str, Any]:
    try:
        found = json.loads(read_json_bytes(folder / "report.json"))
    except (OSError, ValueError, RecursionError) as error:
        raise IntegrityError(f"report.json cannot be read: {error}") from error
    if not isinstance(found, dict):
        raise IntegrityError("report.json is not a JSON object")
    return found


def bom_of(manifest: Mapping[str, Any], report: Mapping[str, Any]) -> dict[str, Any]:
    """Return the bill of materials.

    Args:
        manifest: Of the bundle.
        report: Its `report.json`.
    """
    environment = report.get("environment", {})
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": _model(manifest, report)},
        "components": [
            _library("netloft", str(manifest["netloft"])),
            *(
                _library(*_named(name, str(environment[name])))
                for name in _LIBRARIES
                if environment.get(name)
            ),
        ],
        "dependencies": [],
    }


def _model(manifest: Mapping[str, Any], report: Mapping[str, Any]) -> dict[str, Any]:
    model = manifest["files"]["model.onnx"]
    facts = {
        "netloft:weights": manifest["weights"],
        "netloft:graph": manifest["graph_hash"],
        "netloft:opset": manifest["opset"],
        "netloft:precision": manifest["precision"],
        "netloft:status": report.get("status", ""),
    }
    return {
        "type": "machine-learning-model",
        "bom-ref": "model",
        "name": manifest["name"],
        "version": model["sha256"][:16],
        "hashes": [{"alg": "SHA-256", "content": model["sha256"]}],
        "properties": [{"name": key, "value": str(value)} for key, value in facts.items()],
        "modelCard": {
            "modelParameters": {
                "modelArchitecture": manifest["class"],
                "inputs": [{"format": _format(each)} for each in manifest["inputs"]],
                "outputs": [{"format": _format(each)} for each in manifest["outputs"]],
            },
            "quantitativeAnalysis": {"performanceMetrics": _metrics(report)},
        },
    }


def _format(tensor: Mapping[str, Any]) -> str:
    return f"{tensor['name']}: {tensor['dtype']}[{', '.join(map(str, tensor['shape']))}]"


def _metrics(report: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return the worst error of each output on each provider, against the module."""
    worst: dict[tuple[str, str], Mapping[str, Any]] = {}
    for row in report.get("parity", ()):
        place = str(row["provider"]), str(row["output"])
        if place not in worst or float(row["ratio"]) > float(worst[place]["ratio"]):
            worst[place] = row
    return [
        {
            "type": "scaled error against the module in float64",
            "value": f"{row['scaled_error']} where {row['tolerance']} is allowed",
            "slice": f"{output} on {provider}: {row['input']}, batch {row['batch']}",
        }
        for (provider, output), row in sorted(worst.items())
    ]


def _named(name: str, version: str) -> tuple[str, str]:
    """Split what the report says into a package and its version: `onnxruntime-gpu 1.31.1`."""
    package, space, number = version.partition(" ")
    return (package, number) if space else (name, version)


def _library(name: str, version: str) -> dict[str, str]:
    number = version.partition("+")[0]
    return {
        "type": "library",
        "bom-ref": f"{name}@{version}",
        "name": name,
        "version": version,
        "purl": f"pkg:pypi/{name}@{number}",
    }
