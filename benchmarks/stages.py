"""Seconds of each stage of the main job, beside a plain `torch.onnx.export`, and of whole commands.

    python benchmarks/stages.py [MODEL …] > docs/stages.md

Stages run in one process. Both exports run in turn, netloft's first in one round and torch's first
in the next, and the median of all rounds is given: machines drift. Speed measurement is left out
there; it takes the time it is given. Commands run in processes of their own, in turns too.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import io
import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import torch

from netloft.models import load_model
from netloft.models.domain import domain_inputs
from netloft.models.loaded import LoadedModel
from netloft.parity.check import certify
from netloft.parity.inputs import cases_of
from netloft.parity.stressing.stress import stressed
from netloft.runtime.providers import process_cpus
from netloft.speed import describe_environment
from netloft.speed.stats import paired_ratio
from netloft.tracing import trace
from netloft_diagrams import draw
from netloft_exporters.onnx import write_onnx

MODELS = ("myresnet", "resnet18", "alphago", "mnist", "alexnet", "vgg16")
ROUNDS = 3
COMMAND_ROUNDS = 12
EXPORT, SCRIPT = "`netloft export resnet18 --quick`", "a script of `torch.onnx.export` alone"


def seconds(work: Callable[[], object]) -> float:
    """Return the wall time of one call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def plain_export(model: LoadedModel, folder: Path) -> None:
    """What a user would write without netloft."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        example = model.example()
        torch.onnx.export(
            model.module,
            kwargs=dict(example),
            f=str(folder / "plain.onnx"),
            dynamo=True,
            dynamic_shapes={name: {0: torch.export.Dim("batch")} for name in example},
            verbose=False,
        )


def stages(model: LoadedModel, folder: Path) -> dict[str, float]:
    """Run netloft's stages once and return the seconds of each."""
    example = model.example()
    path = folder / "model.onnx"
    took = {"trace and proof": -time.perf_counter()}
    graph = trace(model.module, example, name=model.name)
    took["trace and proof"] += time.perf_counter()
    took["draw"] = seconds(lambda: draw(graph, folder / "diagram.svg"))
    took["export and checks"] = seconds(lambda: write_onnx(graph, model.module, example, path))
    usual = cases_of(graph, example, 0, lambda batch, seed: domain_inputs(model, batch, seed))
    made = stressed(usual, graph, 0)
    took["parity"] = seconds(lambda: certify(graph, model.module, path, made, ["cpu"]))
    return took


def measure(name: str) -> dict[str, float]:
    """Return the median seconds of each stage and of the plain export."""
    model = load_model(name)
    rounds: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        plain_export(model, folder)  # warms up imports and caches, for both
        for index in range(ROUNDS):
            before = seconds(lambda: plain_export(model, folder)) if index % 2 else 0.0
            took = stages(model, folder)
            after = 0.0 if index % 2 else seconds(lambda: plain_export(model, folder))
            rounds.append({**took, "plain torch.onnx.export": before + after})
    return {key: statistics.median(r[key] for r in rounds) for key in rounds[0]}


PLAIN = """
import torch
from torchvision.models import resnet18
net, x = resnet18().eval(), torch.randn(2, 3, 224, 224)
torch.onnx.export(net, (x,), "plain.onnx", dynamo=True, dynamic_shapes=({0: "batch"},))
"""
"""What a user would write without netloft, as a program."""


def commands() -> dict[str, list[float]]:
    """Return the seconds of commands in each round, each in a process of its own.

    Python keeps what it compiles, as it does where nobody has told it not to.
    """
    usual = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    python = [sys.executable, "-P"]
    netloft = [*python, "-m", "netloft"]
    with tempfile.TemporaryDirectory() as folder:
        export = [*netloft, "export", "resnet18", "--quick", "--quiet", "--provider", "cpu"]
        asked = {
            "`netloft --help`": [*netloft, "--help"],
            EXPORT: [*export, "-o", "bundle"],
            SCRIPT: [*python, "-c", PLAIN],
            "`netloft verify BUNDLE`": [*netloft, "verify", "bundle", "--provider", "cpu"],
        }
        took: dict[str, list[float]] = {name: [] for name in asked}
        for number in range(COMMAND_ROUNDS + 1):
            for name, command in asked.items():
                run = functools.partial(
                    subprocess.run,
                    command,
                    cwd=folder,
                    env=usual,
                    check=True,
                    capture_output=True,
                )
                spent = seconds(run)
                if number:  # the first round brings files from the disk
                    took[name].append(spent)
    return took


def print_commands() -> None:
    """Print how long whole commands take."""
    print("\n## Whole commands\n")
    print(
        f"Median of {COMMAND_ROUNDS} rounds, wall seconds, each in a process of its own. The export"
    )
    print(
        "has the diagram, the checks of the file, the proof in float64 on every set of inputs and"
    )
    print("the speed beside PyTorch; the script writes a file and looks at nothing.\n")
    print("| command | seconds |\n|---|---|")
    spent = commands()
    for command, each in spent.items():
        print(f"| {command} | {statistics.median(each):.2f} |")
    ratio = paired_ratio(spent[EXPORT], spent[SCRIPT], place=0.0)
    print(f"\nThe export takes {ratio.value:.3f} of the script's time, round by round", end=" ")
    print(f"({ratio.low:.3f} to {ratio.high:.3f}, a 99 % interval).\n")


def main() -> None:
    """Print the tables as Markdown."""
    names = sys.argv[1:] or MODELS
    rows = {name: measure(name) for name in names}
    columns = list(next(iter(rows.values())))
    print("# Seconds of each stage\n")
    print("Generated by `benchmarks/stages.py`; median of", ROUNDS, "rounds, wall seconds.")
    left = [name for name in MODELS if name not in names]
    print(f"Not measured: {', '.join(left)}.\n" if left else "")
    print("| model |", " | ".join(columns), "|")
    print("|---|", "---|" * len(columns), sep="")
    for name, took in rows.items():
        print(f"| {name} |", " | ".join(f"{took[c]:.2f}" for c in columns), "|")
    print_commands()
    for key, value in dataclasses.asdict(describe_environment(process_cpus())).items():
        print(f"- {key}: {value}")


if __name__ == "__main__":
    main()
