"""`netloft show`."""

from __future__ import annotations

from pathlib import Path

import click

__all__ = ["show"]


@click.command(short_help="Open a bundle or an .onnx file in Netron, and the explorer beside it.")
@click.argument("target", type=click.Path(path_type=Path))
@click.option("--port", type=click.IntRange(0, 65535), default=0,
              help="Port to serve on; a free one by default.")  # fmt: skip
@click.option("--no-browser", is_flag=True, help="Print the addresses, and open no browser.")
def show(target: Path, port: int, no_browser: bool) -> None:
    """Serve TARGET in Netron, on this machine only, until Ctrl-C; open the explorer beside it.

    \b
    Examples:
      netloft show out/resnet18
      netloft show net.onnx --port 8080 --no-browser
    """
    from netloft.showing import show as show_files

    click.echo(str(show_files(target, port=port, browse=not no_browser)))
    click.echo("Ctrl-C ends it", err=True)
    import netron

    netron.wait()
