"""The gallery is current, and each of its drawings answers what a reader asks of it."""

from __future__ import annotations

import importlib.util
import re
import sys
from collections import Counter
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest
from tests.diagrams.reading import SVG, Picture

from netloft_diagrams import render

ROOT = Path(__file__).parents[2]


@cache
def gallery() -> ModuleType:
    spec = importlib.util.spec_from_file_location("gallery", ROOT / "examples" / "gallery.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["gallery"] = module
    spec.loader.exec_module(module)
    return module


@dataclass(frozen=True)
class Answers:
    """What is known of a network from its paper, or from its own code."""

    flow: tuple[str, str]
    parameters: int
    sides: tuple[int, ...]
    heaviest: str
    stages: tuple[str, ...] = ()
    repeats: tuple[int, ...] = ()
    skips: tuple[int, int] = (0, 0)


def acoustic(layers: int, parameters: int, heaviest: str = "output") -> Answers:
    """Sigmoid layers of one width; the first is wider than its input, so it is drawn apart."""
    repeats = (layers - 1,) if layers > 2 else ()
    return Answers(("429", "9304"), parameters, (), heaviest, repeats=repeats)


STAGES = ("layer1", "layer2", "layer3", "layer4")
HALVED = (224, 112, 56, 28, 14, 7)
PHOTO = ("3×224×224", "1000")
KNOWN = {
    "alphago": Answers(
        ("48×19×19", "361"), 3_882_793, (19,), "hidden.0 … hidden.10", repeats=(11,)
    ),
    "myresnet": Answers(
        ("3×224×224", "2"), 314_178, (224, 112, 56, 28), "layer2.0.conv2",
        ("layer1.0", "layer2.0"), skips=(1, 1),
    ),
    "mnist": Answers(("1×28×28", "10"), 137_660, (28, 26, 13, 11), "fc1"),
    "acoustic": acoustic(5, 36_729_944),
    "acoustic-1x2k": acoustic(1, 19_944_536),
    "acoustic-2x2k": acoustic(2, 24_140_888),
    "acoustic-3x2k": acoustic(3, 28_337_240),
    "acoustic-4x2k": acoustic(4, 32_533_592),
    "acoustic-5x2k": acoustic(5, 36_729_944),
    "acoustic-7x2k": acoustic(7, 45_122_648, "hidden.1 … hidden.6"),
    "acoustic-1x3772": acoustic(1, 36_725_952),
    "acoustic-1x4634": acoustic(1, 45_116_660),
    "acoustic-1x16k": acoustic(1, 159_491_160),
    "alexnet": Answers(PHOTO, 61_100_840, (224, 55, 27, 13, 6), "classifier.1"),
    "resnet18": Answers(
        PHOTO, 11_689_512, HALVED, "layer4.1", ("layer1.0", *STAGES[1:]), (2,), (2, 1)
    ),
    "resnet152": Answers(
        PHOTO, 60_192_808, HALVED, "layer3.1 … layer3.35", STAGES, (2, 2, 7, 35), (1, 1)
    ),
    "densenet121": Answers(
        PHOTO, 7_978_856, HALVED, "features.denseblock3",
        ("features.denseblock1", "features.transition1", "features.denseblock2",
         "features.transition2", "features.denseblock3", "features.transition3",
         "features.denseblock4"),
    ),
    "inception_v3": Answers(
        ("3×299×299", "1000"), 23_834_568, (299, 149, 147, 73, 71, 35, 17, 8), "Mixed_7c",
        ("Mixed_5b", "Mixed_5c", "Mixed_5d", "Mixed_6a", "Mixed_6b", "Mixed_6c … Mixed_6d",
         "Mixed_6e", "Mixed_7a", "Mixed_7b", "Mixed_7c"),
        (2,),
    ),
    "mobilenet_v3_large": Answers(
        PHOTO, 5_483_032, HALVED, "features.14 … features.15",
        (*(f"features.{i}" for i in (1, 2, 3, 4)), "features.5", "features.7",
         "features.8", "features.9 … features.10", "features.11", "features.12", "features.13",
         "features.14 … features.15"),
        (2, 2, 2), (1, 0),
    ),
    "convnext_tiny": Answers(
        PHOTO, 28_589_128, (224, 56, 28, 14, 7, 1), "features.7.0.block",
        ("features.0", "features.1.0", "features.2", "features.3.0", "features.4", "features.5.0",
         "features.6", "features.7.0"),
        (3, 3, 3, 9), (4, 0),
    ),
    "vit_b_16": Answers(
        PHOTO, 86_567_656, (224,), "encoder.layers.encoder_layer_0.self_attention",
        ("encoder",), (12,), (2, 0),
    ),
    "swin_t": Answers(
        PHOTO, 28_288_354, (224, 56, 28, 14, 7), "features.7.0 … features.7.1",
        (*(f"features.{i}" for i in range(1, 7)), "features.7.0 … features.7.1"), (2,), (2, 0),
    ),
    "maxvit_t": Answers(
        PHOTO, 30_919_624, HALVED, "blocks.2.layers.1 … blocks.2.layers.4",
        ("stem", "blocks.0", "blocks.1", "blocks.2", "blocks.3", "classifier"), (4,),
    ),
    "r3d_18": Answers(
        ("3×16×112×112", "400"), 33_371_472, (112, 56, 28, 14, 7), "layer4.1",
        ("layer1.0", *STAGES[1:]), (2,), (2, 1),
    ),
    "fcn_resnet50": Answers(
        ("3×520×520", "21×520×520"), 32_957_013, (520, 260, 130, 65), "classifier.0",
        ("backbone", "classifier"), (2, 2, 3, 5), (0, 1),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", KNOWN)
def test_a_drawing_answers_what_a_reader_asks(name: str) -> None:
    picture, known = Picture.of((gallery().FOLDER / f"{name}.svg").read_bytes()), KNOWN[name]
    assert picture.flow == known.flow
    assert picture.parameters == known.parameters
    assert tuple(picture.sides) == known.sides
    assert tuple(picture.stages) == known.stages
    assert tuple(picture.repeats) == known.repeats
    assert picture.heaviest == known.heaviest
    assert picture.skips == known.skips


@pytest.mark.parametrize("name", KNOWN)
def test_the_gallery_is_current(name: str) -> None:
    drawn = render(gallery().graph_of(name), "svg")
    assert drawn == (gallery().FOLDER / f"{name}.svg").read_bytes(), "run examples/gallery.py"


def test_the_gallery_is_whole() -> None:
    assert set(KNOWN) == set(gallery().NAMES)
    names = {path.name for path in gallery().FOLDER.iterdir()}
    assert names == {"README.md", *(f"{name}.svg" for name in KNOWN)}
    assert (gallery().FOLDER / "README.md").read_text(encoding="utf-8") == gallery().page()


def drawn(name: str) -> Picture:
    return Picture.of((gallery().FOLDER / f"{name}.svg").read_bytes())


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("inception_v3", "Mixed_5b"),  # a concat of four branches
        ("maxvit_t", "blocks.0.layers.0"),
        ("swin_t", "features.1.1"),  # which shifts, as the block before and those of stage 7 do not
    ],
)
def test_a_block_of_each_kind_is_opened_where_the_page_has_room(name: str, path: str) -> None:
    assert path in {group.get("data-path") for group in drawn(name).groups("frame")}


def test_a_strip_says_that_it_goes_on() -> None:
    strips = {
        (tip.text or "").split(" ")[0]: next((g for g in box if g.get("class") == "more"), None)
        for box in drawn("densenet121").groups("box")
        if box.get("data-kind") == "summary" and (tip := box.find(f"{SVG}title")) is not None
    }
    assert strips["features.denseblock1"] is None
    assert all(strips[f"features.denseblock{i}"] is not None for i in (2, 3, 4))


def test_the_input_stands_beside_what_reads_it() -> None:
    boxes = {
        box.get("data-kind"): box.find(f"{SVG}rect") for box in drawn("densenet121").groups("box")
    }
    frame = next(drawn("densenet121").groups("frame")).find(f"{SVG}rect")
    given = boxes["input"]
    assert given is not None
    assert frame is not None
    assert float(frame.attrib["y"]) < float(given.attrib["y"])
    assert float(given.attrib["x"]) + float(given.attrib["width"]) < float(frame.attrib["x"])


def test_a_name_is_whole_where_there_is_room_for_it() -> None:
    assert "2× PartitionAttentionLayer" in drawn("maxvit_t").words
    assert "branch5x5_1 · 9.31k" in drawn("inception_v3").words


@pytest.mark.parametrize(
    ("name", "told"),
    [
        (
            "resnet152",
            "layer3 (70 %) · in one block: layer2.0 (3 %) · most parameters: layer3 (67 %)",
        ),
        (
            "mobilenet_v3_large",
            "features.14…15 (15 %) · in one block: features.12 (14 %) · "
            "most parameters: features (54 %)",
        ),
        ("alphago", "hidden.0…10 (94 %) · most parameters: hidden.0…10 (94 %)"),
        ("resnet18", "layer1.0…1 (25 %) · most parameters: layer4 (72 %)"),
        (
            "swin_t",
            "features.5 (47 %) · in one block: features.1.0 (8 %) · "
            "most parameters: features.7.0…1 (50 %)",
        ),
        ("mnist", "conv2 (83 %) · most parameters: fc1 (91 %)"),
    ],
)  # fmt: skip
def test_the_title_names_what_is_heaviest(name: str, told: str) -> None:
    assert f"most multiply-adds: {told}" in drawn(name).words


@pytest.mark.parametrize("name", list(gallery().NETWORKS))
def test_no_stage_beside_the_heaviest_holds_more(name: str) -> None:
    """By the module's own parameters, of what hangs beside it in the same module."""
    line = next(text for text in drawn(name).words if "most parameters: " in text)
    found = re.search(r"most parameters: (\S+?)(\d+)?(?:…(\d+))? \((\d+) %\)", line)
    assert found
    stem, first, last, share = found.groups()
    copies = range(int(first), int(last) + 1) if last else [first or ""]
    sizes = {path: p.numel() for path, p in gallery().graph_of(name).module.named_parameters()}
    own = tuple(f"{stem}{copy}." for copy in copies)
    held = sum(n for path, n in sizes.items() if path.startswith(own))
    assert held / sum(sizes.values()) == pytest.approx(int(share) / 100, abs=0.006)
    stage = stem.rpartition(".")[0] if last else own[0][:-1]
    around = stage[: stage.rfind(".") + 1]
    beside = Counter[str]()
    for path, n in sizes.items():
        if path.startswith(around):
            beside[path[len(around) :].split(".")[0]] += n
    assert held >= 0.99 * max(beside.values())


def test_closed_blocks_say_how_they_skip() -> None:
    assert "SqueezeExcitation · projection skip" not in drawn("mobilenet_v3_large").words
    assert "identity skip" in " ".join(drawn("mobilenet_v3_large").words)
    assert "projection skip" in drawn("maxvit_t").words  # behind a pool
    assert "MLP · 2 skips" in drawn("swin_t").words


def test_labels_need_no_paint_order() -> None:
    """CairoSVG knows none, and hides letters under their rim."""
    for name in KNOWN:
        assert b"paint-order" not in (gallery().FOLDER / f"{name}.svg").read_bytes()
