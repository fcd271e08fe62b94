"""Draw a network's structure from its graph.

>>> import netloft
>>> netloft.draw(graph, "net.svg", "net.png")
"""

from __future__ import annotations

from netloft_diagrams.api import FORMATS, draw, render

__all__ = ["FORMATS", "draw", "render"]
