"""What is put around a network: `--preprocess`, `--head` and `--labels`."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import click

__all__ = ["wrapping_options"]

_Command = Callable[..., Any]


def wrapping_options(command: _Command) -> _Command:
    """Add the options; the command gets those that are given as `around`, for `wrap`."""

    @click.option("--preprocess", metavar="imagenet|model|mean=M,std=S",
                  help="Take pictures as bytes and normalise them in the graph.")  # fmt: skip
    @click.option("--head", multiple=True, metavar="softmax|topK",
                  help="Give probabilities, or the K best classes; repeat for both.")  # fmt: skip
    @click.option("--labels", metavar="FILE|imagenet",
                  help="Names of the classes, one a line, for the file's metadata.")  # fmt: skip
    @functools.wraps(command)
    def with_around(
        *, preprocess: str | None, head: tuple[str, ...], labels: str | None, **rest: Any
    ) -> Any:
        given = {"preprocess": preprocess, "head": head, "labels": labels}
        return command(around={key: value for key, value in given.items() if value}, **rest)

    return with_around
