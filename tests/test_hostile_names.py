"""Names that other programs would act on go through everything, and stay names."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
from click.testing import CliRunner, Result
from tests.diagrams.browser import chromium
from torch import nn

import netloft
from netloft.cli import main

NAMES = (
    'a" if open("PWNED", "w") else "b',
    "'); import os; os.system('touch PWNED'); ('",
    "<script>document.title = 'owned'</script>",
    "</script><script>document.title = 'owned'</script>",
    "<img src=x onerror=\"document.title = 'owned'\">",
    '"><svg onload="document.title = \'owned\'">',
    "javascript:document.title='owned'",
    "]]><x>",
    "--><script>document.title = 'owned'</script>",
    "{{ 7 * 7 }}{% for x in () %}",
    "${process.exit()}`id`$(touch PWNED)",
    "line\nbreak\r\n\tand\x00\x1b[31m",
    "back\\slash\\",
    "\\N\\G\\E",
    "e:port",
    "<b>html label</b>",
    "both \" and '",
    "%s{0}%(name)s",
    "../../etc/passwd",
    "/etc/passwd",
    "C:\\windows",
    "__class__",
    "__proto__",
    "class",
    "self",
    "1",
    " ",
    "\u202egnirts",
    "\ufeff\u200b",
    "emoji \N{ROCKET}",
    "x" * 300,
    "'; DROP TABLE models; --",
    "=HYPERLINK(1)",
)


class Net(nn.Module):
    """A chain of layers, one for each name."""

    def __init__(self) -> None:
        super().__init__()
        self.chain = nn.Sequential()
        for name in NAMES:
            layer = type(name.replace("\x00", ""), (nn.Linear,), {})(6, 6)
            self.chain.add_module(name.replace(".", "_") + "," * hasattr(self.chain, name), layer)

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        y = self.chain(x)
        return {"scores": y, NAMES[2]: y * 2, NAMES[0]: y + 1}


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(each) for each in arguments])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder that is the current one, in which nothing may appear that was not asked for."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("names")
        patch.chdir(folder)
        yield folder


@pytest.fixture(scope="module")
def bundle(folder: Path) -> Path:
    torch.manual_seed(0)
    net = Net().eval()
    with torch.no_grad():  # or the chain would fade
        for layer in net.chain.children():
            assert isinstance(layer, nn.Linear)
            layer.weight.copy_(torch.eye(6) + 0.1 * torch.randn(6, 6))
    made = netloft.export(
        net, (torch.randn(2, 6),), folder / "out", name="names", providers=["cpu"], quick=True,
        labels=NAMES[:6],
    )  # fmt: skip
    return made.path


def test_the_graph_and_the_file_keep_them(bundle: Path) -> None:
    model = onnx.load(bundle / "model.onnx")
    onnx.checker.check_model(model, full_check=True)
    kept = {entry.value for node in model.graph.node for entry in node.metadata_props}
    assert any(NAMES[2] in value for value in kept)
    assert json.loads((bundle / "manifest.json").read_bytes())["labels"] == list(NAMES[:6])


def test_every_verb_bears_them(bundle: Path, folder: Path) -> None:
    before = sorted(path.name for path in folder.iterdir())
    assert run("verify", bundle, "--provider", "cpu").exit_code == 0
    assert run("verify", bundle, "--provider", "cpu", "--runtimes", "--mutate").exit_code == 0
    bench = ["--quick", "--batches", "1", "--provider", "cpu"]
    assert run("bench", bundle, *bench, "--profile", "--json").exit_code == 0
    assert run("diff", bundle / "model.onnx", bundle / "model.onnx").exit_code == 0
    assert run("sign", bundle, "--bom", "--quiet").exit_code == 0
    assert sorted(path.name for path in folder.iterdir()) == before == ["out"]


@pytest.mark.parametrize("suffix", ["svg", "html", "dot", "mmd", "txt"])
def test_drawings_hold_text(bundle: Path, tmp_path: Path, suffix: str) -> None:
    out = tmp_path / f"net.{suffix}"
    result = run("draw", bundle / "model.onnx", "-o", out)
    assert result.exit_code == 0, result.output
    text = out.read_text(encoding="utf-8")
    assert "\x1b" not in text
    assert "\x00" not in text
    if suffix == "svg":
        kinds = {e.tag.rpartition("}")[2] for e in ElementTree.fromstring(text).iter()}
        assert not kinds & {"script", "image", "foreignObject", "a"}


@pytest.mark.parametrize("target", ["triton", "kserve", "mlflow", "ort-web"])
def test_published_folders_hold_text(bundle: Path, tmp_path: Path, target: str) -> None:
    result = run("publish", bundle, "--to", target, tmp_path / "out", "--name", "net")
    try:
        assert result.exit_code in (0, 2), result.output
    finally:
        assert not list(tmp_path.rglob("PWNED"))
    if result.exit_code == 2:  # an engine that cannot say such a name
        assert result.stderr.startswith("error: ")
        assert not (tmp_path / "out" / "net").exists()


def opened(browser: Any, page: Path) -> tuple[str, list[str], list[str]]:
    """Return a page's title, the addresses that it asked for, and what else it did."""
    tab = browser.new_page()
    asked, did = list[str](), list[str]()

    def dialog(one: Any) -> None:
        did.append(f"dialog: {one.message}")
        one.dismiss()

    tab.on("dialog", dialog)
    tab.on("request", lambda request: asked.append(request.url))
    tab.on("pageerror", lambda error: did.append(str(error)))
    tab.goto(page.as_uri())
    tab.wait_for_timeout(300)
    title = tab.title()
    tab.close()
    return title, asked, did


@pytest.mark.browser
def test_no_page_runs_them(bundle: Path, tmp_path: Path) -> None:
    run("draw", bundle / "model.onnx", "-o", tmp_path / "drawn.svg", tmp_path / "drawn.html")
    pages = [*sorted(bundle.glob("*.html")), *sorted(tmp_path.glob("drawn.*"))]
    pages.append(bundle / "diagram.svg")
    assert len(pages) == 5
    with chromium() as browser:
        for page in pages:
            title, asked, did = opened(browser, page)
            assert "owned" not in title, page
            own = {page.as_uri(), (page.parent / "diagram.svg").as_uri()}
            assert set(asked) <= own, page
            assert did == [], page


def test_a_model_of_that_name_is_no_place_to_write(folder: Path) -> None:
    for name in NAMES:
        made = netloft.export(
            nn.Linear(2, 2).eval(), (torch.zeros(1, 2),), name=name, providers=["cpu"], quick=True
        )
        assert made.path.resolve().parent == (folder / "out").resolve(), name
        assert not (folder / "PWNED").exists()
