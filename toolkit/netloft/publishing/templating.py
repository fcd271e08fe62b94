"""Files whose text is long are templates."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jinja2

__all__ = ["render"]


def render(template: str, to: Path, **values: Any) -> None:
    """Write a file from a template of this package; in HTML every value is escaped.

    Args:
        template: Its name, which ends in `.j2`.
        to: The file.
        values: What the template names; a name that is missing is an error.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("netloft.publishing"),
        autoescape=jinja2.select_autoescape(enabled_extensions=("html.j2",)),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    to.parent.mkdir(parents=True, exist_ok=True)
    to.write_bytes(environment.get_template(template).render(**values).encode())
