"""Build a module from its constructor arguments, under a seed, with messages fit for a user."""

from __future__ import annotations

import contextlib
import inspect
import random
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
import torch
from torch import nn

from netloft.errors import DownloadError, NetloftError, SpecError
from netloft.models.catalog import closest
from netloft.models.spec import Target
from netloft.models.usercode import blame, prints_to_stderr
from netloft.tracing.source import relative_file

__all__ = ["build", "one_thread", "seeded"]

_WEIGHTS = ("weights", "weights_backbone", "pretrained", "pretrained_backbone", "progress")
"""Arguments of torchvision's builders that download; `--weights` is for those."""


_WARNS = ("googlenet", "inception_v3")
"""torchvision warns that the default of their `init_weights` will change."""


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed the generators that a constructor may draw from, and give them back as they were."""
    torch_state = torch.default_generator.get_state()
    numpy_state, python_state = np.random.get_state(), random.getstate()
    try:
        # torch.manual_seed would seed the accelerators too, whose state is the caller's
        torch.default_generator.manual_seed(seed)
        np.random.seed(seed % 2**32)
        random.seed(seed)
        yield
    finally:
        torch.default_generator.set_state(torch_state)
        np.random.set_state(numpy_state)
        random.setstate(python_state)


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Run torch on one thread, so that sums are rounded the same on any number of cores."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def build(
    target: Target, arguments: Mapping[str, object], seed: int, weights: object = None
) -> nn.Module:
    """Return the module that a target names, in eval mode.

    Args:
        target: From `netloft.models.spec.resolve`.
        arguments: Constructor arguments, over those that the name stands for.
        seed: Of the random weights; the caller's generators are left as they were.
        weights: A torchvision weights enum member, for torchvision's own builders.

    Raises:
        SpecError: The arguments do not fit, or the constructor raises.
        DownloadError: The constructor fetches something and cannot.
    """
    make = target.make
    if isinstance(make, nn.Module):
        if arguments:
            raise SpecError(
                f"{target.spec} is a network that is built already, and takes no arguments",
                remedy="leave --arg out, or name its class",
            )
        return make.eval()
    chosen = {**target.arguments, **arguments}
    if target.origin == "torchvision":
        chosen = _torchvision_arguments(target, chosen, weights)
    elif target.origin != "timm":
        _check_arguments(target, make, chosen)
    with seeded(seed), one_thread(), prints_to_stderr():
        module = _call(target, make, chosen, arguments)
    if not isinstance(module, nn.Module):
        raise SpecError(
            f"{target.spec} returned a value of type {type(module).__name__}, not a network",
            remedy="name a function that returns the network",
        )
    return module.eval()


def _call(
    target: Target,
    make: Callable[..., Any],
    arguments: Mapping[str, object],
    given: Mapping[str, object],
) -> object:
    try:
        return make(**arguments)
    except NetloftError:
        raise
    except URLError as error:
        raise DownloadError(
            f"{target.spec} fetches a file when it is built, and that failed: {error.reason}",
            source=blame(error),
            remedy="fetch the file where there is a network, and build the network from it",
        ) from error
    except (Exception, SystemExit) as error:
        said = str(error).strip().splitlines() or [type(error).__name__]
        kind = "" if isinstance(error, ValueError) else f"{type(error).__name__}: "
        raise SpecError(
            f"{target.spec} cannot be built: {kind}{said[0]}",
            source=blame(error),
            remedy=_value_remedy(given),
        ) from error


def _value_remedy(given: Mapping[str, object]) -> str:
    if not given:
        return "mend the constructor, or give it --arg NAME=VALUE"
    return "check " + " ".join(f"--arg {name}={value}" for name, value in given.items())


def _torchvision_arguments(
    target: Target, arguments: Mapping[str, object], weights: object
) -> dict[str, object]:
    for name in _WEIGHTS:
        if name in arguments:
            raise SpecError(
                f"'{name}' is not an argument of {target.spec} here",
                remedy="name the weights with --weights DEFAULT",
            )
    assert not isinstance(target.make, nn.Module)
    takes = inspect.signature(target.make).parameters
    # a segmentation net fetches the weights of its backbone unless it is told not to
    silent: dict[str, object] = {}
    if "weights_backbone" in takes:
        silent["weights_backbone"] = None
    if weights is None and target.name.removeprefix("quantized_") in _WARNS:
        silent["init_weights"] = True
    return {"weights": weights, "progress": False, **silent, **arguments}


def _check_arguments(
    target: Target, make: Callable[..., Any], arguments: Mapping[str, object]
) -> None:
    try:
        parameters = inspect.signature(make).parameters.values()
    except (TypeError, ValueError):  # written in C: its own error tells
        return
    open_ended = any(p.kind is p.VAR_KEYWORD for p in parameters)
    named = [p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    names = [p.name for p in named]
    unknown = [name for name in arguments if name not in names and not open_ended]
    if unknown:
        near = closest(unknown[0], names)
        takes = f"it takes {', '.join(names)}" if names else "it takes none"
        raise SpecError(
            f"{target.spec} has no constructor argument '{unknown[0]}'",
            source=_defined_at(make),
            remedy=f"did you mean {near[0]}? {takes}" if near else takes,
        )
    missing = [p.name for p in named if p.default is p.empty and p.name not in arguments]
    if missing:
        raise SpecError(
            f"{target.spec} needs {'arguments' if len(missing) > 1 else 'the argument'} "
            + " and ".join(f"'{name}'" for name in missing),
            source=_defined_at(make),
            remedy="give " + " ".join(f"--arg {name}=VALUE" for name in missing),
        )


def _defined_at(make: Callable[..., Any]) -> str:
    """Return `net.py:12` of the user's class or function; empty where there is no such line."""
    try:
        file, line = inspect.getsourcefile(make), inspect.getsourcelines(make)[1]
    except (OSError, TypeError):
        return ""
    if not file or Path(file).is_relative_to(Path(__file__).parent):
        return ""
    return f"{relative_file(file)}:{line}"
