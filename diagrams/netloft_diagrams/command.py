"""The verb `draw`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from netloft.cli.options import ModelRequest, model_options, output_options
from netloft.defaults import JSON_FORMAT
from netloft.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor

    from netloft.models.loaded import LoadedModel

__all__ = ["ManyFiles", "draw", "spread"]

OVERLAYS = ("time", "flops", "params", "memory", "error", "dtype", "pass")
"""As `netloft.overlays.OVERLAYS` has them, which brings PyTorch with it."""


class ManyFiles(click.Command):
    """A command whose `-o` takes every following word up to the next option.

    The shell's own `netloft draw MODEL -o a.svg b.png` is what people type; click knows options
    of a fixed number of values only.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the words, with `-o` before each file."""
        return super().parse_args(ctx, spread(args))


def spread(args: list[str]) -> list[str]:
    """Turn `-o a b` into `-o a -o b`; what stands before the model's name stays single."""
    found: list[str] = []
    model_seen, after_output = False, 0
    for i, arg in enumerate(args):
        if arg == "--":
            return [*found, *args[i:]]
        if arg in ("-o", "--output"):
            after_output = 1
        elif arg.startswith("-") and len(arg) > 1:
            after_output = 0
        elif after_output == 1:
            after_output = 2
        elif after_output == 2 and (model_seen or _is_file(arg)):
            found.append("-o")
        elif after_output == 2:
            model_seen, after_output = True, 0
        elif not i or not args[i - 1].startswith("-"):
            model_seen = True
        found.append(arg)
    return found


def _is_file(word: str) -> bool:
    """Tell a drawing from a model: `net.svg` is one, `net.py:Net` and `resnet18` are not."""
    from netloft_diagrams.api import FORMATS

    return word.rpartition(".")[2].lower() in FORMATS


@click.command(cls=ManyFiles)
@model_options
@click.option("-o", "--output", "outputs", multiple=True, metavar="FILE …",
              help="Files to write; the suffix is the format: svg png pdf html dot mmd txt tex. "
              "Default: NAME.svg.")  # fmt: skip
@click.option("--depth", type=click.IntRange(0), default=None,
              help="Open modules this deep, no deeper; default: what fits a page.")  # fmt: skip
@click.option("--expand", multiple=True, metavar="PATH",
              help="Open this module and all inside it; repeat for more.")  # fmt: skip
@click.option("--only", default="", metavar="PATH", help="Draw this module alone.")
@click.option("--style", type=click.Choice(["structure", "volume"]), default="structure",
              show_default=True,
              help="Boxes in frames, or feature maps as solids.")  # fmt: skip
@click.option("--color", type=click.Choice(OVERLAYS), default=None,
              help="A number or a word in each box, and a colour that goes with it.")  # fmt: skip
@click.option("--report", type=click.Path(path_type=Path), default=None, metavar="FILE",
              help="Take --color time, error or pass from this JSON of netloft bench --profile or "
              "verify --layers, or from a bundle's report.json, and run nothing.")  # fmt: skip
@click.option("--thumbnails", is_flag=True,
              help="Put pictures of what they look for into the boxes of layers; takes seconds for "
              "each.")  # fmt: skip
@click.option("--direction", type=click.Choice(["right", "down"]), default=None,
              show_default="right, where that fits", help="Where the flow runs.")  # fmt: skip
@output_options
def draw(
    request: ModelRequest,
    outputs: tuple[str, ...],
    report: Path | None,
    as_json: bool,
    quiet: bool,
    **options: Any,
) -> None:
    """Draw the structure of MODEL, which may be any .onnx file.

    \b
    Examples:
      netloft draw resnet18
      netloft draw myresnet -o myresnet.svg myresnet.png
      netloft draw resnet152 -o net.pdf --expand layer3.0
      netloft draw net.py:Net --input 1x3x32x32 -o net.html
      netloft draw resnet50 --color time -o time.svg
      netloft draw resnet50 --color error --report verify.json -o error.svg
      netloft draw mnist --weights net.safetensors --thumbnails -o seen.png
      netloft draw alphago --style volume -o alphago.svg alphago.tex
      netloft draw path/to/net.onnx -o net.svg
    """  # noqa: D301 - click knows the paragraph by the letter, not by its escape
    from netloft.report.progress import progress
    from netloft.tracing.faithful import silent
    from netloft_diagrams import draw as draw_files

    if report is not None and not options["color"]:
        raise UsageError(
            "a report is drawn as colours", remedy="say which with --color time|error|pass"
        )
    with silent(), progress(quiet=quiet or not options["thumbnails"]) as tell:
        model = None if request.is_file else request.load()
        graph = request.graph() if model is None else request.trace(model)
        if options["thumbnails"] and model is not None:
            from netloft.thumbnails import Thumbnails

            options["thumbnails"] = Thumbnails(model, seed=request.seed, progress=tell)
        if report is not None:
            from netloft.overlays import overlay_from

            options["color"] = overlay_from(report, options["color"], graph)
        runs = options["color"] and report is None
        options["example_inputs"] = _one_item(model, request) if model and runs else None
        name = Path(request.spec).stem if request.is_file else graph.name
        files = draw_files(graph, *(outputs or (f"{name}.svg",)), **options)
    _report(files, graph.name, as_json, quiet)


def _one_item(model: LoadedModel, request: ModelRequest) -> dict[str, Tensor]:
    """Return what to run a network on, for the colours that are measured."""
    batch = request.batch if isinstance(request.batch, int) else 1
    return model.example(batch, request.seed)


def _report(files: tuple[Path, ...], name: str, as_json: bool, quiet: bool) -> None:
    if as_json:
        told = [str(file) for file in files]
        facts = {"format": JSON_FORMAT, "status": "pass", "model": name, "files": told}
        click.echo(json.dumps(facts, indent=2))
    elif not quiet:
        for file in files:
            click.echo(str(file))
