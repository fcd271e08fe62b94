"""netloft's files beside everything else that runs the same network, on this machine's processors.

    python -m benchmarks.performance run benchmarks/performance.jsonl [NAME …]
    python -m benchmarks.performance_report benchmarks/performance.jsonl > docs/performance.md

Each network is exported in float32 and int8. For each number of threads a process that has as many
processors tunes the files with `netloft bench --tune`, and one for each batch measures them, so
that sessions do not lie where those of another batch left room. All contestants of a batch take
turns in one run. `run` measures what the file does not hold yet of processors of this kind.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import os
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import onnx
from benchmarks.timing import Row, add_rows, rows_of, timed

from netloft.against_file import why_unlike
from netloft.errors import CheckError, NetloftError, first_line
from netloft.exporting import ExportOptions, export_model
from netloft.models import load_model
from netloft.models.domain import domain_inputs
from netloft.models.loaded import LoadedModel
from netloft.parity.task_level import rms_error, sqnr_db
from netloft.runtime.manifest import read_manifest
from netloft.runtime.providers import NotRun
from netloft.runtime.tuning import MODEL, row_for
from netloft.runtime.tuning import rows_of as tuned_rows
from netloft.speed.conditions import Watch
from netloft.speed.contestants import Contestant, read_back, start, timed_session
from netloft.speed.engines import ENGINES, engines_for
from netloft.speed.engines.engine import in_onnxruntime
from netloft.speed.environment import describe_environment
from netloft.speed.measure import Plan, Samples
from netloft.speed.peak import measure_peak
from netloft.speed.setup import Setup
from netloft.speed.sources import FileSource, Source, source_of
from netloft.speed.together import together
from netloft.speed.torch_contestants import forget_compiled, torch_settings
from netloft.speed.tune import tune

BUILT_IN = ("mnist", "acoustic", "myresnet", "alphago", "resnet18")
TORCHVISION = (
    "alexnet", "googlenet", "resnet50", "densenet121", "mobilenet_v2", "efficientnet_b0",
    "shufflenet_v2_x1_0", "regnet_y_400mf", "squeezenet1_1", "mnasnet1_0", "convnext_tiny",
    "mobilenet_v3_large", "vit_b_16",
)  # fmt: skip
THREADS, BATCHES, PRECISIONS = (1, 2), (1, 8), ("fp32", "int8")
TUNED, PLAIN = "netloft", "netloft, as exported"
QUANTIZED = "quantize_static, default"
QUANTIZED_FILE = "quantized.onnx"
PLAN = Plan(width=0.02, patience=8.0)
OWN = ("deployed", "onnxruntime-tuned")
"""Engines for what tuning kept: one row is enough for it."""
INT8 = ("onnxruntime", "openvino", "openvino-default")
"""Engines for int8 files; levels of optimisation and slimmers are told of float32."""


def run(file: Path, names: list[str]) -> None:
    """Measure what is missing; each step is a process of its own."""
    cpu = describe_environment(1).cpu
    done = {(r["net"], r["threads"], r.get("batch")) for r in rows_of(file) if r["cpu"] == cpu}
    for name in names or [*BUILT_IN, *TORCHVISION]:
        cells = [(t, b) for t, b in itertools.product(THREADS, BATCHES) if (name, t, b) not in done]
        if not cells:
            continue
        with tempfile.TemporaryDirectory() as folder:
            if not _step(file, "prepare", name, folder):
                continue
            for threads, left in itertools.groupby(cells, key=lambda cell: cell[0]):
                if _step(file, "tune", name, folder, threads):
                    for _, batch in left:
                        _step(file, "measure", name, folder, threads, batch)


def _step(file: Path, what: str, name: str, folder: str, *numbers: int) -> bool:
    """Run one step; tell whether it came to its end, for the next ones need what it makes."""
    told = [str(number) for number in numbers]
    arguments = [what, name, folder, *told]
    return add_rows(file, "benchmarks.performance", arguments, " ".join([what, name, *told]))


def prepare(name: str, folder: Path) -> Iterator[Row]:
    """Make one network's files in a folder with all processors; yield what failed.

    Raises:
        NetloftError: There is none in float32.
    """
    model, cpu = load_model(name), describe_environment(1).cpu
    failed = []
    for precision in PRECISIONS:
        options = ExportOptions(precision=precision, providers=("cpu",), quick=True)
        try:
            export_model(model, folder / precision, options)
        except NetloftError as error:
            if precision == "fp32":
                raise
            failed.append(NotRun(f"netloft, {precision}", error.problem))
    if not failed:
        failed += _quantize(model, folder / "fp32", folder / QUANTIZED_FILE)
    for row, threads in itertools.product(failed, THREADS):
        yield _missing(name, threads, cpu, row)


def tuned(name: str, folder: Path, threads: int) -> Iterator[Row]:
    """Copy a network's bundles and tune the copies for some threads; yield what failed."""
    _restrict(threads)
    cpu = describe_environment(threads).cpu
    for precision, bundle in _bundles(folder).items():
        copy = shutil.copytree(bundle, folder / str(threads) / precision)
        try:
            tune(copy, batches=BATCHES, providers=["cpu"], prove=why_unlike)
        except NetloftError as error:
            row = NotRun(f"netloft, {precision}, tuned", error.problem)
            yield _missing(name, threads, cpu, row)


def measure(name: str, folder: Path, threads: int, batch: int) -> Iterator[Row]:
    """Measure a network's tuned bundles, and all else, with some threads at one batch."""
    model = load_model(name)
    _restrict(threads)
    peak, cpu = measure_peak(threads).gflops, describe_environment(threads).cpu
    bundles = _bundles(folder / str(threads))
    macs = json.loads((bundles["fp32"] / "report.json").read_bytes())["model"]["multiply_adds"]
    known = {"net": name, "threads": threads, "batch": batch, "cpu": cpu, "peak": peak}
    quantized = folder / QUANTIZED_FILE
    with torch_settings(threads):
        noise = _noise(model, bundles, quantized, batch)
        for row in _measured(model, bundles, quantized, Setup("cpu", batch, threads)):
            known_as = row.get("contestant", "") if row["precision"] == "int8" else ""
            yield {**known, "macs": macs, **row, "sqnr_db": noise.get(known_as)}


def _bundles(folder: Path) -> dict[str, Path]:
    return {name: folder / name for name in PRECISIONS if (folder / name).exists()}


def _missing(name: str, threads: int, cpu: str, row: NotRun) -> Row:
    known = {"net": name, "threads": threads, "cpu": cpu}
    return {**known, "not_run": row.what, "reason": row.reason}


def _restrict(threads: int) -> None:
    """Leave this process as many processors as threads."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])


def _measured(
    model: LoadedModel, bundles: Mapping[str, Path], quantized: Path, setup: Setup
) -> Iterator[Row]:
    entries = list(_entries(model, bundles, quantized, setup))
    missing = [(precision, e) for precision, e in entries if isinstance(e, NotRun)]
    running = [(precision, e) for precision, e in entries if isinstance(e, Contestant)]
    watch = Watch()
    measured, failed = together([contestant for _, contestant in running], PLAN)
    complaints = watch.conditions().complaints
    forget_compiled()
    precisions = {id(contestant): precision for precision, contestant in running}
    kept = {name: {"kept": _kept(bundle, setup.batch)} for name, bundle in bundles.items()}
    first = dict[str, Samples]()
    for contestant, samples in measured:
        precision = precisions[id(contestant)]
        told, unread = read_back(contestant, contestant.engine)
        missing += [(precision, unread)] if unread else []
        yield {
            "precision": precision,
            "contestant": contestant.engine,
            "computes_in": told.precision,
            **timed(samples, first.setdefault(precision, samples)),
            "complaints": complaints,
            **(kept[precision] if contestant.engine == TUNED else {}),
        }
    missing += [(precisions[id(c)], NotRun(c.engine, why)) for c, why in failed]
    yield from ({"precision": p, "not_run": e.what, "reason": e.reason} for p, e in missing)


def _entries(
    model: LoadedModel, bundles: Mapping[str, Path], quantized: Path, setup: Setup
) -> Iterator[tuple[str, Contestant | NotRun]]:
    """Start everything; netloft's own file as a pipeline loads it comes first."""
    for precision, bundle in bundles.items():
        source = source_of(bundle, ["cpu"], setup.threads)
        yield precision, _started("deployed", TUNED, source, setup)
        for engine in engines_for(source, list(ENGINES.values())):
            label = PLAIN if engine.name == "onnxruntime" else engine.label
            if precision == "int8" and engine.name not in INT8:
                continue
            if engine.name not in OWN and not engine.refuses("cpu"):
                yield precision, _started(engine.name, label, source, setup)
    if quantized.exists():
        yield "int8", start(QUANTIZED, lambda: _quantized(quantized, bundles["fp32"], setup))
    module = source_of(model, ["cpu"], setup.threads)
    for engine in engines_for(module, list(ENGINES.values())):
        yield "fp32", _started(engine.name, engine.label, module, setup)


def _kept(bundle: Path, batch: int) -> str:
    """Return what of the tuning runs at a batch, in words; empty for nothing."""
    row = row_for(tuned_rows(read_manifest(bundle)), "cpu", batch)
    if row is None:
        return ""
    told = []
    if row.file != MODEL:
        told = ["rewritten"]
    elif not dataclasses.replace(row, huge_pages=None).is_own_choice:
        told = ["options"]
    return ", ".join([*told, *["huge pages"] * (row.huge_pages is not None)])


def _started(name: str, label: str, source: Source, setup: Setup) -> Contestant | NotRun:
    made = start(label, lambda: ENGINES[name].make(source, setup))
    return made if isinstance(made, NotRun) else dataclasses.replace(made, engine=label)


def _quantize(model: LoadedModel, bundle: Path, made: Path) -> list[NotRun]:
    """Quantise with ONNX Runtime's own quantiser and its habits, on what netloft calibrates on."""
    from onnxruntime.quantization import CalibrationDataReader, quantize_static

    feeds = _arrays(model, bundle, seed=0)
    left = [feeds]

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def get_next(self) -> Any:
            return left.pop() if left else None

    try:
        quantize_static(bundle / MODEL, made, Reader())
        timed_session(made, "cpu", 1).run(None, feeds)
    except Exception as error:  # noqa: BLE001 - whatever it is, the others are measured
        made.unlink(missing_ok=True)
        return [NotRun(QUANTIZED, first_line(error))]
    return []


def _arrays(model: LoadedModel, bundle: Path, seed: int) -> dict[str, Any]:
    """Return inputs as the network is for, under the one name that the file has for them."""
    name = onnx.load(bundle / MODEL, load_external_data=False).graph.input[0].name
    given = domain_inputs(model, 8, seed)
    (array,) = (value.numpy() for value in (given[0] if given else model.example(8)).values())
    return {name: array}


def _noise(
    model: LoadedModel, bundles: Mapping[str, Path], quantized: Path, batch: int
) -> dict[str, float]:
    """Return the signal to noise of what runs at a batch, in dB, on inputs of no calibration."""
    if "int8" not in bundles:
        return {}
    feeds = _arrays(model, bundles["fp32"], seed=1)

    def result(path: Path, optimisation: str = "all") -> Any:
        return timed_session(path, "cpu", 1, optimisation=optimisation).run(None, feeds)[0]

    reference = result(bundles["fp32"] / MODEL)
    row = row_for(tuned_rows(read_manifest(bundles["int8"])), "cpu", batch)
    own = (row.file, row.optimisation) if row else (MODEL, "all")
    given = {TUNED: result(bundles["int8"] / own[0], own[1])}
    if quantized.exists():
        given[QUANTIZED] = result(quantized)
    return {name: round(sqnr_db(rms_error(y, reference)), 1) for name, y in given.items()}


def _quantized(file: Path, bundle: Path, setup: Setup) -> Contestant:
    """Return what ONNX Runtime's own quantiser made."""
    source = source_of(bundle, ["cpu"], setup.threads)
    if not isinstance(source, FileSource):
        raise CheckError("a bundle is a file")
    session = timed_session(file, "cpu", setup.threads)
    return in_onnxruntime(session, source.feeds("cpu", setup.batch), setup, "", QUANTIZED, file)


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("what", choices=["run", "prepare", "tune", "measure"])
    parser.add_argument("first", help="the file that is written; of one step, the network")
    parser.add_argument("names", nargs="*")
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    if asked.what == "run":
        run(Path(asked.first), asked.names)
        return
    steps: dict[str, Callable[..., Iterator[Row]]]
    steps = {"prepare": prepare, "tune": tuned, "measure": measure}
    folder, *numbers = asked.names
    for row in steps[asked.what](asked.first, Path(folder), *map(int, numbers)):
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
