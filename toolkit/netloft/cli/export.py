"""`netloft export`."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING

import click

from netloft.cli.options import (
    ModelRequest,
    file_options,
    model_options,
    output_options,
    pass_options,
    provider_options,
)
from netloft.cli.own_process import imports_kept

if TYPE_CHECKING:
    from netloft.parity.task_level import Criteria

__all__ = ["export"]

_NEEDED = (
    "netloft.exporting",
    "netloft_exporters.onnx",
    "netloft_diagrams.drawing",
    "netloft.speed.model",
)
"""By every export, sooner or later."""


@click.command(short_help="Trace, draw, export, prove and measure MODEL.")
@model_options
@click.option("-o", "--out", type=click.Path(path_type=Path), metavar="DIR",
              help="Folder of the bundle; out/NAME by default.")  # fmt: skip
@file_options
@provider_options
@pass_options
@click.option("--min-sqnr", type=float, metavar="DB",
              help="Least signal to noise of int8 outputs, in dB; 20 by default.")  # fmt: skip
@click.option("--min-agreement", type=float, metavar="SHARE",
              help="Least share of inputs with the same first class in int8.")  # fmt: skip
@click.option("--functions", is_flag=True,
              help="Gather the nodes of each module call into an ONNX function.")  # fmt: skip
@click.option("--quick", is_flag=True, help="Time batch 1 alone, briefly; no torch.compile.")
@output_options
def export(
    request: ModelRequest,
    out: Path | None,
    opset: int,
    providers: tuple[str, ...],
    threads: int | None,
    precision: str,
    passes: tuple[str, ...] | None,
    without: tuple[str, ...],
    min_sqnr: float | None,
    min_agreement: float | None,
    functions: bool,
    quick: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Trace MODEL, draw it, export it, prove the file right, measure it, write the bundle.

    MODEL is a built-in or torchvision name, torchvision:NAME, package.module:attribute or
    path/to/file.py:attribute (which runs that file's code).

    \b
    Examples:
      netloft export resnet18
      netloft export resnet18 --weights DEFAULT --provider cuda
      netloft export resnet18 --precision int8 --min-agreement 0.95
      netloft export alphago --arg k=384 -o build/alphago
      netloft export net.py:Net --input 1x3x32x32 --weights net.safetensors
    """
    import json

    _import_for_good()
    from netloft.bundle import check_target
    from netloft.converting import check_precision
    from netloft.exporting import ExportOptions, export_model
    from netloft.passes import choose_passes
    from netloft.report.progress import progress
    from netloft.report.summary import print_summary
    from netloft.runtime.providers import available

    if out is not None:
        check_target(out)  # before the minutes of work
    choose_passes(passes, without)
    check_precision(precision, functions)
    criteria = _criteria(precision, min_sqnr, min_agreement)
    available(providers)
    with progress(quiet=quiet) as tell:
        tell(f"loading {request.spec}")
        model = request.load()
        options = ExportOptions(
            batch=request.batch,
            opset=opset,
            providers=providers,
            seed=request.seed,
            threads=threads,
            quick=quick,
            passes=passes,
            without=without,
            dynamic=request.dynamic,
            functions=functions,
            precision=precision,
            criteria=criteria,
        )
        bundle = export_model(model, out, options, progress=tell)
    report = bundle.report.to_dict()
    if as_json:
        click.echo(json.dumps({"bundle": str(bundle.path), **report}, indent=2))
    elif not quiet:
        print_summary(bundle.path, report)


def _import_for_good() -> None:
    with imports_kept():
        for name in _NEEDED:
            importlib.import_module(name)


def _criteria(precision: str, min_sqnr: float | None, min_agreement: float | None) -> Criteria:
    """Return what an int8 file has to reach.

    Raises:
        UsageError: They are asked of another file, or no number for them is one.
    """
    from netloft.errors import UsageError
    from netloft.parity.task_level import Criteria

    asked = {"min_sqnr_db": min_sqnr, "min_agreement": min_agreement}
    given = {name: value for name, value in asked.items() if value is not None}
    if given and precision != "int8":
        raise UsageError(
            f"--min-sqnr and --min-agreement are of an int8 file, and this one is {precision}",
            remedy="leave them out, or add --precision int8",
        )
    return Criteria(**given)
