"""`netloft verify --url`: a served model, held to its bundle."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from netloft.cli.number import Number
from netloft.errors import UsageError

__all__ = ["ServedRequest", "serving_options", "verify_served"]


@dataclass(frozen=True)
class ServedRequest:
    """What the command line says of a server.

    Attributes:
        url: Where it is; None for no server.
        model: Its name of the model; None for the bundle's.
        timeout_s: Of one request.
        seconds: Of load, for each number of clients.
    """

    url: str | None
    model: str | None
    timeout_s: float
    seconds: float


def serving_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--url` and what belongs to it; the command gets them as `served`."""

    @click.option("--url", metavar="URL",
                  help="Ask a server for the results, over the Open Inference Protocol v2: "
                  "http://HOST:PORT or grpc://HOST:PORT.")  # fmt: skip
    @click.option("--model", "served_model", metavar="NAME",
                  help="Its name there; the bundle's by default.")  # fmt: skip
    @click.option("--timeout", default=30.0, show_default=True, metavar="S",
                  type=Number(0.001, 3600), help="Seconds of one request to it."
                  )  # fmt: skip
    @click.option("--load", "seconds", default=2.0, show_default=True, metavar="S",
                  type=Number(0, 3600),
                  help="Seconds of load from 1, 2, 4 and 8 clients each; 0 for none.")  # fmt: skip
    @functools.wraps(command)
    def with_served(
        *, url: str | None, served_model: str | None, timeout: float, seconds: float, **rest: Any
    ) -> Any:
        if url is None and served_model is not None:
            raise UsageError("--model is a server's name", remedy="name the server with --url")
        return command(served=ServedRequest(url, served_model, timeout, seconds), **rest)

    return with_served


def verify_served(
    served: ServedRequest,
    target: Path,
    of_file: Mapping[str, object],
    *,
    as_json: bool,
    quiet: bool,
) -> None:
    """Hold a served model to the bundle `target`, and tell what was found.

    Args:
        served: The server.
        target: The bundle.
        of_file: Options that are about running a file here, by their flags.
        as_json: Tell it to a program.
        quiet: Tell errors only.

    Raises:
        UsageError: One of those options was given.
        SystemExit: The check failed.
    """
    given = [flag for flag, value in of_file.items() if value]
    if given:
        raise UsageError(
            f"{' and '.join(given)}: that is for a file that runs here, and --url asks a server",
            remedy="leave it out, or verify the bundle without --url",
        )
    from netloft.report.plain import plain
    from netloft.report.progress import progress
    from netloft.report.served import print_served
    from netloft.serving import verify_served as run

    assert served.url is not None
    with progress(quiet=quiet) as tell:
        found = run(
            target, served.url, served.model, timeout_s=served.timeout_s, seconds=served.seconds,
            progress=tell,
        )  # fmt: skip
    if as_json:
        click.echo(json.dumps(plain(found.to_dict()), indent=2))
    elif not quiet:
        print_served(found)
    if found.status != "pass":
        raise SystemExit(1)
