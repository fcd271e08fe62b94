"""Options that several verbs share, and what they mean."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from netloft.errors import UsageError

if TYPE_CHECKING:
    from netloft.graph import Graph
    from netloft.models.loaded import LoadedModel

__all__ = ["ModelRequest", "model_options", "output_options", "provider_options"]

PROVIDERS = ("cpu", "cuda", "tensorrt", "openvino")


@dataclass(frozen=True)
class ModelRequest:
    """A MODEL as the command line names it."""

    spec: str
    arguments: dict[str, object]
    weights: str | None
    inputs: tuple[str, ...]
    batch: str | int
    seed: int

    def load(self) -> LoadedModel:
        """Load the module, with its weights and its inputs."""
        from netloft.models import load_model
        from netloft.models.inputs import parse_input

        return load_model(
            self.spec,
            arguments=self.arguments,
            weights=self.weights,
            inputs=tuple(parse_input(text) for text in self.inputs),
            seed=self.seed,
        )

    def trace(self, model: LoadedModel) -> Graph:
        """Trace a loaded model at the batch that was asked for."""
        from netloft.tracing import trace

        return trace(model.module, model.example(seed=self.seed), self.batch, name=model.name)


def parse_argument(text: str) -> tuple[str, object]:
    """Read `NAME=VALUE`; true, false, none, numbers and lists of them are themselves."""
    import ast

    name, equals, value = text.partition("=")
    if not equals or not name.isidentifier():
        raise UsageError(f"--arg {text!r} is not NAME=VALUE", remedy="write it as --arg k=384")
    words: dict[str, object] = {"true": True, "false": False, "none": None}
    if value.lower() in words:
        return name, words[value.lower()]
    try:
        return name, ast.literal_eval(value)
    except (ValueError, SyntaxError):  # a plain word
        return name, value


def _batch(_: click.Context, __: click.Parameter, value: str) -> str | int:
    if value == "dynamic":
        return value
    if value.isdigit() and int(value) > 0:
        return int(value)
    raise click.BadParameter("give 'dynamic' or a number of 1 or more")


def model_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add MODEL and its options; the command gets them as `request`."""

    @click.argument("model")
    @click.option("--arg", "args", multiple=True, metavar="NAME=VALUE",
                  help="Constructor argument; repeat for more.")  # fmt: skip
    @click.option("--weights", metavar="FILE|NAME",
                  help="safetensors or state-dict file, or torchvision weights name.")  # fmt: skip
    @click.option("--input", "inputs", multiple=True, metavar="[NAME=]SHAPE[:DTYPE]",
                  help="Input such as 1x3x224x224; repeat for more.")  # fmt: skip
    @click.option("--batch", default="dynamic", show_default=True, callback=_batch,
                  metavar="dynamic|N", help="Batch size that the graph is for.")  # fmt: skip
    @click.option("--seed", default=0, show_default=True, type=click.IntRange(0, 2**32 - 1),
                  help="Seed of random weights and inputs.")  # fmt: skip
    @functools.wraps(command)
    def with_request(
        *,
        model: str,
        args: tuple[str, ...],
        weights: str | None,
        inputs: tuple[str, ...],
        batch: str | int,
        seed: int,
        **rest: Any,
    ) -> Any:
        arguments = dict(parse_argument(text) for text in args)
        request = ModelRequest(model, arguments, weights, inputs, batch, seed)
        return command(request=request, **rest)

    return with_request


def provider_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--provider` and `--threads`."""
    command = click.option(
        "--threads", type=click.IntRange(1), default=None,
        help="Threads for one operation; the machine's cores by default.",
    )(command)  # fmt: skip
    return click.option(
        "--provider", "providers", multiple=True, type=click.Choice(PROVIDERS),
        help="Execution provider; repeat for more. Default: cpu, and cuda where it starts.",
    )(command)  # fmt: skip


def output_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--json` and `--quiet`."""
    command = click.option("--quiet", is_flag=True, help="Print errors only.")(command)
    return click.option(
        "--json", "as_json", is_flag=True, help="Machine-readable result on standard output."
    )(command)
