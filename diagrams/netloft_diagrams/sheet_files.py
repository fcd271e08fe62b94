"""What parts of a network look for, or are: contact sheets as `netloft explain` writes them."""

from __future__ import annotations

import dataclasses
import re
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netloft.bundle.atomic import write_file
from netloft.errors import OutputError, UsageError

if TYPE_CHECKING:
    from netloft.explain.seen import Sheet
    from netloft.maximising import Maximised
    from netloft.models.loaded import LoadedModel

__all__ = ["file_name", "filters", "make_folder", "maximised", "parse_units"]

_MOST = 1024
"""Units that one sheet holds at most."""

_LONGEST = 200
"""Bytes of a file's name, without its suffix; file systems end at 255."""


def parse_units(text: str | None) -> tuple[int, ...] | None:
    """Read `3,5-9`; None for nothing.

    Raises:
        UsageError: It is something else, or names more than a sheet holds.
    """
    if text is None:
        return None
    found: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"(\d{1,6})(?:-(\d{1,6}))?", part.strip())
        first = int(match[1]) if match else 0
        last = int(match[2] or first) if match else -1
        if last < first:
            raise UsageError(
                f"--unit '{text}' is no list of units", remedy="write it as 0-24, or 3,5,8-10"
            )
        found += range(first, min(last, first + _MOST) + 1)
    if len(found) > _MOST:
        raise UsageError(f"--unit '{text}' names more than {_MOST:,} units", remedy="name fewer")
    return tuple(dict.fromkeys(found))


def maximised(
    model: LoadedModel, place: Path, layer: str, options: Mapping[str, Any]
) -> dict[str, Any]:
    """Write the pictures that units of a layer want, and the step that was climbed by as ONNX.

    Args:
        model: What was loaded.
        place: Path of the files, without a suffix; the folder is made.
        layer: Path of a module; empty for the scores.
        options: For `netloft.maximising.maximise`.

    Returns:
        What was found, as plain data.
    """
    from netloft.maximising import maximise, sheet_of

    with tempfile.TemporaryDirectory() as scratch:
        step = Path(scratch, f"{place.name}.onnx")
        found = maximise(model, layer, keep=step, **options)
        files = _sheet(sheet_of(found), place)
        for part in sorted(step.parent.iterdir()):  # weights past protobuf's limit stand beside it
            write_file(place.parent / part.name, part.read_bytes())
            files.append(place.parent / part.name)
    return {
        "model": model.name,
        "layer": found.layer,
        "method": "maximise",
        "kind": found.kind,
        "options": dataclasses.asdict(found.options),
        "units": [dict(row) for row in _rows(found)],
        "proof": {"gradient": found.proof.gradient, **dataclasses.asdict(found.proof.directions)},
        "files": [str(path) for path in files],
    }


def _rows(found: Maximised) -> list[dict[str, Any]]:
    climbed = found.climbed
    return [
        {
            "unit": unit,
            "label": found.labels[unit] if unit < len(found.labels) else "",
            "before": float(climbed.history[0, place]),
            "after": float(climbed.history[-1, place]),
            "kept": int(climbed.kept[:, place].sum()),
        }
        for place, unit in enumerate(found.units)
    ]


def filters(model: LoadedModel, place: Path, layer: str) -> dict[str, Any]:
    """Write the filters of a first convolution as they are; see `maximised`."""
    from netloft.explain.filters import filters_of

    sheet = filters_of(model.module, layer)
    return {
        "model": model.name,
        "layer": layer,
        "method": "filters",
        "kind": "filter",
        "options": {},
        "units": [],
        "proof": {},
        "files": [str(path) for path in _sheet(sheet, place)],
    }


def _sheet(sheet: Sheet, place: Path) -> list[Path]:
    from netloft_diagrams.seen import sheet_svg, svg_png

    drawn = sheet_svg(sheet)
    make_folder(place.parent)
    picture, vector = (place.parent / f"{place.name}{suffix}" for suffix in (".png", ".svg"))
    write_file(picture, svg_png(drawn))
    write_file(vector, drawn.encode())
    return [picture, vector]


def make_folder(folder: Path) -> None:
    """Make a folder where there is none.

    Raises:
        OutputError: It cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder} cannot be made: {error.strerror}") from error


def file_name(text: str, taken: Sequence[str]) -> str:
    """Return a name for a file, without its suffix, that no other one has.

    Args:
        text: What it is of; letters and digits stay.
        taken: Names that are given away.
    """
    plain = re.sub(r"[^\w.-]+", "_", text).strip("._") or "sheet"
    short = plain.encode()[:_LONGEST].decode(errors="ignore")
    number = 1
    while (name := short if number == 1 else f"{short}-{number}") in taken:
        number += 1
    return name
