"""What is equal is drawn once, and what differs is not."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from netloft.graph import Graph
from netloft.tracing import trace
from netloft_diagrams.build import build
from netloft_diagrams.scene import boxes_of, frames_of


def test_alphago_reads_as_seven_boxes(graph_of: Callable[[str], Graph]) -> None:
    boxes = list(boxes_of(build(graph_of("alphago")).root))
    assert [(box.title, box.lines, box.times) for box in boxes] == [
        ("input", ("48×19×19",), 1),
        ("Conv 5×5 → 192", ("pad 2", "ReLU"), 1),
        ("Conv 3×3 → 192", ("pad 1", "ReLU"), 11),
        ("Conv 1×1 → 1", ("flatten",), 1),
        ("+ bias[361]", (), 1),
        ("Softmax", (), 1),
        ("output", ("361",), 1),
    ]
    assert boxes[2].total_params == 11 * boxes[2].n_params


def test_myresnet_reads_as_the_lecture_tells_it(graph_of: Callable[[str], Graph]) -> None:
    scene = build(graph_of("myresnet"))
    rows = [(i.path, getattr(i, "title", ""), i.class_name) for i in scene.root.items[1:-1]]
    assert [row[0] for row in rows] == ["conv1", "maxpool", "layer1.0", "layer2.0", "avgpool", "fc"]
    first, second = (i for i in scene.root.items if i.class_name == "BasicBlock")
    projections = [b.name for b in boxes_of(second) if "projection" in b.lines]
    assert projections == ["layer2.0.downsample.0"]
    assert not [b for b in boxes_of(first) if "projection" in b.lines]
    (skip,) = [scene.skips[b.key] for b in boxes_of(first) if b.key in scene.skips]
    assert skip == ("maxpool",)


def test_stages_of_resnet152(graph_of: Callable[[str], Graph]) -> None:
    frames = frames_of(build(graph_of("resnet152")).root)
    repeats = {f.path: f.times for f in frames if f.class_name == "Bottleneck"}
    assert repeats == {
        "layer1.0": 1, "layer1.1": 2, "layer2.0": 1, "layer2.1": 7,
        "layer3.0": 1, "layer3.1": 35, "layer4.0": 1, "layer4.1": 2,
    }  # fmt: skip


def test_blocks_written_as_functions_fold(graph_of: Callable[[str], Graph]) -> None:
    scene = build(graph_of("flat_residual"))
    (repeat,) = (f for f in frames_of(scene.root) if f.times > 1)
    assert repeat.times == 6
    assert [box.title for box in boxes_of(repeat)] == ["Conv 3×3 → 4", "Add"]


def test_a_shared_layer_counts_once(graph_of: Callable[[str], Graph]) -> None:
    (layer,) = (b for b in boxes_of(build(graph_of("shared")).root) if b.kind == "linear")
    assert (layer.times, layer.n_params, layer.total_params) == (4, 72, 72)


def test_other_hyper_parameters_are_not_folded() -> None:
    convs = [nn.Conv2d(4, 4, 3, padding=d, dilation=d) for d in (1, 1, 2, 2, 1)]
    graph = trace(nn.Sequential(*convs).eval(), (torch.randn(2, 4, 9, 9),))
    assert [b.times for b in boxes_of(build(graph).root) if b.kind == "conv"] == [2, 2, 1]


def test_a_value_that_is_read_later_keeps_the_repeat_open() -> None:
    class Tapped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.ModuleList(nn.Linear(4, 4) for _ in range(4))

        def forward(self, x: Tensor) -> Tensor:
            first = self.layers[1](self.layers[0](x))
            return self.layers[3](self.layers[2](first)) + first

    boxes = boxes_of(build(trace(Tapped().eval(), (torch.randn(2, 4),))).root)
    assert [b.times for b in boxes if b.kind == "linear"] == [2, 1, 1]


def test_size_arithmetic_is_counted_and_not_drawn(graph_of: Callable[[str], Graph]) -> None:
    scene = build(graph_of("vit"))
    assert len(scene.hidden) > 0
    assert not [b for b in boxes_of(scene.root) if "getattr" in b.title.lower()]


def test_no_frame_is_a_container(graph_of: Callable[[str], Graph]) -> None:
    classes = {f.class_name for f in frames_of(build(graph_of("alphago")).root)}
    assert "ModuleList" not in classes
