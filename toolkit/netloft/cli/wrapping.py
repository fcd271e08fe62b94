"""What is put around a network: `--preprocess`, `--head`, `--labels`, and a map with `--with`."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import click

from netloft.defaults import MAP_METHODS

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
    @click.option("--with", "map_", type=click.Choice(MAP_METHODS),
                  help="Give a map of what speaks for the class beside the scores.")  # fmt: skip
    @click.option("--layer", metavar="PATH",
                  help="Of the map: the module that it looks at; the last pictures by default.",
                  )  # fmt: skip
    @click.option("--class", "class_index", type=click.IntRange(0), metavar="N",
                  help="Of the map: the class to explain; each picture's best without it.",
                  )  # fmt: skip
    @functools.wraps(command)
    def with_around(*, map_: str | None, **rest: Any) -> Any:
        given = {name: rest.pop(name) for name in _NAMES}
        around = {
            key: value
            for key, value in {**given, "map": map_}.items()
            if value not in (None, "", ())  # class 0 is one
        }
        return command(around=around, **rest)

    return with_around


_NAMES = ("preprocess", "head", "labels", "layer", "class_index")
