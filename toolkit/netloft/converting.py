"""The exported graph in another element type: written, judged, and set beside the float32 file."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy.typing as npt
import torch
from torch import nn

from netloft.defaults import PRECISIONS
from netloft.errors import UsageError
from netloft.graph.graph import Graph
from netloft.parity.check import ParityResult, check_parity, require_parity
from netloft.parity.flat import flat_header
from netloft.parity.inputs import DomainInputs, cases_of, feeds_of
from netloft.parity.rounded import FLOAT16_POLICY, Float16Reference
from netloft.parity.task_check import VECTORS, TaskCheck, TaskResult, require_task
from netloft.parity.task_level import DEFAULT_CRITERIA, LAYER_NOISE, Criteria, TaskComparison
from netloft.runtime.providers import NotRun
from netloft.speed import bench
from netloft.tracing.faithful import fresh_inputs

__all__ = ["Conversion", "Converted", "Writer", "check_precision", "convert"]

Arrays = Mapping[str, npt.NDArray[Any]]
Progress = Callable[[str], None]

_CALIBRATION, _ITEMS = 8, 8
"""Batches that the ranges of all values are taken from, and items in each where that is open."""
_CALIBRATION_SEED = 10_000
"""Added to the seed: the inputs are not those that the file is judged on."""


class Writer(Protocol):
    """Writes files in other precisions: `netloft_exporters.onnx.precision`."""

    def write_float16(self, source: Path, target: Path, graph: Graph, opset: int) -> int:
        """Write a float16 file; return the number of its nodes."""

    def write_int8(
        self,
        source: Path,
        target: Path,
        graph: Graph,
        opset: int,
        batches: Sequence[Arrays],
        judge: Callable[[Path], TaskResult],
        progress: Progress,
    ) -> tuple[int, TaskResult, dict[str, Any]]:
        """Write an int8 file that passes; return its nodes, how it does, and what was done."""


@dataclass(frozen=True)
class Conversion:
    """What is to be converted, and how it is to be judged.

    Attributes:
        precision: `fp16` or `int8`.
        source: The float32 file, which was proven.
        target: Where the other file goes.
        graph: What both come from.
        module: The source, in eval mode.
        example: Inputs that it was traced with, by name.
        is_given: The example is the caller's own: real data, which calibrates too.
        vectors: Inputs that the bundle will be verified with.
        domain: Real-looking inputs.
        opset: ONNX operator set.
        providers: That start here.
        seed: Of the inputs.
        threads: For one operation.
        quick: Measure with fewer repetitions.
        timed: Batch sizes to measure at.
        criteria: What an int8 file has to reach.
    """

    precision: str
    source: Path
    target: Path
    graph: Graph
    module: nn.Module
    example: Mapping[str, torch.Tensor]
    is_given: bool
    vectors: Mapping[str, torch.Tensor]
    domain: DomainInputs
    opset: int
    providers: Sequence[str]
    seed: int
    threads: int | None
    quick: bool
    timed: Sequence[int]
    criteria: Criteria = DEFAULT_CRITERIA

    def inputs(self, batch: int, seed: int) -> tuple[Mapping[str, torch.Tensor], str]:
        """Return inputs of the network's own domain, or noise where that is not known."""
        return self.domain(batch, seed) or (fresh_inputs(self.example, batch, seed), "noise")


@dataclass(frozen=True)
class Converted:
    """A file in another precision that passes.

    Attributes:
        rows: Of its parity, as in `report.json`.
        tolerances: Largest error that passes on the test vectors, by output.
        notes: What a reader has to know to trust the rows.
        nodes: How many it has.
        facts: `precision` in `report.json`.
    """

    rows: list[dict[str, Any]]
    tolerances: Mapping[str, float]
    notes: tuple[str, ...]
    nodes: int
    facts: dict[str, Any] = field(default_factory=dict)


def check_precision(precision: str, functions: bool) -> None:
    """Refuse what cannot be converted, before the work.

    Raises:
        UsageError: There is no such precision, or it cannot be had with functions.
    """
    if precision not in PRECISIONS:
        raise UsageError(
            f"there is no precision '{precision}'", remedy=f"use one of {', '.join(PRECISIONS)}"
        )
    if precision != "fp32" and functions:
        raise UsageError(
            f"{precision} does not go with ONNX functions: the converters do not look into them",
            remedy="leave out --functions, or export with --precision fp32",
        )


def convert(job: Conversion, writer: Writer, proof: ParityResult, progress: Progress) -> Converted:
    """Write the graph in another precision, judge it, and measure it beside the float32 file.

    Args:
        job: What is to be done.
        writer: Writes the files.
        proof: Of the float32 file.
        progress: Told what is being done.

    Raises:
        UsageError: The weights lie beside the file, which the converters do not take.
        ExportError: There is nothing to convert.
        ParityError: No file of this precision passes.
        CheckError: What was written is not right.
    """
    if job.source.with_name(f"{job.source.name}.data").exists():
        raise UsageError(
            f"{job.precision} is not for networks whose weights do not fit in one file",
            remedy="export with --precision fp32",
        )
    header = flat_header(job.source)
    progress("running the module on the inputs to judge by")
    check = TaskCheck(job.graph, header, job.inputs, job.seed, job.vectors, job.criteria)

    def judge(path: Path) -> TaskResult:
        return check.judge(path, job.providers, threads=job.threads)

    make = _float16 if job.precision == "fp16" else _int8
    made = make(job, writer, judge, progress)
    progress(f"measuring {job.precision} beside fp32")
    return dataclasses.replace(made, facts=_beside(job, proof) | made.facts)


def _float16(
    job: Conversion, writer: Writer, judge: Callable[[Path], TaskResult], progress: Progress
) -> Converted:
    nodes = writer.write_float16(job.source, job.target, job.graph, job.opset)
    result = check_parity(
        job.graph,
        job.module,
        job.target,
        cases_of(job.graph, job.example, job.seed, job.domain),
        job.providers,
        threads=job.threads,
        policy=FLOAT16_POLICY,
        progress=lambda what: progress(f"proving parity: {what}"),
        reference=Float16Reference,
    )
    require_parity(result)
    task = judge(job.target)
    require_task(task, job.precision)
    empty = {"sqnr_db": None, "agreement": None}
    rows = [{**dataclasses.asdict(row), **empty} for row in result.rows]
    rows += [dataclasses.asdict(row) for row in task.rows]
    return Converted(rows, result.tolerances, (*result.notes, *task.notes), nodes)


def _int8(
    job: Conversion, writer: Writer, judge: Callable[[Path], TaskResult], progress: Progress
) -> Converted:
    batches = list(_calibration(job))
    nodes, task, facts = writer.write_int8(
        job.source, job.target, job.graph, job.opset, batches, judge, progress
    )
    size = job.graph.batch if isinstance(job.graph.batch, int) else _ITEMS
    kind = job.inputs(size, job.seed)[1]
    facts["calibration"] = f"{len(batches)} batches of {size}, such as {kind}"
    facts["criteria"] = dataclasses.asdict(job.criteria)
    notes = (*task.notes, *_float_layers(facts))
    rows = [dataclasses.asdict(row) for row in task.rows]
    return Converted(rows, _tolerances(job, task.rows), notes, nodes, facts)


def _calibration(job: Conversion) -> Iterator[Arrays]:
    """Return inputs by the file's names, the same for the same seed."""
    size = job.graph.batch if isinstance(job.graph.batch, int) else _ITEMS
    if job.is_given or job.domain(1, job.seed) is None:
        yield feeds_of(job.graph, job.example)
    for index in range(_CALIBRATION):
        yield feeds_of(job.graph, job.inputs(size, job.seed + _CALIBRATION_SEED + index)[0])


def _tolerances(job: Conversion, rows: Sequence[TaskComparison]) -> dict[str, float]:
    """Return what the test vectors may be off by.

    Twice what they are off by here: another processor rounds other values up, which adds as much
    noise once more. Never more than the criterion, which they pass too.
    """
    found = {value.name: job.criteria.tolerance for value in job.graph.outputs}
    for name in found:
        off = [row.rms_error for row in rows if row.output == name and row.input == VECTORS]
        if off:
            found[name] = min(found[name], max(2 * max(off), LAYER_NOISE))
    return found


def _float_layers(facts: Mapping[str, Any]) -> Iterator[str]:
    """Tell of layers that do not run as the file has them."""
    kept = {layer["node"] for layer in facts["kept"]}
    real = set(facts["layers_in_float32"])
    for names, what in (
        (real - kept, "quantised layers run in float32 on this CPU, for which ONNX Runtime has no "
         "integer kernel of them"),
        (kept - real, "kept layers stand between rounded values, where ONNX Runtime rounds their "
         "weights itself"),
    ):  # fmt: skip
        if names:
            yield f"{len(names)} {what}: {', '.join(sorted(names)[:3])}"


def _beside(job: Conversion, proof: ParityResult) -> dict[str, Any]:
    """Return the size and the speed of a file beside those of the float32 file."""
    files = {"fp32": job.source, job.precision: job.target}
    sizes = [path.stat().st_size for path in files.values()]
    example = feeds_of(job.graph, job.vectors)
    shapes = {name: array.shape for name, array in example.items()}  # as of the bundle later
    result = bench(*files.values(), batches=job.timed, providers=job.providers,
                   threads=job.threads, quick=job.quick, shapes=shapes)  # fmt: skip
    worst = max(proof.rows, key=lambda row: row.ratio)

    def named(text: str) -> str:
        """Give a file its precision for a name: where it was built is nobody's business."""
        for name, path in files.items():
            text = text.replace(str(path), name)
        return text

    return {
        "precision": job.precision,
        "fp32_comparisons": len(proof.rows),
        "fp32_worst_ratio": worst.ratio,
        "fp32_bytes": sizes[0],
        "bytes": sizes[1],
        "size_ratio": sizes[1] / sizes[0],
        "speed": [dataclasses.asdict(row) | {"target": named(row.target)} for row in result.rows],
        "not_run": [NotRun(*map(named, entry))._asdict() for entry in result.not_run],
    }
