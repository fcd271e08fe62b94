"""`netloft bench`."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import re
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from netloft.cli.benched import Outputs, conclude
from netloft.cli.options import (
    ModelRequest,
    loading_options,
    output_options,
    provider_options,
    tolerant,
)
from netloft.defaults import BATCHES, MAX_BATCH, MAX_THREADS
from netloft.errors import UsageError

if TYPE_CHECKING:
    from netloft.models.loaded import LoadedModel

__all__ = ["bench"]

_COUNT = re.compile("[1-9][0-9]{0,8}")


def _counts_to(most: int) -> Callable[..., tuple[int, ...]]:
    """Return what reads numbers from 1 to the most that is allowed."""

    def counts(_: click.Context, __: click.Parameter, value: str | None) -> tuple[int, ...]:
        words = [word.strip() for word in (value or "").split(",") if word.strip()]
        if not all(_COUNT.fullmatch(word) and int(word) <= most for word in words):
            raise click.BadParameter(f"give numbers from 1 to {most:,}, such as 1,8")
        return tuple(map(int, words))

    return counts


def _percent(_: click.Context, __: click.Parameter, value: str | None) -> float | None:
    if value is None:
        return None
    try:
        share = float(value.removesuffix("%")) / 100
    except ValueError:
        share = -1.0
    if not 0 <= share < math.inf or not value.endswith("%"):
        raise click.BadParameter("give a share of the time, such as 5%")
    return share


@click.command(short_help="Measure bundles, .onnx files and models side by side.")
@click.argument("targets", nargs=-1, required=True, metavar="TARGET...")
@loading_options
@tolerant
@click.option("--batch-size", "sizes", multiple=True, type=click.IntRange(1, MAX_BATCH),
              metavar="N", help="Batch size; repeat for more. Default: 1 and 8.")  # fmt: skip
@click.option(
    "--batches", callback=_counts_to(MAX_BATCH), metavar="N,N", help="Batch sizes, as 1,8,64."
)
@click.option("--thread-counts", "counts", callback=_counts_to(MAX_THREADS), metavar="N,N",
              help="Numbers of threads to measure with, as 1,2,4.")  # fmt: skip
@click.option("--quick", is_flag=True, help="About a second for each batch and provider, not four.")
@click.option("--engine", "engines", multiple=True, metavar="NAME",
              help="Run each TARGET in this, where it can: onnxruntime[-extended|-basic|-none|"
                   "-saved|-tuned|-cuda-graph], deployed, onnxslim, openvino[-default]; for a "
                   "MODEL eager, channels-last, compile, torch-onnx; or all. Repeat for more."
              )  # fmt: skip
@click.option("--command", "commands", multiple=True, metavar="CMD",
              help="Another contestant: for each run it reads a line and writes one."
              )  # fmt: skip
@click.option("--rounds", type=click.IntRange(0), default=0, metavar="N",
              help="Runs of each at the least: 104 give a p95, 528 a p99.")  # fmt: skip
@click.option("--budget", "budgets", multiple=True, metavar="METRIC=N,…",
              help="A limit, as p95_ms=20,batch=1; exit code 1 where it is broken.")  # fmt: skip
@click.option("--baseline", type=click.Path(), metavar="FILE",
              help="An earlier report: the JSON of this verb, or a bundle's; 5 % slower is allowed."
              )  # fmt: skip
@click.option("--max-regression", "most", callback=_percent, metavar="N%",
              help="How much slower than the baseline, or else than the first TARGET, is allowed."
              )  # fmt: skip
@click.option("--history", type=click.Path(path_type=Path), metavar="FILE",
              help="Add the run to this file, a line of JSON for each.")  # fmt: skip
@click.option("--plot", type=click.Path(path_type=Path), metavar="FILE",
              help="Draw the history, as SVG or PNG.")  # fmt: skip
@click.option("--tune", "tuned", is_flag=True,
              help="Find the file and options that are best for a bundle here, and keep them in it."
              )  # fmt: skip
@click.option("--save-optimised", "saving", is_flag=True,
              help="With --tune: keep what ONNX Runtime makes of the file too, where that loads "
                   "faster. It has all weights once more.")  # fmt: skip
@click.option("--huge-pages", is_flag=True,
              help="Put what all have in memory on huge pages first: steadier ratios, of times "
                   "that few programs have.")  # fmt: skip
@click.option("--profile", "profiled", is_flag=True,
              help="Tell where the time of each file goes, node by node.")  # fmt: skip
@click.option("--roofline", type=click.Path(path_type=Path), metavar="FILE",
              help="Draw --profile against what this machine can do, as SVG or PNG."
              )  # fmt: skip
@provider_options
@output_options
def bench(
    request: ModelRequest,
    targets: tuple[str, ...],
    sizes: tuple[int, ...],
    batches: tuple[int, ...],
    counts: tuple[int, ...],
    engines: tuple[str, ...],
    commands: tuple[str, ...],
    quick: bool,
    rounds: int,
    budgets: tuple[str, ...],
    baseline: str | None,
    most: float | None,
    history: Path | None,
    plot: Path | None,
    tuned: bool,
    saving: bool,
    huge_pages: bool,
    profiled: bool,
    roofline: Path | None,
    providers: tuple[str, ...],
    threads: int | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Measure each TARGET: a bundle, an .onnx file, or a MODEL, which runs in PyTorch.

    Targets run in turns, in random order. The ratio is the median over that of the first target;
    where its interval holds 1, the verdict is "cannot tell". --arg, --weights, --input and --seed
    are for every MODEL among the targets; --batch N adds a batch size.

    \b
    Examples:
      netloft bench out/resnet18
      netloft bench resnet18 out/resnet18 --batches 1,8
      netloft bench a.onnx b.onnx --threads 1 --json
      netloft bench out/resnet18 --batches 1,8,32 --thread-counts 1,2,4
      netloft bench out/resnet18 --batches 1 --profile --roofline roofline.svg
      netloft bench out/resnet18 --budget p95_ms=20,batch=1 --budget memory_mb=200
      netloft bench resnet18 out/resnet18 --engine all
      netloft bench out/resnet18 --tune
      netloft bench out/resnet18 --tune --save-optimised
      netloft bench out/resnet18 --history speed.jsonl --plot speed.svg
      netloft bench old new --max-regression 5%
      netloft bench net.py:Net net.onnx --input 1x3x32x32 --weights net.safetensors
    """
    from netloft.runtime.providers import available
    from netloft.speed import bench as run
    from netloft.speed.limits import Limits

    outputs = Outputs(history, plot, roofline)
    files = any(_is_file(target, request) for target in targets)
    outputs.check(profiled=profiled, files=files, quiet=quiet)
    limits = Limits.read(budgets, baseline, most)
    available(providers)  # before a network is built
    one = (request.batch,) if isinstance(request.batch, int) else ()
    asked = (*one, *sizes, *batches)
    tell = None if quiet else lambda what: click.echo(f"measuring {what}", err=True)
    if tuned or saving:
        others = engines, commands, rounds, profiled, threads, counts, history, huge_pages
        _check_tuning(tuned, limits != Limits() or any(others))
        how = {"providers": providers, "quick": quick, "save_optimised": saving}
        _tune(targets, asked or None, how, tell, as_json, quiet)
        return
    limits.check((*targets, *commands), quick=quick)
    _check_threads(threads, counts)
    _check_pages(huge_pages, limits.budgets or limits.before or history)
    result = run(
        *(_loaded(target, request) for target in targets),
        batches=tuple(dict.fromkeys((*asked, *limits.batches))) or BATCHES,
        providers=providers,
        threads=counts or threads,
        engines=engines,
        commands=commands,
        quick=quick,
        rounds=max(rounds, limits.rounds),
        loads=limits.loads,
        huge_pages=huge_pages,
        profiled=profiled,
        progress=tell,
    )
    conclude(result, limits, outputs, as_json, quiet)


def _check_threads(threads: int | None, counts: tuple[int, ...]) -> None:
    if threads is not None and counts:
        raise UsageError(
            "--threads and --thread-counts say the same thing",
            remedy="give every number to --thread-counts",
        )


def _check_pages(huge_pages: bool, others: object) -> None:
    if huge_pages and others:
        raise UsageError(
            "--huge-pages is for ratios: its times are not those of other runs and programs",
            remedy="leave it out, or leave out --budget, --baseline and --history",
        )


def _check_tuning(tuned: bool, others: bool) -> None:
    """Refuse what tuning does not go with."""
    if not tuned:
        raise UsageError("--save-optimised is a part of tuning", remedy="add --tune")
    if others:
        raise UsageError(
            "--tune goes with --batches, --provider, --quick and --save-optimised alone",
            remedy="tune first, and measure in a second run",
        )


def _tune(
    targets: Sequence[str],
    batches: Sequence[int] | None,
    how: Mapping[str, Any],
    tell: Callable[[str], None] | None,
    as_json: bool,
    quiet: bool,
) -> None:
    from netloft.speed.tune import tune

    if find_spec("torch") is not None:  # where there is none, the test vectors are all there is
        how = {**how, "prove": _why_unlike}
    if len(targets) != 1 or not os.path.isdir(targets[0]):
        raise UsageError("--tune takes one bundle", remedy="name the folder of one")
    found = tune(
        Path(targets[0]),
        batches=batches,
        progress=tell or (lambda _: None),
        **how,
    )
    if as_json:
        click.echo(json.dumps(found.to_dict(), indent=2))
    elif not quiet:
        from netloft.report.speed import print_tuning

        print_tuning(found)


def _why_unlike(file: Path, model: Path) -> str:
    """Hold a rewritten file against the model in float64; torch is imported where there is one."""
    from netloft.against_file import why_unlike

    return why_unlike(file, model)


def _is_file(target: str, request: ModelRequest) -> bool:
    return os.path.isdir(target) or dataclasses.replace(request, spec=target).is_file


def _loaded(target: str, request: ModelRequest) -> str | LoadedModel:
    """Return a MODEL as the options ask for it; a bundle or a file is its own description."""
    if _is_file(target, request):
        return target
    return dataclasses.replace(request, spec=target).load()
