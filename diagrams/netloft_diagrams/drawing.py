"""One drawing of one graph, in whatever format is asked for; each step is done once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from netloft.errors import UsageError
from netloft.graph import Graph
from netloft_diagrams.build import build
from netloft_diagrams.dot import dot
from netloft_diagrams.explorer import explorer
from netloft_diagrams.geometry import Placed
from netloft_diagrams.markup import escape
from netloft_diagrams.overlay import noted
from netloft_diagrams.page import Options, compose
from netloft_diagrams.raster import pdf, png
from netloft_diagrams.scene import Scene, boxes_of, frames_of
from netloft_diagrams.signed import signed
from netloft_diagrams.svg import svg
from netloft_diagrams.table import mermaid, table
from netloft_diagrams.thumbs import with_room
from netloft_diagrams.volume import figure, tikz, volume_svg, volumes
from netloft_diagrams.volume.figure import Figure

__all__ = ["Drawing"]


@dataclass
class Drawing:
    """A graph, what to show of it, and the results.

    Attributes:
        graph: What to draw.
        options: How much detail, and which way.
    """

    graph: Graph
    options: Options

    @cached_property
    def scene(self) -> Scene:
        """All boxes and frames, whether they are opened or not."""
        scene = build(self.graph, self.options.only)
        known = {f.path for f in frames_of(scene.root)} | {b.path for b in boxes_of(scene.root)}
        for path in self.options.expand:
            if path not in known and path not in {c.path for c in self.graph.modules}:
                raise UsageError(
                    f"the forward pass calls no module {path!r}",
                    remedy="netloft draw MODEL -o net.txt lists the paths",
                )
        overlay, thumbnails = self.options.overlay, self.options.thumbnails
        scene = noted(scene, overlay) if overlay else scene
        return with_room(scene, self.graph, thumbnails) if thumbnails else scene

    @cached_property
    def placed(self) -> Placed:
        """The layout."""
        return compose(self.scene, self.options)

    @cached_property
    def volumes(self) -> Figure:
        """The figure of solids."""
        options = self.options
        found = volumes(self.scene, self.graph, options.depth, options.expand)
        return figure(self.scene, found)

    @cached_property
    def svg(self) -> str:
        """The figure."""
        if self.options.style == "volume":
            return volume_svg(self.volumes)
        return svg(self.scene, self.placed, self.options.overlay, self.options.thumbnails)

    def png(self) -> bytes:
        """The figure as pixels."""
        size = self.volumes if self.options.style == "volume" else self.placed
        return png(self.svg, size.width, size.height)

    def tex(self) -> str:
        """The figure of solids for LaTeX."""
        return tikz(self.volumes)

    def pdf(self) -> bytes:
        """The figure for print."""
        return pdf(self.svg)

    def html(self) -> str:
        """The figure to explore: modules open and close in it."""
        down = self.options.direction == "down"
        try:
            still = self.svg
        except UsageError as error:  # too large for a page, and not for a screen
            still = f"<p>{escape(error.problem)}</p>"
        return explorer(signed(self.scene), self.graph, self.options, down=down, still=still)

    def dot(self) -> str:
        """The scene for Graphviz."""
        return dot(signed(self.scene), self.options.direction)

    def mermaid(self) -> str:
        """The scene for pages that render Mermaid."""
        return mermaid(signed(self.scene))

    def table(self) -> str:
        """The scene for a terminal."""
        overlay = self.options.overlay
        return table(signed(self.scene), overlay.kind if overlay else "")
