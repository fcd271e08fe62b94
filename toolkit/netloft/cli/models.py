"""`netloft models`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from netloft.defaults import JSON_FORMAT

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["models"]


@click.command(short_help="List the models that can be named.")
@click.option("--builtin", is_flag=True, help="Only those that netloft brings; needs no torch.")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable result on standard output.")
def models(builtin: bool, as_json: bool) -> None:
    """List the names that MODEL may be: those that netloft brings, then torchvision's.

    \b
    Examples:
      netloft models
      netloft models --builtin
      netloft models --json
    """
    import dataclasses
    import json

    from netloft.models.catalog import BUILTINS

    if as_json:
        rows = [dataclasses.asdict(row) for row in BUILTINS.values()]
        found = {} if builtin else _torchvision()
        facts = {"format": JSON_FORMAT, "builtin": rows, "torchvision": found}
        click.echo(json.dumps(facts, indent=2))
        return
    _print_builtins()
    if not builtin:
        _print_torchvision(_torchvision())


def _torchvision() -> Mapping[str, list[str]]:
    from netloft.models.catalog import torchvision_kind, torchvision_names

    kinds: dict[str, list[str]] = {}
    for name in torchvision_names():
        kinds.setdefault(torchvision_kind(name), []).append(name)
    return kinds


def _print_builtins() -> None:
    from netloft.models.catalog import BUILTINS
    from netloft.report.table import print_table

    print_table(
        "Built in",
        ["name", "inputs", "description", "source"],
        [(b.name, " ".join(b.inputs), b.description, b.source) for b in BUILTINS.values()],
    )


def _print_torchvision(kinds: Mapping[str, list[str]]) -> None:
    for kind, names in kinds.items():
        click.echo(f"\ntorchvision, {kind.replace('_', ' ')}")
        text = click.wrap_text(" ".join(names), 100, initial_indent="  ", subsequent_indent="  ")
        click.echo(text)
    click.echo(
        "\ntimm's networks are timm:NAME, such as timm:vit_tiny_patch16_224, with the extra timm: "
        "pip install 'netloft[timm]'."
        "\nA network of your own is path/to/file.py:Net or package.module:Net, with --input SHAPE."
    )
