"""One module drawn alone, and depth counted by the modules' paths."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from netloft.errors import UsageError
from netloft.graph import Graph
from netloft_diagrams.build import build
from netloft_diagrams.geometry import Placed
from netloft_diagrams.page import Options, compose
from netloft_diagrams.scene import Box, boxes_of


@pytest.mark.parametrize(
    ("path", "times"),
    [("layer1", 2), ("layer1.1", 1), ("layer1.0", 1), ("layer2.0", 1), ("layer2.0.downsample", 1)],
)
def test_folded_modules_and_those_without_a_frame_can_be_drawn(
    path: str, times: int, graph_of: Callable[[str], Graph]
) -> None:
    scene = build(graph_of("resnet18"), path)
    assert max(item.times for item in scene.root.items) == times
    kinds = [item.kind for item in scene.root.items if isinstance(item, Box)]
    assert (kinds[0], kinds[-1]) == ("input", "output")
    wanted = {n for n, p in graph_of("resnet18").module.named_parameters() if p.numel() and n}
    own = sum(
        graph_of("resnet18").module.get_parameter(n).numel()
        for n in wanted
        if n.startswith(f"{path}.")
    )
    assert sum(box.total_params for box in boxes_of(scene.root)) == own


def test_a_container_that_is_never_called_can_be_drawn(graph_of: Callable[[str], Graph]) -> None:
    boxes = list(boxes_of(build(graph_of("alphago"), "hidden").root))
    assert [box.times for box in boxes if box.kind == "conv"][-1] > 1


@pytest.mark.parametrize(
    ("net", "path", "message", "remedy"),
    [
        ("resnet18", "layer1.0.conv1", "is one operation", "--only layer1.0"),
        ("resnet18", "fc", "is one operation", "draw the whole network"),
        ("resnet18", "layr2", "calls no module 'layr2'", "layer2"),
        ("tiny", "nothing", "calls no module", "draw the whole network"),
        ("myresnet", "linear", "is never called", "that forward calls"),
    ],
)
def test_what_cannot_be_drawn_alone_is_said(
    net: str, path: str, message: str, remedy: str, graph_of: Callable[[str], Graph]
) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        build(graph_of(net), path)
    assert remedy in str(caught.value)


@pytest.mark.parametrize(("depth", "opened"), [(0, 0), (1, 0), (2, 7)])
def test_every_stage_is_opened_as_deep_as_the_others(
    depth: int, opened: int, graph_of: Callable[[str], Graph]
) -> None:
    def blocks(placed: Placed) -> int:
        own = placed.item.class_name == "BasicBlock" and bool(placed.children)
        return own + sum(blocks(child) for child in placed.children)

    assert blocks(compose(build(graph_of("resnet18")), Options(depth=depth))) == opened
