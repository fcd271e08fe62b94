"""Which networks saw which pictures, how far they agree, and what that is in words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from netloft.errors import UsageError
from netloft.explain.seen import Ranked, Seen
from netloft_diagrams.seen.frame import tidy
from netloft_diagrams.seen.tiles import check_pixels

__all__ = [
    "Agreement",
    "Grid",
    "Row",
    "agreement",
    "described",
    "grid_of",
    "how",
    "named",
    "other",
    "ranks",
    "share",
    "spoken",
    "weights",
]

_METHODS = {"gradcam": "Grad-CAM", "gradcam++": "Grad-CAM++"}


@dataclass(frozen=True)
class Row:
    """One picture.

    Attributes:
        picture: Its name.
        cells: What each column's network saw; None where it was not asked.
    """

    picture: str
    cells: tuple[Seen | None, ...]

    @property
    def seen(self) -> tuple[Seen, ...]:
        """What was seen."""
        return tuple(cell for cell in self.cells if cell is not None)

    @property
    def clearest(self) -> Seen:
        """Whose network saw the most pixels."""
        return max(self.seen, key=lambda seen: seen.pixels.size)


@dataclass(frozen=True)
class Grid:
    """A table of networks and pictures.

    Attributes:
        models: Name of the network of each column; one that is asked for several classes, or in
            several ways, has several columns.
        rows: One for each picture.
    """

    models: tuple[str, ...]
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Agreement:
    """Whether networks say the same of a picture.

    Attributes:
        sign: `agree`, `differ`, or empty for one network alone.
        words: What they say.
    """

    sign: str
    words: str


def grid_of(rows: Sequence[Seen]) -> Grid:
    """Sort what was seen into a table; pictures and networks keep the order that they come in.

    Raises:
        UsageError: There is nothing.
        ValueError: Pixels are not uint8 of shape (height, width, 3), or `top` is empty.
    """
    for seen in rows:
        check_pixels(seen.pixels)
        if not seen.top:
            raise ValueError(f"{seen.model!r} has no class for {seen.picture!r}")
    if not rows:
        raise UsageError("no picture was seen by a network", remedy="name a model and a picture")
    places: dict[tuple[str, int], None] = {}
    found: dict[str, dict[tuple[str, int], Seen]] = {}
    for seen in rows:
        cells = found.setdefault(seen.picture, {})
        place = seen.model, sum(model == seen.model for model, _ in cells)
        cells[place] = seen
        places.setdefault(place)
    models = list(dict.fromkeys(model for model, _ in places))
    columns = sorted(places, key=lambda place: (models.index(place[0]), place[1]))
    return Grid(
        tuple(model for model, _ in columns),
        tuple(Row(name, tuple(map(cells.get, columns))) for name, cells in found.items()),
    )


def agreement(row: Row) -> Agreement:
    """Tell how many networks name the same class: by its label, or by its index if it has none."""
    by_model = {seen.model: seen for seen in row.seen}
    groups: dict[str | int, list[Ranked]] = {}
    for seen in by_model.values():
        key = tidy(seen.predicted.label).casefold() or seen.predicted.index
        groups.setdefault(key, []).append(seen.predicted)
    if len(by_model) == 1:
        (name,) = by_model
        return Agreement("", f"{tidy(name)} says {spoken(by_model[name].predicted)}")
    largest, *others = sorted(groups.values(), key=len, reverse=True)
    if len(largest) == 1:
        return Agreement("differ", f"no two agree: {'; '.join(map(_named_once, groups.values()))}")
    say = "say" if len(largest) > 1 else "says"
    told = [f"{len(largest)} of {len(by_model)} {say} {_named_once(largest)}"]
    told += [f"{len(few)} say{'s' * (len(few) == 1)} {_named_once(few)}" for few in others]
    return Agreement("differ" if others else "agree", "; ".join(told))


def named(ranked: Ranked) -> str:
    """Return a class as `985 daisy`, or `985` where it has no label."""
    return f"{ranked.index} {tidy(ranked.label)}".strip()


def spoken(ranked: Ranked) -> str:
    """Return a class as `named`, for a sentence: `class 985` where it has no label."""
    return named(ranked) if tidy(ranked.label) else f"class {ranked.index}"


def weights(grid: Grid) -> list[str]:
    """Return where the weights of each network come from, column by column; empty for unknown."""
    told = {seen.model: seen.weights for row in grid.rows for seen in row.seen if seen.weights}
    return [f"weights: {tidy(told[m])}" if m in told else "" for m in grid.models]


def other(seen: Seen) -> Ranked | None:
    """Return the class assigned where it is not the one predicted."""
    return seen.assigned if seen.assigned.index != seen.predicted.index else None


def ranks(seen: Seen) -> list[tuple[Ranked, str]]:
    """Return the classes to show with a bar, and what each is: `predicted`, `assigned` or neither.

    A class assigned that is not among the likeliest comes last.
    """
    assigned = other(seen)
    found = [(one, "" if place else "predicted") for place, one in enumerate(seen.top)]
    if assigned:
        rest = [(one, "assigned" if one.index == assigned.index else kind) for one, kind in found]
        is_among = any(kind == "assigned" for _, kind in rest)
        found = rest if is_among else [*rest, (assigned, "assigned")]
    return found


def _named_once(group: Sequence[Ranked]) -> str:
    """Name a class for networks that may number it differently."""
    one = len({ranked.index for ranked in group}) == 1
    return spoken(group[0]) if one else tidy(group[0].label)


def share(value: float) -> str:
    """Return a share of [0, 1] as percent."""
    if not math.isfinite(value):
        return "no number"
    percent = 100 * value
    if 0 < percent < 0.05:
        return "< 0.1 %"
    if 99.95 <= percent < 100:
        return "> 99.9 %"
    return f"{percent:.1f} %"


def how(seen: Seen) -> str:
    """Return the method and the form, as in `Grad-CAM · closed form`."""
    return f"{_METHODS.get(seen.method, tidy(seen.method))} · {tidy(seen.form)}"


def described(seen: Seen) -> str:
    """Say what the picture with its map shows, for who cannot see it."""
    method = _METHODS.get(seen.method, tidy(seen.method))
    return (
        f"{method} of {tidy(seen.model)} for {spoken(seen.assigned)} on {tidy(seen.picture)}, "
        f"{_hottest(seen)}"
    )


def _hottest(seen: Seen) -> str:
    heat = np.nan_to_num(seen.map)
    if not heat.any():
        return "the same everywhere"
    y, x = np.unravel_index(int(heat.argmax()), heat.shape)
    down = ("upper", "", "lower")[3 * int(y) // heat.shape[0]]
    across = ("left", "", "right")[3 * int(x) // heat.shape[1]]
    place = " ".join(word for word in (down, across) if word)
    return f"hottest {'at the ' + place if place else 'in the middle'}"
