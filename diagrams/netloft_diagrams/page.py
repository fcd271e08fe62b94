"""How much detail fits a page: the most that leaves the text readable in print."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from netloft.errors import UsageError
from netloft_diagrams.geometry import Placed, walk
from netloft_diagrams.layout import Known, lay_out
from netloft_diagrams.scene import Box, Frame, Scene, boxes_of, frames_of
from netloft_diagrams.summary import PLAIN, Closer, is_nameless
from netloft_diagrams.theme import PAGE_HEIGHT, PAGE_WIDTH

if TYPE_CHECKING:
    from netloft.overlays import Overlay
    from netloft.thumbnails import Thumbnails

__all__ = ["NOTES", "THUMB_NOTES", "Options", "compose", "is_asked_for"]

AROUND, NOTE = 139.0, 15.0
"""Height of the title block and the legend, and of one line of the notes, in pixels."""
MOST = 2000
"""Boxes and frames that are laid out: seconds of work, and further from readable than any paper."""
THUMB_NOTES = 5
"""Lines at the foot that explain small pictures, at most."""
NOTES = 5
"""Notes at the foot before the rest are only counted."""


_HOPELESS = 1.3
"""Pages: where this little detail takes more, no larger one is tried. In torchvision no page fits
that comes after one of more than 1.23."""
_ROW = 100.0
"""Height that a module needs to open, at least."""
_ROOM_FOR = 40
"""Items that often fit: where the search begins."""
_DIFFERENCE_ROOM = 1.5
"""Pages that a difference may take: what changed is worth more than the size of the letters."""


@dataclass(frozen=True)
class Options:
    """What a user may say about a drawing.

    Attributes:
        depth: Open modules whose path has this many words; None for what fits the page.
        expand: Module paths to open whatever the depth.
        only: Draw this module alone.
        direction: `right` or `down`; empty for `right`, and `down` where only that fits.
        graphviz: Let Graphviz place the items of every row.
        style: `structure`, or `volume` for feature maps as solids.
        overlay: Numbers or words to lay over it.
        thumbnails: What makes small pictures of what layers look for; None for none.
    """

    depth: int | None = None
    expand: tuple[str, ...] = ()
    only: str = ""
    direction: str = ""
    graphviz: bool = False
    style: str = "structure"
    overlay: Overlay | None = None
    thumbnails: Thumbnails | None = None


@dataclass(frozen=True)
class _Level:
    """How much is open: frames to a depth, without some that were drawn before in other sizes.

    `levels` counts words of the path instead of frames: what a user asks for must not depend on
    which frames were left out or folded.
    """

    limit: int
    levels: bool = False
    closed: frozenset[str] = frozenset()
    opened: frozenset[str] = frozenset()

    def closes(self, frame: Frame) -> bool:
        if frame.key in self.opened:
            return False
        depth = frame.level if self.levels else frame.depth
        return depth > self.limit or frame.key in self.closed


def compose(scene: Scene, options: Options) -> Placed:
    """Choose the detail and lay out.

    Raises:
        UsageError: There are more boxes than any page shows.
    """
    placed, fits = _best(scene, options, options.direction or "right")
    if fits or options.direction:
        return placed
    # a skip over the whole network keeps its row from being broken: try a column
    column, _ = _best(scene, options, "down")
    return max((placed, column), key=_scale)


def _scale(placed: Placed) -> float:
    return min(PAGE_WIDTH / placed.width, PAGE_HEIGHT / placed.height)


def _best(scene: Scene, options: Options, direction: str) -> tuple[Placed, bool]:
    """Return the layout with the most items of those that fit, or else the smallest."""
    page = _Page(scene, options, direction)
    levels = _from_least(scene, options, page)
    if levels[0][0] > MOST:
        raise UsageError(
            f"the drawing would have {levels[0][0]:,} boxes, and no page shows more than {MOST:,}",
            remedy="leave out --depth and --expand, draw a part with --only PATH, or write .html, "
            ".txt or .dot",
        )
    tried = _tried(levels, page)
    fitting = [placed for placed in tried if page.fits(placed)]
    # of those with as many items, the one that is open furthest down counts
    chosen = max(reversed(fitting), key=_n_placed) if fitting else max(tried, key=_scale)
    told = page.lay_out(_closed_as_in(page.closer, chosen))
    as_good = _n_placed(told) == _n_placed(chosen) and (page.fits(told) or not fitting)
    chosen = told if as_good else chosen
    return (_with_specimens(scene, page, chosen) if page.fits(chosen) else chosen), bool(fitting)


def _with_specimens(scene: Scene, page: _Page, placed: Placed) -> Placed:
    """Open one module of each class that is closed wherever it stands, while the page has room."""
    frames = {frame.key: frame for frame in frames_of(scene.root)}
    tried: set[str] = set()
    while not page.is_given and page.has_room_below(placed):
        shown = [each.item for each in walk(placed)]
        closed = [
            frames[item.key] for item in shown if isinstance(item, Box) and item.key in frames
        ]
        seen = tried | {item.class_name for item in shown if isinstance(item, Frame)}
        new = [(f, outer) for outer in closed for f in _named_in(outer) if f.class_name not in seen]
        if not new:
            break
        opened, around = max(new, key=lambda found: _n_boxes(found[0]))
        tried.add(opened.class_name)
        keys = {frame.key for frame in (*closed, *frames_of(around))} - {opened.key, around.key}
        more = page.lay_out(_closing(page.closer, keys))
        if page.fits(more) and _n_placed(more) > _n_placed(placed):
            placed = more
    return placed


def _named_in(frame: Frame) -> list[Frame]:
    """Return a frame, or those right inside of it where its class tells nothing."""
    if not is_nameless(frame):
        return [frame]
    inner = (item for item in frame.items if isinstance(item, Frame))
    return [item for item in inner if not is_nameless(item)]


def _tried(levels: Sequence[tuple[int, _Level]], page: _Page) -> list[Placed]:
    """Lay out every level that may be the one, the fewest items first.

    Nearly every page has room for some boxes, so the levels below are looked at only where those
    above leave a question.
    """
    first = sum(n_items <= _ROOM_FOR for n_items, _ in levels[1:])
    above: list[Placed] = []
    for n_items, level in levels[first:]:
        if n_items > MOST or (above and not page.is_near(above[-1])):
            break
        above.append(page.lay_out(page.closer.where(level.closes)))
    most = max((_n_placed(placed) for placed in above if page.fits(placed)), default=0)
    below: list[Placed] = []
    for n_items, level in reversed(levels[:first]):
        if n_items < most:
            break
        below.append(page.lay_out(page.closer.where(level.closes)))
        if page.fits(below[-1]):
            most = max(most, _n_placed(below[-1]))
    return [*reversed(below), *above]


def _from_least(scene: Scene, options: Options, page: _Page) -> list[tuple[int, _Level]]:
    """Return the levels of detail with their numbers of items, the fewest first."""
    known: dict[tuple[str, ...], tuple[int, _Level]] = {}
    for level in reversed(list(_levels(scene, options))):
        level = replace(level, opened=page.opened)
        left = page.closer.left_open(level.closes)
        n_items = sum(len(frame.items) for frame in left)
        known.setdefault(tuple(frame.key for frame in left), (n_items, level))
    # of those with as many items, the one that is open furthest down comes last and counts
    return sorted(known.values(), key=lambda found: found[0])


class _Page:
    """What all levels of detail of one scene are laid out with.

    Attributes:
        closer: What closes their frames.
        opened: Keys of frames that a user asked for.
        is_given: Whether it is given what is open, by a user or by a difference.
    """

    def __init__(self, scene: Scene, options: Options, direction: str) -> None:
        frames = list(frames_of(scene.root))
        self.closer = Closer(scene)
        self.opened = frozenset(f.key for f in frames if is_asked_for(f, options))
        self._keep = self.opened if options.depth is None else frozenset(f.key for f in frames)
        notes = len(scene.facts.dead) + len(scene.facts.effects)
        lines = min(notes + bool(notes), NOTES + 1)
        if options.overlay:
            lines += 2 + len(options.overlay.notes)
        if options.thumbnails:
            lines += THUMB_NOTES
        self._height = PAGE_HEIGHT - AROUND - NOTE * lines
        self._room = 1.0
        if any(box.mark for box in boxes_of(scene.root)):
            self._room = _DIFFERENCE_ROOM
            self._keep |= frozenset(f.key for f in frames if not _is_unchanged(f))
        self.is_given = bool(self.opened) or options.depth is not None or self._room != 1.0
        self._direction, self._graphviz = direction, options.graphviz
        self._known: Known = {}

    def lay_out(self, closed: Scene) -> Placed:
        """Lay out one level."""
        return lay_out(
            closed,
            direction=self._direction,
            keep_open=self._keep,
            graphviz=self._graphviz,
            known=self._known,
        )

    def fits(self, placed: Placed) -> bool:
        """Tell whether it can be read on one page."""
        wide, high = self._room * PAGE_WIDTH, self._room * self._height
        return placed.width <= wide and placed.height <= high

    def has_room_below(self, placed: Placed) -> bool:
        """Tell whether one row more may fit."""
        return self.fits(placed) and placed.height + _ROW <= self._height

    def is_near(self, placed: Placed) -> bool:
        """Tell whether more detail may fit yet: what is open may be closed for want of width."""
        return placed.height <= _HOPELESS * self._room * self._height


def _closed_as_in(closer: Closer, placed: Placed) -> Scene:
    """Close what a layout has closed, which only now is known: each like one that is open."""
    return _closing(closer, {p.item.key for p in walk(placed) if isinstance(p.item, Box)})


def _closing(closer: Closer, keys: Container[str]) -> Scene:
    return closer.where(lambda frame: frame.key in keys)


def _n_placed(placed: Placed) -> int:
    return sum(1 + _n_placed(child) for child in placed.children)


def is_asked_for(frame: Frame, options: Options) -> bool:
    """A frame that is to be expanded, around one, or inside one."""
    return any(
        path == frame.path or frame.path.startswith(f"{path}.") or path.startswith(f"{frame.path}.")
        for path in options.expand
    )


def _levels(scene: Scene, options: Options) -> Iterator[_Level]:
    """Yield levels from all open to all closed."""
    if options.depth is not None:
        yield _Level(limit=options.depth, levels=True)
        return
    frames = list(frames_of(scene.root))
    first: dict[object, str] = {}
    for frame in frames:
        first.setdefault(frame.structure, frame.key)
    again = frozenset(frame.key for frame in frames) - frozenset(first.values())
    deepest = max(frame.depth for frame in frames)
    most: dict[str, int] = {}
    for frame in frames:
        most[frame.class_name] = max(most.get(frame.class_name, 0), _n_boxes(frame))
    same = frozenset(frame.key for frame in frames if frame.depth and _is_unchanged(frame))
    yield _Level(limit=deepest, closed=same)
    for depth in range(deepest, 0, -1):
        here = frozenset(frame.key for frame in frames if frame.depth == depth)
        yield _Level(limit=deepest, closed=same | (again & here))
    for depth in range(1, deepest + 1):
        level = [frame for frame in frames if frame.depth == depth]
        for kept in _specimens(level, most):
            yield _Level(limit=deepest, closed=same | again | {f.key for f in level} - kept)
    for depth in range(deepest, 0, -1):
        yield _Level(limit=depth - 1, closed=same | again)


def _specimens(frames: Sequence[Frame], most: Mapping[str, int]) -> Iterator[frozenset[str]]:
    """Yield the frames to leave open: the largest of each class, then of fewer classes.

    One that is larger elsewhere, with `most` boxes, shows more there.
    """
    largest: dict[str, Frame] = {}
    for frame in frames:
        if frame.class_name not in PLAIN:
            known = largest.setdefault(frame.class_name, frame)
            if _n_boxes(frame) > _n_boxes(known):
                largest[frame.class_name] = frame
    keys = [f.key for name, f in largest.items() if _n_boxes(f) == most[name]]
    for n in dict.fromkeys((len(keys), (len(keys) + 1) // 2, 1)):
        if keys:
            yield frozenset(keys[:n])


def _n_boxes(frame: Frame) -> int:
    return sum(1 for _ in boxes_of(frame))


def _is_unchanged(frame: Frame) -> bool:
    """Tell whether two graphs are drawn, and do not differ inside of a frame."""
    return all(box.mark is not None and box.mark.kind == "same" for box in boxes_of(frame))
