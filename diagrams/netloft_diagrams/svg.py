"""Places to SVG: static text and shapes, no script, no CSS variable, no outer file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netloft_diagrams.facts import facts_line, flow, heading
from netloft_diagrams.foot import legend, notes, scale
from netloft_diagrams.geometry import Placed
from netloft_diagrams.heaviest import heaviest
from netloft_diagrams.marks import box_svg, frame_svg, wire_svg
from netloft_diagrams.markup import escape, number
from netloft_diagrams.overlay import coloured
from netloft_diagrams.scene import Box, Frame, Item, Scene
from netloft_diagrams.shapes import text
from netloft_diagrams.text_metrics import width
from netloft_diagrams.theme import FONT, HEADING, MARGIN, PAGE_WIDTH, QUIET, SMALL
from netloft_diagrams.thumbs import filled

if TYPE_CHECKING:
    from netloft.overlays import Overlay
    from netloft.thumbnails import Thumbnails

__all__ = ["svg"]

NARROWEST = 360.0


def svg(
    scene: Scene,
    placed: Placed,
    overlay: Overlay | None = None,
    thumbnails: Thumbnails | None = None,
) -> str:
    """Return the drawing as SVG text; the same scene always gives the same text.

    Args:
        scene: What is drawn.
        placed: Where.
        overlay: What the scene was noted with, for the colours.
        thumbnails: What makes the pictures that the scene has room for.
    """
    placed, scaled = coloured(placed, overlay) if overlay else (placed, None)
    placed, pictured = filled(placed, thumbnails) if thumbnails else (placed, None)
    name = heading(scene.facts)
    facts = f"{flow(scene.facts)} · {facts_line(scene.facts)} · for one item of the batch"
    titled = max(width(name, HEADING, bold=True), width(facts, SMALL)) + 2 * MARGIN
    wide = max(placed.width + 2 * MARGIN, min(titled, PAGE_WIDTH), NARROWEST)
    most = heaviest(scene.root)
    room, top = wide - 2 * MARGIN, 60.0 + (13.0 if most else 0.0)
    body = _inside(placed, MARGIN, top, placed.item.path, 0)
    below, y = scale(scaled, wide, top + placed.height + 20)
    seen, y = scale(pictured, wide, y)
    explained, y = legend(placed, wide, y)
    noted, y = notes(scene, wide, y)
    size = f'width="{number(wide)}" height="{number(y)}"'
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} '
        f'viewBox="0 0 {number(wide)} {number(y)}" role="img" font-family="{FONT}">\n'
        f"<title>{escape(scene.facts.name)}</title>\n"
        f"<desc>{escape(_description(scene))}</desc>\n"
        f'<rect {size} fill="#ffffff"/>\n'
    )
    title = text(MARGIN, 24, name, HEADING, bold=True, room=room)
    title += text(MARGIN, 40, facts, SMALL, room=room)
    if most:
        title += text(MARGIN, 53, most, SMALL, colour=QUIET, room=room)
    return f"{head}{title}{body}{below}{seen}{explained}{noted}</svg>\n"


def _inside(placed: Placed, dx: float, dy: float, above: str, depth: int) -> str:
    """Draw a frame's connections, then what they connect."""
    parts = [wire_svg(wire, dx, dy) for wire in placed.wires]
    for child in placed.children:
        x, y = dx + child.x, dy + child.y
        if child.children:
            inside = _inside(child, x, y, child.item.path or above, depth + 1)
            parts.append(frame_svg(child, x, y, depth, inside))
        else:
            parts.append(box_svg(child, x, y, above))
    return "".join(parts)


def _description(scene: Scene) -> str:
    """Say in words what the picture shows, for those who cannot see it."""
    facts = scene.facts
    steps = ", ".join(_step(item) for item in scene.root.items)
    dead = f" Never called: {'; '.join(facts.dead)}." if facts.dead else ""
    return f"{flow(facts)}; {facts_line(facts)}. In order: {steps}.{dead}"


def _step(item: Item) -> str:
    times = f" ×{item.times}" if item.times > 1 else ""
    if isinstance(item, Box):
        return f"{item.title}{times}"
    assert isinstance(item, Frame)
    return f"{item.path} {item.class_name}{times}".strip()
