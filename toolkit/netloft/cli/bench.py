"""`netloft bench`."""

from __future__ import annotations

import dataclasses
import os
from typing import TYPE_CHECKING

import click

from netloft.cli.options import (
    ModelRequest,
    loading_options,
    output_options,
    provider_options,
    tolerant,
)

if TYPE_CHECKING:
    from netloft.models.loaded import LoadedModel
    from netloft.speed import TargetResult, TargetRow
    from netloft.speed.profile import ProfileRow

__all__ = ["bench"]

COLUMNS = (
    "target", "engine", "provider", "batch", "threads", "n", "p50 ms", "p95 ms", "items/s",
    "ratio", "95 % interval", "verdict", "cpu ms",
)  # fmt: skip

NODE_COLUMNS = ("target", "provider", "batch", "node", "operator", "module", "ms", "share")


def _batches(_: click.Context, __: click.Parameter, value: str | None) -> tuple[int, ...]:
    words = [word.strip() for word in (value or "").split(",") if word.strip()]
    if not all(word.isdecimal() and int(word) > 0 for word in words):
        raise click.BadParameter("give numbers of 1 or more, such as 1,8")
    return tuple(map(int, words))


@click.command(short_help="Measure bundles, .onnx files and models side by side.")
@click.argument("targets", nargs=-1, required=True, metavar="TARGET...")
@loading_options
@tolerant
@click.option("--batch-size", "sizes", multiple=True, type=click.IntRange(1), metavar="N",
              help="Batch size; repeat for more. Default: 1 and 8.")  # fmt: skip
@click.option("--batches", callback=_batches, metavar="N,N", help="Batch sizes, as 1,8,64.")
@click.option("--quick", is_flag=True, help="About a second for each batch and provider, not four.")
@click.option("--profile", "profiled", is_flag=True,
              help="Tell where the time of each file goes, node by node.")  # fmt: skip
@provider_options
@output_options
def bench(
    request: ModelRequest,
    targets: tuple[str, ...],
    sizes: tuple[int, ...],
    batches: tuple[int, ...],
    quick: bool,
    profiled: bool,
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
      netloft bench out/resnet18 --batches 1 --profile
      netloft bench net.py:Net net.onnx --input 1x3x32x32 --weights net.safetensors
    """
    import json

    from netloft.runtime.providers import available
    from netloft.speed import bench as run

    available(providers)  # before a network is built
    one = (request.batch,) if isinstance(request.batch, int) else ()
    result = run(
        *(_loaded(target, request) for target in targets),
        batches=(*one, *sizes, *batches) or (1, 8),
        providers=providers,
        threads=threads,
        quick=quick,
        profiled=profiled,
        progress=None if quiet else lambda what: click.echo(f"measuring {what}", err=True),
    )
    if as_json:
        click.echo(json.dumps(result.to_dict(), indent=2))
    elif not quiet:
        _print(result)


def _loaded(target: str, request: ModelRequest) -> str | LoadedModel:
    """Return a MODEL as the options ask for it; a bundle or a file is its own description."""
    if os.path.isdir(target) or target.endswith(".onnx"):
        return target
    return dataclasses.replace(request, spec=target).load()


def _print(result: TargetResult) -> None:
    from netloft.report.table import print_table

    print_table("", COLUMNS, [_cells(row) for row in result.rows])
    if result.nodes:
        title = "\nnodes: median time of each in ONNX Runtime, the slowest first"
        slowest = sorted(result.nodes, key=lambda row: (row.target, row.batch, -row.ms))
        print_table(title, NODE_COLUMNS, [_node_cells(row) for row in slowest])
    for what, reason in result.not_run:
        click.echo(f"not run: {what}: {reason}")
    facts = result.environment
    where = [facts["cpu"], *list(facts["gpu"] or ()), facts["os"]]  # type: ignore[call-overload]
    versions = [f"torch {facts['torch']}" if facts["torch"] else "", facts["onnxruntime"]]
    click.echo(", ".join(str(part) for part in (*where, *versions) if part))
    click.echo(f"load average before the first sample: {facts['load_average']}")


def _cells(row: TargetRow) -> list[object]:
    known = row.ratio_to_first is not None
    return [
        row.target,
        row.engine,
        row.provider,
        row.batch,
        row.threads,
        row.n,
        f"{row.p50_ms:.3f}",
        f"{row.p95_ms:.3f}",
        f"{row.items_per_s:.1f}",
        f"{row.ratio_to_first:.3f}" if known else "",
        f"{row.ratio_low:.3f} to {row.ratio_high:.3f}" if known and row.verdict else "",
        row.verdict,
        f"{row.cpu_ms:.3f}",
    ]


def _node_cells(row: ProfileRow) -> list[object]:
    name = row.node or "(added by ONNX Runtime)"
    op = row.op if row.op == row.kernel else f"{row.kernel} to {row.op}"  # fused
    known = [row.target, row.provider, row.batch, name, op, row.module]
    return [*known, f"{row.ms:.3f}", f"{row.share:.1%}"]
