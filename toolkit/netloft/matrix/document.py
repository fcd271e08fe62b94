"""A TOML file whose mistakes can be told with their line, which tomllib keeps to itself."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from netloft.errors import UsageError

__all__ = ["Document", "read_document"]

_HEADER = re.compile(r"\[{1,2}\s*([\w.-]+)\s*\]{1,2}\s*(#.*)?")


@dataclass(frozen=True)
class Document:
    """What a TOML file holds.

    Attributes:
        path: Of the file.
        lines: Its text.
        data: What it says.
    """

    path: Path
    lines: tuple[str, ...]
    data: dict[str, Any]

    def mistake(
        self, problem: str, remedy: str, table: str = "", number: int = 1, key: str = ""
    ) -> UsageError:
        """Return an error that names the line.

        Args:
            problem: What is wrong.
            remedy: What to write.
            table: Where it stands, such as `model`; empty for the top.
            number: Which table of this name, from 1.
            key: In that table; empty for the table itself.
        """
        line = self._line(table, number, key)
        text = f":{line}  {self.lines[line - 1].strip()}" if line else ""
        return UsageError(problem, source=f"{self.path.name}{text}", remedy=remedy)

    def _line(self, table: str, number: int, key: str) -> int:
        """Return the line of a key, or else of its table; 0 where it is written in another way."""
        here, seen, found = "", 0, 0
        below = f"{table}.{key}" if table else key
        wanted = re.compile(rf"[\"']?{re.escape(key)}[\"']?\s*[.=]")
        for line, text in enumerate(map(str.strip, self.lines), 1):
            header = _HEADER.fullmatch(text)
            if header:
                here = header[1]
                seen += here == table
            at = seen == number or not table
            if at and header and here in (table, below):
                found = line
                if not key or here != table:
                    return line
            elif at and here == table and key and wanted.match(text):
                return line
        return found


def read_document(path: Path) -> Document:
    """Read a TOML file.

    Raises:
        UsageError: There is none, or it is not TOML.
    """
    try:
        text = path.read_bytes().decode()
        return Document(path, tuple(text.splitlines()), tomllib.loads(text))
    except OSError as error:
        raise UsageError(
            f"{path} cannot be read: {error.strerror or error}",
            remedy="name a TOML file, such as models.toml (docs/matrix.md)",
        ) from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise UsageError(
            f"{path} is not TOML: {error}", remedy="mend that place; docs/matrix.md has an example"
        ) from error
