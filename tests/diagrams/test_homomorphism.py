"""A drawing shows the graph: every operation once, every parameter once, every edge, no other."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from netloft.graph import Graph
from netloft_diagrams.build import build
from netloft_diagrams.geometry import Placed
from netloft_diagrams.page import Options, compose
from netloft_diagrams.scene import Box, Frame, Scene, boxes_of

NETS = [
    "myresnet", "alphago", "mnist", "resnet18", "alexnet", "vgg16",
    "resnet152", "densenet121", "googlenet", "vit", "shufflenet_v2_x1_0",
    "shared", "crossing", "flat_residual", "unet", "two_outputs", "tiny",
]  # fmt: skip
OPTIONS = [Options(), Options(depth=0), Options(depth=1), Options(direction="down")]


@pytest.mark.parametrize("name", NETS)
def test_every_operation_and_every_parameter_is_in_one_box(
    name: str, graph_of: Callable[[str], Graph]
) -> None:
    graph = graph_of(name)
    scene = build(graph)
    placed = [n for box in boxes_of(scene.root) for n in (*box.ops, *box.covers)]
    assert sorted([*placed, *scene.hidden]) == sorted(node.name for node, _ in graph)
    assert sum(box.total_params for box in boxes_of(scene.root)) == graph.totals.n_params
    assert all(graph.node(n).meta["netloft"].n_params == 0 for n in scene.hidden)


@pytest.mark.parametrize("options", OPTIONS, ids=["page", "depth 0", "depth 1", "down"])
@pytest.mark.parametrize("name", NETS)
def test_every_edge_is_drawn_and_no_other(
    name: str, options: Options, graph_of: Callable[[str], Graph]
) -> None:
    graph = graph_of(name)
    scene = build(graph)
    drawing = _Drawing(compose(scene, options))
    assert set(drawing.box_of) == {n.name for n, _ in graph} - set(scene.hidden)
    wanted = set()
    for node, _ in graph:
        for user in node.users:
            if node.name in drawing.box_of and user.name in drawing.box_of:
                wanted.add((node.name, user.name))
    expected = {(drawing.box_of[a], drawing.box_of[b]) for a, b in wanted}
    drawn = set(drawing.edges())
    for start, end in expected - drawn:
        assert drawing.same_repeat(start, end), f"{start} -> {end} is not drawn"
    assert drawn <= expected


@pytest.mark.parametrize("name", ["resnet18", "googlenet", "crossing"])
def test_graphviz_places_the_same_edges(name: str, graph_of: Callable[[str], Graph]) -> None:
    scene = build(graph_of(name))
    ours = _Drawing(compose(scene, Options(depth=2)))
    graphviz = _Drawing(compose(scene, Options(depth=2, graphviz=True)))
    assert set(ours.edges()) == set(graphviz.edges())


class _Drawing:
    """Follow the drawn lines from box to box, through the frames' sides and the row ends."""

    def __init__(self, root: Placed) -> None:
        self.box_of: dict[str, str] = {}
        self._parent: dict[str, Placed] = {}
        self._placed: dict[str, Placed] = {}
        self._visit(root)

    def _visit(self, placed: Placed) -> None:
        self._placed[placed.item.key] = placed
        if isinstance(placed.item, Box):
            for name in (*placed.item.ops, *placed.item.covers):
                assert name not in self.box_of, f"{name} is in two boxes"
                self.box_of[name] = placed.item.key
        for child in placed.children:
            self._parent[child.item.key] = placed
            self._visit(child)

    def edges(self) -> Iterator[tuple[str, str]]:
        for key, placed in self._placed.items():
            if isinstance(placed.item, Box) and key in self._parent:
                for net in placed.item.gives:
                    for end in self._reached(self._parent[key], key, net, set()):
                        # of several outputs, each has a box; the first holds the node
                        yield key, end.partition("o")[0]

    def _reached(
        self, frame: Placed, source: str, net: str, seen: set[tuple[str, str]]
    ) -> Iterator[str]:
        if (frame.item.key, source) in seen:
            return
        seen.add((frame.item.key, source))
        for wire in frame.wires:
            if wire.net != net or wire.source != source:
                continue
            target = self._placed.get(wire.target)
            if target is None:
                yield from self._reached(frame, "", net, seen)
                if net in frame.item.gives:
                    outer = self._parent[frame.item.key]
                    yield from self._reached(outer, frame.item.key, net, seen)
            elif isinstance(target.item, Box):
                yield wire.target
            else:
                yield from self._reached(target, "", net, seen)

    def same_repeat(self, a: str, b: str) -> bool:
        """The way from one copy to the next lies within what is drawn once."""
        return a == b or bool(self._repeats(a) & self._repeats(b))

    def _repeats(self, key: str) -> set[str]:
        found = {key} if self._placed[key].item.times > 1 else set()
        while key in self._parent:
            key = self._parent[key].item.key
            if self._placed[key].item.times > 1:
                found.add(key)
        return found


def test_a_lost_skip_is_noticed(graph_of: Callable[[str], Graph]) -> None:
    """The test above must fail on the mistake that it is there for."""
    scene = build(graph_of("myresnet"))
    drawing = _Drawing(compose(_without_skip(scene), Options()))
    graph = graph_of("myresnet")
    skip = (drawing.box_of["maxpool"], drawing.box_of[_sum_of(graph)])
    assert skip not in set(drawing.edges())
    assert not drawing.same_repeat(*skip)


def _sum_of(graph: Graph) -> str:
    return next(node.name for node, record in graph if record.op == "add")


def _without_skip(scene: Scene) -> Scene:
    from dataclasses import replace

    def cut(item: Box | Frame) -> Box | Frame:
        if isinstance(item, Frame):
            return replace(item, items=tuple(cut(child) for child in item.items))
        return replace(item, reads=item.reads[:1]) if item.symbol else item

    root = cut(scene.root)
    assert isinstance(root, Frame)
    return replace(scene, root=root)
