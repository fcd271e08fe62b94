"""Shapes with several open axes: one run without data, on symbols in place of lengths."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import sympy
import torch
from torch import fx
from torch._dispatch.python import enable_python_dispatcher
from torch._dynamo.source import ConstantSource
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.symbolic_shapes import DimDynamic, ShapeEnv

from netloft.errors import TraceError
from netloft.graph.annotation import Dim
from netloft.graph.dims import UNKNOWN
from netloft.tracing.axes import Axes, lengths_of
from netloft.tracing.dataless import FakeInterpreter, Values

__all__ = ["SymbolicRun", "run_on_symbols"]


class SymbolicRun:
    """Symbols for the open axes, and the lengths that a run found, as expressions of them.

    Args:
        axes: The open axes; the same name stands for the same length.
        inputs: Example inputs by name, whose lengths are the hints.
    """

    def __init__(self, axes: Axes, inputs: Mapping[str, torch.Tensor]) -> None:
        self._env = ShapeEnv()
        self._axes, self._inputs = axes, inputs
        self._symbols: dict[str, sympy.Symbol] = {}
        self._sizes: dict[str, Any] = {}
        for name, opened in axes.items():
            for axis, symbol in opened.items():
                self._open(symbol, int(inputs[name].shape[axis]))

    def _open(self, symbol: str, hint: int) -> None:
        if symbol in self._sizes:
            return
        source = ConstantSource(symbol)
        made = self._env.create_symbol(hint, source, dynamic_dim=DimDynamic.DYNAMIC)
        assert isinstance(made, sympy.Symbol)
        self._symbols[symbol] = made
        self._sizes[symbol] = self._env.create_symintnode(made, hint=hint, source=source)

    def run(self, module: fx.GraphModule) -> Values:
        """Run a graph.

        Raises:
            TraceError: It fails, or it holds for one length only of an axis that should be open.
        """
        mode = FakeTensorMode(shape_env=self._env, allow_non_fake_inputs=True)
        with mode, enable_python_dispatcher(), torch.no_grad():
            fakes = [self._fake(name, tensor) for name, tensor in self._inputs.items()]
            interpreter = FakeInterpreter(module)
            values = interpreter.values_of(fakes)
        for name, symbol in self._symbols.items():
            fixed = self._env.replacements.get(symbol)
            if fixed is not None:
                raise TraceError(
                    f"the length '{name}' cannot be left open: the network needs it to be {fixed}",
                    remedy="leave it out of --dynamic, or write sizes in terms of x.shape",
                )
        self._check_guards(module, values)
        return values

    def _check_guards(self, module: fx.GraphModule, values: Values) -> None:
        """Refuse a graph whose shapes hold for some lengths only, where it runs at others too.

        What was taken for granted says where to look: it may be about strides, or which kernel.

        A cut `x[:, :32]` is as long as `x` where the example has 16, and shapes after it say so.
        """
        guards = [guard.expr for guard in self._env.guards]
        lengths = lengths_of(self._axes, self._inputs)
        for name, symbol in self._symbols.items():
            mine = [expr for expr in guards if symbol in expr.free_symbols]
            numbers = {int(n) for expr in mine for n in expr.atoms(sympy.Integer)}
            near = {abs(n) + more for n in numbers for more in (-1, 0, 1)}
            hints = {self._symbols[other]: length for other, length in lengths.items()}
            for length in sorted({*range(2, 2 * lengths[name] + 64), *near} - {0, 1, -1}):
                broken = [e for e in mine if e.subs({**hints, symbol: length}) == sympy.false]
                changed = {**lengths, name: length}
                if broken and not self._holds(module, values, changed):
                    raise TraceError(
                        f"the length '{name}' cannot be left open: at {length}, where "
                        f"{_condition(broken[0], self._symbols)} does not hold, shapes differ",
                        remedy="leave it out of --dynamic, or cut what is too long before the "
                        "network",
                    )

    def _holds(self, module: fx.GraphModule, values: Values, lengths: Mapping[str, int]) -> bool:
        """Tell whether the graph, if it runs at all at these lengths, has the shapes it should."""
        with FakeTensorMode(allow_non_fake_inputs=True):
            inputs = [self._sized(name, t, lengths) for name, t in self._inputs.items()]
            try:
                found = FakeInterpreter(module).values_of(inputs).values
            except TraceError:
                return True
        at = {self._symbols[name]: length for name, length in lengths.items()}
        for name, value in values.values.items():
            expected, actual = (
                [self._at(n, at) for n in _numbers(value)],
                list(_numbers(found[name])),
            )
            if len(expected) != len(actual):
                return False
            if any(a not in (b, None) for a, b in zip(expected, actual, strict=True)):
                return False
        return True

    def _at(self, number: int | torch.SymInt, lengths: Mapping[sympy.Symbol, int]) -> int | None:
        """Return a number for given lengths; None where it follows something else."""
        if isinstance(number, int):
            return number
        value = self._env.simplify(number.node.expr).subs(lengths)
        return int(value) if value.is_Integer else None

    def _fake(self, name: str, tensor: torch.Tensor) -> torch.Tensor:
        return self._sized(name, tensor, self._sizes)

    def _sized(self, name: str, tensor: torch.Tensor, sizes: Mapping[str, Any]) -> torch.Tensor:
        opened = self._axes.get(name, {})
        shape = [
            sizes[opened[axis]] if axis in opened else length
            for axis, length in enumerate(tensor.shape)
        ]
        return torch.empty(shape, dtype=tensor.dtype)

    def length(self, value: int | torch.SymInt) -> Dim:
        """Return a length as a number or as an expression of the axes' names."""
        if isinstance(value, int):
            return value
        names = {symbol: name for name, symbol in self._symbols.items()}
        return _text(self._env.simplify(value.node.expr), names)


def _numbers(value: Any) -> Iterator[int | torch.SymInt]:
    """Yield the lengths of tensors, and whole numbers, however they are nested."""
    if isinstance(value, torch.Tensor):
        yield from value.shape
    elif isinstance(value, int | torch.SymInt) and not isinstance(value, bool):
        yield value
    elif isinstance(value, tuple | list):
        for item in value:
            yield from _numbers(item)


def _condition(guard: Any, symbols: Mapping[str, sympy.Symbol]) -> str:
    return str(guard.subs({symbol: sympy.Symbol(name) for name, symbol in symbols.items()}))


def run_on_symbols(
    module: fx.GraphModule, inputs: Mapping[str, torch.Tensor], axes: Axes
) -> tuple[SymbolicRun, Values]:
    """Run a graph on symbols; see `SymbolicRun`."""
    symbolic = SymbolicRun(axes, inputs)
    return symbolic, symbolic.run(module)


_SIGNS = {"FloorDiv": "//", "CleanDiv": "//", "Mod": "%", "PythonMod": "%"}


def _text(expression: Any, names: Mapping[Any, str]) -> Dim:
    """Write an expression as `netloft.graph.dims` reads it; `UNKNOWN` where it has no such form."""
    if expression.is_Integer:
        return int(expression)
    text = _written(expression, names)
    return UNKNOWN if text is None else text


def _written(expression: Any, names: Mapping[Any, str]) -> str | None:
    if expression.is_Integer:
        return str(int(expression))
    if expression.is_Symbol:
        return names.get(expression)
    kind = type(expression).__name__
    if expression.is_Pow and expression.exp.is_Integer and 0 < int(expression.exp) <= 4:
        return _joined("*", [expression.base] * int(expression.exp), names)
    if expression.is_Add:
        return _joined("+", _positive_first(expression.args), names)
    if expression.is_Mul:
        return _joined("*", expression.args, names)
    if kind in _SIGNS and len(expression.args) == 2:
        return _joined(_SIGNS[kind], expression.args, names)
    return None


def _positive_first(parts: Any) -> list[Any]:
    return sorted(parts, key=lambda part: (bool(part.is_Integer), str(part)))


def _joined(sign: str, parts: Any, names: Mapping[Any, str]) -> str | None:
    written = [_written(part, names) for part in parts]
    if any(text is None for text in written):
        return None
    wrapped = [_wrapped(text) for text in written if text is not None]
    text = sign.join(wrapped)
    return text.replace("+-", "-") if sign == "+" else text


def _wrapped(text: str) -> str:
    plain = text.isidentifier() or text.lstrip("-").isdecimal()
    return text if plain else f"({text})"
