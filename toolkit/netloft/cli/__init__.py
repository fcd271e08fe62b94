"""The command line: one row a verb, and a verb's code is imported only when it runs."""

from __future__ import annotations

import importlib
import json
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import cast

import click

from netloft import __version__
from netloft.defaults import JSON_FORMAT
from netloft.errors import MissingError, NetloftError, SpecError

__all__ = ["VERBS", "main"]

VERBS = {
    "export": ("netloft.cli.export:export", "Trace, draw, export, prove and measure MODEL."),
    "draw": ("netloft_diagrams.command:draw", "Draw the structure of MODEL."),
    "trace": ("netloft.cli.trace:trace", "Print the graph of MODEL."),
    "diff": ("netloft_diagrams.diff_command:diff", "Say what differs between two graphs."),
    "verify": ("netloft.cli.verify:verify", "Check a bundle or an .onnx file."),
    "sign": ("netloft.cli.sign:sign", "Sign a bundle, and add a bill of materials."),
    "bench": ("netloft.cli.bench:bench", "Measure bundles, .onnx files and models side by side."),
    "matrix": (
        "netloft.cli.matrix:matrix",
        "Export, verify and measure many models in many ways.",
    ),
    "explain": (
        "netloft_diagrams.explain_command:explain",
        "Show what networks look at in pictures.",
    ),
    "publish": ("netloft.cli.publish:publish", "Write a bundle in the layout of an engine."),
    "show": ("netloft.cli.show:show", "Open an exported file in Netron, and the explorer."),
    "models": ("netloft.cli.models:models", "List the models that can be named."),
    "doctor": ("netloft.cli.doctor:doctor", "Say what this machine can do, and what it cannot."),
}


class _LazyGroup(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            if ctx.resilient_parsing or cmd_name.startswith("-"):
                return None
            raise click.exceptions.NoSuchCommand(cmd_name, possibilities=VERBS, ctx=ctx)
        module, _, name = VERBS[cmd_name][0].partition(":")
        return cast(click.Command, getattr(importlib.import_module(module), name))

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(verb, help_) for verb, (_, help_) in VERBS.items()])

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        # what follows the verb is the verb's to read, but a mistake there has to be told in the
        # way that was asked for, whether or not the verb got as far as to read it
        words = args[: args.index("--")] if "--" in args else args
        ctx.meta[_AS_JSON] = "--json" in words
        with _mistakes_told(ctx):
            return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> object:
        try:
            with _ended_on_sigterm(), _mistakes_told(ctx), _packages_named():
                return super().invoke(ctx)
        except NetloftError as error:
            report_error(error, as_json=ctx.meta[_AS_JSON])
            ctx.exit(error.exit_code)
        except _Terminated:
            ctx.exit(128 + signal.SIGTERM)
        except SystemExit as end:
            mistake = _ended_by_network(end)
            if mistake is None:
                raise
            report_error(mistake, as_json=ctx.meta[_AS_JSON])
            ctx.exit(mistake.exit_code)
        except KeyboardInterrupt:
            click.echo("interrupted; nothing was written", err=True)
            ctx.exit(130)


_AS_JSON = "netloft.as_json"
_OWN_CODE = ("netloft", "netloft_diagrams", "netloft_exporters", "click")
"""Packages whose ends of the process are meant."""


class _Terminated(BaseException):
    """The process was asked to end; no network's own end, which is told as a mistake."""


def _terminated(_number: int, _: FrameType | None) -> None:
    """End as on Ctrl-C, so that what was staged is swept away."""
    raise _Terminated


@contextmanager
def _ended_on_sigterm() -> Iterator[None]:
    """Let SIGTERM end a verb as Ctrl-C does."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, _terminated)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)


def _ended_by_network(end: SystemExit) -> SpecError | None:
    """Tell of code of the user's that ends the process, like an end of ours; None where it is."""
    import traceback

    *_, (frame, _line) = traceback.walk_tb(end.__traceback__)
    if str(frame.f_globals.get("__name__", "")).partition(".")[0] in _OWN_CODE:
        return None
    from netloft.models.usercode import blame

    where = blame(end)
    said = f"the network's code ended the process with sys.exit({end.code!r})"
    return (
        SpecError(said, source=where, remedy="let it raise an error, or return") if where else None
    )


@contextmanager
def _mistakes_told(ctx: click.Context) -> Iterator[None]:
    """Tell of a wrong command line as JSON too; click itself tells people."""
    try:
        yield
    except click.UsageError as error:
        if ctx.meta[_AS_JSON]:
            name = type(error).__name__
            _echo_json(error.exit_code, error=name, problem=error.format_message())
        raise


@contextmanager
def _packages_named() -> Iterator[None]:
    """Say which package a verb lacks: the smaller distribution comes without most of them.

    Raises:
        MissingError: A module of another package is not there.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        name = (error.name or "").partition(".")[0]
        if not name or name == "netloft":
            raise
        raise MissingError(
            f"this needs the package {name}, which is not installed",
            remedy="pip install netloft, in place of netloft-runtime: it brings all that its verbs "
            "need",
        ) from error


def report_error(error: NetloftError, *, as_json: bool) -> None:
    """Tell the user on standard error; and a program on standard output.

    Args:
        error: What went wrong.
        as_json: The command line asks for JSON.
    """
    click.echo(f"error: {error}", err=True)
    if as_json:
        keys = ("problem", "node", "module", "source", "remedy")
        known = {key: str(getattr(error, key)) for key in keys if getattr(error, key)}
        _echo_json(error.exit_code, error=type(error).__name__, **known)


def _echo_json(exit_code: int, **facts: str) -> None:
    status = "fail" if exit_code == 1 else "error"
    told = {"format": JSON_FORMAT, "status": status, "exit_code": exit_code, **facts}
    click.echo(json.dumps(told, indent=2))


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="netloft")
def main() -> None:
    """Trace, draw, export, prove and measure PyTorch networks from one graph.

    \b
    Examples:
      netloft export resnet18
      netloft draw myresnet -o myresnet.svg myresnet.png
      netloft export net.py:Net --input 1x3x32x32 --weights net.safetensors

    Exit codes: 0 all done and every check held; 1 a check failed; 2 the input or the
    command line is wrong; 3 something asked for is missing on this machine.
    """
