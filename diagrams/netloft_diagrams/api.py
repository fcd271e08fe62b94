"""The two functions that draw: to files, and to bytes."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netloft.errors import UsageError
from netloft.garbage import collector_paused
from netloft_diagrams.files import check_writable, write_all
from netloft_diagrams.picture import Picture

if TYPE_CHECKING:
    from torch import Tensor, nn

    from netloft.comparing import Difference
    from netloft.graph import Graph
    from netloft.overlays import Overlay
    from netloft.thumbnails import Thumbnails
    from netloft_diagrams.drawing import Drawing
    from netloft_diagrams.page import Options

    Drawable = Graph | Difference | nn.Module | str | os.PathLike[str]
    Inputs = Tensor | tuple[Any, ...] | Mapping[str, Any]

__all__ = ["FORMATS", "STYLES", "check_format", "draw", "render"]

FORMATS: Mapping[str, Callable[[Drawing], bytes]] = {
    "svg": lambda drawing: drawing.svg.encode("utf-8"),
    "png": lambda drawing: drawing.png(),
    "pdf": lambda drawing: drawing.pdf(),
    "html": lambda drawing: drawing.html().encode("utf-8"),
    "dot": lambda drawing: drawing.dot().encode("utf-8"),
    "mmd": lambda drawing: drawing.mermaid().encode("utf-8"),
    "txt": lambda drawing: drawing.table().encode("utf-8"),
    "tex": lambda drawing: drawing.tex().encode("utf-8"),
}
"""What can be written, by the suffix that asks for it."""

STYLES: Mapping[str, tuple[str, ...]] = {
    "structure": ("svg", "png", "pdf", "html", "dot", "mmd", "txt"),
    "volume": ("svg", "png", "pdf", "tex"),
}
"""The ways to draw, and the formats that each has."""

PICTURED = ("svg", "png", "pdf")
"""Formats that hold small pictures of what layers look for."""


def draw(
    graph: Drawable,
    *paths: str | os.PathLike[str] | Inputs,
    example_inputs: Inputs | None = None,
    depth: int | None = None,
    expand: Sequence[str] = (),
    only: str = "",
    direction: str | None = None,
    style: str = "structure",
    color: str | Overlay | None = None,
    thumbnails: bool | Thumbnails = False,
) -> Picture:
    """Draw a network into files; nothing is written unless everything can be drawn.

    In a notebook, `netloft.draw(module, x)` at the end of a cell shows the drawing and writes none.

    Args:
        graph: A traced graph, a module, which is traced first, the path of an ONNX file, or what
            `netloft.diff` found, which is drawn as one picture.
        paths: Files; the suffix says the format, one of `FORMATS`. Before them the example inputs
            may stand: a tensor, or a tuple or dict of tensors.
        example_inputs: What to trace a module with, and to run for the time and the error.
        depth: Open modules this deep and no deeper; what fits a page by default.
        expand: Paths of modules to open whatever the depth.
        only: Path of a module to draw alone.
        direction: Where the flow runs, `right` or `down`; by default right, where that fits a page.
        style: `structure`, or `volume` for feature maps as solids, with their kernels.
        color: A number or a word in each box, and a colour that goes with it: `time`, `flops`,
            `params`, `memory`, `error`, `dtype`, `pass`, or an overlay of your own.
        thumbnails: Put small pictures of what its units look for into the box of each layer, as
            `netloft.maximising.maximise` finds them: seconds for each. Of a module; or what makes
            them.

    Returns:
        The files that were written, as a tuple that a notebook shows as the picture.

    Raises:
        UsageError: A suffix, an option or a place is not usable.
        MissingError: A package that makes the format is not installed.
        CheckError: What `color` measures cannot be trusted.
    """
    targets = tuple(Path(p) for p in paths if isinstance(p, str | os.PathLike))
    rest = [p for p in paths if not isinstance(p, str | os.PathLike)]
    if rest:
        example_inputs = _one_of(rest, example_inputs)
    kinds = [check_format(path.suffix, style) for path in targets]
    _check_thumbnails(kinds, style, wanted=bool(thumbnails))
    for path in targets:
        check_writable(path)
    drawing = _drawing(
        graph, example_inputs, depth, tuple(expand), only, direction, style, color, thumbnails
    )
    # without a file the figure is made too: a mistake is told here, and not when it is shown
    with collector_paused():
        made = {kind: FORMATS[kind](drawing) for kind in dict.fromkeys(kinds or ["svg"])}
    write_all({path: made[kind] for path, kind in zip(targets, kinds, strict=True)})
    return Picture(drawing, targets)


def _one_of(given: Sequence[Any], example_inputs: Inputs | None) -> Inputs:
    """Return the inputs that stand among the files."""
    if len(given) > 1 or example_inputs is not None:
        raise UsageError(
            "example inputs are given more than once",
            remedy="give several as one tuple: netloft.draw(module, (x, y))",
        )
    inputs: Inputs = given[0]
    return inputs


def render(
    graph: Drawable,
    format: str = "svg",
    *,
    example_inputs: Inputs | None = None,
    depth: int | None = None,
    expand: Sequence[str] = (),
    only: str = "",
    direction: str | None = None,
    style: str = "structure",
    color: str | Overlay | None = None,
    thumbnails: bool | Thumbnails = False,
) -> bytes:
    """Draw a network and return the bytes that a file would hold; see `draw`."""
    kind = check_format(format, style)
    _check_thumbnails([kind], style, wanted=bool(thumbnails))
    drawing = _drawing(
        graph, example_inputs, depth, tuple(expand), only, direction, style, color, thumbnails
    )
    with collector_paused():
        return FORMATS[kind](drawing)


def check_format(suffix: str, style: str = "structure") -> str:
    """Return the format that a suffix asks for.

    Raises:
        UsageError: It asks for none, or for one that the style does not have.
    """
    if style not in STYLES:
        raise UsageError(f"{style!r} is no style", remedy=f"give {' or '.join(STYLES)}")
    kind = suffix.lower().removeprefix(".")
    if kind not in FORMATS:
        raise UsageError(
            f"{suffix!r} is no format to draw in"
            if suffix
            else "a file without a suffix has no format",
            remedy=f"end the name with {', '.join(f'.{name}' for name in STYLES[style])}",
        )
    if kind not in STYLES[style]:
        other = next(name for name, kinds in STYLES.items() if kind in kinds)
        raise UsageError(
            f"the style {style} is not drawn as .{kind}",
            remedy=f"ask for the style {other}, or for {', '.join(STYLES[style])}",
        )
    return kind


def _drawing(
    graph: Drawable,
    example_inputs: Inputs | None,
    depth: int | None,
    expand: tuple[str, ...],
    only: str,
    direction: str | None,
    style: str,
    color: str | Overlay | None,
    thumbnails: bool | Thumbnails,
) -> Drawing:
    from netloft.comparing import Difference
    from netloft.graph import Graph
    from netloft_diagrams.drawing import Drawing
    from netloft_diagrams.values import as_values

    if color is not None and style != "structure":
        raise UsageError("colours are of the style structure", remedy="leave out --style volume")
    options = _options(depth, expand, only, direction, style)
    if isinstance(graph, str | os.PathLike):
        from netloft.onnx_graph import read_onnx

        graph = read_onnx(graph)
    if example_inputs is not None and not isinstance(example_inputs, tuple | Mapping):
        example_inputs = (example_inputs,)
    if isinstance(graph, Difference):
        if thumbnails:
            raise UsageError(_NO_THUMBNAILS, remedy="leave the thumbnails out")
        if color is not None:
            raise UsageError("a difference has colours of its own", remedy="leave out the color")
        from netloft_diagrams.merged import merged

        return Drawing(merged(graph), options)
    maker = _thumbnails(thumbnails, graph, example_inputs)
    if not isinstance(graph, Graph):
        if example_inputs is None:
            raise UsageError(
                "a module is drawn from its graph, and tracing needs example inputs",
                remedy="give example_inputs=(x,), or trace first with netloft.trace",
            )
        from netloft.tracing import trace

        graph = trace(graph, example_inputs)
    overlay = _overlay(color, graph, example_inputs)
    with collector_paused():
        values = as_values(graph)
    return Drawing(values, replace(options, overlay=overlay, thumbnails=maker))


def _options(
    depth: int | None, expand: tuple[str, ...], only: str, direction: str | None, style: str
) -> Options:
    from netloft_diagrams.page import Options

    if direction not in (None, "right", "down"):
        raise UsageError(f"{direction!r} is no direction", remedy="give right or down")
    if depth is not None and depth < 0:
        raise UsageError(f"depth {depth} is below 0", remedy="give 0 or more")
    return Options(depth, expand, only, direction or "", style=style)


_NO_THUMBNAILS = "small pictures of what layers look for need the module itself"


def _thumbnails(
    wanted: bool | Thumbnails, graph: Graph | nn.Module, example_inputs: Inputs | None
) -> Thumbnails | None:
    """Return what makes small pictures for a module; None where none are wanted.

    Raises:
        UsageError: There is but a graph, or no example input; or what is wanted makes none.
    """
    if not wanted:
        return None
    from netloft.graph import Graph
    from netloft.models.given import of_module
    from netloft.thumbnails import Thumbnails

    if isinstance(wanted, Thumbnails):
        return wanted
    if wanted is not True:
        raise UsageError(
            f"thumbnails={wanted!r} makes no pictures", remedy="give True, or a Thumbnails"
        )
    if isinstance(graph, Graph) or example_inputs is None:
        raise UsageError(
            _NO_THUMBNAILS,
            remedy="give MODEL, or the module with example_inputs, and not its graph or file",
        )
    assert isinstance(example_inputs, tuple | Mapping)
    return Thumbnails(of_module(graph, example_inputs)[0])


def _check_thumbnails(kinds: Sequence[str], style: str, *, wanted: bool) -> None:
    """Refuse small pictures where there is no box to put them into.

    Raises:
        UsageError: They are wanted there.
    """
    other = [kind for kind in kinds if kind not in PICTURED]
    if wanted and (other or style != "structure"):
        where = f".{other[0]}" if other else f"the style {style}"
        raise UsageError(
            f"small pictures are not drawn in {where}",
            remedy=f"ask for {', '.join(f'.{kind}' for kind in PICTURED)} without --style volume",
        )


def _overlay(
    color: str | Overlay | None,
    graph: Graph,
    example_inputs: Inputs | None,
) -> Overlay | None:
    if not isinstance(color, str):
        return color
    from netloft.overlays import make_overlay

    if example_inputs is None:
        return make_overlay(color, graph)
    assert isinstance(example_inputs, tuple | Mapping)
    return make_overlay(color, graph, _by_input(graph, example_inputs))


def _by_input(graph: Graph, example_inputs: tuple[Any, ...] | Mapping[str, Any]) -> dict[str, Any]:
    """Name inputs as `forward` does; they may come in order, or by the exported file's names."""
    names = [value.node for value in graph.inputs]
    if not isinstance(example_inputs, Mapping):
        example_inputs = dict(zip(names, example_inputs, strict=False))
    exported = {value.name: value.node for value in graph.inputs}
    given = {exported.get(name, name): tensor for name, tensor in example_inputs.items()}
    if set(given) != set(names):
        raise UsageError(
            f"example inputs for {', '.join(given) or 'nothing'}, and the graph takes "
            f"{', '.join(names)}",
            remedy="give one tensor for each",
        )
    return {name: given[name] for name in names}
