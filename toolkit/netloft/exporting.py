"""The main job, whole: trace, draw, export, prove, measure, and write the bundle.

With the command line this is the one place that knows the toolkit, the exporters and the diagrams.
"""

from __future__ import annotations

import dataclasses
import hashlib
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from netloft import __version__
from netloft.bundle import Manifest, TensorSpec, check_target, hash_files, staged_bundle
from netloft.bundle.vectors import write_vectors
from netloft.bundle.write import default_target
from netloft.converting import Conversion, check_precision, convert
from netloft.defaults import DEFAULT_OPSET
from netloft.export_options import DEFAULT_OPTIONS, ExportOptions
from netloft.graph.graph import Graph, Value
from netloft.locating.failing import require_located
from netloft.models.domain import domain_inputs
from netloft.models.given import of_module
from netloft.models.loaded import LoadedModel
from netloft.models.wrapping import Statistics
from netloft.parity.check import ParityResult, certify
from netloft.parity.inputs import cases_of, feeds_of
from netloft.parity.stressing.stress import stressed
from netloft.parity.task_level import DEFAULT_CRITERIA, Criteria
from netloft.passes import choose_passes
from netloft.report.html import to_html
from netloft.report.plain import public
from netloft.report.report import Report, describe_model
from netloft.runtime.placed import taking
from netloft.runtime.providers import NotRun, available
from netloft.tracing import trace
from netloft.tracing.axes import Axes
from netloft.tracing.faithful import flatten_outputs, fresh_inputs, silent

__all__ = ["Bundle", "ExportOptions", "export", "export_model"]

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Bundle:
    """A bundle on disk and what was measured while it was made."""

    path: Path
    report: Report

    def __fspath__(self) -> str:
        return str(self.path)


def export(
    module: nn.Module,
    example_inputs: tuple[Any, ...] | Mapping[str, Any],
    out: str | Path | None = None,
    *,
    name: str = "",
    batch: str | int = "dynamic",
    opset: int = DEFAULT_OPSET,
    providers: Sequence[str] = (),
    seed: int = 0,
    threads: int | None = None,
    quick: bool = False,
    passes: Sequence[str] | None = None,
    without: Sequence[str] = (),
    dynamic: Axes = MappingProxyType({}),
    preprocess: str | Statistics | None = None,
    head: str | Sequence[str] = (),
    labels: str | Path | Sequence[str] | None = None,
    map: str = "",
    layer: str = "",
    class_index: int | None = None,
    functions: bool = False,
    precision: str = "fp32",
    criteria: Criteria = DEFAULT_CRITERIA,
) -> Bundle:
    """Export a module of your own.

    Args:
        module: In eval mode; it is not changed.
        example_inputs: Tensors in order or by name, batch first.
        out: The bundle's folder; `out/NAME` by default.
        name: Short name; the class in lower case by default.
        batch: `dynamic`, or the one batch size that the file takes.
        opset: ONNX operator set.
        providers: `cpu`, `cuda` …; empty for CPU, and CUDA where it starts.
        seed: Of the inputs that the file is checked on.
        threads: For one operation; None for the machine's cores.
        quick: Measure at batch 1 alone, briefly, without `torch.compile`; do not time the passes.
        passes: Names of the passes to run, in order (`netloft.passes.DEFAULT` has them); None for
            the default ones.
        without: Names of passes to leave out.
        dynamic: Other axes that stay open, such as `{"x": {2: "height", 3: "width"}}`.
        preprocess: `imagenet`, or `mean` and `std` of each channel, of values in [0, 1]: the file
            takes pictures as bytes (batch, height, width, channels), and of the example inputs,
            which are still the module's own, the shape alone is used.
        head: `softmax`, `topK` such as `top5`, or both: the file gives `probabilities`, or
            `scores` and `classes`.
        labels: A file with the name of a class a line, or the names; told in the metadata.
        map: `gradcam` or `gradcam++`: the file gives a map of the picture in [0, 1] too.
        layer: Of the map: path of the module whose values it weighs; the last pictures by default.
        class_index: Of the map: the class to explain; the best of each picture by default.
        functions: Gather the nodes of each module call into an ONNX function.
        precision: `fp32`, `fp16` or `int8`. An int8 file is calibrated on the example inputs too,
            so give real ones.
        criteria: What an int8 file has to reach.

    Raises:
        TraceError: The module has no faithful graph.
        ExportError: The graph cannot be written as ONNX.
        ParityError: The file computes another function; nothing was written.
        ProviderError: A provider that was asked for does not start here.
        OutputError: The folder is not ours to write.
    """
    around: dict[str, Any] = {"preprocess": preprocess, "head": head, "labels": labels}
    around |= {"map": map, "layer": layer, "class_index": class_index}
    model, example = of_module(module, example_inputs, name, **around, batch=batch, seed=seed)
    options = ExportOptions(
        batch=batch,
        opset=opset,
        providers=tuple(providers),
        seed=seed,
        threads=threads,
        quick=quick,
        passes=None if passes is None else tuple(passes),
        without=tuple(without),
        dynamic=dynamic,
        functions=functions,
        precision=precision,
        criteria=criteria,
    )
    return export_model(model, out, options, example=example)


def export_model(
    model: LoadedModel,
    out: str | Path | None = None,
    options: ExportOptions = DEFAULT_OPTIONS,
    *,
    example: Mapping[str, torch.Tensor] | None = None,
    progress: Progress = lambda _: None,
) -> Bundle:
    """Export a loaded model; see `export` for the errors.

    Args:
        model: What `netloft.models.load_model` gave.
        out: The bundle's folder; `out/NAME` by default.
        options: How to export.
        example: Inputs to trace with; the model's own by default.
        progress: Told what is being done.
    """
    target = Path(out) if out is not None else default_target(model.name)
    check_target(target)
    choose_passes(options.passes, options.without)  # a wrong name is told before the work
    check_precision(options.precision, options.functions)
    running, missing = available(options.providers)
    report = Report(not_run=list(missing))
    model = dataclasses.replace(model, arguments=public(model.arguments))
    inputs = dict(example) if example is not None else model.example(seed=options.seed)
    progress("tracing")
    with report.stage("trace"):
        graph = trace(model.module, inputs, options.batch, name=model.name, dynamic=options.dynamic)
    report.model = describe_model(model, graph)
    with staged_bundle(target) as folder:
        given = example is not None
        job = _Job(graph, model, inputs, given, folder, running, options, report, progress)
        _draw(job)
        _lower(job)
        if not options.providers:  # nobody asked for what runs nothing of the file
            running, left = taking(job.file, running)
            job = dataclasses.replace(job, running=running)
            report.not_run += left
        tolerances = _convert(job, _prove(job))
        _measure(job)
        _write_vectors(job)
        report.status = "pass"
        (folder / "report.json").write_bytes(report.to_json())
        (folder / "report.html").write_bytes(to_html(report))
        (folder / "manifest.json").write_bytes(_manifest(job, tolerances).to_json())
    return Bundle(target, report)


@dataclass(frozen=True)
class _Job:
    """What every stage of one export needs.

    Attributes:
        graph: Of the module.
        model: With the module and what is known of it.
        inputs: That it was traced with, by name.
        is_given: They are the caller's own.
        folder: Private until all is done.
        running: Providers to run on.
        options: How to export.
        report: Each stage adds to it.
        progress: Told what is being done.
    """

    graph: Graph
    model: LoadedModel
    inputs: Mapping[str, torch.Tensor]
    is_given: bool
    folder: Path
    running: Sequence[str]
    options: ExportOptions
    report: Report
    progress: Progress

    @property
    def file(self) -> Path:
        return self.folder / "model.onnx"

    def real(self, batch: int, seed: int) -> tuple[dict[str, torch.Tensor], str] | None:
        """Return inputs that look real, and what they are, where that is known."""
        return domain_inputs(self.model, batch, seed)

    def vectors(self) -> Mapping[str, torch.Tensor]:
        """Return the inputs that the bundle is verified with."""
        batch = self.options.batch if isinstance(self.options.batch, int) else 2
        real = self.real(batch, self.options.seed)
        return real[0] if real else {n: t[:batch] if t.dim() else t for n, t in self.inputs.items()}


def _draw(job: _Job) -> None:
    from netloft_diagrams import draw

    job.progress("drawing")
    with job.report.stage("draw"):
        draw(job.graph, job.folder / "diagram.svg", job.folder / "diagram.html")


def _lower(job: _Job) -> None:
    from netloft_exporters.onnx import write_onnx

    job.progress("exporting to ONNX")
    with job.report.stage("export"):
        options = job.options
        passes = choose_passes(options.passes, options.without)
        written = write_onnx(
            job.graph,
            job.model.module,
            job.inputs,
            job.file,
            options.opset,
            passes=passes,
            timed=not options.quick,
            metadata=job.model.metadata,
            functions=options.functions,
        )
    job.report.export = {
        "route": written.route,
        "precision": "fp32",
        "opset": written.opset,
        "ir_version": written.ir_version,
        "nodes": written.nodes,
        "bytes": sum(path.stat().st_size for path in job.folder.glob("model.onnx*")),
    }
    job.report.passes = [dataclasses.asdict(row) for row in written.passes]
    job.report.notes += written.notes


def _prove(job: _Job) -> ParityResult:
    options = job.options
    cases = cases_of(job.graph, job.inputs, options.seed, job.real)
    with job.report.stage("parity"):
        result, expected = certify(
            job.graph,
            job.model.module,
            job.file,
            stressed(cases, job.graph, options.seed),
            job.running,
            threads=options.threads,
            progress=lambda what: job.progress(f"proving parity: {what}"),
        )
    job.report.parity = [dataclasses.asdict(row) for row in result.rows]
    job.report.notes += result.notes
    require_located(result, expected, job.file, job.running, threads=options.threads)
    return result


def _convert(job: _Job, proof: ParityResult) -> Mapping[str, float]:
    """Put the file in the precision that was asked for; return the tolerances of the outputs."""
    if job.options.precision == "fp32":
        return proof.tolerances
    from netloft_exporters.onnx import precision

    report, options = job.report, job.options
    with report.stage("convert"), tempfile.TemporaryDirectory(dir=job.folder) as scratch:
        for file in job.folder.glob("model.onnx*"):
            file.rename(Path(scratch) / file.name)
        what = Conversion(
            precision=options.precision,
            source=Path(scratch) / job.file.name,
            target=job.file,
            graph=job.graph,
            module=job.model.module,
            example=job.inputs,
            is_given=job.is_given,
            vectors=job.vectors(),
            domain=job.real,
            opset=options.opset,
            providers=job.running,
            seed=options.seed,
            threads=options.threads,
            quick=options.quick,
            timed=options.timed_batches,
            criteria=options.criteria,
        )
        made = convert(what, precision, proof, job.progress)
    report.export |= {"precision": options.precision, "nodes": made.nodes}
    report.export["bytes"] = job.file.stat().st_size
    report.parity, report.precision = made.rows, made.facts
    report.notes += made.notes
    return made.tolerances


def _measure(job: _Job) -> None:
    from netloft.speed import bench_model

    options, report = job.options, job.report

    def make_inputs(batch: int) -> dict[str, torch.Tensor]:
        real = job.real(batch, options.seed)
        return real[0] if real else fresh_inputs(job.inputs, batch, options.seed)

    with report.stage("speed"):
        result = bench_model(
            job.model.module,
            job.file,
            make_inputs,
            input_names=[value.name for value in job.graph.inputs],
            providers=job.running,
            batches=options.timed_batches,
            threads=options.threads,
            quick=options.quick,
            compile=not options.quick,
            progress=lambda what: job.progress(f"measuring {what}"),
        )
    report.speed = [dataclasses.asdict(row) for row in result.rows]
    report.not_run += result.not_run
    if options.quick:
        others = () if isinstance(options.batch, int) else ("batch 8",)
        left_out = ("torch.compile", *others, "the time of each pass")
        report.not_run += [NotRun(what, "--quick leaves it out") for what in left_out]
    report.environment = dict(result.environment)


def _write_vectors(job: _Job) -> None:
    chosen = job.vectors()
    with torch.inference_mode(), silent():
        given = job.model.module(**{name: tensor.clone() for name, tensor in chosen.items()})
    arrays = feeds_of(job.graph, chosen)
    named = job.graph.named_outputs(flatten_outputs(given))
    outputs = {name: _array(tensor) for name, tensor in named.items()}
    write_vectors(job.folder / "test_data_set_0", arrays, outputs)


def _array(tensor: torch.Tensor) -> npt.NDArray[Any]:
    return np.asarray(tensor.detach().numpy(), order="C")


def _manifest(job: _Job, tolerances: Mapping[str, float]) -> Manifest:
    model, graph, options, written = job.model, job.graph, job.options, job.report.export
    return Manifest(
        netloft=__version__,
        name=model.name,
        class_name=graph.class_name,
        model=model.spec,
        arguments=dict(model.arguments),
        weights=model.weights,
        seed=options.seed,
        graph_hash=hashlib.sha256(str(graph).encode()).hexdigest(),
        opset=written["opset"],
        ir_version=written["ir_version"],
        batch=options.batch,
        precision=options.precision,
        inputs=tuple(_spec(value) for value in graph.inputs),
        outputs=tuple(_spec(value) for value in graph.outputs),
        tolerances={name: float(f"{t:.6g}") for name, t in tolerances.items()},
        files=hash_files(job.folder),
        preprocess=dict(model.inside),
        labels=model.labels,
    )


def _spec(value: Value) -> TensorSpec:
    return TensorSpec(value.name, value.info.dtype, value.info.shape)
