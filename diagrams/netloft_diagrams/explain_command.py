"""The verb `explain`."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from netloft.cli.options import ModelRequest, loading_options, output_options, provider_options
from netloft.defaults import JSON_FORMAT
from netloft.errors import OutputError, UsageError

if TYPE_CHECKING:
    from netloft.explain.seen import Seen

__all__ = ["explain"]

PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".webp")


class ManyImages(click.Command):
    """A command whose `--image` takes every following picture up to the next option."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the words, with `--image` before each picture."""
        found: list[str] = []
        open_ = False
        for i, arg in enumerate(args):
            first = i > 0 and args[i - 1] == "--image"
            if arg.startswith("-"):
                open_ = arg == "--image"
            elif open_ and not first:
                if arg.lower().endswith(PICTURES):
                    found.append("--image")
                else:
                    open_ = False
            found.append(arg)
        return super().parse_args(ctx, found)


@click.command(cls=ManyImages)
@click.argument("models", nargs=-1, required=True, metavar="MODEL…")
@loading_options
@click.option("--image", "images", multiple=True, required=True, metavar="FILE …",
              type=click.Path(path_type=Path), help="Pictures to look at.")  # fmt: skip
@click.option("--method", type=click.Choice(["gradcam", "gradcam++"]), default="gradcam",
              show_default=True, help="How places are weighed.")  # fmt: skip
@click.option("--top", type=click.IntRange(1, 20), default=5, show_default=True,
              help="How many classes to name.")  # fmt: skip
@click.option("-o", "--out", type=click.Path(path_type=Path), metavar="DIR", default=None,
              help="Folder of the pictures; out/explain by default.")  # fmt: skip
@provider_options
@output_options
def explain(
    request: ModelRequest,
    models: tuple[str, ...],
    images: tuple[Path, ...],
    method: str,
    top: int,
    out: Path | None,
    providers: tuple[str, ...],
    threads: int | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Show what networks look at: the best classes of each picture, and a map of one of them.

    Each MODEL is a classifier of pictures; its options are for all of them. The map is of each
    network's best class, or of the one that --class names. It comes out of the ONNX file that
    netloft export --with gradcam writes, checked on these pictures.

    \b
    Examples:
      netloft explain resnet18 --weights DEFAULT --image cat.jpg
      netloft explain alexnet vgg16 resnet18 --weights DEFAULT --image cat.jpg dog.jpg
      netloft explain resnet18 --weights DEFAULT --image cat.jpg --class 282 --method gradcam++
      netloft explain net.py:Net --weights net.safetensors --image digit.png --layer conv2
    """  # noqa: D301 - click knows the paragraph by the letter, not by its escape
    from netloft.explaining import Asked
    from netloft.explaining import explain as explained
    from netloft.report.progress import progress

    around = dict(request.around)
    asked = Asked(
        method=method,
        layer=around.pop("layer", ""),
        class_index=around.pop("class_index", None),
        top=top,
        provider=_one(providers),
        threads=threads,
        seed=request.seed,
    )
    _check_around(around)
    folder = out or Path("out", "explain")
    _check_folder(folder)
    with progress(quiet=quiet) as tell:
        loaded = []
        for spec in models:
            tell(f"loading {spec}")
            loaded.append(dataclasses.replace(request, spec=spec, around=around).load())
        rows = explained(loaded, images, asked, progress=tell)
        files = _write(rows, folder)
    if as_json:
        click.echo(json.dumps({"format": JSON_FORMAT, **_facts(rows, files)}, indent=2))
    elif not quiet:
        _print(rows, files)


def _one(providers: Sequence[str]) -> str:
    if len(providers) > 1:
        raise UsageError("a map is made on one provider", remedy="give --provider once")
    return providers[0] if providers else "cpu"


def _check_around(around: dict[str, Any]) -> None:
    if "map" in around or "head" in around:
        raise UsageError(
            "--with and --head are for export: explain makes maps of the scores themselves",
            remedy="leave them out; --method gradcam++ is the other kind of map",
        )


def _check_folder(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder} is a file, and pictures go into a folder")


def _write(rows: Sequence[Seen], folder: Path) -> dict[str, Path]:
    """Write the comparison as a page and a picture, and each picture under its map."""
    from netloft.bundle.atomic import write_file
    from netloft_diagrams.seen import comparison_html, comparison_svg, overlay_png, svg_png

    table = comparison_svg(rows)
    made = {
        "explain.html": comparison_html(rows).encode(),
        "explain.svg": table.encode(),
        "explain.png": svg_png(table),
    }
    names = _overlay_names(rows)
    made |= {name: overlay_png(row) for name, row in zip(names, rows, strict=True)}
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder} cannot be made: {error.strerror}") from error
    for name, data in made.items():
        write_file(folder / name, data)
    return {name: folder / name for name in made}


def _overlay_names(rows: Sequence[Seen]) -> list[str]:
    """Return a file name for each map: the network's and the picture's, and a number if need be."""
    found: list[str] = []
    for row in rows:
        plain = re.sub(r"[^\w.-]+", "_", f"{row.model}-{Path(row.picture).stem}").strip(".")[:120]
        name, number = f"{plain}.png", 2
        while name in (*found, "explain.png"):
            name, number = f"{plain}-{number}.png", number + 1
        found.append(name)
    return found


def _facts(rows: Sequence[Seen], files: dict[str, Path]) -> dict[str, Any]:
    """Return what was seen as plain data."""
    names = _overlay_names(rows)
    return {
        "pictures": [
            {
                "model": row.model,
                "picture": row.picture,
                "top": [dataclasses.asdict(each) for each in row.top],
                "assigned": dataclasses.asdict(row.assigned),
                "method": row.method,
                "layer": row.layer,
                "form": row.form,
                "file": str(files[name]),
            }
            for name, row in zip(names, rows, strict=True)
        ],
        "files": [str(path) for name, path in files.items() if name.startswith("explain.")],
    }


def _print(rows: Sequence[Seen], files: dict[str, Path]) -> None:
    from netloft.report.table import print_table

    told = [
        (
            row.picture,
            row.model,
            _named(row.predicted),
            f"{row.predicted.share:.1%}",
            _named(row.assigned),
            row.layer,
            row.form,
        )
        for row in rows
    ]
    print_table("", ("picture", "network", "predicted", "share", "map of", "layer", "map by"), told)
    for path in files.values():
        click.echo(str(path))


def _named(ranked: Any) -> str:
    return f"{ranked.index} {ranked.label}".strip()
