"""Read a matrix file: which models, in which precisions, opsets, providers and batches."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from netloft.defaults import DEFAULT_OPSET, MAX_BATCH, OPSETS, PRECISIONS
from netloft.errors import InputError, UsageError
from netloft.matrix.cell import Cell
from netloft.matrix.code import local_module
from netloft.matrix.document import Document, read_document
from netloft.models.catalog import closest
from netloft.runtime.integrity import sha256_of
from netloft.runtime.providers import PROVIDERS

__all__ = ["read_plan"]

_LARGEST_SEED = 2**32 - 1
_NAME = re.compile(r"[A-Za-z0-9_][\w.-]{0,63}", re.ASCII)


def read_plan(path: Path) -> tuple[Cell, ...]:
    """Read the cells that a matrix file asks for, in its order.

    Args:
        path: A TOML file (`docs/matrix.md`); paths in it are relative to its folder.

    Raises:
        UsageError: It cannot be read, or something in it is wrong; the error names the line.
    """
    document = read_document(path)
    data = document.data
    _refuse_unknown(document, data, {"matrix": None, "model": None})
    common = data.get("matrix", {})
    if not isinstance(common, dict):
        raise document.mistake("matrix is no table", "write it as [matrix]", key="matrix")
    models = data.get("model", [])
    if not isinstance(models, list) or not models or not all(isinstance(m, dict) for m in models):
        raise document.mistake(
            "it names no models", 'add a table for each: [[model]] and spec = "resnet18"'
        )
    general = _Table(document, "matrix", 1, common, _COMMON)
    tables = [_Table(document, "model", n, m, _OF_MODEL) for n, m in enumerate(models, 1)]
    found = dict[str, Cell]()
    for table in tables:
        for cell in _cells(table, general):
            if cell.id in found:
                raise table.mistake(
                    f"it asks for {cell.label} in {cell.precision} at opset {cell.opset} twice",
                    "leave one of the two out, or give them different arguments",
                )
            found[cell.id] = cell
    return tuple(found.values())


@dataclasses.dataclass(frozen=True)
class _Table:
    """One table of the file; it is checked when it is made.

    Attributes:
        document: The file.
        name: `matrix` or `model`.
        number: Which of this name, from 1.
        values: What it says.
        keys: What it may say, and what checks each.
    """

    document: Document
    name: str
    number: int
    values: Mapping[str, Any]
    keys: Mapping[str, Callable[[Any], Any] | None]

    def __post_init__(self) -> None:
        _refuse_unknown(self.document, self.values, self.keys, self.name, self.number)
        for key in self.values:
            self.value(key)

    def value(self, key: str) -> Any:
        """Return what a key says, or None; checked."""
        check = self.keys.get(key)
        if key not in self.values or check is None:
            return self.values.get(key)
        try:
            return check(self.values[key])
        except _WrongError as wrong:
            raise self.mistake(f"{key} {wrong}", wrong.remedy, key) from None

    def mistake(self, problem: str, remedy: str, key: str = "") -> UsageError:
        """Return an error that names this table and the line."""
        which = f"model {self.number}: " if self.name == "model" else ""
        return self.document.mistake(which + problem, remedy, self.name, self.number, key)


class _WrongError(Exception):
    """A value is not what its key takes."""

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(problem)
        self.remedy = remedy


def _refuse_unknown(
    document: Document,
    given: Mapping[str, Any],
    known: Mapping[str, Any],
    table: str = "",
    number: int = 1,
) -> None:
    for key in given:
        if key not in known:
            near = closest(key, known)
            meant = f"did you mean {near[0]}? " if near else ""
            raise document.mistake(
                f"there is no key '{key}' here", f"{meant}it takes {', '.join(known)}",
                table, number, key,
            )  # fmt: skip


def _cells(table: _Table, general: _Table) -> list[Cell]:
    """Return the cells of one model."""

    def asked(key: str) -> Any:
        own = table.value(key)
        return own if own is not None else general.value(key)

    if table.value("spec") is None:
        raise table.mistake("it has no spec", 'add spec = "resnet18", or spec = "net.py:Net"')
    axes = [asked(key) or default for key, (_, default) in _AXES.items()]
    model = _model(table)
    shared = {key: asked(key) for key in ("threads", "memory_gb")} | {"seed": asked("seed") or 0}
    return [
        Cell(**model, **shared, precision=precision, opset=opset, provider=provider, batch=batch)
        for precision, opset, provider, batch in itertools.product(*axes)
    ]


def _model(table: _Table) -> dict[str, Any]:
    spec = table.value("spec")
    target, code = _located(table, spec)
    weights, weights_sha256 = _weights(table)
    return {
        "label": table.value("name") or _label(spec),
        "spec": spec,
        "target": target,
        "arguments": table.value("arguments") or {},
        "inputs": table.value("inputs") or (),
        "weights": weights,
        "code_sha256": code,
        "weights_sha256": weights_sha256,
    }


def _label(spec: str) -> str:
    name = re.sub(r"[^\w.-]", "_", spec.rpartition(":")[2], flags=re.ASCII)
    return name[:64] or "net"


def _located(table: _Table, spec: str) -> tuple[str, str]:
    """Return a MODEL with the whole path of its file, and its own code's SHA-256."""
    left, colon, right = spec.rpartition(":")
    if not left.endswith(".py"):
        module = local_module(spec)
        return spec, sha256_of(module) if module else ""
    path = _existing(table, left, "spec")
    return f"{path}{colon}{right}", sha256_of(path)


def _weights(table: _Table) -> tuple[str | None, str]:
    """Return a name or the whole path of a file, and that file's SHA-256."""
    weights = table.value("weights")
    if weights is None:
        return None, ""
    is_file = re.search(r"[./\\]", weights) or (table.document.path.parent / weights).is_file()
    if not is_file:
        return str(weights), ""
    path = _existing(table, weights, "weights")
    return str(path), sha256_of(path)


def _existing(table: _Table, name: str, key: str) -> Path:
    path = (table.document.path.parent / Path(name).expanduser()).resolve()
    if not path.is_file():
        raise table.mistake(
            f"there is no file {name}", "give its path, relative to the folder of this file", key
        )
    return path


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise _WrongError("is no text", 'write it in quotes, as "resnet18"')
    return value


def _name(value: Any) -> str:
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise _WrongError(
            f"{value!r} is not fit for a folder", "use letters, digits, '.', '_' and '-', up to 64"
        )
    return value


def _whole(value: Any, low: int, high: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise _WrongError(f"{value!r} is out of range", f"give a whole number, {low} to {high:,}")
    return value


def _batch(value: Any) -> str | int:
    return "dynamic" if value == "dynamic" else _whole(value, 1, MAX_BATCH)


def _gigabytes(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e6:
        raise _WrongError(f"{value!r} is no amount of memory", "give 10^9 bytes, as memory_gb = 4")
    return float(value)


def _one_of(value: Any, names: tuple[str, ...]) -> str:
    if value not in names:
        raise _WrongError(f"has no {value!r}", f"use {', '.join(names)}")
    return str(value)


def _list(value: Any, each: Callable[[Any], Any]) -> tuple[Any, ...]:
    if not isinstance(value, list) or not value:
        raise _WrongError("is no list", 'write it in brackets, as ["fp32", "int8"]')
    found = tuple(each(item) for item in value)
    twice = next((item for item in found if found.count(item) > 1), None)
    if twice is not None:
        raise _WrongError(f"names {twice} twice", "name each once")
    return found


def _shapes(value: Any) -> tuple[str, ...]:
    from netloft.models.inputs import parse_input  # it takes torch

    shapes = tuple(_text(item) for item in (value if isinstance(value, list) else [value]))
    for shape in shapes:
        try:
            parse_input(shape, "has")
        except InputError as error:
            raise _WrongError(error.problem, error.remedy) from None
    return shapes


def _arguments(value: Any) -> dict[str, object]:
    if not isinstance(value, dict):
        raise _WrongError("is no table", "write it as arguments = { k = 384 }")
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise _WrongError(
            f"holds what is no constructor argument: {error}", "give numbers, texts and lists"
        ) from None
    return value


_AXES: dict[str, tuple[Callable[[Any], Any], tuple[Any, ...]]] = {
    "precisions": (functools.partial(_one_of, names=PRECISIONS), ("fp32",)),
    "opsets": (functools.partial(_whole, low=OPSETS.start, high=OPSETS.stop - 1), (DEFAULT_OPSET,)),
    "providers": (functools.partial(_one_of, names=tuple(PROVIDERS)), ("cpu",)),
    "batches": (_batch, ("dynamic",)),
}
"""What is crossed, in the order of a cell: what checks one value, and what is taken without any."""

_COMMON: dict[str, Callable[[Any], Any]] = {
    **{key: functools.partial(_list, each=each) for key, (each, _) in _AXES.items()},
    "seed": functools.partial(_whole, low=0, high=_LARGEST_SEED),
    "threads": functools.partial(_whole, low=1, high=256),
    "memory_gb": _gigabytes,
}
_OF_MODEL: dict[str, Callable[[Any], Any]] = {
    "spec": _text,
    "name": _name,
    "arguments": _arguments,
    "weights": _text,
    "inputs": _shapes,
    **_COMMON,
}
