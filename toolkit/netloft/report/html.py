"""Reports as pages for people."""

from __future__ import annotations

from typing import Any

import jinja2

from netloft.report.precision import facts_of, is_task_row
from netloft.report.report import Report

__all__ = ["render", "to_html"]


def to_html(report: Report) -> bytes:
    """Return `report.html`; it needs `diagram.svg` beside it and nothing else."""
    return render("report.html.j2", report=report.to_dict())


def render(template: str, **facts: Any) -> bytes:
    """Return a page.

    Args:
        template: A file in `templates`.
        facts: What it shows.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("netloft.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["number"] = number
    environment.filters["shape"] = lambda shape: " × ".join(map(str, shape)) or "scalar"
    environment.filters["precision"] = facts_of
    environment.tests["task_row"] = is_task_row
    return environment.get_template(template).render(**facts).encode()


def number(value: Any) -> str:
    """Return a number as a reader wants it: `11,689,512`, `4.5e-07`, `3.21`."""
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if isinstance(value, int):
        return f"{value:,}"
    if value == 0:
        return "0"
    return f"{value:.2e}" if abs(value) < 1e-3 or abs(value) >= 1e5 else f"{value:.3g}"
