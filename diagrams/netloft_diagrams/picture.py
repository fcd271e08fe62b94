"""What `netloft.draw` gives: the files that were written, and a picture that a notebook shows."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from netloft_diagrams.drawing import Drawing

__all__ = ["Picture"]


class Picture(tuple[Path, ...]):
    """The files that were written, in order; a notebook shows the drawing itself inline.

    Args:
        drawing: What was drawn.
        files: Where to; none for a picture that is only looked at.
    """

    _drawing: Drawing

    def __new__(cls, drawing: Drawing, files: Iterable[Path] = ()) -> Picture:
        """Make a tuple of the files that remembers its drawing."""
        made = super().__new__(cls, files)
        made._drawing = drawing
        return made

    @property
    def svg(self) -> str:
        """The figure as SVG text."""
        return self._drawing.svg

    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        return {"image/svg+xml": self.svg, "text/plain": self._drawing.table()}
