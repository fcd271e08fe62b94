"""Tables on standard output: rich on a terminal, plain aligned text in a pipe."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from typing import TextIO

__all__ = ["plain_table", "print_table", "printable"]

# a number with its unit, or a cell that stands for "no number"
_NUMBER = re.compile(
    r"[+-]?[\d,.]+(e[+-]?\d+)?([%\u00d7]| ?[a-zA-Z\u00b5/]{1,8})?|inf|nan|-|", re.I
)
_CONTROL = re.compile(r"\x1b\[[0-9;]*[A-Za-z]|[\x00-\x08\x0b-\x1f\x7f]")


def printable(text: str) -> str:
    """Return text that stays on its line, whatever a name in it holds."""
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)


def print_table(
    title: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[object]],
    file: TextIO | None = None,
) -> None:
    """Write a table; columns of numbers are set flush right.

    Args:
        title: Line above the table; empty for none.
        columns: Headings.
        rows: One cell a column; `None` shows as an empty cell.
        file: Standard output by default. Rich draws it only where this is a terminal, and leaves
            colour out where NO_COLOR is set.
    """
    out = file if file is not None else sys.stdout
    cells = [[_text(cell) for cell in row] for row in rows]
    right = [
        bool(rows) and any(column) and all(_NUMBER.fullmatch(cell) for cell in column)
        for column in zip(*cells, strict=True)
    ] or [False] * len(columns)
    if out.isatty():
        _print_rich(title, columns, cells, right, out)
    else:
        out.write(plain_table(title, columns, cells, right))


def plain_table(
    title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[bool]
) -> str:
    """Return the table as aligned lines of text, without colour or borders."""
    widths = [
        max(len(heading), *(len(row[i]) for row in rows)) if rows else len(heading)
        for i, heading in enumerate(columns)
    ]
    lines = [title] if title else []
    for row in (columns, *rows):
        aligned = (
            cell.rjust(width) if flush else cell.ljust(width)
            for cell, width, flush in zip(row, widths, right, strict=True)
        )
        lines.append("  ".join(aligned).rstrip())
    return "\n".join(lines) + "\n"


def _text(cell: object) -> str:
    # A reason may come from another library's log: its colours and line ends stay out of the table.
    return _CONTROL.sub("", " ".join(str(cell).splitlines())) if cell is not None else ""


def _print_rich(
    title: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    right: Sequence[bool],
    out: TextIO,
) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(title) if title else None, title_justify="left", box=box.SIMPLE_HEAD)
    for heading, flush in zip(columns, right, strict=True):
        table.add_column(Text(heading), justify="right" if flush else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    Console(file=out).print(table)
