"""How wide a text is, from the font that netloft ships; no system font has a say in the layout."""

from __future__ import annotations

import functools
import struct
from pathlib import Path

__all__ = ["FONT_FILES", "FONT_FOLDER", "fit", "fit_end", "shown", "width"]

FONT_FOLDER = Path(__file__).parent / "fonts"
FONT_FILES = (
    FONT_FOLDER / "DejaVuSansCondensed.ttf",
    FONT_FOLDER / "DejaVuSansCondensed-Bold.ttf",
)
MISSING = "□"
UNKNOWN = 1.0
"""Width, in ems, of a letter that the font lacks: an emoji or an ideogram is one em wide."""


@functools.lru_cache(maxsize=10_000)
def width(text: str, size: float, *, bold: bool = False) -> float:
    """Return the width of `text` in pixels at a font size of `size` pixels."""
    widths = _widths(bold)
    return size * sum(widths.get(ord(letter), UNKNOWN) for letter in text)


def fit(text: str, size: float, room: float, *, bold: bool = False) -> str:
    """Return `text`, cut off with `…` where it is wider than `room` pixels."""
    if width(text, size, bold=bold) <= room:
        return text
    kept, used = "", width("…", size, bold=bold)
    for letter in text:
        used += width(letter, size, bold=bold)
        if used > room:
            break
        kept += letter
    return f"{kept.rstrip()}…"


def fit_end(path: str, size: float, room: float, *, bold: bool = False) -> str:
    """Return a module path, its front cut off with `…` where it is wider than `room` pixels.

    The end is what tells neighbours apart; it begins with a whole word where one fits.
    """
    if width(path, size, bold=bold) <= room:
        return path
    words = path.split(".")
    for i in range(1, len(words)):
        cut = f"…{'.'.join(words[i:])}"
        if not words[i].isdigit() and width(cut, size, bold=bold) <= room:
            return cut
    kept, used = "", width("…", size, bold=bold)
    for letter in reversed(path):
        used += width(letter, size, bold=bold)
        if used > room:
            break
        kept = letter + kept
    return f"…{kept.lstrip()}"


def shown(text: str) -> str:
    """Return `text` with `□` for each letter that the font lacks, which would leave a gap."""
    known = _widths(False)
    return "".join(c if c < " " or ord(c) in known else MISSING for c in text)


@functools.cache
def _widths(bold: bool) -> dict[int, float]:
    """Read the letters' widths, in ems, out of the font's own tables."""
    data = FONT_FILES[bold].read_bytes()
    tables = _tables(data)
    (units,) = struct.unpack_from(">H", data, tables["head"] + 18)
    (long_metrics,) = struct.unpack_from(">H", data, tables["hhea"] + 34)
    found = {}
    for code, glyph in _glyphs(data, tables["cmap"]).items():
        at = tables["hmtx"] + 4 * min(glyph, long_metrics - 1)
        found[code] = struct.unpack_from(">H", data, at)[0] / units
    return found


def _tables(data: bytes) -> dict[str, int]:
    (count,) = struct.unpack_from(">H", data, 4)
    rows = (struct.unpack_from(">4sIII", data, 12 + 16 * i) for i in range(count))
    return {tag.decode("ascii"): offset for tag, _, offset, _ in rows}


def _glyphs(data: bytes, cmap: int) -> dict[int, int]:
    """Return the glyph of each letter; the format is OpenType's cmap 4, segment arrays."""
    (count,) = struct.unpack_from(">H", data, cmap + 2)
    records = [struct.unpack_from(">HHI", data, cmap + 4 + 8 * i) for i in range(count)]
    start = next(cmap + offset for *_, offset in records if data[cmap + offset + 1] == 4)
    (doubled,) = struct.unpack_from(">H", data, start + 6)
    n = doubled // 2
    ends, starts, deltas, offsets = (
        struct.unpack_from(f">{n}H", data, start + 14 + skip)
        for skip in (0, doubled + 2, 2 * doubled + 2, 3 * doubled + 2)
    )
    glyphs: dict[int, int] = {}
    for i in range(n):
        for code in range(starts[i], ends[i] + 1 if ends[i] < 0xFFFF else 0xFFFF):
            if offsets[i] == 0:
                glyphs[code] = (code + deltas[i]) & 0xFFFF
                continue
            at = start + 16 + 3 * doubled + 2 * i + offsets[i] + 2 * (code - starts[i])
            (glyph,) = struct.unpack_from(">H", data, at)
            glyphs[code] = (glyph + deltas[i]) & 0xFFFF if glyph else 0
    return {code: glyph for code, glyph in glyphs.items() if glyph}
