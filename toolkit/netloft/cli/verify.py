"""`netloft verify`."""

from __future__ import annotations

from pathlib import Path

import click

from netloft.cli.options import output_options, parse_argument, provider_options

__all__ = ["verify"]


@click.command(short_help="Check a bundle or an .onnx file.")
@click.argument("target", type=click.Path(path_type=Path))
@click.option("--against", metavar="MODEL", help="Compare with this module instead of vectors.")
@click.option("--arg", "args", multiple=True, metavar="NAME=VALUE",
              help="Constructor argument of --against; repeat for more.")  # fmt: skip
@click.option("--weights", metavar="FILE|NAME", help="Weights of --against.")
@click.option("--input", "inputs", multiple=True, metavar="[NAME=]SHAPE[:DTYPE]",
              help="Input of --against, such as 1x3x224x224.")  # fmt: skip
@click.option("--seed", default=0, show_default=True, type=int, help="Seed of random weights.")
@provider_options
@output_options
def verify(
    target: Path,
    against: str | None,
    args: tuple[str, ...],
    weights: str | None,
    inputs: tuple[str, ...],
    seed: int,
    providers: tuple[str, ...],
    threads: int | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Check TARGET: a bundle on its own test vectors (no torch needed), or an .onnx file.

    \b
    Examples:
      netloft verify out/resnet18
      netloft verify out/resnet18 --provider cuda
      netloft verify net.onnx --against net.py:Net --input 1x3x32x32
    """
    import dataclasses
    import json

    from netloft.report.plain import plain
    from netloft.report.summary import print_parity
    from netloft.verification import verify as run

    module, example = None, None
    if against is not None:
        from netloft.models import load_model
        from netloft.models.inputs import parse_input

        model = load_model(
            against,
            arguments=dict(parse_argument(text) for text in args),
            weights=weights,
            inputs=tuple(parse_input(text) for text in inputs),
            seed=seed,
        )
        module, example = model.module, model.example(seed=seed)
    found = run(
        target, providers=providers, against=module, example_inputs=example, threads=threads
    )
    if as_json:
        click.echo(json.dumps(plain(dataclasses.asdict(found)), indent=2))
    elif not quiet:
        for check in found.checks:
            click.echo(check)
        if found.parity:
            stored = "the module's stored results"
            print_parity(found.parity, "the module in float64" if against else stored)
        for row in found.not_run:
            click.echo(f"not run: {row['what']}: {row['reason']}")
        click.echo(f"{found.status}: {target}")
    if found.status != "pass":
        raise SystemExit(1)
