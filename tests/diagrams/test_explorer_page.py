"""The page around the explorer's figure: search, keys, address, details, safety, print."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from pypdf import PdfReader
from tests.diagrams.browser import Explorer
from torch import Tensor, nn
from torch.nn.functional import leaky_relu

from netloft.graph import Graph
from netloft.overlays import Overlay
from netloft.tracing import trace
from netloft_diagrams import render

pytestmark = pytest.mark.browser

Open = Callable[..., Any]


def chosen(explorer: Explorer) -> str:
    """Return the key of the chosen item: the one that a screen reader is told of."""
    found = explorer.page.get_attribute("#figure", "aria-activedescendant")
    return str(found or "").removeprefix("n-")


# search


def test_search_goes_to_a_layer_inside_closed_modules(explore: Open) -> None:
    with explore("resnet18", depth=0) as explorer:
        explorer.press("/")
        explorer.page.keyboard.type("layer3.0.conv2")
        first = explorer.page.locator("#hits li").first
        assert "layer3.0.conv2" in first.inner_text()
        explorer.press("Enter")
        explorer.settle()
        assert explorer.details()["path"] == "layer3.0.conv2"
        shown = explorer.shown()
        assert chosen(explorer) in shown.items
        box = explorer.page.locator(f'[data-key="{chosen(explorer)}"]').bounding_box()
        assert 0 < box["x"] < 950
        assert 0 < box["y"] < 800


# a block is found by its class, so is the sum in it, and so are three stages that list theirs
@pytest.mark.parametrize(
    ("asked", "n"),
    [("BasicBlock", 7 + 7 + 3), ("max_pool2d", 1), ("conv2d 7×7", 1), ("nothing like it", 0)],
)
def test_search_finds_by_class_operation_and_title(asked: str, n: int, explore: Open) -> None:
    with explore("resnet18") as explorer:
        explorer.page.fill("#find", asked)
        assert explorer.page.locator("#hits li").count() == n
        assert explorer.page.inner_text("#found") == f"{n} found"


def test_the_details_tell_what_an_overlay_says(explore: Open, graph_of: Open) -> None:
    known = {node.name for node, record in graph_of("tiny") if record.op == "conv2d"}

    def tell(nodes: Sequence[str]) -> tuple[str, ...]:
        return ("twice the limit", "of <b>none</b>") if known.intersection(nodes) else ()

    own = Overlay("watts", "energy", "times", "sum", dict.fromkeys(known, 2.5), tell=tell)
    with explore("tiny", color=own) as explorer:
        explorer.page.fill("#find", "conv2d")
        explorer.page.press("#find", "Enter")
        assert explorer.details()["overlay"] == "2.5×\ntwice the limit\nof <b>none</b>"


def test_the_path_of_a_folded_copy_is_found(explore: Open) -> None:
    with explore("resnet152", depth=0) as explorer:
        explorer.page.fill("#find", "layer3.17.conv2")
        explorer.page.press("#find", "Enter")
        assert explorer.details()["path"] == "layer3.1.conv2"
        text = explorer.page.inner_text("#details .copies")
        assert "35 equal copies" in text
        assert "layer3.1.conv2, layer3.2.conv2" in text


# keys


def test_the_keyboard_alone_reaches_a_layer_and_opens_what_is_around_it(explore: Open) -> None:
    with explore("resnet18", depth=0) as explorer:
        explorer.press("Tab")
        for _ in range(20):
            if explorer.page.evaluate("document.activeElement.id") == "figure":
                break
            explorer.press("Tab")
        explorer.press("Home")
        assert explorer.page.inner_text("#details h2") == "input"
        for _ in range(4):
            explorer.press("ArrowRight")
        assert explorer.details()["path"] == "layer2"
        explorer.press("Enter")
        assert explorer.shown().items[chosen(explorer)]["open"]
        explorer.press("ArrowDown", "ArrowDown")
        assert explorer.details()["path"] == "layer2.0.conv1"
        explorer.press("ArrowRight", "ArrowRight", "ArrowLeft")
        assert explorer.details()["path"] == "layer2.0.conv2"
        explorer.press("ArrowUp", "ArrowUp")
        assert explorer.details()["path"] == "layer2"
        explorer.press("Enter")
        assert explorer.shown().open == set()
        explorer.press("Escape")
        assert explorer.page.is_hidden("#details")
        assert chosen(explorer) == ""


def test_keys_zoom(explore: Open) -> None:
    with explore("resnet18") as explorer:

        def scale() -> float:
            explorer.settle()
            transform = explorer.page.get_attribute("#figure .world", "transform")
            return float(re.search(r"scale\((.*)\)", transform)[1])  # type: ignore[index]

        first = scale()
        explorer.press("+")
        assert scale() == pytest.approx(first * 1.25, rel=1e-3)
        explorer.press("-", "-")
        assert scale() == pytest.approx(first / 1.25, rel=1e-3)
        explorer.press("0")
        assert scale() == pytest.approx(first, rel=1e-3)


def test_every_item_says_what_it_is(explore: Open) -> None:
    with explore("resnet18") as explorer:
        rows = explorer.page.evaluate(
            "() => [...document.querySelectorAll('#figure [role=treeitem]')].map(e => "
            "[e.getAttribute('aria-label'), e.getAttribute('aria-expanded')])"
        )
        labels = [label for label, _ in rows]
        assert any("Conv 7×7 → 64" in label and "9,536 parameters" in label for label in labels)
        assert {state for label, state in rows if label.endswith("open")} == {"true"}


# the address


def test_a_link_leads_back_to_what_was_open_and_chosen(explore: Open) -> None:
    with explore("resnet18", depth=0) as explorer:
        explorer.page.fill("#find", "layer4.1.conv1")
        explorer.page.press("#find", "Enter")
        before, address = explorer.shown(), explorer.page.url
        assert "#path=layer4.1.conv1" in address
    fragment = address[address.index("#") :]
    with explore("resnet18", fragment, depth=0) as again:
        assert again.details()["path"] == "layer4.1.conv1"
        assert set(again.shown().items) == set(before.items)
    with explore("resnet18", "#path=layer2.0.conv1", depth=0) as short:
        assert short.details()["path"] == "layer2.0.conv1"
        titles = [item["text"][0] for item in short.shown().items.values() if item["open"]]
        assert titles == ["layer2", "layer2.0"]


@pytest.mark.parametrize(
    "fragment",
    [
        "#path=%3Cscript%3Ealert(1)%3C/script%3E",
        "#path=__proto__&open=constructor,hasOwnProperty&key=toString",
        "#path=%E0%A4%A&open=%",
        "#&&==&=&open",
        "#path=javascript:alert(1)&open=" + "f1," * 20000,
    ],
)
def test_a_hostile_address_does_nothing(fragment: str, explore: Open) -> None:
    with explore("resnet18") as explorer:
        before = explorer.shown()
    with explore("resnet18", fragment) as explorer:
        assert set(explorer.shown().items) == set(before.items)
        assert explorer.page.is_hidden("#details")


# details


def test_details_hold_the_facts(explore: Open, graph_of: Callable[[str], Graph]) -> None:
    weight = dict(graph_of("resnet18").module.named_parameters())["layer2.0.conv1.weight"].detach()
    with explore("resnet18", "#path=layer2.0.conv1") as explorer:
        rows = explorer.details()
        assert rows["class"] == "Conv2d"
        assert rows["fused"] == "stride 2 · BN · ReLU"
        assert rows["kernel_size"] == "(3, 3)"
        assert rows["stride"] == "(2, 2)"
        assert rows["output"] == "float32[batch, 128, 28, 28]"
        assert rows["output bytes"] == "392.0 KiB for one item of the batch"
        assert rows["parameters"] == "73,984 (289.0 KiB)"
        assert rows["multiply-adds"] == f"{64 * 9 * 128 * 28 * 28:,} for one item of the batch"
        assert rows["source"].startswith("torchvision/models/resnet.py:")
        nodes = explorer.page.locator("#details details li").all_text_contents()
        assert [text.rpartition(": ")[2] for text in nodes] == ["conv2d", "batch_norm", "relu"]
        bars = explorer.page.locator('figure[data-parameter="layer2.0.conv1.weight"]')
        assert "128×64×3×3" in bars.inner_text()
        counts = bars.locator("rect").evaluate_all("bars => bars.map(b => Number(b.dataset.count))")
        assert len(counts) == 32
        assert sum(counts) == weight.numel()
        figures = dict(re.findall(r"(min|max|mean|std) (\S+)", bars.inner_text()))
        expected = {"min": weight.min(), "max": weight.max(), "mean": weight.mean()}
        expected["std"] = weight.std(correction=0)
        for name, value in expected.items():
            assert float(figures[name]) == pytest.approx(float(value), rel=1e-3, abs=1e-6)


def test_details_of_a_repeat_say_whose_weights_they_are(explore: Open) -> None:
    with explore("alphago") as explorer:
        explorer.page.fill("#find", "hidden.5")
        explorer.page.press("#find", "Enter")
        text = explorer.page.inner_text("#details")
        assert "stands for 11 equal copies" in text
        assert "of hidden.0, the first of 11 copies" in text
        assert explorer.details()["all copies"] == f"{11 * (192 * 192 * 9 + 192):,} parameters"


# safety

NAMES = (
    '"><script>alert(1)</script>',
    "</script><script>alert(2)</script>",
    "new\nline and\ttab",
    'it\'s "quoted" \\ `${1}` <!--',
    "\N{PILE OF POO} 模型 \u202egnirts \ud800",
    "x" * 300,
    "__proto__",
    "<img src=x onerror=alert(3)>",
)


@pytest.fixture(scope="module")
def hostile() -> Graph:
    """A chain of modules whose names and classes are text that other programs would act on."""
    layers = [nn.Sequential(nn.Linear(4 + i, 5 + i), nn.Softmax(-1)) for i in range(len(NAMES))]
    graph = trace(nn.Sequential(*layers).eval(), (torch.randn(2, 4),), name=NAMES[0])
    for node, record in graph:
        calls = []
        for call in record.calls:
            first, _, rest = call.path.partition(".")
            name = NAMES[int(first)] if first else ""
            path = f"{name}.{rest}" if rest else name
            calls.append(replace(call, path=path, class_name=f"{name}!"))
        node.meta["netloft"] = replace(record, calls=tuple(calls))
    return graph


def test_hostile_names_are_text(hostile: Graph, explore: Open) -> None:
    page = render(hostile, "html").decode("utf-8")
    assert page.count("<script") == 2
    assert page.count("</script>") == 2
    with explore(hostile, "#open=*") as explorer:
        assert explorer.page.locator("script").count() == 2
        assert explorer.page.locator("#figure img, #details img").count() == 0
        for name in NAMES:
            visible = re.sub("[\u202e\ud800]", "\ufffd", name).split("\n")[0]
            explorer.page.fill("#find", visible[:40])
            assert explorer.page.locator("#hits li").count() >= 1
            explorer.page.press("#find", "Enter")
            shown = explorer.page.inner_text("#details dl")
            assert visible[:30] in shown


def test_a_script_that_is_put_into_the_page_does_not_run(explore: Open) -> None:
    with explore("tiny") as explorer:
        explorer.page.evaluate(
            "() => { for (const [name, text] of [['script', 'window.ran = 1'],"
            " ['style', 'body { margin: 77px }']]) {"
            " const made = document.createElement(name); made.textContent = text;"
            " document.body.append(made) } document.body.setAttribute('onclick', 'window.ran = 2');"
            " document.body.click() }"
        )
        assert explorer.page.evaluate("window.ran") is None
        assert explorer.page.evaluate("getComputedStyle(document.body).margin") == "0px"
        blocked = [text for text in explorer.complaints if "Content Security Policy" in text]
        assert len(blocked) == len(explorer.complaints) == 3
        explorer.complaints.clear()


# looks


def test_dark_where_the_system_is_dark_and_by_the_button(explore: Open) -> None:
    def ground(explorer: Explorer) -> str:
        return str(explorer.page.evaluate("getComputedStyle(document.body).backgroundColor"))

    with explore("tiny") as explorer:
        assert ground(explorer) == "rgb(255, 255, 255)"
        explorer.page.click("#theme")
        assert ground(explorer) == "rgb(20, 24, 30)"
    with explore("tiny", color_scheme="dark") as explorer:
        assert ground(explorer) == "rgb(20, 24, 30)"
        fill = explorer.page.evaluate("getComputedStyle(document.querySelector('.card')).fill")
        assert max(map(int, re.findall(r"\d+", fill))) < 128
        explorer.page.click("#theme")
        assert ground(explorer) == "rgb(255, 255, 255)"


def test_print_is_the_figure_as_it_stands(explore: Open) -> None:
    with explore("resnet18", "#open=*", color_scheme="dark") as explorer:
        explorer.press("+", "+", "+", "+", "+")
        (sheet, *_) = PdfReader(io.BytesIO(explorer.page.pdf())).pages
        words = sheet.extract_text()
        for word in ("layer1", "layer4", "input", "output", "11,689,512 parameters"):
            assert word in words
        for control in ("open all", "close all", "find a path"):
            assert control not in words
        explorer.page.emulate_media(media="print")
        assert explorer.page.is_hidden("aside")
        assert explorer.page.is_hidden(".tools")


def test_without_scripts_the_drawing_is_shown(
    browser: Any, graph_of: Callable[[str], Graph], tmp_path: Any
) -> None:
    file = tmp_path / "still.html"
    file.write_bytes(render(graph_of("tiny"), "html"))
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(file.as_uri())
    assert page.locator("noscript svg").is_visible()
    context.close()


# size


class Block(nn.Module):
    """A residual block of five operations, no two blocks alike."""

    def __init__(self, i: int) -> None:
        super().__init__()
        self.slope = i / 10_000
        self.first, self.second = nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        return torch.sigmoid(self.second(leaky_relu(self.first(x), self.slope))) + x


class Giant(nn.Module):
    """Five thousand operations that no repeat folds away."""

    def __init__(self) -> None:
        super().__init__()
        self.stages = nn.ModuleList(
            nn.Sequential(*(Block(50 * s + i) for i in range(50))) for s in range(20)
        )

    def forward(self, x: Tensor) -> Tensor:
        for stage in self.stages:
            x = stage(x)
        return x


@pytest.mark.slow
def test_five_thousand_operations_open_and_only_what_is_near_is_drawn(explore: Open) -> None:
    graph = trace(Giant().eval(), (torch.randn(2, 4, 4, 4),), name="giant")
    assert len(graph) > 5000
    with explore(graph) as explorer:
        explorer.page.click("#all")
        explorer.settle()
        near = explorer.page.locator("#figure [data-key]").count()
        assert 0 < near < 600
        assert len(explorer.shown().items) > 3500
        explorer.page.click("#fit")
        explorer.settle()
        assert explorer.page.locator("#figure *").count() < 15_000
