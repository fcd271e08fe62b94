"""Random networks as Python source: any lines in any order.

A line is taken from the tables of `random_lines`, its blanks are filled, and it is run at once on
real tensors; a line that PyTorch refuses is dropped. So every network runs, whatever its lines do
to each other's memory.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, TypeVar

import torch
from tests.exporters.judging import Outcome, filled, judge, own_route
from tests.exporters.random_lines import HEAD, KINDS
from torch import Tensor, nn

from netloft.defaults import DEFAULT_OPSET, OPSETS
from netloft_exporters.onnx.lowered import Lowered

__all__ = ["Choose", "Program", "build", "shrunk", "verdict"]

T = TypeVar("T")
Choose = Callable[[Sequence[T]], T]
"""Takes one of several things: at random, or as hypothesis likes it."""

SHAPES = [(4, 6, 6), (2, 5, 7), (6, 4), (8,)]
"""Of the input, without the batch."""

BATCHES = (1, 3, 5)

MOST_ELEMENTS = 20_000
LARGEST = 1e4
"""A line whose values go beyond these is dropped."""

LEAST = 2.0**-18
"""An absolute error that is rounding: numbers are of the order of 1, and some cancel to nothing."""

_VALUE = re.compile(r"x|v\d+")
_BLANK = re.compile(r"\{([^{}]*)\}")


@dataclass(frozen=True)
class Program:
    """A network as text.

    Attributes:
        shape: Of the one input, without the batch.
        lines: Each with its part of `__init__` in front, if it has one.
        outputs: Values that forward returns.
        form: `one`, `tuple` or `dict`.
        opset: ONNX operator set to write.
    """

    shape: tuple[int, ...]
    lines: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ("x",)
    form: str = "one"
    opset: int = DEFAULT_OPSET

    def source(self) -> str:
        """Return the network as Python."""
        init, forward = self._parts()
        return (
            "import torch\nfrom torch import nn\nfrom torch.nn import functional as F\n"
            f"{HEAD}\n\nclass Net(nn.Module):\n    def __init__(self):\n"
            f"        super().__init__()\n{_indented(init)}\n"
            f"    def forward(self, x):\n{_indented(forward)}        return {self._result()}\n"
        )

    def _parts(self) -> tuple[list[str], list[str]]:
        parts = [part for line in self.lines for part in line.split("; ")]
        init = [part for part in parts if part.startswith("self.")]
        return init, [part for part in parts if not part.startswith("self.")]

    def _result(self) -> str:
        if self.form == "dict":
            return "{" + ", ".join(f'"{name}": {name}' for name in self.outputs) + "}"
        return f"({', '.join(self.outputs)},)" if self.form == "tuple" else self.outputs[0]

    def module(self) -> nn.Module:
        """Return the network in eval mode, its weights filled by a seed."""
        space: dict[str, Any] = {"__name__": "random_net"}
        exec(compile(self.source(), "random_net.py", "exec"), space)
        module: nn.Module = space["Net"]()
        return filled(module.eval())

    def inputs(self, batch: int) -> dict[str, Tensor]:
        """Return an input of so many items."""
        generator = torch.Generator().manual_seed(batch)
        return {"x": torch.randn((batch, *self.shape), generator=generator)}

    def values(self) -> dict[str, Tensor] | None:
        """Run line by line on a batch of two; None where PyTorch refuses or numbers run away."""
        init, forward = self._parts()
        space = {**_names(), "self": nn.Module(), **self.inputs(2)}
        try:
            exec("\n".join(init), space)
            filled(space["self"].eval())
            with torch.no_grad():
                exec("\n".join(forward), space)
            found = {name: space[name] for name in space if _VALUE.fullmatch(name)}
            sound = all(_is_sound(found[name]) for name in (*found, *self.outputs))
        except (
            RuntimeError,
            ValueError,
            IndexError,
            TypeError,
            AttributeError,
            KeyError,
            NameError,
        ):
            return None
        return found if sound else None


@cache
def _names() -> dict[str, Any]:
    names: dict[str, Any] = {"torch": torch, "nn": nn, "F": nn.functional}
    exec(HEAD, names)
    return names


def _indented(lines: Sequence[str]) -> str:
    return "".join(f"        {line}\n" for line in lines)


def _is_sound(value: Any) -> bool:
    return (
        isinstance(value, Tensor)
        and 0 < value.numel() <= MOST_ELEMENTS
        and bool((value.abs() <= LARGEST).all())
    )


def build(choose: Choose[Any], most: int = 16) -> Program:
    """Make a network of at most so many lines."""
    program = Program(choose(SHAPES))
    values = program.values() or {}
    for _ in range(choose(range(3, most + 1))):
        row = choose(KINDS[choose(list(KINDS))])
        line = _filled_line(row, program, values, choose)
        longer = replace(program, lines=(*program.lines, line))
        found = longer.values() if line else None
        if found:
            program, values = longer, found
    names = list(dict.fromkeys(choose(list(values)) for _ in range(choose(range(1, 6)))))
    names = [list(values)[-1], *names]
    form, opset = choose(["one", "tuple", "dict"]), choose([DEFAULT_OPSET, *OPSETS])
    return replace(program, outputs=tuple(names), form=form, opset=opset)


def _filled_line(
    row: str, program: Program, values: Mapping[str, Tensor], choose: Choose[Any]
) -> str:
    """Fill the blanks of a row; empty where something that it wants is not there."""
    row = _BLANK.sub(lambda match: _alternative(match[1], choose), row)
    blanks = dict.fromkeys(_BLANK.findall(row))
    given: dict[str, str] = {}
    for blank in blanks:
        if blank in ("a", "a2", "a3", "a4"):
            fits = [n for n, v in values.items() if blank == "a" or v.dim() == int(blank[1])]
            if not fits:
                return ""
            given[blank] = choose([*fits, *fits[-3:]])
    first = values[next(iter(given.values()), "x")]
    alike = [n for n, v in values.items() if v.shape == first.shape]
    modules = re.findall(r"(self\.m\d+) =", "\n".join(program.lines))
    count = len(program.lines)
    if ("old" in blanks and not modules) or first.dim() < 2:
        return ""
    fillings: dict[str, Callable[[], str]] = {
        "s": lambda: choose([*alike, *alike[-3:]]),
        "C": lambda: str(first.shape[1]),
        "D": lambda: str(first.shape[-1]),
        "v": lambda: f"v{2 * count}",
        "w": lambda: f"v{2 * count + 1}",
        "m": lambda: f"self.m{count}",
        "old": lambda: choose(modules),
    }
    for blank in [blank for blank in blanks if blank not in given]:
        given[blank] = fillings[blank]()
    return _BLANK.sub(lambda match: given[match[1]], row)


def _alternative(blank: str, choose: Choose[Any]) -> str:
    if "|" not in blank:
        return f"{{{blank}}}"
    chosen: str = choose(blank.split("|"))
    return f"{{{chosen}}}" if chosen in ("a2", "a3", "C") else chosen


def verdict(program: Program, lower: Callable[..., Lowered] = own_route) -> Outcome:
    """Judge a network at several batch sizes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of PyTorch and ONNX Runtime, about odd networks
        cases = [program.inputs(batch) for batch in BATCHES]
        return judge(
            program.module(),
            program.inputs(2),
            "dynamic",
            cases,
            absolute=LEAST,
            lower=lower,
            opset=program.opset,
        )


def shrunk(program: Program, is_bad: Callable[[Program], bool]) -> Program:
    """Take away outputs and lines while the network stays bad."""
    while True:
        fewer = [replace(program, outputs=(name,), form="one") for name in program.outputs]
        fewer = fewer if len(program.outputs) > 1 else []
        count = len(program.lines)
        fewer += [
            replace(program, lines=program.lines[:i] + program.lines[i + 1 :])
            for i in reversed(range(count))
        ]
        smaller = next((p for p in fewer if p.values() and is_bad(p)), None)
        if smaller is None:
            return program
        program = smaller
