"""The explorer's page: its size, the times until it is there, of opening all, of a frame in motion.

    python -m benchmarks.explorer [NAME …]

Times are of headless Chromium, which draws without a GPU; `giant` has 5,000 operations that no
repeat folds away, the rest are torchvision's.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
import torchvision
from tests.diagrams.browser import chromium
from tests.diagrams.test_explorer_page import Giant

from netloft.tracing import trace
from netloft_diagrams import render

NAMES = ("resnet18", "resnet152", "densenet121", "googlenet", "vit_b_16", "swin_t", "giant")
PAN = """() => new Promise(done => {
  const view = document.getElementById("view"), times = [];
  const move = (type, i) => view.dispatchEvent(new PointerEvent(type, {
    pointerId: 1, bubbles: true, clientX: 400 + 200 * Math.sin(i / 9), clientY: 400 - 6 * i }));
  move("pointerdown", 0);
  let i = 0, last = performance.now();
  const step = now => {
    times.push(now - last);
    last = now;
    if (++i > 90) { move("pointerup", i); done(times.slice(1)); return; }
    move("pointermove", i);
    requestAnimationFrame(step);
  };
  requestAnimationFrame(step);
})"""
OPEN_ALL = """() => new Promise(done => {
  const start = performance.now();
  document.getElementById("all").click();
  requestAnimationFrame(() => setTimeout(() => done(performance.now() - start)));
})"""
PAINT = """() => performance.getEntriesByName("first-contentful-paint")[0].startTime"""

THERE = """() => performance.getEntriesByName("netloft")[0].startTime"""


def page_of(name: str) -> tuple[bytes, float]:
    """Return the page of a network, and the seconds that drawing it took."""
    if name == "giant":
        graph = trace(Giant().eval(), (torch.randn(2, 4, 4, 4),), name=name)
    else:
        keywords = {"init_weights": False} if name == "googlenet" else {}
        module = getattr(torchvision.models, name)(**keywords).eval()
        graph = trace(module, (torch.randn(1, 3, 224, 224),), name=name)
    start = time.process_time()
    page = render(graph, "html")
    return page, time.process_time() - start


def measure(browser: Any, file: Path) -> dict[str, float]:
    """Return milliseconds of what a reader waits for."""
    page = browser.new_page(viewport={"width": 1400, "height": 850})
    page.goto(file.as_uri())
    page.wait_for_selector("html[data-ready]", state="attached")
    page.wait_for_timeout(300)
    found = {
        "first paint": page.evaluate(PAINT),
        "figure there": page.evaluate(THERE),
        "open all": page.evaluate(OPEN_ALL),
    }
    frames = page.evaluate(PAN)
    found |= {"frame, median": statistics.median(frames), "frame, worst": max(frames)}
    page.close()
    return found


def main() -> None:
    """Print a table."""
    with tempfile.TemporaryDirectory() as folder, chromium() as browser:
        for name in sys.argv[1:] or NAMES:
            page, seconds = page_of(name)
            file = Path(folder) / "net.html"
            file.write_bytes(page)
            graph = len(page[page.index(b'id="graph">') :].partition(b"</script>")[0])
            sizes = f"{len(page) / 1e3:.0f} kB, of it graph {graph / 1e3:.0f} kB"
            times = ", ".join(f"{k} {v:.0f} ms" for k, v in measure(browser, file).items())
            print(f"{name}: drawn in {seconds:.1f} s; {sizes}; {times}", flush=True)


if __name__ == "__main__":
    main()
