"""`netloft publish`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from netloft.cli.options import PROVIDERS, output_options

if TYPE_CHECKING:
    from netloft.publishing import Published

__all__ = ["publish"]

TARGETS = ("triton", "kserve", "mlflow", "ort-web", "ort-mobile")
BACKENDS = ("onnxruntime", "python")


@click.command(short_help="Write a bundle in the layout of an engine.")
@click.argument("bundle", type=click.Path(path_type=Path))
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--to", "target", required=True, type=click.Choice(TARGETS), help="The engine.")
@click.option("--name", help="Name of the model, and of its folder; the bundle's by default.")
@click.option("--provider", type=click.Choice(PROVIDERS),
              help="What is to run it, for triton and kserve; cpu by default.")  # fmt: skip
@click.option("--backend", type=click.Choice(BACKENDS),
              help="Triton's backend; onnxruntime by default.")  # fmt: skip
@click.option("--max-batch", type=click.IntRange(1, 65_536), metavar="N",
              help="The most items that Triton puts into one run; 8 by default.")  # fmt: skip
@output_options
def publish(
    bundle: Path,
    folder: Path,
    target: str,
    name: str | None,
    provider: str | None,
    backend: str | None,
    max_batch: int | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Write BUNDLE as DIR/NAME in the layout of an engine, whole or not at all.

    Every file of the bundle is compared with its manifest first. What else is in DIR stays as it
    is; a folder DIR/NAME that netloft published is replaced, anything else there is refused.

    \b
    Examples:
      netloft publish out/resnet18 --to triton models
      netloft publish out/resnet18 --to triton models --backend python --name resnet
      netloft publish out/resnet18 --to kserve deploy --provider cuda
      netloft publish out/resnet18 --to mlflow mlmodels
      netloft publish out/resnet18 --to ort-web site
      netloft publish out/resnet18 --to ort-mobile app/assets
    """
    from netloft.publishing import publish as run

    options = {"provider": provider, "backend": backend, "max_batch": max_batch}
    given = {key: value for key, value in options.items() if value is not None}
    found = run(bundle, target, folder, name, **given)
    _tell(found, as_json, quiet)


def _tell(found: Published, as_json: bool, quiet: bool) -> None:
    import json

    if as_json:
        click.echo(json.dumps({"path": str(found.path), **found.record}, indent=2))
    elif not quiet:
        click.echo(f"{found.record['target']}: {found.path}")
        for name in (*found.record["files"], "netloft.json"):
            click.echo(f"  {found.path / name}")
