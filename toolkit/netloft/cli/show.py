"""`netloft show`."""

from __future__ import annotations

import logging
from pathlib import Path

import click

from netloft.errors import MissingError, UsageError

__all__ = ["show"]

HOST = "127.0.0.1"  # a model is nobody else's business


@click.command(short_help="Open a bundle or an .onnx file in Netron.")
@click.argument("target", type=click.Path(path_type=Path))
@click.option("--port", type=click.IntRange(0, 65535), default=0,
              help="Port to serve on; a free one by default.")  # fmt: skip
@click.option("--no-browser", is_flag=True, help="Print the address, and open no browser.")
def show(target: Path, port: int, no_browser: bool) -> None:
    """Serve TARGET in Netron, on this machine only, until Ctrl-C.

    \b
    Examples:
      netloft show out/resnet18
      netloft show net.onnx --port 8080 --no-browser
    """
    file = model_file(target)
    explorer = file.with_name("diagram.html")
    if target.is_dir() and explorer.is_file():
        click.echo(f"diagram: {explorer}")
    click.echo(f"netron: {serve(file, port, browse=not no_browser)}")
    click.echo("Ctrl-C ends it", err=True)
    import netron

    netron.wait()


def model_file(target: Path) -> Path:
    """Return the file to show: a bundle's model, or the file itself.

    Raises:
        UsageError: It is neither.
    """
    file = target / "model.onnx" if target.is_dir() else target
    if not file.is_file() or file.suffix != ".onnx":
        raise UsageError(
            f"{target} is neither a bundle nor an .onnx file",
            remedy="name what netloft export wrote, or an .onnx file",
        )
    return file


def serve(file: Path, port: int, *, browse: bool) -> str:
    """Start Netron on a file, and return its address.

    Args:
        file: What to show.
        port: 0 for a free one.
        browse: Open the user's browser.

    Raises:
        UsageError: The port is taken.
        MissingError: Netron is not installed.
    """
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
