"""The page that was published, open in Chromium."""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.diagrams.browser import chromium

__all__ = ["shown"]


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def shown(folder: Path) -> Iterator[Any]:
    """Serve what holds a folder and open its page; gives the page when it has a verdict."""
    served = functools.partial(Quiet, directory=str(folder.parent))
    server = ThreadingHTTPServer(("127.0.0.1", 0), served)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        with chromium() as browser:
            page = browser.new_page()
            page.asked = []
            page.on("request", lambda request: page.asked.append(request.url))
            page.goto(f"http://127.0.0.1:{server.server_port}/{folder.name}/")
            page.wait_for_selector("#status[data-status]", timeout=60_000)
            own = f"http://127.0.0.1:{server.server_port}/"
            assert all(url.startswith((own, "data:")) for url in page.asked)
            yield page
    finally:
        server.shutdown()
        server.server_close()
