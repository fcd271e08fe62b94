"""Seconds from a module to an SVG file: netloft beside other tools that draw networks.

    python benchmarks/drawings.py run benchmarks/drawings.jsonl [NAME …]
    python benchmarks/drawings.py report benchmarks/drawings.jsonl > docs/drawings.md

The other tools are run where they are installed (`pip install tensorgami torchlens torchview
torchviz`); what is not, or does not come to an end, is told. Each network has a process of its own,
in which all tools draw it: CPU seconds of that process and of the programs that it starts, with one
thread, after a small network was drawn, which loads what is imported. netloft draws three times and
the median counts, the others once.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import json
import os
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
import torchvision
from torch import Tensor, nn

from netloft.tracing import trace
from netloft_diagrams import render

LIMIT = 120
"""Seconds after which a tool is stopped."""
SIDES = {"inception_v3": 299}
BESIDE = (
    "alexnet", "vgg16", "googlenet", "inception_v3", "resnet18", "resnet50", "resnet152",
    "densenet121", "mobilenet_v3_large", "efficientnet_b0", "shufflenet_v2_x1_0", "regnet_y_400mf",
    "convnext_tiny", "vit_b_16", "swin_t", "maxvit_t",
)  # fmt: skip
"""Networks that the other tools draw too: one of each family, and the deep ones."""

Row = dict[str, Any]
Tool = Callable[[nn.Module, Tensor, Path], None]


def _netloft(module: nn.Module, x: Tensor, file: Path) -> None:
    graph = trace(module, (x,), prove=False)
    file.write_bytes(render(graph, "svg"))


def _tensorgami(module: nn.Module, x: Tensor, file: Path) -> None:
    importlib.import_module("tensorgami").draw(module, x).save(str(file))


def _torchlens(module: nn.Module, x: Tensor, file: Path) -> None:
    importlib.import_module("torchlens").trace(module, x).draw(
        vis_outpath=str(file.with_suffix("")), vis_fileformat="svg", vis_save_only=True
    )


def _torchview(module: nn.Module, x: Tensor, file: Path) -> None:
    found = importlib.import_module("torchview").draw_graph(module, x, expand_nested=True)
    file.write_bytes(found.visual_graph.pipe("svg"))


def _torchviz(module: nn.Module, x: Tensor, file: Path) -> None:
    parameters = dict(module.named_parameters())
    dot = importlib.import_module("torchviz").make_dot(module(x), params=parameters)
    file.write_bytes(dot.pipe("svg"))


TOOLS: dict[str, Tool] = {
    "netloft": _netloft,
    "tensorgami": _tensorgami,
    "torchlens": _torchlens,
    "torchview": _torchview,
    "torchviz": _torchviz,
}


def names() -> list[str]:
    """Return torchvision's classification networks."""
    return list(torchvision.models.list_models(torchvision.models))


def measured(name: str) -> Row:
    """Draw one network with every tool."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    module = torchvision.models.get_model(name, weights=None).eval()
    side = SIDES.get(name, 224)
    x = torch.randn(2, 3, side, side)
    row: Row = {"name": name}
    for tool, draw in TOOLS.items():
        if tool != "netloft" and name not in BESIDE:
            continue
        row[tool], row[f"{tool}_why"] = _seconds(tool, draw, module, x)
    return row


def _seconds(tool: str, draw: Tool, module: nn.Module, x: Tensor) -> tuple[float | None, str]:
    small = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()).eval()
    taken = []
    with (
        tempfile.TemporaryDirectory() as folder,
        _limited(),
        contextlib.redirect_stdout(io.StringIO()),
    ):
        file = Path(folder) / "net.svg"
        try:
            draw(small, torch.randn(2, 3, 8, 8), file)
            for _ in range(3 if tool == "netloft" else 1):
                file.unlink(missing_ok=True)
                start = _cpu()
                draw(module, x, file)
                taken.append(_cpu() - start)
                if not list(Path(folder).glob("net*.svg")):
                    return None, "wrote no file"
        except Exception as error:  # noqa: BLE001 - whatever a tool stops with is its result
            return (
                None,
                f"{type(error).__name__}: {str(error).splitlines()[0][:80] if str(error) else ''}",
            )
    return round(statistics.median(taken), 3), ""


def _cpu() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


@contextlib.contextmanager
def _limited() -> Iterator[None]:
    def stop(*_: object) -> None:
        raise TimeoutError(f"not done in {LIMIT} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(LIMIT)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def run(file: Path, wanted: Sequence[str]) -> None:
    """Measure what the file does not have yet, each network in a process of its own."""
    done = {row["name"] for row in rows_of(file)}
    for name in wanted or [*BESIDE, *(n for n in names() if n not in BESIDE)]:
        if name in done:
            continue
        command = [sys.executable, __file__, "one", name]
        with subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        ) as process:
            told, failure = process.communicate()
        with contextlib.suppress(ProcessLookupError):  # a `dot` that ran out of time is left
            os.killpg(process.pid, signal.SIGKILL)
        if process.returncode:
            print(name, failure.splitlines()[-1:], file=sys.stderr)
            continue
        with file.open("a", encoding="utf-8") as lines:
            lines.write(told.splitlines()[-1] + "\n")
        print(told.splitlines()[-1], file=sys.stderr)


def rows_of(file: Path) -> list[Row]:
    """Return what was measured so far."""
    if not file.is_file():
        return []
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def report(file: Path) -> str:
    """Return the page."""
    rows = {row["name"]: row for row in rows_of(file)}
    own = sorted(((row["netloft"], name) for name, row in rows.items()), reverse=True)
    under = sum(seconds < 1 for seconds, _ in own)
    lines = [
        "# Drawing, beside other tools",
        "",
        "CPU seconds from a module in memory to an SVG file, one thread, by "
        "`python benchmarks/drawings.py`: see there what is counted.",
        "",
        f"netloft draws {under} of {len(own)} torchvision classification networks in under a "
        "second; "
        f"the slowest are {', '.join(f'{name} ({seconds:.2f} s)' for seconds, name in own[:3])}.",
        "",
        f"| network | {' | '.join(TOOLS)} |",
        f"|---|{'---|' * len(TOOLS)}",
    ]
    for name in BESIDE:
        if name in rows:
            cells = (_cell(rows[name], tool) for tool in TOOLS)
            lines.append(f"| {name} | {' | '.join(cells)} |")
    for name in BESIDE:
        for tool in TOOLS:
            if why := rows.get(name, {}).get(f"{tool}_why"):
                lines += ["", f"{tool} on {name}: {why}"]
    return "\n".join([*lines, ""])


def _cell(row: Row, tool: str) -> str:
    seconds = row.get(tool)
    return "\N{EN DASH}" if seconds is None else f"{seconds:.2f}"


def main() -> None:
    """Run, or report."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("what", choices=("run", "one", "report"))
    parser.add_argument("file")
    parser.add_argument("names", nargs="*")
    given = parser.parse_args()
    if given.what == "one":
        print(json.dumps(measured(given.file)))
    elif given.what == "run":
        run(Path(given.file), given.names)
    else:
        print(report(Path(given.file)), end="")


if __name__ == "__main__":
    main()
