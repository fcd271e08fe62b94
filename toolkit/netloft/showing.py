"""Look at an exported file: Netron on the file itself, and the explorer beside it."""

from __future__ import annotations

import atexit
import logging
import os
import tempfile
import webbrowser
from dataclasses import dataclass
from pathlib import Path

from netloft.errors import MissingError, UsageError

__all__ = ["Shown", "show"]

HOST = "127.0.0.1"  # a model is nobody else's business


@dataclass(frozen=True)
class Shown:
    """Where a file is to be seen.

    Attributes:
        netron: Address of the server that runs until this process ends.
        explorer: The page of its structure; of a lone file it lasts as long as this process.
    """

    netron: str
    explorer: Path

    def __str__(self) -> str:
        return f"netron: {self.netron}\nexplorer: {self.explorer}"


def show(target: str | os.PathLike[str], *, port: int = 0, browse: bool = True) -> Shown:
    """Serve an exported file in Netron, on this machine only, and open the explorer beside it.

    Args:
        target: A bundle's folder, or an `.onnx` file.
        port: Port to serve on; 0 for a free one.
        browse: Open both in the user's browser.

    Raises:
        UsageError: The target is neither, or the port is taken.
        InputError: The file cannot be read.
        MissingError: Netron is not installed.
    """
    file = _model_file(Path(target))
    page = _explorer(Path(target), file)
    address = _serve(file, port, browse=browse)
    if browse:
        webbrowser.open(page.absolute().as_uri())
    return Shown(address, page)


def _model_file(target: Path) -> Path:
    """Return the file to show: a bundle's model, or the file itself."""
    file = target / "model.onnx" if target.is_dir() else target
    if not file.is_file() or file.suffix != ".onnx":
        raise UsageError(
            f"{target} is neither a bundle nor an .onnx file",
            remedy="name what netloft export wrote, or an .onnx file",
        )
    return file


def _explorer(target: Path, file: Path) -> Path:
    """Return a bundle's own page; of any other file it is drawn for as long as this process."""
    page = file.with_name("diagram.html")
    if target.is_dir() and page.is_file():
        return page
    from netloft_diagrams import draw

    folder = tempfile.TemporaryDirectory(prefix="netloft-")
    atexit.register(folder.cleanup)
    (drawn,) = draw(file, Path(folder.name) / "diagram.html")
    return drawn


def _serve(file: Path, port: int, *, browse: bool) -> str:
    """Start Netron on a file, and return its address."""
    try:
        import netron
    except ImportError as error:
        raise MissingError("netron is not installed", remedy="pip install netron") from error
    logging.getLogger().addHandler(logging.NullHandler())  # else it logs for the whole process
    try:
        host, chosen = netron.start(str(file), address=(HOST, port), browse=browse)
    except OSError as error:
        raise UsageError(
            f"port {port} cannot be served on: {error.strerror}",
            remedy="give another --port, or none",
        ) from error
    return f"http://{host}:{chosen}"
