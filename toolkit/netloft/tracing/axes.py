"""Axes beside the batch whose length is left open, on request."""

from __future__ import annotations

import keyword
from collections.abc import Callable, Iterator, Mapping

import torch

from netloft.errors import InputError
from netloft.graph.dims import BATCH

__all__ = ["Axes", "checked_axes", "lengths_of", "other_lengths", "stretched"]

Axes = Mapping[str, Mapping[int, str]]
"""By input: the axes that are open, and what their lengths are called."""


def checked_axes(dynamic: Axes, inputs: Mapping[str, torch.Tensor]) -> dict[str, dict[int, str]]:
    """Check open axes against the inputs; negative ones are counted from the end.

    Args:
        dynamic: As the caller wrote it; `input` is the only input, whatever its name.
        inputs: Example inputs by name.

    Raises:
        InputError: There is no such input or axis, a name is none, or lengths do not agree.
    """
    _require_form(dynamic)
    found: dict[str, dict[int, str]] = {}
    lengths: dict[str, int] = {}
    for given, opened in dynamic.items():
        name = next(iter(inputs)) if given == "input" and len(inputs) == 1 else given
        if name not in inputs:
            raise InputError(
                f"there is no input '{given}' to leave an axis of open",
                remedy=f"inputs are: {', '.join(inputs)}",
            )
        shape = inputs[name].shape
        for axis, symbol in opened.items():
            index = _checked_axis(name, axis, len(shape))
            _check_symbol(symbol)
            if lengths.setdefault(symbol, shape[index]) != shape[index] or shape[index] < 2:
                raise InputError(
                    f"axis {axis} of '{name}' is {shape[index]} long in the example, where "
                    f"'{symbol}' is {lengths[symbol]}",
                    remedy="give one name to equal lengths, and an --input of 2 or more along it",
                )
            found.setdefault(name, {})[index] = symbol
    return found


def _require_form(dynamic: object) -> None:
    """Refuse what is not names, axes and lengths' names, one in the other."""
    good = isinstance(dynamic, Mapping) and all(
        isinstance(opened, Mapping)
        and all(isinstance(axis, int) and isinstance(word, str) for axis, word in opened.items())
        for opened in dynamic.values()
    )
    if not good:
        raise InputError(
            f"{dynamic!r} does not say which axes are open",
            remedy='give names of lengths by axis by input, such as {"x": {2: "height"}}',
        )


def _checked_axis(name: str, axis: int, rank: int) -> int:
    index = axis + rank if axis < 0 else axis
    if index == 0:
        raise InputError(
            f"axis {axis} of '{name}' is the batch, which is open already",
            remedy="leave it to --batch",
        )
    if not 0 < index < rank:
        raise InputError(
            f"'{name}' has no axis {axis}: it has {rank} axes", remedy=f"give 1 to {rank - 1}"
        )
    return index


def _check_symbol(symbol: str) -> None:
    if not symbol.isidentifier() or keyword.iskeyword(symbol) or symbol == BATCH:
        raise InputError(
            f"{symbol!r} is not a name for a length", remedy="give a word such as height"
        )


def lengths_of(axes: Axes, inputs: Mapping[str, torch.Tensor]) -> dict[str, int]:
    """Return the example's length of each open axis, by its name."""
    return {
        symbol: int(inputs[name].shape[axis])
        for name, opened in axes.items()
        for axis, symbol in opened.items()
    }


def stretched(
    inputs: Mapping[str, torch.Tensor], axes: Axes, lengths: Mapping[str, int]
) -> dict[str, torch.Tensor]:
    """Return inputs with other lengths along their open axes, repeated or cut."""
    made = dict(inputs)
    for name, opened in axes.items():
        for axis, symbol in opened.items():
            if symbol in lengths:
                made[name] = _resized(made[name], axis, lengths[symbol])
    return made


def _resized(tensor: torch.Tensor, axis: int, length: int) -> torch.Tensor:
    times = [1] * tensor.dim()
    times[axis] = -(-length // tensor.shape[axis])
    return tensor.repeat(times).narrow(axis, 0, length)


def other_lengths(
    lengths: Mapping[str, int], accepts: Callable[[Mapping[str, int]], bool]
) -> dict[str, int]:
    """Return another length of each open axis that the network takes.

    Args:
        lengths: Of the example.
        accepts: Tells whether the network runs at such lengths.

    Raises:
        InputError: It takes no other length of one of them.
    """
    found = dict(lengths)
    for symbol, length in lengths.items():
        tried = list(_candidates(length))
        other = next((n for n in tried if accepts({**lengths, symbol: n})), None)
        if other is None:
            raise InputError(
                f"the network takes no other length of '{symbol}' than {length} "
                f"(tried {', '.join(map(str, tried))})",
                remedy="leave it out of --dynamic",
            )
        found[symbol] = other
    return found


def _candidates(length: int) -> Iterator[int]:
    """A stride wants multiples, an even split wants even lengths, most take anything."""
    yield length + 1
    yield length + 32
    yield 2 * length
    yield length + length // 2
