"""The explorer's page in headless Chromium: what it shows, read out of its document."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--no-first-run",
]  # fmt: skip
_RUNNING = list[Any]()
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")

READ = """() => {
  window.dispatchEvent(new Event("beforeprint"));
  const size = mark => {
    const own = [".card", ".ground"].map(name => `:scope > ${name}:not([rx="5"])`);
    const rects = mark.querySelectorAll(own.join());
    const [x, y] = mark.getAttribute("transform").match(/-?[0-9.]+/g).map(Number);
    const sides = ["x", "y", "width", "height"];
    const ends = [...rects].map(r => sides.map(k => Number(r.getAttribute(k))));
    const w = Math.max(...ends.map(e => e[0] + e[2])), h = Math.max(...ends.map(e => e[1] + e[3]));
    return [x, y, x + w, y + h];
  };
  const items = [...document.querySelectorAll("#figure [data-key]")].map(mark => ({
    key: mark.dataset.key, open: mark.getAttribute("aria-expanded") === "true",
    level: Number(mark.getAttribute("aria-level")), at: size(mark),
    text: [...mark.querySelectorAll(":scope > text")].map(t => t.textContent),
  }));
  const wires = [...document.querySelectorAll("#figure path[data-from]")].map(line => ({
    net: line.dataset.net, frame: line.dataset.frame, source: line.dataset.from,
    target: line.dataset.to, d: line.getAttribute("d"),
  }));
  window.dispatchEvent(new Event("afterprint"));
  return { items, wires };
}"""
"""What is shown, all of it and not only what is near the view: as it would be printed."""


@dataclass
class Shown:
    """A state of the figure.

    Attributes:
        items: By key: whether open, how deep, `at` = left, top, right, bottom.
        wires: Lines with the frame that they are in and the items that they join.
    """

    items: dict[str, dict[str, Any]]
    wires: list[dict[str, Any]]

    @property
    def open(self) -> set[str]:
        """Keys of the open modules."""
        return {key for key, item in self.items.items() if item["open"]}


@dataclass
class Explorer:
    """A page that is open; whatever it complains of or asks for is kept."""

    page: Any
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def shown(self) -> Shown:
        """Read what is shown."""
        found = self.page.evaluate(READ)
        return Shown({item["key"]: item for item in found["items"]}, found["wires"])

    def press(self, *keys: str) -> None:
        """Press keys, one after the other."""
        for key in keys:
            self.page.keyboard.press(key)

    def at(self, fragment: str) -> None:
        """Change the part of the address after `#`."""
        self.page.evaluate("text => { location.hash = text }", fragment)
        self.settle()

    def settle(self) -> None:
        """Wait until the next frame is drawn."""
        self.page.evaluate(
            "() => new Promise(done => requestAnimationFrame(() => setTimeout(done)))"
        )

    def details(self) -> dict[str, str]:
        """Return the rows of the panel."""
        rows = self.page.evaluate(
            "() => [...document.querySelectorAll('#details dt')].map("
            "dt => [dt.textContent, dt.nextElementSibling.textContent])"
        )
        return dict(reversed(rows))


@contextmanager
def chromium() -> Iterator[Any]:
    """Start the browser; where there is none, the test is skipped."""
    if CHROMIUM is None:
        pytest.skip("no chromium on PATH")
    if _RUNNING:  # Playwright has one loop in a process: who comes second shares the browser
        yield _RUNNING[0]
        return
    with sync_api.sync_playwright() as driver:
        _RUNNING.append(driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS))
        yield _RUNNING[0]
        _RUNNING.pop().close()


@contextmanager
def opened(browser: Any, file: Path, fragment: str = "", **options: Any) -> Iterator[Explorer]:
    """Open a page from disk; at the end, nothing may have gone wrong in it."""
    size = {"width": 1280, "height": 800}
    context = browser.new_context(**{"viewport": size, **options})
    page = context.new_page()
    explorer = Explorer(page)

    def dialog(one: Any) -> None:
        explorer.complaints.append(f"dialog: {one.message}")
        one.dismiss()

    page.on("dialog", dialog)
    page.on("console", lambda message: explorer.complaints.append(message.text))
    page.on("pageerror", lambda error: explorer.complaints.append(str(error)))
    page.on("request", lambda request: explorer.requests.append(request.url))
    page.goto(f"{file.as_uri()}{fragment}")
    page.wait_for_selector("html[data-ready]", state="attached")
    yield explorer
    assert explorer.complaints == []
    assert {url.partition("#")[0] for url in explorer.requests} == {file.as_uri()}
    context.close()
