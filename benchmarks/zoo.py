"""Every torchvision classification, segmentation and video model: netloft beside torch.onnx.

    python benchmarks/zoo.py run benchmarks/zoo.jsonl [NAME …] [--jobs N]
    python benchmarks/zoo_report.py benchmarks/zoo.jsonl     writes docs/zoo.md, docs/images/zoo.svg

Each model has a process of its own, in which all exporters run, and its line is appended when it
is done: a run that was broken off goes on where it was, and a line that is taken out is measured
anew. Export times are CPU seconds of one thread, from a module in memory to a file on disk, warm:
netloft's are medians of three; torch.onnx runs once, after a first export of a small network, which
loads what it imports. Latency is measured in interleaved rounds in ONNX Runtime on one thread,
netloft's file and torch.onnx's in turn, in CPU time of the thread.

Segmentation is of pictures of 224 x 224, a fifth of what it is trained on, for parity runs them in
float64, and so is the largest RegNet, which is trained on 384 x 384. Of detection and optical flow
models the outcome alone is kept; flow is of 128 x 128.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import onnx
import torch
import torchvision
from torch import nn

from netloft.errors import NetloftError
from netloft.models import load_model
from netloft.models.domain import domain_inputs
from netloft.models.loaded import LoadedModel
from netloft.parity.check import check_parity
from netloft.parity.inputs import Case
from netloft.passes import run_passes
from netloft.runtime.providers import start_session
from netloft.speed.stats import paired_ratio
from netloft.tracing import trace
from netloft.tracing.faithful import fresh_inputs
from netloft_exporters import to_onnx
from netloft_exporters.onnx import write_onnx
from netloft_exporters.onnx.direct_route import lower_directly

BATCHES = (1, 3, 5)
SIDE = 224
LARGE = ("regnet_y_128gf",)
LATENCY_SECONDS = 8.0
ROUNDS = (15, 200)

Row = dict[str, Any]


def models() -> list[str]:
    """Return the models, classification first; not the quantised ones."""
    families = torchvision.models, torchvision.models.segmentation, torchvision.models.video
    names = [name for family in families for name in torchvision.models.list_models(family)]
    return [*dict.fromkeys(names), *others()]


def others() -> list[str]:
    """Return the models of detection and optical flow."""
    families = torchvision.models.detection, torchvision.models.optical_flow
    return [name for family in families for name in torchvision.models.list_models(family)]


def loaded(name: str) -> LoadedModel:
    """Build a model with random weights; what starts at zero, and would hide a fault, does not."""
    model = load_model(f"torchvision:{name}")
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.module.parameters():
            if parameter.dim() and not parameter.any():
                parameter.normal_(0.0, 0.02, generator=generator)
    return model


def cpu_seconds(work: Callable[[], object]) -> float:
    """Return the CPU seconds of one call."""
    start = time.process_time()
    work()
    return time.process_time() - start


def torch_export(module: nn.Module, inputs: Row, path: Path, *, dynamo: bool) -> None:
    """What a user would write: one call, which saves the file."""
    names = list(inputs)
    keyed = {name: {0: torch.export.Dim("batch")} for name in names}
    axes: Row = (
        {"dynamic_shapes": keyed} if dynamo else {"dynamic_axes": {n: {0: "batch"} for n in names}}
    )
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        example = {"kwargs": dict(inputs)} if dynamo else {"args": tuple(inputs.values())}
        torch.onnx.export(
            module, f=str(path), input_names=names, dynamo=dynamo, verbose=False, **axes, **example
        )


class _Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.norm(self.conv(x))).mean((2, 3))


def warm_up(folder: Path) -> None:
    """Let every exporter import what it needs."""
    small, inputs = _Small().eval(), {"x": torch.randn(2, 3, 8, 8)}
    to_onnx(small, inputs, folder / "small.onnx", prove=False)
    for dynamo in (True, False):
        torch_export(small, inputs, folder / "small.onnx", dynamo=dynamo)


def stages(model: LoadedModel, inputs: Row, path: Path) -> Row:
    """Return the CPU seconds of each of netloft's stages, medians of three, and of the whole."""
    rounds: list[Row] = []
    for _ in range(3):
        took: Row = {}
        start = time.process_time()
        graph = trace(model.module, inputs, prove=False)
        took["trace"] = time.process_time() - start
        start = time.process_time()
        passed = run_passes(graph)
        took["passes"] = time.process_time() - start
        path.unlink(missing_ok=True)  # torch.onnx writes to a fresh place too
        took["lower"] = cpu_seconds(lambda p=passed: lower_directly(p.graph, 20))  # type: ignore[misc]
        took["whole"] = cpu_seconds(lambda: to_onnx(model.module, inputs, path, prove=False))
        rounds.append(took)
    return {f"{key}_s": statistics.median(took[key] for took in rounds) for key in rounds[0]}


def latency(ours: Path, theirs: Path, inputs: Row) -> Row:
    """Return the ratio of median latencies, ours over theirs, at batch 1 on one thread."""
    sessions = [start_session(path, "cpu", threads=1) for path in (ours, theirs)]
    feeds = [
        {i.name: t[:1].numpy() for i, t in zip(s.get_inputs(), inputs.values(), strict=True)}
        for s in sessions
    ]
    for session, feed in zip(sessions, feeds, strict=True):
        session.run(None, feed)
    times: tuple[list[float], list[float]] = ([], [])
    end = time.perf_counter() + LATENCY_SECONDS
    while len(times[0]) < ROUNDS[0] or (time.perf_counter() < end and len(times[0]) < ROUNDS[1]):
        order = (0, 1) if len(times[0]) % 2 else (1, 0)
        for index in order:
            start = time.thread_time()
            sessions[index].run(None, feeds[index])
            times[index].append(time.thread_time() - start)
    ratio = paired_ratio(*times)
    return {
        "latency_ms": statistics.median(times[0]) * 1e3,
        "latency_ratio": ratio.value,
        "latency_low": ratio.low,
        "latency_high": ratio.high,
        "latency_rounds": len(times[0]),
    }


def parity(model: LoadedModel, inputs: Row, path: Path) -> Row:
    """Return the worst error over the noise floor, for every output at batches 1, 3 and 5.

    On noise; and on photographs where PyTorch's own float32 error on noise is too large to judge
    by, for the norms of the deepest random networks are calibrated on photographs.
    """
    row = _parity_on("noise", [fresh_inputs(inputs, b, b) for b in BATCHES], model, inputs, path)
    if row["parity"] != "undecided":
        return row
    found = [domain_inputs(model, batch, batch) for batch in BATCHES]
    photographs = [
        {name: t[..., : inputs[name].shape[-2], : inputs[name].shape[-1]] for name, t in m.items()}
        for m, _ in filter(None, found)
    ]
    return _parity_on("photographs", photographs, model, inputs, path) if photographs else row


def _parity_on(kind: str, given: Sequence[Row], model: LoadedModel, inputs: Row, path: Path) -> Row:
    graph = trace(model.module, inputs, prove=False)
    made = [Case(kind, batch, case) for batch, case in zip(BATCHES, given, strict=True)]
    result = check_parity(graph, model.module, path, made, ["cpu"])
    found = {row.status for row in result.rows}
    return {
        "parity": next((s for s in ("fail", "undecided") if s in found), "pass"),
        "parity_ratio": max(row.ratio for row in result.rows),
        "parity_batches": sorted({row.batch for row in result.rows}),
        "parity_input": kind,
    }


def facts(path: Path) -> Row:
    """Return nodes and bytes of a file."""
    proto = onnx.load(str(path), load_external_data=False)
    beside = path.with_name(f"{path.name}.data")
    size = path.stat().st_size + (beside.stat().st_size if beside.exists() else 0)
    return {"nodes": len(proto.graph.node), "bytes": size}


def plain_write(path: Path, folder: Path) -> float:
    """Return the CPU seconds of writing a file's bytes and nothing else."""
    beside = path.with_name(f"{path.name}.data")
    parts = [p.read_bytes() for p in (path, beside) if p.exists()]
    return cpu_seconds(lambda: [(folder / f"copy{i}").write_bytes(p) for i, p in enumerate(parts)])


def measure(name: str) -> Row:
    """Measure one model."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = loaded(name)
    inputs = model.example()
    if name in (*torchvision.models.list_models(torchvision.models.segmentation), *LARGE):
        inputs = {key: t[..., :SIDE, :SIDE].contiguous() for key, t in inputs.items()}
    row: Row = {"name": name, "parameters": sum(p.numel() for p in model.module.parameters())}
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        ours, theirs = folder / "ours.onnx", folder / "theirs.onnx"
        warm_up(folder)
        row["cold_s"] = cpu_seconds(lambda: to_onnx(model.module, inputs, ours, prove=False))
        written = write_onnx(
            trace(model.module, inputs, prove=False), model.module, inputs, ours, prove=False
        )
        row |= {"route": written.route, **facts(ours), **stages(model, inputs, ours)}
        row["write_s"] = plain_write(ours, folder)
        row |= parity(model, inputs, ours)
        row |= _torch_rows(model.module, inputs, folder, theirs)
        if "dynamo_s" in row:
            row |= latency(ours, theirs, inputs)
    return row


def outcome(name: str) -> Row:
    """Export a detection or flow model and compare the file; or tell why there is none."""
    torch.manual_seed(0)
    try:
        model = load_model(f"torchvision:{name}")
        inputs = {key: t[..., :128, :128].contiguous() for key, t in model.example().items()}
        with tempfile.TemporaryDirectory() as text:
            path = Path(text) / "ours.onnx"
            graph = trace(model.module, inputs)
            written = write_onnx(graph, model.module, inputs, path)
            return {"name": name, "route": written.route, **parity(model, inputs, path)}
    except NetloftError as error:
        return {"name": name, "refused": error.problem}


def _torch_rows(module: nn.Module, inputs: Row, folder: Path, theirs: Path) -> Row:
    row: Row = {}
    for key, dynamo in (("script", False), ("dynamo", True)):
        path = theirs if dynamo else folder / "script.onnx"
        try:
            export = lambda p=path, d=dynamo: torch_export(module, inputs, p, dynamo=d)  # noqa: E731
            row[f"{key}_s"] = cpu_seconds(export)
            row |= {f"{key}_{name}": value for name, value in facts(path).items()}
        except Exception as error:  # noqa: BLE001 - another exporter's failure is a finding
            row[f"{key}_error"] = f"{type(error).__name__}: {str(error).splitlines()[0][:200]}"
        if not dynamo:
            path.unlink(missing_ok=True)
    return row


def run(out: Path, names: Sequence[str], jobs: int) -> None:
    """Measure the models that the file lacks, a process each."""
    done = {row["name"] for row in read(out)}
    todo = [name for name in names if name not in done]

    def one(name: str) -> None:
        command = [sys.executable, __file__, "one", name]
        made = subprocess.run(command, capture_output=True, text=True, check=False)
        line = made.stdout.strip().splitlines()[-1:] if made.returncode == 0 else []
        failed = json.dumps({"name": name, "error": made.stderr.strip()[-300:]})
        with out.open("a") as file:
            file.write((line[0] if line else failed) + "\n")
        print(name, "" if line else f"FAILED {made.stderr.strip()[-200:]}", flush=True)

    with ThreadPoolExecutor(jobs) as pool:
        list(pool.map(one, todo))


def read(path: Path) -> list[Row]:
    """Return the rows of a results file."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def main() -> None:
    """Run all, or one."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("what", choices=("run", "one"))
    parser.add_argument("target", help="results file, or the model's name for `one`")
    parser.add_argument("names", nargs="*", help="models; all by default")
    parser.add_argument("--jobs", type=int, default=1, help="processes at a time")
    given = parser.parse_args()
    if given.what == "one":
        try:
            work = outcome if given.target in others() else measure
            print(json.dumps(work(given.target)))
        except NetloftError as error:
            print(json.dumps({"name": given.target, "error": str(error)}))
    else:
        run(Path(given.target), given.names or models(), given.jobs)


if __name__ == "__main__":
    main()
