"""What networks saw, as pictures: maps over pixels, tables, pages and contact sheets."""

from __future__ import annotations

import io
import itertools
import re
from dataclasses import replace
from html.parser import HTMLParser
from xml.etree import ElementTree

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from tests.diagrams.reading import SVG, Pixels, images, noise, opened, size, texts

from netloft.errors import UsageError
from netloft.explain.seen import Ranked, Seen, Sheet, Tile
from netloft_diagrams.seen import (
    comparison_html,
    comparison_svg,
    overlay,
    overlay_png,
    sheet_svg,
    svg_png,
)
from netloft_diagrams.seen.frame import fit_middle
from netloft_diagrams.seen.grid import agreement, described, grid_of, share
from netloft_diagrams.text_metrics import width

HOSTILE = "</text><script>alert(1)</script>\"'&\x00\x1b[31m\u202e\ud800\nend"
Floats = npt.NDArray[np.float32]

PALACE, STUPA, BEE = Ranked(698, "palace", 0.6), Ranked(832, "stupa", 0.3), Ranked(309, "bee", 0.01)


def spot(height: int, wide: int, x: float = 0.8, y: float = 0.2) -> Floats:
    down, across = np.mgrid[0 : 1 : height * 1j, 0 : 1 : wide * 1j]
    heat = np.exp(-((across - x) ** 2 + (down - y) ** 2) / 0.05)
    return (heat / heat.max()).astype(np.float32)


def saw(model: str = "resnet18", picture: str = "china.png", **more: object) -> Seen:
    facts: dict[str, object] = {
        "model": model, "picture": picture, "pixels": noise(90, 90), "top": (PALACE, STUPA),
        "assigned": PALACE, "map": spot(90, 90), "method": "gradcam", "layer": "layer4.1",
        "form": "closed form",
    }  # fmt: skip
    return Seen(**{**facts, **more})  # type: ignore[arg-type]


def table(models: int, pictures: int) -> list[Seen]:
    names = [(f"net{m}", f"{p}.png") for p in range(pictures) for m in range(models)]
    return [saw(model, picture) for model, picture in names]


def test_a_map_of_nothing_leaves_the_picture() -> None:
    pixels = noise(40, 60)
    assert (overlay(pixels, np.zeros((40, 60), np.float32)) == pixels).all()
    low = np.full((40, 60), 0.03, np.float32)
    assert np.abs(overlay(pixels, low).astype(int) - pixels).mean() < 1.5


def test_what_is_hot_is_changed_and_the_rest_is_not() -> None:
    pixels = np.full((60, 80, 3), 90, np.uint8)
    made = overlay(pixels, spot(60, 80))
    assert made.shape == pixels.shape
    assert made.dtype == np.uint8
    change = np.abs(made.astype(int) - 90).max(axis=2)
    assert change[12, 64] > 80
    assert change[59, 0] <= 1
    stronger = np.abs(overlay(pixels, spot(60, 80), 0.9).astype(int) - 90).max(axis=2)
    assert stronger[12, 50] > change[12, 50]


def test_colours_can_be_put_in_order_without_their_hue() -> None:
    ramp = np.linspace(0, 1, 101, dtype=np.float32)[None]
    black = overlay(np.zeros((1, 101, 3), np.uint8), ramp)[0] @ (0.2126, 0.7152, 0.0722)
    assert (np.diff(black) > -0.5).all()
    assert black[-1] > 150
    # over grey: what separates the hottest from the coldest is not red against green
    grey = overlay(np.full((1, 101, 3), 128, np.uint8), ramp)[0]
    assert grey[-1] @ (0.2126, 0.7152, 0.0722) > grey[0] @ (0.2126, 0.7152, 0.0722) + 60


def test_a_small_map_is_resized_smoothly() -> None:
    coarse = np.zeros((7, 7), np.float32)
    coarse[3, 3] = 1
    made = overlay(np.full((224, 224, 3), 128, np.uint8), coarse).astype(int)
    assert made[112, 112, 0] - made[0, 0, 0] > 50
    assert np.abs(np.diff(made[112], axis=0)).max() < 25  # no edge of a cell is seen


def test_a_map_with_numbers_that_are_none_is_drawn() -> None:
    heat = np.array([[np.nan, np.inf], [-np.inf, 7.0]], np.float32)
    made = overlay(np.full((2, 2, 3), 90, np.uint8), heat)
    assert (made[0, 0] == 90).all()
    assert (made[1, 0] == 90).all()
    assert (made[0, 1] == made[1, 1]).all()
    assert (made[0, 1] != 90).any()


@pytest.mark.parametrize(
    ("pixels", "heat", "strength"),
    [
        (noise(4, 4)[..., :2], spot(4, 4), 0.5),
        (noise(4, 4), spot(4, 4)[None], 0.5),
        (noise(4, 4), spot(4, 4)[:0], 0.5),
        (noise(4, 4), spot(4, 4), 1.1),
        (noise(4, 4), spot(4, 4), float("nan")),
    ],
)
def test_another_shape_is_refused(pixels: Pixels, heat: Floats, strength: float) -> None:
    with pytest.raises(ValueError, match=r"cannot lie over|a strength"):
        overlay(pixels, heat, strength)


def test_one_overlay_is_a_file_and_tiny_pixels_are_squares() -> None:
    data = overlay_png(saw(pixels=noise(28, 28), map=np.zeros((28, 28), np.float32)))
    image = np.asarray(Image.open(io.BytesIO(data)))
    assert image.shape == (224, 224, 3)
    assert (image[:8, :8] == image[0, 0]).all()
    assert (image[::8, ::8] == noise(28, 28)).all()
    assert Image.open(io.BytesIO(overlay_png(saw()))).size == (180, 180)
    assert data == overlay_png(saw(pixels=noise(28, 28), map=np.zeros((28, 28), np.float32)))


@pytest.mark.parametrize(("models", "pictures"), [(1, 1), (1, 3), (3, 2), (5, 4)])
def test_a_picture_is_a_row_and_a_network_a_column(models: int, pictures: int) -> None:
    svg = comparison_svg(table(models, pictures))
    cells = models * pictures
    assert len(images(svg)) == cells + pictures + 1  # the bare pictures, and the legend
    words = texts(svg)
    assert [words.count(f"net{m}") for m in range(models)] == [1] * models
    assert [words.count(f"{p}.png") for p in range(pictures)] == [1] * pictures
    assert words.count("698 palace") == 2 * cells  # predicted, and beside its bar
    assert words.count("832 stupa") == words.count("30.0 %") == cells
    assert words.count("the same") == cells
    assert words.count("layer4.1") == words.count("Grad-CAM · closed form") == cells
    assert size(svg)[0] <= 1100


def test_nothing_leaves_the_page_or_lies_over_another() -> None:
    long = Ranked(1, "a label that goes on " * 20, 0.5)
    rows = [
        saw("name" * 40, "file" * 40, top=(long, STUPA), assigned=BEE, layer="block.1." * 30),
        saw("b", "file" * 40, pixels=noise(300, 100)), saw("c", "file" * 40),
        saw("d", "file" * 40), saw("e", "file" * 40),
    ]  # fmt: skip
    svg = comparison_svg(rows)
    wide, high = size(svg)
    assert wide <= 1100
    spans: dict[float, list[tuple[float, float]]] = {}
    for found in ElementTree.fromstring(svg).iter(f"{SVG}text"):
        left, across = float(found.attrib["x"]), float(found.attrib["textLength"])
        natural = width(found.text or "", float(found.attrib["font-size"]), bold=True)
        assert across <= natural + 0.1
        assert left >= 0
        assert left + across <= wide
        assert float(found.attrib["y"]) < high
        spans.setdefault(float(found.attrib["y"]), []).append((left, left + across))
    for row in spans.values():
        row.sort()
        assert all(end < start for (_, end), (start, _) in itertools.pairwise(row))
    cut = [text for text in texts(svg) if "…" in text]
    assert any(text.startswith("1 a label that") for text in cut)
    assert any(text.startswith("namename") and text.endswith("name") for text in cut)
    assert any(text.startswith("…") and text.endswith("block.1.") for text in cut)


def test_what_is_cut_is_a_tooltip() -> None:
    label = "a label that goes on and on and on and on, and then on"
    svg = comparison_svg([saw(top=(Ranked(3, label, 0.9),), assigned=Ranked(3, label, 0.9))])
    titles = [found.text for found in ElementTree.fromstring(svg).iter(f"{SVG}title")]
    assert f"3 {label}" in titles


def test_the_class_assigned_is_told_where_it_is_another() -> None:
    among = texts(comparison_svg([saw(assigned=STUPA)]))
    assert "the same" not in among
    assert among.count("832 stupa") == 2
    alone = texts(comparison_svg([saw(assigned=BEE)]))
    assert alone.count("309 bee") == 2  # named as assigned, and with a bar of its own
    assert "1.0 %" in alone


def test_bars_are_as_long_as_their_shares() -> None:
    svg = comparison_svg([saw(top=(Ranked(0, "", 0.5), Ranked(1, "", 0.25), Ranked(2, "", 0.0)))])
    bars = [r.attrib for r in ElementTree.fromstring(svg).iter(f"{SVG}rect") if "rx" in r.attrib]
    tracks = [bar for bar in bars if bar["fill"] == "#e6ebf1"]
    filled = [float(bar["width"]) for bar in bars if bar["fill"] != "#e6ebf1"]
    whole = float(tracks[0]["width"])
    assert len(tracks) == 4  # the class assigned, 698, is not among the three
    assert filled == pytest.approx([whole / 2, whole / 4, 0.6 * whole], abs=0.1)


def test_a_network_that_was_not_asked_leaves_its_place_free() -> None:
    rows = [saw("a", "1"), saw("b", "1"), saw("a", "2")]
    assert texts(comparison_svg(rows)).count("not asked") == 1
    assert comparison_html(rows).count("not asked") == 1


def test_one_network_in_two_ways_has_two_columns() -> None:
    rows = [saw("a"), saw("a", method="gradcam++", form="gradient"), saw("b")]
    words = texts(comparison_svg(rows))
    assert words.count("a") == 2
    assert "Grad-CAM++ · gradient" in words
    assert "2 of 2 say 698 palace" in words
    assert "2 networks, 1 picture" in words


def says(*classes: Ranked) -> str:
    rows = [saw(f"net{i}", top=(one,), assigned=one) for i, one in enumerate(classes)]
    (row,) = grid_of(rows).rows
    return f"{agreement(row).sign}: {agreement(row).words}"


def test_agreement_goes_by_label_and_else_by_index() -> None:
    assert says(PALACE) == ": net0 says 698 palace"
    assert says(PALACE, PALACE, PALACE) == "agree: 3 of 3 say 698 palace"
    assert says(STUPA, PALACE, PALACE) == "differ: 2 of 3 say 698 palace; 1 says 832 stupa"
    assert says(PALACE, STUPA) == "differ: no two agree: 698 palace; 832 stupa"
    # other label sets: the same name under another number, the same number for another name
    assert says(PALACE, Ranked(3, "Palace ", 0.5)) == "agree: 2 of 2 say palace"
    assert says(PALACE, Ranked(698, "moth", 0.5)).startswith("differ: no two agree")
    assert says(Ranked(7, "", 0.5), Ranked(7, "", 0.5)) == "agree: 2 of 2 say class 7"


def test_shares_are_read_as_percent() -> None:
    shares = (0.0, 1e-9, 0.0123, 0.5, 0.99999, 1.0, float("nan"))
    assert [share(one) for one in shares] == [
        "0.0 %", "< 0.1 %", "1.2 %", "50.0 %", "> 99.9 %", "100.0 %", "no number",
    ]  # fmt: skip


def test_words_say_where_the_map_is_hottest() -> None:
    assert described(saw()) == (
        "Grad-CAM of resnet18 for 698 palace on china.png, hottest at the upper right"
    )
    assert described(saw(map=spot(9, 9, 0.5, 0.5))).endswith("hottest in the middle")
    assert described(saw(map=np.zeros((9, 9), np.float32))).endswith("the same everywhere")


def hostile() -> list[Seen]:
    ranked = Ranked(1, HOSTILE, 0.5)
    one = saw(HOSTILE, HOSTILE, top=(ranked, STUPA), assigned=ranked)
    return [one, saw(f"{HOSTILE}2", HOSTILE, method=HOSTILE, form=HOSTILE, layer=HOSTILE)]


class Page(HTMLParser):
    """Tags with their attributes, and all text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def of(self, name: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.tags if tag == name]


def test_hostile_names_are_words_in_the_svg() -> None:
    tile = Tile(noise(5, 5), HOSTILE, HOSTILE)
    for svg in (comparison_svg(hostile()), sheet_svg(Sheet(HOSTILE, HOSTILE, (tile, tile)))):
        root = ElementTree.fromstring(svg)  # it is XML, so no control character is left
        known = {"svg", "title", "desc", "rect", "text", "image", "line", "path"}
        assert {found.tag.removeprefix(SVG) for found in root.iter()} <= known
        assert not re.search("[\x00-\x08\x0e-\x1f\u202e\ud800]", svg)
        titles = [found.text or "" for found in root.iter(f"{SVG}title")]
        assert any("</text><script>alert(1)</script>\"'&" in title for title in titles)
        assert svg_png(svg).startswith(b"\x89PNG")


def test_hostile_names_are_words_in_the_page() -> None:
    page = comparison_html(hostile())
    read = Page(page)
    assert not read.of("script")
    assert "</text><script>alert(1)</script>\"'&" in read.text
    assert not re.search("[\x00-\x08\x0e-\x1f\u202e\ud800]", page)
    allowed = {"src", "alt", "class", "scope", "colspan", "style", "aria-hidden"}
    inside = [found for name in ("img", "td", "th", "b", "i") for found in read.of(name)]
    assert {key for found in inside for key in found} <= allowed


def test_the_page_is_one_file_with_a_table_that_can_be_read_aloud() -> None:
    read = Page(comparison_html([*table(3, 2)]))
    sources = [found["src"] or "" for found in read.of("img")]
    assert len(sources) == 3 * 2 + 2 + 1
    assert all(opened(source).ndim == 3 for source in sources)
    assert all(found["alt"] for found in read.of("img"))
    assert not read.of("script") + read.of("link") + read.of("a")
    scopes = [found.get("scope") for found in read.of("th")]
    assert scopes == ["col"] * 4 + ["rowgroup", "row"] * 2
    assert len(read.of("td")) == 6
    (policy,) = (found for found in read.of("meta") if "http-equiv" in found)
    assert policy["content"] == "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    assert read.text.count("3 of 3 say 698 palace") == 2


def test_the_same_gives_the_same_bytes() -> None:
    assert comparison_svg(table(2, 2)) == comparison_svg(table(2, 2))
    assert comparison_html(table(2, 2)) == comparison_html(table(2, 2))
    svg = comparison_svg(table(1, 1))
    assert svg_png(svg) == svg_png(svg)


def test_nothing_to_compare_is_refused() -> None:
    with pytest.raises(UsageError, match="no picture"):
        comparison_svg([])
    with pytest.raises(UsageError, match="no picture"):
        comparison_html([])
    with pytest.raises(ValueError, match="no class"):
        comparison_svg([saw(top=())])
    with pytest.raises(ValueError, match="not uint8"):
        comparison_svg([saw(pixels=np.zeros((0, 3, 3), np.uint8))])


def test_the_middle_of_a_name_is_cut() -> None:
    name = "holiday_snapshot_with_a_long_name_2024.jpeg"
    cut = fit_middle(name, 12, 120)
    assert cut.startswith("holiday")
    assert cut.endswith(".jpeg")
    assert 90 < width(cut, 12) <= 120
    assert fit_middle("short", 12, 120) == "short"
    assert fit_middle(name, 12, 1) == "…"


def test_the_likeliest_class_is_the_one_predicted() -> None:
    assert saw().predicted is PALACE
    assert replace(saw(), top=(STUPA, PALACE)).predicted is STUPA
