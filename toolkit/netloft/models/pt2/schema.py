"""The JSON in an archive, held to torch's own schema field by field before torch reads it."""

from __future__ import annotations

import dataclasses
import functools
import types
import typing
from collections.abc import Mapping
from enum import IntEnum
from typing import Any

from torch._export.serde import schema
from torch._export.serde.union import _Union

from netloft.models.pt2.fields import KEYS, TEXTS
from netloft.models.pt2.refusal import Harm

__all__ = ["check"]

_WORDS = ("Infinity", "-Infinity", "NaN")  # how torch writes these numbers


def check(entry: str, value: object, kind: type) -> None:
    """Hold a value to a dataclass of torch's schema: its fields, their types, and every text.

    torch itself checks no types, and passes over fields that it does not know; both are refused,
    and so is a text that `fields` has no rule for.

    Args:
        entry: Where the JSON lies, for the message.
        value: What `json.loads` gave.
        kind: The dataclass.

    Raises:
        Harm: Something is not as torch writes it.
    """
    _check(_Place(entry, kind.__name__, ""), value, kind)


@dataclasses.dataclass(frozen=True)
class _Place:
    entry: str
    owner: str
    field: str

    def harm(self, why: str) -> Harm:
        where = f"{self.owner}.{self.field}" if self.field else self.owner
        return Harm(f"{where} in {self.entry}", why)


def _check(place: _Place, value: Any, kind: Any) -> None:
    origin = typing.get_origin(kind)
    if origin is typing.Annotated:
        return _check(place, value, typing.get_args(kind)[0])
    if origin in (typing.Union, types.UnionType):
        inner = next(part for part in typing.get_args(kind) if part is not types.NoneType)
        return None if value is None else _check(place, value, inner)
    if origin is list:
        return _check_list(place, value, typing.get_args(kind)[0])
    if origin is dict:
        return _check_dict(place, value, typing.get_args(kind)[1])
    if issubclass(kind, _Union) or dataclasses.is_dataclass(kind):
        return _check_fields(place, value, kind)
    return _check_plain(place, value, kind)


def _check_list(place: _Place, value: Any, kind: Any) -> None:
    if not isinstance(value, list):
        raise place.harm("is not a list")
    for item in value:
        _check(place, item, kind)


def _check_dict(place: _Place, value: Any, kind: Any) -> None:
    if not isinstance(value, dict):
        raise place.harm("is not an object")
    rule = KEYS.get((place.owner, place.field))
    if rule is None and value:
        raise place.harm("is not known here")
    for key, item in value.items():
        assert rule is not None
        wrong = rule(key)
        if wrong:
            raise place.harm(f"has a key that {wrong}")
        _check(place, item, kind)


def _check_fields(place: _Place, value: Any, kind: type) -> None:
    hints = _hints(kind)
    if not isinstance(value, dict) or set(value) - set(hints):
        raise place.harm(f"is not a {kind.__name__} as torch {_version()} writes it")
    one_of = issubclass(kind, _Union)
    if (len(value) != 1) if one_of else (_required(kind) - set(value)):
        raise place.harm(f"is not a whole {kind.__name__}")
    for name, item in value.items():
        _check(_Place(place.entry, kind.__name__, name), item, hints[name])


def _check_plain(place: _Place, value: Any, kind: type) -> None:
    if kind is str:
        rule = TEXTS.get((place.owner, place.field))
        if not isinstance(value, str) or rule is None:
            raise place.harm("is not known here" if rule is None else "is not a text")
        wrong = rule(value)
        if wrong:
            raise place.harm(wrong)
    elif not _is_plain(value, kind):
        raise place.harm(f"is {str(value)[:40]!a}, which is not a {kind.__name__}")


def _is_plain(value: object, kind: type) -> bool:
    if issubclass(kind, bool):
        return isinstance(value, bool)
    if issubclass(kind, float):
        return type(value) in (float, int) or value in _WORDS
    whole = type(value) is int and abs(value) < 2**63
    if whole and issubclass(kind, IntEnum):
        return value in {int(member) for member in kind}
    return whole and issubclass(kind, int)


@functools.cache
def _hints(kind: type) -> Mapping[str, Any]:
    return typing.get_type_hints(kind, globalns=vars(schema), include_extras=True)


@functools.cache
def _required(kind: type) -> frozenset[str]:
    missing = dataclasses.MISSING
    return frozenset(
        field.name
        for field in dataclasses.fields(kind)
        if field.default is missing and field.default_factory is missing
    )


def _version() -> str:
    import torch

    return torch.__version__
