"""Options that several verbs share, and what they mean."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from netloft.cli.wrapping import wrapping_options
from netloft.defaults import DEFAULT_OPSET, MAX_BATCH, MAX_THREADS, OPSETS, PRECISIONS
from netloft.errors import InputError, UsageError

if TYPE_CHECKING:
    from netloft.graph import Graph
    from netloft.models.loaded import LoadedModel

__all__ = [
    "ModelRequest",
    "file_options",
    "loading_options",
    "model_options",
    "output_options",
    "parse_argument",
    "pass_options",
    "provider_options",
    "tolerant",
]

PROVIDERS = ("cpu", "cuda", "tensorrt", "openvino")

_Command = Callable[..., Any]


@dataclass(frozen=True)
class ModelRequest:
    """A MODEL as the command line names it."""

    spec: str
    arguments: dict[str, object]
    weights: str | None
    inputs: tuple[str, ...]
    batch: str | int
    seed: int
    dynamic: dict[str, dict[int, str]]
    around: dict[str, Any]
    trust: bool = False

    @property
    def is_file(self) -> bool:
        """Tell whether MODEL is an ONNX file, which has a graph and no module."""
        return self.spec.lower().endswith(".onnx")

    @property
    def is_asked(self) -> bool:
        """Tell whether any option of a module was given."""
        return bool(self.arguments or self.weights or self.inputs or self.around or self.trust)

    def load(self) -> LoadedModel:
        """Load the module, with its weights and its inputs.

        Raises:
            UsageError: MODEL is an ONNX file.
        """
        if self.is_file:
            raise UsageError(
                f"{self.spec} is an ONNX file, and this needs a module",
                remedy="draw, trace, diff, show, verify and bench take the file itself",
            )
        from netloft.models import load_model
        from netloft.models.inputs import parse_input

        model = load_model(
            self.spec,
            arguments=self.arguments,
            weights=self.weights,
            inputs=tuple(parse_input(text) for text in self.inputs),
            seed=self.seed,
            trust=self.trust,
        )
        if not self.around:
            return model
        from netloft.models.wrapping import wrap

        return wrap(model, **self.around, batch=self.batch, seed=self.seed)

    def graph(self) -> Graph:
        """Return the graph: of an ONNX file as it is, of a module traced.

        Raises:
            UsageError: Options are given that only a module has.
        """
        if not self.is_file:
            return self.trace(self.load())
        from netloft.onnx_graph import read_onnx

        given = {
            "--arg": self.arguments,
            "--weights": self.weights,
            "--input": self.inputs,
            "--batch": self.batch != "dynamic",
            "--dynamic": self.dynamic,
            "--preprocess, --head, --labels or --with": self.around,
            "--trust": self.trust,
        }
        for option in (name for name, value in given.items() if value):
            raise UsageError(
                f"{option} is for a module, and {self.spec} is an ONNX file",
                remedy="leave it out; the file has its shapes and its weights",
            )
        return read_onnx(self.spec)

    def trace(self, model: LoadedModel) -> Graph:
        """Trace a loaded model at the batch that was asked for."""
        from netloft.tracing import trace

        inputs = model.example(seed=self.seed)
        return trace(model.module, inputs, self.batch, name=model.name, dynamic=self.dynamic)


def parse_argument(text: str) -> tuple[str, object]:
    """Read `NAME=VALUE`; true, false, none, numbers and lists of them are themselves.

    Raises:
        UsageError: There is no name, or no equals sign.
    """
    import ast

    name, equals, value = text.partition("=")
    if not equals or not name.isidentifier():
        raise UsageError(f"--arg {text!r} is not NAME=VALUE", remedy="write it as --arg k=384")
    words: dict[str, object] = {"true": True, "false": False, "none": None}
    if value.lower() in words:
        return name, words[value.lower()]
    try:
        return name, ast.literal_eval(value)
    except (ValueError, SyntaxError, MemoryError, RecursionError):  # a plain word
        return name, value


def _dynamic(_: click.Context, __: click.Parameter, value: tuple[str, ...]) -> Any:
    """Read each `[NAME:]AXIS=LENGTH`; without a name it is the one input's."""
    found: dict[str, dict[int, str]] = {}
    for text in value:
        where, equals, symbol = text.partition("=")
        name, colon, axis = where.rpartition(":")
        if not equals or not axis.lstrip("-").isdecimal() or len(axis) > 4 or (colon and not name):
            raise UsageError(
                f"--dynamic {text!r} is not [NAME:]AXIS=LENGTH",
                remedy="write it as --dynamic 2=height, or --dynamic x:2=height",
            )
        opened = found.setdefault(name or "input", {})
        if opened.setdefault(int(axis), symbol) != symbol:
            raise UsageError(
                f"axis {axis} is called both '{opened[int(axis)]}' and '{symbol}'",
                remedy="give --dynamic once for each axis",
            )
    return found


def _batch(_: click.Context, __: click.Parameter, value: str) -> str | int:
    if value == "dynamic":
        return value
    if not (value.isascii() and value.isdecimal()) or not value.strip("0"):
        raise click.BadParameter("give 'dynamic' or a number of 1 or more")
    if len(value) > len(str(MAX_BATCH)) or int(value) > MAX_BATCH:
        raise InputError(
            f"--batch {value} is more than {MAX_BATCH} items", remedy="give a smaller batch"
        )
    return int(value)


def model_options(command: _Command) -> _Command:
    """Add MODEL and its options; the command gets them as `request`.

    Every verb that takes a MODEL takes the same options, so that one line of a script does for
    all. Those that the command does not declare itself mean nothing to it: they are read, checked,
    hidden from its help and dropped.
    """

    @functools.wraps(command)
    def with_model(*, model: str, request: ModelRequest, **rest: Any) -> Any:
        return command(request=dataclasses.replace(request, spec=model), **rest)

    return click.argument("model")(loading_options(tolerant(with_model)))


def loading_options(command: _Command, *, hide_batch: bool = False) -> _Command:
    """Add what a MODEL is loaded with; the command gets a `request` that names none yet.

    Args:
        command: The verb.
        hide_batch: Take `--batch`, which means nothing to this verb.
    """

    @click.option("--arg", "args", multiple=True, metavar="NAME=VALUE",
                  help="Constructor argument; repeat for more.")  # fmt: skip
    @click.option("--weights", metavar="FILE|NAME",
                  help="safetensors or state-dict file, or torchvision weights name.")  # fmt: skip
    @click.option("--input", "inputs", multiple=True, metavar="[NAME=]SHAPE[:DTYPE]",
                  help="Input such as 1x3x224x224; repeat for more.")  # fmt: skip
    @click.option("--batch", default="dynamic", show_default=True, callback=_batch,
                  metavar="dynamic|N", hidden=hide_batch,
                  help="Batch size that the graph is for.")  # fmt: skip
    @click.option("--dynamic", multiple=True, callback=_dynamic, metavar="[NAME:]AXIS=LENGTH",
                  hidden=hide_batch,
                  help="Leave another axis open, such as 2=height; repeat for more.")  # fmt: skip
    @click.option("--seed", default=0, show_default=True, type=click.IntRange(0, 2**32 - 1),
                  help="Seed of random weights and inputs.")  # fmt: skip
    @click.option("--trust", is_flag=True,
                  help="Load a .pt2 file unchecked: this runs any code that its maker put into "
                  "it, with your rights.")  # fmt: skip
    @wrapping_options
    @functools.wraps(command)
    def with_request(
        *,
        args: tuple[str, ...],
        weights: str | None,
        inputs: tuple[str, ...],
        batch: str | int,
        seed: int,
        dynamic: dict[str, dict[int, str]],
        around: dict[str, Any],
        trust: bool,
        **rest: Any,
    ) -> Any:
        arguments = dict(parse_argument(text) for text in args)
        request = ModelRequest("", arguments, weights, inputs, batch, seed, dynamic, around, trust)
        return command(request=request, **rest)

    return with_request


def file_options(command: _Command) -> _Command:
    """Add `--opset` and `--precision`."""
    command = _opset(hidden=False)(command)
    return _precision_option(hidden=False)(command)


def pass_options(command: _Command) -> _Command:
    """Add `--passes` and `--no-pass`."""
    command = click.option(
        "--no-pass", "without", multiple=True, metavar="NAME",
        help="Leave a pass out; repeat for more.",
    )(command)  # fmt: skip
    return click.option(
        "--passes", default=None, metavar="NAME,…", callback=_names,
        help="Passes to run in place of the default ones, in order; '' for none.",
    )(command)  # fmt: skip


def _names(_: click.Context, __: click.Parameter, value: str | None) -> tuple[str, ...] | None:
    return None if value is None else tuple(part for part in value.split(",") if part)


def provider_options(command: _Command) -> _Command:
    """Add `--provider` and `--threads`."""
    return _provider(hidden=False)(_threads(hidden=False)(command))


def output_options(command: _Command) -> _Command:
    """Add `--json` and `--quiet`."""
    command = _quiet(hidden=False)(command)
    return click.option(
        "--json", "as_json", is_flag=True, help="Machine-readable result on standard output."
    )(command)


def _opset(*, hidden: bool) -> Callable[[_Command], _Command]:
    return click.option("--opset", default=DEFAULT_OPSET, show_default=True, type=int,
                        hidden=hidden,
                        help=f"ONNX operator set, {OPSETS[0]} to {OPSETS[-1]}.")  # fmt: skip


def _precision_option(*, hidden: bool) -> Callable[[_Command], _Command]:
    return click.option("--precision", default="fp32", show_default=True, hidden=hidden,
                        type=click.Choice(PRECISIONS),
                        help="Element type of weights and arithmetic.")  # fmt: skip


def _provider(*, hidden: bool) -> Callable[[_Command], _Command]:
    return click.option(
        "--provider", "providers", multiple=True, type=click.Choice(PROVIDERS), hidden=hidden,
        help="Execution provider; repeat for more. Default: cpu, and cuda where it starts.",
    )  # fmt: skip


def _threads(*, hidden: bool) -> Callable[[_Command], _Command]:
    return click.option(
        "--threads", type=click.IntRange(1, MAX_THREADS), default=None, hidden=hidden,
        help="Threads for one operation; the machine's cores by default.",
    )  # fmt: skip


def _quiet(*, hidden: bool) -> Callable[[_Command], _Command]:
    return click.option("--quiet", is_flag=True, hidden=hidden, help="Print errors only.")


_SHARED: dict[str, Callable[..., Callable[[_Command], _Command]]] = {
    "opset": _opset,
    "precision": _precision_option,
    "providers": _provider,
    "threads": _threads,
    "quiet": _quiet,
}


def tolerant(command: _Command) -> _Command:
    """Take the shared options that a command does not declare, and drop them."""
    declared = {option.name for option in getattr(command, "__click_params__", ())}
    ignored = [name for name in _SHARED if name not in declared]

    @functools.wraps(command)
    def without(**given: Any) -> Any:
        return command(**{key: value for key, value in given.items() if key not in ignored})

    wrapped: _Command = without
    for name in ignored:
        wrapped = _SHARED[name](hidden=True)(wrapped)
    return wrapped
