"""One record that every stage of an export fills in; the tables, the JSON and the page show it."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from netloft.defaults import JSON_FORMAT
from netloft.graph.graph import Graph
from netloft.models.loaded import LoadedModel
from netloft.report.plain import plain
from netloft.runtime.providers import NotRun

__all__ = ["Report", "describe_model"]


@dataclass
class Report:
    """Everything measured on one export.

    Attributes:
        status: `pass` when every check held.
        model: What was exported; see `describe_model`.
        environment: What the numbers were measured on.
        export: Route, opset, nodes and bytes of the file.
        parity: One row for each provider, input and output.
        speed: One row for each engine and batch.
        passes: Name, status, nodes before and after, and the proof.
        precision: The file beside the float32 file of the same graph; empty where it is that file.
        not_run: What did not run, with the reason.
        notes: What a reader has to know to trust the rows.
        stages: Seconds that each stage took.
    """

    status: str = "fail"
    model: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, Any] = field(default_factory=dict)
    export: dict[str, Any] = field(default_factory=dict)
    parity: list[dict[str, Any]] = field(default_factory=list)
    speed: list[dict[str, Any]] = field(default_factory=list)
    passes: list[dict[str, Any]] = field(default_factory=list)
    precision: dict[str, Any] = field(default_factory=dict)
    not_run: list[NotRun] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    stages: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time a stage."""
        start = time.perf_counter()
        yield
        self.stages[name] = round(time.perf_counter() - start, 3)

    def to_dict(self) -> dict[str, Any]:
        """Return plain data, with no NaN or infinity, which JSON lacks."""
        facts = {"format": JSON_FORMAT, **dataclasses.asdict(self)}
        facts["not_run"] = [row._asdict() for row in self.not_run]
        result: dict[str, Any] = plain(facts)
        return result

    def to_json(self) -> bytes:
        """Return `report.json`."""
        return json.dumps(self.to_dict(), indent=2, allow_nan=False).encode() + b"\n"


def describe_model(model: LoadedModel, graph: Graph) -> dict[str, Any]:
    """Say what was exported, from the model and its graph."""
    totals = graph.totals
    return {
        "name": model.name,
        "class": graph.class_name,
        "spec": model.spec,
        "arguments": dict(model.arguments),
        "weights": model.weights,
        "preprocess": dict(model.inside),
        "labels": len(model.labels),
        "map": dict(model.map),
        "batch": graph.batch,
        "capture": graph.capture,
        "inputs": [
            {"name": v.name, "dtype": v.info.dtype, "shape": list(v.info.shape)}
            for v in graph.inputs
        ],
        "outputs": [
            {"name": v.name, "dtype": v.info.dtype, "shape": list(v.info.shape)}
            for v in graph.outputs
        ],
        "nodes": len(graph),
        "parameters": totals.n_params,
        "unused_parameters": totals.n_dead_params,
        "multiply_adds": totals.macs,
        "peak_activation_bytes": totals.peak_activation_bytes,
        "dead_modules": [
            {"path": m.path, "class": m.class_name, "parameters": m.n_params}
            for m in graph.dead_modules
        ],
        "side_effects": [
            {"what": e.what, "source": str(e.source or "")} for e in graph.side_effects
        ],
    }
