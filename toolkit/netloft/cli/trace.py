"""`netloft trace`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from netloft.cli.options import ModelRequest, model_options, output_options, pass_options
from netloft.defaults import JSON_FORMAT

if TYPE_CHECKING:
    from netloft.graph import Graph
    from netloft.passes import Passed

__all__ = ["trace"]


@click.command(short_help="Print the graph of MODEL.")
@model_options
@click.option("--text", is_flag=True, help="Stable text, one node a line.")
@click.option("--explain", is_flag=True, help="Say what becomes of it before an export, and why.")
@pass_options
@output_options
def trace(
    request: ModelRequest,
    text: bool,
    explain: bool,
    passes: tuple[str, ...] | None,
    without: tuple[str, ...],
    as_json: bool,
    quiet: bool,
) -> None:
    """Trace MODEL, prove the graph against the module and print it.

    torch.fx traces it; torch.export where torch.fx cannot, and then that is said. An .onnx file has
    its graph already, which is printed as it is.
    --json has every annotation of every node. --explain runs what an export runs over the graph:
    which writes in place became values, what was folded, merged and dropped, each with its proof.

    \b
    Examples:
      netloft trace myresnet
      netloft trace myresnet --text
      netloft trace net.py:Net --input 1x3x32x32 --json
      netloft trace resnet18 --explain
      netloft trace out/resnet18/model.onnx
    """
    import json

    from netloft.graph.text import print_graph
    from netloft.passes import choose_passes
    from netloft.report.plain import plain

    chosen = choose_passes(passes, without)
    if explain:
        model = request.load()
        passed = _passed(request.trace(model), chosen, model.example(seed=request.seed))
        if as_json:
            click.echo(json.dumps(plain(_passed_facts(passed)), indent=2))
        elif not quiet:
            _print_passed(passed)
        return
    graph = request.graph()
    if as_json:
        click.echo(json.dumps(_facts(graph), indent=2))
    elif text:
        click.echo(print_graph(graph, sources=True), nl=False)
    elif not quiet:
        _print(graph)


def _passed(graph: Graph, passes: Sequence[Any], example: Mapping[str, Any]) -> Passed:
    from netloft.errors import TraceError
    from netloft.passes import NotFunctionalError, run_passes

    try:
        return run_passes(graph, passes, example=example)
    except NotFunctionalError as reason:
        raise TraceError(
            f"a write in place cannot be expressed as a value: {reason}",
            remedy="write it as a value; an export of it goes through torch.onnx whole",
        ) from reason


def _passed_facts(passed: Passed) -> dict[str, object]:
    import dataclasses

    return {
        "format": JSON_FORMAT,
        "passes": [dataclasses.asdict(row) for row in passed.rows],
        "notes": [dataclasses.asdict(note) for note in passed.notes],
    }


def _print_passed(passed: Passed) -> None:
    from netloft.report.table import print_table

    notes = [(f"%{n.node}", n.module, n.source, n.text) for n in passed.notes]
    if notes:
        print_table("what was done", ["node", "module", "source", "why"], notes)
    rows = [
        (
            row.name,
            row.status,
            str(row.nodes_before),
            str(row.nodes_after),
            "" if row.difference is None else f"{row.difference:.1e}",
            row.proof,
        )
        for row in passed.rows
    ]
    columns = ["pass", "status", "nodes before", "after", "difference", "proof"]
    print_table("passes", columns, rows)


def _facts(graph: Graph) -> dict[str, object]:
    import dataclasses

    from netloft.report.plain import plain

    nodes = [{"name": node.name, **dataclasses.asdict(record)} for node, record in graph]
    facts = {
        "format": JSON_FORMAT,
        "name": graph.name,
        "class": graph.class_name,
        "batch": graph.batch,
        "capture": graph.capture,
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
    peak = totals.peak_activation_bytes
    size = f"{peak / 2**20:.1f} MiB" if peak >= 2**20 / 10 else f"{peak / 2**10:.1f} KiB"
    click.echo(
        f"\n{totals.n_params:,} parameters, {totals.macs:,} multiply-adds for one item, "
        f"{size} of activations at most"
    )
    if graph.is_read:
        click.echo(f"read from an {graph.capture}")
    elif graph.capture != "torch.fx":
        click.echo(f"traced by {graph.capture}")
    for module in graph.dead_modules:
        click.echo(
            f"never called: {module.path} ({module.class_name}, {module.n_params:,} parameters)"
        )
    for name in graph.unused_parameters:
        click.echo(f"unused parameter: {name}")
    for effect in graph.side_effects:
        click.echo(f"side effect: {effect.what} at {effect.source}")
