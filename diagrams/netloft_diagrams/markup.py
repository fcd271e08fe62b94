"""Elements and text that are safe in XML and HTML, and short numbers."""

from __future__ import annotations

import html
import re
from functools import lru_cache

__all__ = ["clean", "escape", "number", "tag"]

# XML 1.0 has no way to write these, not even as references
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_BREAKS = re.compile(r"\s+")
_TURNING = re.compile("[\u202a-\u202e\u2066-\u2069\u200e\u200f]")


@lru_cache(maxsize=4096)  # colours and classes come again and again
def escape(text: str, *, keep_lines: bool = False) -> str:
    """Return text fit for an element or a quoted attribute; what cannot be written becomes `�`.

    Args:
        text: Any string, a hostile one too.
        keep_lines: Keep line breaks, for a tooltip of several lines.
    """
    fit = clean(text)
    if not keep_lines:
        fit = _BREAKS.sub(" ", fit)
    return html.escape(fit, quote=True)


def clean(text: str) -> str:
    """Return text with `�` for what XML cannot hold and for what turns the letters around."""
    return _TURNING.sub("\ufffd", _FORBIDDEN.sub("\ufffd", text))


def number(value: float) -> str:
    """Return a coordinate with at most one decimal, and never `-0`."""
    text = f"{value:.1f}".removesuffix(".0")
    return "0" if text == "-0" else text


def tag(name: str, body: str = "", **attributes: str | float) -> str:
    """Return an element; `stroke_width` becomes `stroke-width`, and a number is kept short.

    Args:
        name: The element's name.
        body: What is inside, escaped already.
        attributes: Values not yet escaped; an empty one is left out.
    """
    parts = [name]
    for key, value in attributes.items():
        written = number(value) if isinstance(value, int | float) else escape(value)
        if written:
            parts.append(f'{key.strip("_").replace("_", "-")}="{written}"')
    head = " ".join(parts)
    return f"<{head}>{body}</{name}>\n" if body else f"<{head}/>\n"
