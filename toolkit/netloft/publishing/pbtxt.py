"""Protocol buffers as text, which Triton's `config.pbtxt` is.

Source: https://protobuf.dev/reference/protobuf/textformat-spec/
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["Word", "to_pbtxt"]


class Word(str):
    """The value of an enumeration, which stands without quotes."""

    __slots__ = ()


def to_pbtxt(message: Mapping[str, Any]) -> str:
    """Return a message as text.

    Args:
        message: By field name: whole numbers, text, `Word`, a message, or a list of those for a
            field that is repeated.
    """
    return "".join(f"{line}\n" for line in _lines(message))


def _lines(message: Mapping[str, Any]) -> Iterator[str]:
    for name, value in message.items():
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, Mapping):
                yield f"{name} {{"
                yield from (f"  {line}" for line in _lines(item))
                yield "}"
            else:
                yield f"{name}: {_scalar(item)}"


def _scalar(value: int | str) -> str:
    if isinstance(value, Word) or not isinstance(value, str):
        return str(value)
    return '"' + "".join(map(_escaped, value)) + '"'


def _escaped(character: str) -> str:
    if character in '"\\':
        return f"\\{character}"
    # a control character may end the line, and three octal digits cannot run into what follows
    return f"\\{ord(character):03o}" if ord(character) < 32 or ord(character) == 127 else character
