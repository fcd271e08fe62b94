"""`netloft trace`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from netloft.cli.options import ModelRequest, model_options, output_options

if TYPE_CHECKING:
    from netloft.graph import Graph

__all__ = ["trace"]


@click.command(short_help="Print the graph of MODEL.")
@model_options
@click.option("--text", is_flag=True, help="Stable text, one node a line.")
@output_options
def trace(request: ModelRequest, text: bool, as_json: bool, quiet: bool) -> None:
    """Trace MODEL with torch.fx, prove the graph against the module and print it.

    --json has every annotation of every node.

    \b
    Examples:
      netloft trace myresnet
      netloft trace myresnet --text
      netloft trace net.py:Net --input 1x3x32x32 --json
    """
    import json

    from netloft.graph.text import print_graph

    graph = request.trace(request.load())
    if as_json:
        click.echo(json.dumps(_facts(graph), indent=2))
    elif text:
        click.echo(print_graph(graph, sources=True), nl=False)
    elif not quiet:
        _print(graph)


def _facts(graph: Graph) -> dict[str, object]:
    import dataclasses

    from netloft.report.plain import plain

    nodes = [{"name": node.name, **dataclasses.asdict(record)} for node, record in graph]
    facts = {
        "name": graph.name,
        "class": graph.class_name,
        "batch": graph.batch,
        "totals": dataclasses.asdict(graph.totals),
        "dead_modules": [dataclasses.asdict(m) for m in graph.dead_modules],
        "unused_parameters": list(graph.unused_parameters),
        "side_effects": [dataclasses.asdict(e) for e in graph.side_effects],
        "nodes": nodes,
    }
    result: dict[str, object] = plain(facts)
    return result


def _print(graph: Graph) -> None:
    from netloft.graph.annotation import format_shape
    from netloft.graph.cost import tensors
    from netloft.report.table import print_table

    rows = [
        (
            str(record.calls[-1]) if record.module else node.name,
            record.op,
            ", ".join(format_shape(t.shape) for t in tensors(record.value)),
            f"{record.n_params:,}" if record.n_params else "",
            f"{record.macs:,}" if record.macs else "",
            str(record.source or ""),
        )
        for node, record in graph
    ]
    columns = ["module", "operation", "output", "parameters", "multiply-adds", "source"]
    print_table(f"{graph.class_name}, shapes without the batch", columns, rows)
    totals = graph.totals
    peak = totals.peak_activation_bytes / 2**20
    click.echo(
        f"\n{totals.n_params:,} parameters, {totals.macs:,} multiply-adds for one item, "
        f"{peak:.1f} MiB of activations at most"
    )
    for module in graph.dead_modules:
        click.echo(
            f"never called: {module.path} ({module.class_name}, {module.n_params:,} parameters)"
        )
    for name in graph.unused_parameters:
        click.echo(f"unused parameter: {name}")
    for effect in graph.side_effects:
        click.echo(f"side effect: {effect.what} at {effect.source}")
