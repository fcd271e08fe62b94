"""A volume figure as TikZ, for LaTeX: it compiles with `pdflatex` and the pictures collection."""

from __future__ import annotations

import re

from netloft_diagrams.geometry import Point
from netloft_diagrams.markup import number
from netloft_diagrams.volume.figure import Face, Figure, Line, Mark, Words

__all__ = ["tikz"]

_SPECIAL = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#",
    "%": r"\%", "_": r"\_", "^": r"\textasciicircum{}", "~": r"\textasciitilde{}",
    "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", '"': "''",
    "×": r"$\times$", "→": r"$\to$", "·": r"$\cdot$", "…": r"\dots{}",
    "\N{MINUS SIGN}": "$-$", "÷": r"$\div$", "-": "{-}",
}  # fmt: skip
POINTS = 0.75
"""Points in a pixel."""


def tikz(figure: Figure) -> str:
    """Return a document of one page of the figure's size.

    Letters that plain LaTeX lacks become `?`; whatever else a name holds is only text.
    """
    colours: dict[str, str] = {}
    body = [_mark(mark, colours) for part in figure.parts for mark in part.marks]
    wide, high = (number(n * POINTS + 8) for n in (figure.width, figure.height))
    defined = "".join(
        f"\\definecolor{{{name}}}{{HTML}}{{{code[1:].upper()}}}\n" for code, name in colours.items()
    )
    return (
        "\\documentclass{article}\n"
        f"\\usepackage[paperwidth={wide}pt,paperheight={high}pt,margin=4pt]{{geometry}}\n"
        "\\usepackage{tikz}\n"
        "\\pagestyle{empty}\\parindent=0pt\\topskip=0pt\n"
        f"{defined}"
        "\\begin{document}\\noindent\\sffamily\n"
        f"\\begin{{tikzpicture}}[x={POINTS}pt,y=-{POINTS}pt,line width=.6pt,line join=round]\n"
        f"\\useasboundingbox (0,0) rectangle ({number(figure.width)},{number(figure.height)});\n"
        f"{''.join(body)}\\end{{tikzpicture}}\n\\end{{document}}\n"
    )


def _mark(mark: Mark, colours: dict[str, str]) -> str:
    if isinstance(mark, Face):
        fill = f"fill={_colour(mark.fill, colours)}," if mark.fill else ""
        dash = ",dashed" if mark.dashed else ""
        options = f"{fill}draw={_colour(mark.line, colours)}{dash}"
        return f"\\path[{options}] {_path(mark.points)} -- cycle;\n"
    if isinstance(mark, Line):
        arrow = ",-stealth" if mark.arrow else ""
        weight = number(mark.weight * POINTS)
        options = f"draw={_colour(mark.colour, colours)},line width={weight}pt{arrow}"
        return f"\\path[{options}] {_path(mark.points)};\n"
    return _words(mark, colours)


def _words(mark: Words, colours: dict[str, str]) -> str:
    size = number(mark.size * POINTS)
    weight = "\\bfseries " if mark.bold else ""
    anchor = "base west" if mark.left else "base"
    options = f"anchor={anchor},inner sep=0pt,text={_colour(mark.colour, colours)}"
    font = f"\\fontsize{{{size}}}{{{size}}}\\selectfont {weight}"
    place = f"({number(mark.x)},{number(mark.y)})"
    return f"\\node[{options}] at {place} {{{font}{_escaped(mark.content)}}};\n"


def _path(points: tuple[Point, ...]) -> str:
    return " -- ".join(f"({number(x)},{number(y)})" for x, y in points)


def _colour(code: str, colours: dict[str, str]) -> str:
    return colours.setdefault(code, f"c{len(colours)}")


def _escaped(text: str) -> str:
    plain = re.sub(r"\s+", " ", text)
    return "".join(
        _SPECIAL.get(letter, letter if " " <= letter <= "~" else "?") for letter in plain
    )
