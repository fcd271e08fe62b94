"""The verb `explain`."""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from netloft.cli.options import ModelRequest, loading_options, output_options, provider_options
from netloft.defaults import JSON_FORMAT, MAP_METHODS
from netloft.errors import OutputError, UsageError
from netloft_diagrams.sheet_files import (
    file_name,
    filters,
    make_folder,
    maximised,
    parse_units,
)

if TYPE_CHECKING:
    from netloft.explain.seen import Seen
    from netloft.models.loaded import LoadedModel

__all__ = ["explain"]

METHODS = (*MAP_METHODS, "maximise", "filters")

PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".gif", ".tif", ".tiff", ".ppm")
"""Suffixes by which a word is a picture and not a MODEL; not all of them can be read."""


class ManyImages(click.Command):
    """A command whose `--image` takes every following picture up to the next option."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the words, with `--image` before each picture."""
        found: list[str] = []
        open_ = False
        for i, arg in enumerate(args):
            first = i > 0 and args[i - 1] == "--image"
            if arg.startswith("-"):
                open_ = arg.partition("=")[0] == "--image"
            elif open_ and not first:
                if arg.lower().endswith(PICTURES):
                    found.append("--image")
                else:
                    open_ = False
            found.append(arg)
        return super().parse_args(ctx, found)


def _climb_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add what `--method maximise` takes; the command gets what is given as `climb`."""

    @click.option("--unit", "units", metavar="N,N-N",
                  help="Of maximise: filters, neurons or classes, such as 0-24.")  # fmt: skip
    @click.option("--steps", type=int, help="Of maximise: how often a step is tried; 30.")
    @click.option("--step", type=float, help="Of maximise: size of the first; 0.1 of white.")
    @click.option("--l1", type=float, help="Of maximise: weight of the sum of |x|.")
    @click.option("--tv", type=float, help="Of maximise: weight of differences of neighbours.")
    @click.option("--jitter", type=int, help="Of maximise: pixels to move by before each step.")
    @click.option("--activated", is_flag=True, default=None,
                  help="Of maximise: look at what the ReLU behind the layer gives.")  # fmt: skip
    @functools.wraps(command)
    def with_climb(**rest: Any) -> Any:
        given = {name: rest.pop(name) for name in _CLIMB}
        climb = {name: value for name, value in given.items() if value is not None}
        return command(climb=climb, **rest)

    return with_climb


_CLIMB = ("units", "steps", "step", "l1", "tv", "jitter", "activated")


@click.command(cls=ManyImages)
@click.argument("models", nargs=-1, required=True, metavar="MODEL…")
@loading_options
@click.option("--image", "images", multiple=True, metavar="FILE …",
              type=click.Path(path_type=Path), help="Pictures to look at.")  # fmt: skip
@click.option("--method", type=click.Choice(METHODS), default="gradcam", show_default=True,
              help="Maps of pictures; or what parts of the network look for, or its filters.",
              )  # fmt: skip
@click.option("--top", type=click.IntRange(1, 20), default=5, show_default=True,
              help="Of maps: how many classes to name.")  # fmt: skip
@_climb_options
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
    climb: dict[str, Any],
    out: Path | None,
    providers: tuple[str, ...],
    threads: int | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Show what networks look at in pictures, or what their parts look for.

    Maps (gradcam, gradcam++): the best classes of each --image, and what speaks for the best or for
    --class. Each MODEL is a classifier; its options are for all of them. The map comes out of the
    ONNX file that netloft export --with gradcam writes, checked on these pictures.

    Sheets: pictures that the filters or neurons of --layer want, or the classes (maximise), climbed
    for in ONNX Runtime; or the filters of the first convolution as they are (filters).

    \b
    Examples:
      netloft explain resnet18 --weights DEFAULT --image cat.jpg
      netloft explain alexnet vgg16 resnet18 --weights DEFAULT --image cat.jpg dog.jpg
      netloft explain resnet18 --weights DEFAULT --image cat.jpg --class 282 --method gradcam++
      netloft explain mnist --weights net.safetensors --method maximise --l1 0.1
      netloft explain mnist --weights net.safetensors --method maximise --layer conv2 --activated
      netloft explain resnet18 --weights DEFAULT --method filters
    """  # noqa: D301 - click knows the paragraph by the letter, not by its escape
    from netloft.report.progress import progress

    around = dict(request.around)
    layer, class_index = around.pop("layer", ""), around.pop("class_index", None)
    _check(method, images, around, climb, class_index)
    if method not in MAP_METHODS and set(providers) - {"cpu"}:
        raise UsageError("sheets are made on the processor", remedy="leave --provider out")
    folder = out or Path("out", "explain")
    _check_folder(folder)
    asked = {
        "method": method,
        "layer": layer,
        "class_index": class_index,
        "top": top,
        "provider": _one(providers),
        "threads": threads,
        "batch": request.batch,
        "seed": request.seed,
    }
    if method in MAP_METHODS:
        from netloft.models.given_data import picture_files

        images = tuple(file for image in images for file in picture_files(image))
    with progress(quiet=quiet) as tell:
        loaded = []
        for spec in models:
            tell(f"loading {spec}")
            loaded.append(dataclasses.replace(request, spec=spec, around=around).load())
        if method in MAP_METHODS:
            facts, told = _maps(loaded, images, folder, asked, tell)
        else:
            facts, told = _sheets(loaded, folder, asked, climb, tell)
    if as_json:
        click.echo(json.dumps({"format": JSON_FORMAT, **facts}, indent=2))
    elif not quiet:
        told()


Told = tuple[dict[str, Any], Callable[[], None]]
"""What was found as plain data, and how a person is told of it."""


def _maps(
    loaded: Sequence[LoadedModel],
    images: Sequence[Path],
    folder: Path,
    asked: Mapping[str, Any],
    tell: Callable[[str], None],
) -> Told:
    """Write maps of pictures, and the table of all."""
    from netloft.explaining import Asked
    from netloft.explaining import explain as explained

    rows = explained(loaded, images, Asked(**asked), progress=tell)
    files = _write(rows, folder)

    def told() -> None:
        _print(rows, files)
        for model in loaded:
            click.echo(f"weights of {model.name}: {model.weights}")

    return _facts(rows, files), told


def _sheets(
    loaded: Sequence[LoadedModel],
    folder: Path,
    asked: Mapping[str, Any],
    climb: Mapping[str, Any],
    tell: Callable[[str], None],
) -> Told:
    """Write a contact sheet for each network."""
    options = {**climb, "seed": asked["seed"], "threads": asked["threads"]}
    made: list[str] = []
    found = [
        _sheet(model, asked["method"], folder, asked["layer"], options, made, tell)
        for model in loaded
    ]
    return {"sheets": found}, lambda: _print_sheets(found)


def _sheet(
    model: LoadedModel,
    method: str,
    folder: Path,
    layer: str,
    climb: Mapping[str, Any],
    made: list[str],
    tell: Callable[[str], None],
) -> dict[str, Any]:
    """Write one contact sheet; its name is added to those that are made."""
    tell(f"looking at {layer or model.name}")
    what = "filters" if method == "filters" else "activated" if "activated" in climb else ""
    default = "first" if method == "filters" else "scores"
    made.append(file_name("-".join(filter(None, (model.name, layer or default, what))), made))
    place = folder / made[-1]
    if method == "filters":
        return filters(model, place, layer)
    return maximised(model, place, layer, {**climb, "units": parse_units(climb.get("units"))})


def _print_sheets(found: Sequence[Mapping[str, Any]]) -> None:
    for sheet in found:
        if sheet["units"]:
            up = sum(unit["kept"] > 0 for unit in sheet["units"])
            layer, proof = sheet["layer"], sheet["proof"]
            click.echo(f"{sheet['model']}, {layer}: {up} of {len(sheet['units'])} went up; the "
                       f"file's steps are {proof['worst']:.1e} from float64's at most")  # fmt: skip
        for path in sheet["files"]:
            click.echo(path)


def _one(providers: Sequence[str]) -> str:
    if len(providers) > 1:
        raise UsageError("a map is made on one provider", remedy="give --provider once")
    return providers[0] if providers else "cpu"


def _check(
    method: str,
    images: Sequence[Path],
    around: Mapping[str, Any],
    climb: Mapping[str, Any],
    class_index: int | None,
) -> None:
    """Refuse options of another method.

    Raises:
        UsageError: One was given.
    """
    if "map" in around or "head" in around:
        raise UsageError(
            "--with and --head are for export: explain makes maps of the scores themselves",
            remedy="leave them out; --method gradcam++ is the other kind of map",
        )
    is_map = method in MAP_METHODS
    if is_map and not images:
        raise UsageError(
            f"--method {method} makes a map of a picture, and there is none",
            remedy="give --image FILE, or see what the network looks for with --method maximise",
        )
    if climb and method != "maximise":
        first = "unit" if "units" in climb else next(iter(climb))
        raise UsageError(f"--{first} is of --method maximise", remedy="leave it out")
    if not is_map and (images or class_index is not None):
        units = "name a class with --unit N" if method == "maximise" else ""
        raise UsageError(
            f"{'--image' if images else '--class'} is of maps, and --method {method} makes a sheet",
            remedy=units if units and not images else "leave it out",
        )


def _check_folder(folder: Path) -> None:
    """Refuse a place that cannot become a folder, before the work."""
    inside = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not inside.is_dir():
        raise OutputError(
            f"{inside} is a file, and pictures go into a folder", remedy="name another with -o"
        )


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
    make_folder(folder)
    for name, data in made.items():
        write_file(folder / name, data)
    return {name: folder / name for name in made}


def _overlay_names(rows: Sequence[Seen]) -> list[str]:
    """Return a file name for each map, from the network's and the picture's."""
    found = ["explain"]
    for row in rows:
        found.append(file_name(f"{row.model}-{Path(row.picture).with_suffix('')}", found))
    return [f"{name}.png" for name in found[1:]]


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
                "weights": row.weights,
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
