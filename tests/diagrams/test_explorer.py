"""The figure of the explorer, in a browser: what opens, and what is joined."""

from __future__ import annotations

import itertools
import random
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.diagrams.browser import Shown

from netloft.graph import Graph
from netloft_diagrams.build import build
from netloft_diagrams.scene import Frame, Scene, boxes_of, frames_of

pytestmark = pytest.mark.browser

Open = Callable[..., Any]


# opening and closing


def test_a_click_on_a_closed_module_opens_it_and_one_on_its_title_closes_it(explore: Open) -> None:
    with explore("resnet18", depth=0) as explorer:
        before = explorer.shown()
        assert before.open == set()
        (key,) = [k for k, item in before.items.items() if "layer2 · 526k" in item["text"]]
        explorer.page.click(f'[data-key="{key}"]')
        opened_ = explorer.shown()
        assert opened_.open == {key}
        assert set(opened_.items) > set(before.items)
        explorer.page.click(f'[data-key="{key}"] > .title')
        assert set(explorer.shown().items) == set(before.items)


def test_all_is_opened_and_all_is_closed(explore: Open, graph_of: Callable[[str], Graph]) -> None:
    root = build(graph_of("resnet18")).root
    with explore("resnet18") as explorer:
        explorer.page.click("#all")
        shown = explorer.shown()
        assert set(shown.items) == _keys(root)
        assert shown.open == {f.key for f in frames_of(root)} - {root.key}
        explorer.page.click("#none")
        shown = explorer.shown()
        assert set(shown.items) == {item.key for item in root.items}


def _keys(frame: Frame) -> set[str]:
    return {k.key for f in frames_of(frame) for k in f.items}


def test_what_was_asked_for_is_open_at_first(explore: Open) -> None:
    with explore("resnet18", depth=0, expand=["layer3.0"]) as explorer:
        titles = [item["text"] for item in explorer.shown().items.values() if item["open"]]
        assert [text[0] for text in titles] == ["layer3", "layer3.0"]
    with explore("resnet18", depth=1) as explorer:
        levels = {item["level"] for item in explorer.shown().items.values() if item["open"]}
        assert levels == {1}


def test_a_module_alone_is_explored_alone(explore: Open) -> None:
    with explore("resnet18", "#open=*", only="layer2") as explorer:
        shown = explorer.shown()
        titles = [item["text"][0] for item in shown.items.values() if item["open"]]
        assert titles == ["layer2.0", "layer2.1"]
        assert explorer.page.inner_text("h1") == "resnet18 · layer2 · Sequential"


def test_a_drag_moves_the_figure_and_opens_nothing(explore: Open) -> None:
    with explore("resnet18", depth=0) as explorer:
        mark = explorer.page.locator(".k-summary").first
        before = mark.bounding_box()
        x, y = before["x"] + before["width"] / 2, before["y"] + before["height"] / 2
        explorer.page.mouse.move(x, y)
        explorer.page.mouse.down()
        explorer.page.mouse.move(x + 120, y + 60, steps=4)
        explorer.page.mouse.up()
        explorer.settle()
        after = mark.bounding_box()
        assert after["x"] - before["x"] == pytest.approx(120, abs=1)
        assert after["y"] - before["y"] == pytest.approx(60, abs=1)
        assert explorer.shown().open == set()
        explorer.page.mouse.wheel(0, -400)
        explorer.settle()
        assert mark.bounding_box()["width"] > 2 * before["width"]


def test_what_is_opened_stays_where_it_was(explore: Open) -> None:
    with explore("resnet18", depth=0) as explorer:
        mark = explorer.page.locator(".k-summary").nth(1)
        key, before = mark.get_attribute("data-key"), mark.bounding_box()
        mark.click()
        explorer.settle()
        after = explorer.page.locator(f'[data-key="{key}"] > .ground').first.bounding_box()
        assert abs(after["x"] - before["x"]) < 2
        assert abs(after["y"] - before["y"]) < 2


# what is joined

NETS = [
    "myresnet", "alphago", "resnet18", "resnet152", "densenet121", "googlenet", "vit", "swin",
    "shufflenet_v2_x1_0", "crossing", "flat_residual", "unet", "two_outputs", "shared",
]  # fmt: skip


@pytest.mark.parametrize("direction", ["right", "down"])
@pytest.mark.parametrize("name", NETS)
def test_whatever_is_open_every_edge_is_drawn_and_no_other(
    name: str, direction: str, explore: Open, graph_of: Callable[[str], Graph]
) -> None:
    graph = graph_of(name)
    scene = build(graph)
    rng = random.Random(f"{name} {direction}")
    frames = [f.key for f in frames_of(scene.root)][1:]
    with explore(name, direction=direction) as explorer:
        _check(graph, scene, explorer.shown())
        for share in (0.0, 0.3, 0.7, 1.0):
            keys = [key for key in frames if rng.random() < share]
            explorer.at(f"open={','.join(keys)}")
            shown = explorer.shown()
            assert shown.open == set(keys) & set(shown.items)
            _check(graph, scene, shown)
        for _ in range(4):
            keys_ = rng.choices(["ArrowRight", "ArrowLeft", "ArrowDown", "ArrowUp", "Enter"], k=12)
            explorer.page.focus("#figure")
            explorer.press(*keys_)
            _check(graph, scene, explorer.shown())


def test_a_lost_line_is_noticed(explore: Open, graph_of: Callable[[str], Graph]) -> None:
    """The test above must fail on the mistake that it is there for."""
    graph = graph_of("myresnet")
    scene = build(graph)
    with explore("myresnet", "#open=*") as explorer:
        shown = explorer.shown()
    (skip,) = [w for w in shown.wires if w["target"] in scene.skips and w["source"] == ""][:1]
    shown.wires.remove(skip)
    with pytest.raises(AssertionError):
        _check(graph, scene, shown)


def _check(graph: Graph, scene: Scene, shown: Shown) -> None:
    joined = _Joined(scene, shown)
    wanted = {
        (joined.box_of[a.name], joined.box_of[b.name])
        for a, _ in graph
        for b in a.users
        if a.name in joined.box_of and b.name in joined.box_of
    }
    # within what is closed or drawn once there is nothing to draw
    expected = {(a, b) for a, b in wanted if not joined.is_repeated(a, b)}
    drawn = set(joined.edges())
    assert expected - drawn == set()
    assert {(a, b) for a, b in drawn if a != b} <= wanted
    _check_places(scene, shown)


class _Joined:
    """Follow the drawn lines from item to item, through the sides of open frames."""

    def __init__(self, scene: Scene, shown: Shown) -> None:
        self._shown = shown
        self._parent: dict[str, str] = {}
        self._times: dict[str, int] = {}
        self.box_of: dict[str, str] = {}
        self._visit(scene.root, "", True)
        self._by_start: dict[tuple[str, str, str], list[str]] = {}
        for wire in shown.wires:
            start = (wire["frame"], wire["source"], wire["net"])
            self._by_start.setdefault(start, []).append(wire["target"])

    def _visit(self, frame: Frame, key: str, is_open: bool) -> None:
        for item in frame.items:
            self._parent[item.key], self._times[item.key] = key, item.times
            assert item.key in self._shown.items
            if isinstance(item, Frame) and item.key in self._shown.open:
                self._visit(item, item.key, True)
                continue
            for box in boxes_of(item):
                for name in (*box.ops, *box.covers):
                    self.box_of[name] = item.key

    def edges(self) -> Iterator[tuple[str, str]]:
        for frame, source, net in list(self._by_start):
            if source and source not in self._shown.open:
                for end in self._reached(frame, source, net):
                    # of several outputs, each has a box; the first holds the node
                    yield source, re.sub(r"o\d+$", "", end)

    def _reached(self, frame: str, source: str, net: str) -> Iterator[str]:
        for target in self._by_start.get((frame, source, net), ()):
            if not target:
                yield from self._reached(self._parent[frame], frame, net)
            elif target in self._shown.open:
                yield from self._reached(target, "", net)
            else:
                yield target

    def is_repeated(self, a: str, b: str) -> bool:
        return a == b or bool(self._repeats(a) & self._repeats(b))

    def _repeats(self, key: str) -> set[str]:
        found = set()
        while key:
            found |= {key} if self._times[key] > 1 else set()
            key = self._parent[key]
        return found


def _check_places(scene: Scene, shown: Shown) -> None:
    """Items lie apart and in their frames; lines run from side to side and over no other item."""
    frames = {f.key: f for f in frames_of(scene.root) if f.key in shown.open}
    for key, frame in [("", scene.root), *frames.items()]:
        boxes = {item.key: shown.items[item.key]["at"] for item in frame.items}
        for (a, one), (b, other) in itertools.combinations(boxes.items(), 2):
            assert not _overlap(one, other), f"{a} lies on {b}"
        if key:
            x0, y0, x1, y1 = shown.items[key]["at"]
            for at in boxes.values():
                assert x0 <= at[0]
                assert y0 <= at[1]
                assert at[2] <= x1 + 0.1
                assert at[3] <= y1 + 0.1
        wires = [w for w in shown.wires if w["frame"] == key]
        for wire in wires:
            _check_line(wire, boxes)
            start = _points(wire["d"])[0]
            beside = [w for w in wires if w["net"] == wire["net"] and w is not wire]
            if wire["source"] and not _touches(start, boxes[wire["source"]]):
                # it leaves a line of the same value on its way
                assert any(_is_on(start, _points(w["d"])) for w in beside), f"{wire} is loose"


def _check_line(wire: dict[str, Any], boxes: dict[str, list[float]]) -> None:
    points = _points(wire["d"])
    for start, end in itertools.pairwise(points):
        sides = abs(start[0] - end[0]), abs(start[1] - end[1])
        assert min(sides) < 0.2, f"{wire} is slanted"
        for key, at in boxes.items():
            assert not _overlap(_around(start, end), at), f"{wire} runs over {key}"
    if wire["target"]:
        assert _touches(points[-1], boxes[wire["target"]]), f"{wire} ends before its target"


def _is_on(point: tuple[float, float], line: list[tuple[float, float]]) -> bool:
    return any(_touches(point, _around(a, b)) for a, b in itertools.pairwise(line))


def _points(d: str) -> list[tuple[float, float]]:
    """Return the corners of a path: round ones are where their two tangents meet."""
    found = []
    for letter, rest in re.findall(r"([MLQ])([-0-9. ]+)", d):
        numbers = [float(n) for n in rest.split()]
        if letter == "Q" or letter == "M" or d.endswith(f"L{rest}"):
            found.append((numbers[0], numbers[1]))
    return found


def _around(a: tuple[float, float], b: tuple[float, float]) -> list[float]:
    return [min(a[0], b[0]), min(a[1], b[1]), max(a[0], b[0]), max(a[1], b[1])]


def _overlap(a: list[float], b: list[float], slack: float = 0.3) -> bool:
    return (
        a[0] < b[2] - slack and b[0] < a[2] - slack
        and a[1] < b[3] - slack and b[1] < a[3] - slack
    )  # fmt: skip


def _touches(point: tuple[float, float], at: list[float]) -> bool:
    x, y = point
    return at[0] - 0.3 <= x <= at[2] + 0.3 and at[1] - 0.3 <= y <= at[3] + 0.3
