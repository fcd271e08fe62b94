"""The verb `diff`."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from netloft.cli.options import (
    ModelRequest,
    loading_options,
    output_options,
    parse_argument,
    tolerant,
)
from netloft.errors import TraceError, UsageError
from netloft_diagrams.command import ManyFiles

if TYPE_CHECKING:
    from netloft.graph import Graph

__all__ = ["diff"]


@click.command(cls=ManyFiles)
@click.argument("a")
@click.argument("b", required=False)
@loading_options
@click.option("--arg-b", "args_b", multiple=True, metavar="NAME=VALUE",
              help="Constructor argument of B alone; repeat for more.")  # fmt: skip
@click.option("--weights-b", metavar="FILE|NAME", help="Weights of B, in place of --weights.")
@click.option("--after", metavar="NAME,…|passes", default=None,
              help="Run these passes over B, or all of an export; B is A by default.")  # fmt: skip
@click.option("-o", "--output", "outputs", multiple=True, metavar="FILE …",
              help="Draw both as one picture: svg png pdf html dot mmd txt.")  # fmt: skip
@tolerant
@output_options
def diff(
    request: ModelRequest,
    a: str,
    b: str | None,
    args_b: tuple[str, ...],
    weights_b: str | None,
    after: str | None,
    outputs: tuple[str, ...],
    as_json: bool,
    quiet: bool,
) -> None:
    """Say what differs between A and B: each a MODEL, an .onnx file, or the folder of a bundle.

    Operations, hyper-parameters, wiring and weights by value. The options of a MODEL are for both;
    --arg-b and --weights-b are for B alone. Exit code 0: all was compared and nothing differs;
    1: something differs, or could not be compared.

    \b
    Examples:
      netloft diff resnet18 resnet34
      netloft diff net.py:Net net.py:Net --weights old.safetensors --weights-b new.safetensors
      netloft diff resnet18 out/resnet18/model.onnx -o diff.svg
      netloft diff resnet18 --after fold_batch_norm
      netloft diff out/monday out/tuesday --json
    """  # noqa: D301 - click knows the paragraph by the letter, not by its escape
    from netloft.comparing import diff as compare
    from netloft.tracing.faithful import silent

    if b is None and after is None:
        raise UsageError("diff compares two graphs", remedy="name B too, or --after PASSES")
    left = dataclasses.replace(request, spec=_file(a))
    right = dataclasses.replace(request, spec=_file(b if b is not None else a))
    if right.is_file and (args_b or weights_b or after is not None):
        raise UsageError(
            "--arg-b, --weights-b and --after are for a module, and B is an ONNX file",
            remedy="leave them out",
        )
    arguments = {**request.arguments, **dict(parse_argument(text) for text in args_b)}
    right = dataclasses.replace(right, arguments=arguments, weights=weights_b or request.weights)
    with silent():
        first = _graph(left, alone=right.is_file)
        second = _graph(right, alone=left.is_file)
        if after is not None:
            second = _passed(second, right, after)
    found = compare(first, second)
    if outputs:
        from netloft_diagrams import draw

        draw(found, *outputs)
    if as_json:
        click.echo(json.dumps(found.to_json(), indent=2, ensure_ascii=False))
    elif not quiet:
        click.echo(found.text(), nl=False)
    if not found.proven:
        raise SystemExit(1)


def _file(spec: str) -> str:
    """Return the model of a bundle; a bare word is a MODEL's name, whatever folders there are."""
    model = Path(spec) / "model.onnx"
    is_path = spec.startswith(".") or "/" in spec or "\\" in spec
    return str(model) if is_path and model.is_file() else spec


def _graph(request: ModelRequest, *, alone: bool) -> Graph:
    """Return a side's graph; options of a MODEL say nothing to a file beside one."""
    if request.is_file and not alone:
        request = ModelRequest(request.spec, {}, None, (), "dynamic", request.seed, {}, {})
    return request.graph()


def _passed(graph: Graph, request: ModelRequest, names: str) -> Graph:
    from netloft.passes import NotFunctionalError, choose_passes, run_passes

    words = tuple(word for word in names.split(",") if word)
    passes = choose_passes(None if words == ("passes",) else words)
    example = request.load().example(seed=request.seed)
    try:
        return run_passes(graph, passes, example=example).graph
    except NotFunctionalError as reason:
        raise TraceError(
            f"a write in place cannot be expressed as a value: {reason}",
            remedy="write it as a value",
        ) from reason
