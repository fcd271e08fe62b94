"""The page's colours: those of the drawing in light, and darker ones of the same hues."""

from __future__ import annotations

from collections.abc import Mapping

from netloft_diagrams.overlay import KINDS, RAMP
from netloft_diagrams.theme import FAMILIES, INK, family

__all__ = ["family_rules", "paint_class", "paint_rules", "variables"]

NIGHT, DAY = "#14181e", "#ffffff"
ALIASES = ("output", "reduce")
"""Kinds that look like another family."""


def variables(*, dark: bool) -> str:
    """Return the declarations of all family colours."""
    rows = []
    for kind, look in FAMILIES.items():
        fill = _mixed(look.band, NIGHT, 0.26) if dark else look.fill
        line = _mixed(look.band, DAY, 0.55) if dark else look.band
        band = _mixed(look.band, DAY, 0.85) if dark else look.band
        rows.append(f"--{kind}-f:{fill};--{kind}-l:{line};--{kind}-b:{band}")
    return ";".join(rows)


def family_rules() -> str:
    """Return a rule for each kind of box, which says what its parts are filled with."""
    names: Mapping[str, str] = {kind: kind for kind in FAMILIES} | {
        alias: next(kind for kind, look in FAMILIES.items() if look is family(alias))
        for alias in ALIASES
    }
    return "\n".join(
        f".k-{kind}{{--f:var(--{name}-f);--l:var(--{name}-l);--b:var(--{name}-b)}}"
        for kind, name in names.items()
    )


def paint_class(colour: str) -> str:
    """Return the name under which the page knows a colour of an overlay."""
    return f"p{colour.removeprefix('#')}"


def paint_rules() -> str:
    """Return a rule for each colour of an overlay; dark letters read on all of them."""
    grounds = [
        f"#figure .{paint_class(colour)}>.card{{fill:{colour}}}\n"
        f"#figure .{paint_class(colour)}>text{{fill:{INK}}}"
        for colour in dict.fromkeys((*RAMP, *KINDS))
    ]
    return "\n".join(grounds)


def _mixed(colour: str, other: str, share: float) -> str:
    """Return so much of the first colour with the rest of the second."""
    pairs = zip(_parts(colour), _parts(other), strict=True)
    return "#" + "".join(f"{round(a * share + b * (1 - share)):02x}" for a, b in pairs)


def _parts(colour: str) -> tuple[int, ...]:
    return tuple(int(colour[i : i + 2], 16) for i in (1, 3, 5))
