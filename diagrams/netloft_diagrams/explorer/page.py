"""The page itself: one file that holds its style, its script and the graph, and needs no network.

The policy admits the one style and the one script by their hashes and nothing else; the graph is a
block of data, which no browser runs.
"""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

from netloft.graph import Graph
from netloft_diagrams.explorer.colours import family_rules, paint_rules, variables
from netloft_diagrams.explorer.data import page_data
from netloft_diagrams.markup import clean, escape
from netloft_diagrams.page import Options
from netloft_diagrams.scene import Scene
from netloft_diagrams.theme import FAMILIES, FONT

__all__ = ["explorer"]

POLICY = (
    "default-src 'none'; style-src '{style}'; script-src '{script}'; "
    "base-uri 'none'; form-action 'none'"
)
SCRIPTS = ("model", "layout", "stack", "marks", "figure", "view", "panel", "search", "main")
"""In order: each uses what stands before it."""
NIGHT = (
    "--page: #14181e; --ink: #e4e9ef; --quiet: #9aa6b4; --wire: #a9b4c2; --skip: #f08a4b; "
    "--edge: #333c47; --frame: #56616f; --d0: #191e25; --d1: #1f252d; --d2: #262d36; "
    "--d3: #2d3540; --accent: #5aa9e6; --raised: #1f252d; --chosen: #ffa657; --warn: #ff8a80; "
    "--badge: #e4e9ef; --badge-ink: #14181e; "
)
BUTTONS = (
    ("out", "\N{MINUS SIGN}", "smaller"),
    ("in", "+", "larger"),
    ("fit", "fit", "show all"),
    ("all", "open all", "open every module"),
    ("none", "close all", "close every module"),
    ("theme", "dark/light", "change between dark and light"),
    ("print", "print", "print the figure as it stands"),
)
HINT = (
    "<kbd>click</kbd> opens and closes a module · <kbd>←</kbd> <kbd>→</kbd> along the flow · "
    "<kbd>↓</kbd> into a module, <kbd>↑</kbd> out of it · <kbd>Enter</kbd> opens and closes · "
    "<kbd>/</kbd> search · <kbd>+</kbd> <kbd>-</kbd> <kbd>0</kbd> zoom · "
    "<kbd>Esc</kbd> closes the details"
)


def explorer(scene: Scene, graph: Graph, options: Options, *, down: bool, still: str) -> str:
    """Return the page as one text.

    Args:
        scene: All boxes and frames.
        graph: For the facts of the panel.
        options: What to open at first.
        down: Whether the flow runs downwards.
        still: The drawing as SVG, for browsers that run no script.
    """
    found = page_data(scene, graph, options, down)
    style, script = _style(), _script()
    policy = POLICY.format(style=_digest(style), script=_digest(script))
    name = escape(scene.facts.name)
    notes = "".join(f"<p>{escape(note)}</p>" for note in found["notes"])
    buttons = "".join(
        f'<button type="button" id="{key}" title="{hint}" aria-label="{hint}">{text}</button>'
        for key, text, hint in BUTTONS
    )
    return "".join(
        (
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n',
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n',
            '<meta name="viewport" content="width=device-width">\n',
            f"<title>{name}</title>\n<style>{style}</style>\n</head>\n<body>\n",
            f"<header><div><h1>{escape(found['name'])}</h1><p>{escape(found['line'])}</p></div>",
            f'<div class="tools">{buttons}</div></header>\n<main>\n<div id="view">',
            f'<svg id="figure" role="tree" tabindex="0" aria-label="layers of {name}"></svg>',
            f"<noscript>{still}</noscript></div>\n",
            f'<aside aria-label="search and details">{_SEARCH}',
            '<section id="details" aria-label="details" hidden></section>',
            f'<p id="hint">{HINT}</p></aside>\n</main>\n',
            f'<footer id="notes">{notes}</footer>\n' if notes else "",
            '<div id="live" aria-live="polite"></div>\n',
            f'<script type="application/json" id="graph">{_json(found)}</script>\n',
            f"<script>{script}</script>\n</body>\n</html>\n",
        )
    )


_SEARCH = (
    '<div class="search"><input id="find" type="search" role="combobox" aria-expanded="false" '
    'aria-controls="hits" autocomplete="off" placeholder="find a path, class or operation ( / )" '
    'aria-label="find a path, class or operation"><div id="found" role="status"></div>'
    '<ul id="hits" role="listbox" aria-label="found" hidden></ul></div>'
)


def _part(name: str) -> str:
    return (Path(__file__).parent / name).read_text(encoding="utf-8")


def _style() -> str:
    light, night = variables(dark=False), NIGHT + variables(dark=True)
    text = _part("page.css").replace("/*light*/", light).replace("/*night*/", night)
    return f"{text.replace('/*font*/', FONT)}{family_rules()}\n{paint_rules()}\n"


def _script() -> str:
    icons = {kind: look.icon for kind, look in FAMILIES.items() if look.icon} | {
        "reduce": FAMILIES["pool"].icon
    }
    parts = "\n".join(_part(f"js/{name}.js") for name in SCRIPTS)
    return f'(() => {{\n"use strict";\nconst ICONS = {json.dumps(icons)};\n{parts}}})();\n'


def _digest(text: str) -> str:
    made = hashlib.sha256(text.encode("utf-8")).digest()
    return f"sha256-{base64.b64encode(made).decode('ascii')}"


def _json(found: dict[str, Any]) -> str:
    """Write data so that nothing in it can end the block or begin another."""
    text = clean(json.dumps(found, ensure_ascii=False, allow_nan=False, separators=(",", ":")))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
