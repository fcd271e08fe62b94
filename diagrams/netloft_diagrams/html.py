"""One page to explore a drawing: the figure to zoom and move, and a tree of all layers.

It needs no network and no server. The only script is written here, and the page's policy admits it
by its hash and nothing else.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from pathlib import Path

from netloft_diagrams import words
from netloft_diagrams.facts import facts_line
from netloft_diagrams.markup import escape
from netloft_diagrams.measure import params_text, path_range
from netloft_diagrams.scene import Box, Frame, Item, Scene
from netloft_diagrams.theme import family

__all__ = ["page"]

POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; "
    "base-uri 'none'; form-action 'none'"
)
CONTROLS = (
    '<div class="bar"><button id="out" aria-label="smaller">\N{MINUS SIGN}</button>'
    '<button id="in" aria-label="larger">+</button><button id="fit">fit</button></div>'
)
SEARCH = '<input id="find" type="search" placeholder="find a layer" aria-label="find a layer">'


def page(scene: Scene, figure: str) -> str:
    """Return the page as one text.

    Args:
        scene: For the tree of layers.
        figure: The drawing, as SVG.
    """
    facts = scene.facts
    style, script = _part("explorer.css"), _part("explorer.js")
    digest = base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")
    name = escape(facts.name)
    flow = escape(f"{', '.join(facts.inputs)} → {', '.join(facts.outputs)} · {facts_line(facts)}")
    return "".join(
        (
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n',
            '<meta http-equiv="Content-Security-Policy" ',
            f'content="{POLICY.format(digest=digest)}">\n',
            '<meta name="viewport" content="width=device-width">\n',
            f"<title>{name}</title>\n<style>{style}</style>\n</head>\n<body>\n",
            f"<header><h1>{name}</h1><p>{flow}</p></header>\n",
            f'<main>\n<div id="view">{figure}{CONTROLS}</div>\n',
            f'<nav aria-label="layers">{SEARCH}\n',
            *_rows(scene.root.items),
            *_notes(scene),
            f"</nav>\n</main>\n<script>{script}</script>\n</body>\n</html>\n",
        )
    )


def _part(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


def _rows(items: tuple[Item, ...]) -> Iterator[str]:
    for item in items:
        times = f" <b>×{item.times}</b>" if item.times > 1 else ""
        params = f" <small>{escape(params_text(item))}</small>" if item.n_params else ""
        key = escape(item.key)
        if isinstance(item, Frame):
            name = _frame_name(item)
            yield f'<details data-key="{key}"><summary>{name}{times}{params}</summary>\n'
            yield from _rows(item.items)
            yield "</details>\n"
            continue
        look = family(item.kind)
        name = path_range(item.name, item.last_path)
        yield (
            f'<details data-key="{key}"><summary><i style="background:{look.band}"></i>'
            f"{escape(item.symbol or item.title)}{times} <small>{escape(name)}</small>{params}"
            f"</summary>\n<dl>{_details(item)}</dl></details>\n"
        )


def _frame_name(frame: Frame) -> str:
    first = frame.path if frame.class_name else frame.items[0].path
    return f"{escape(path_range(first, frame.last_path))} <small>{escape(frame.class_name)}</small>"


def _details(box: Box) -> str:
    rows = {
        "path": path_range(box.path, box.last_path),
        "class": box.class_name,
        "fused": ", ".join(box.lines),
        "output": box.shape,
        "parameters": words.count(box.n_params) if box.n_params else "",
        "all copies": words.count(box.total_params) if box.covered_params else "",
        "multiply-adds": words.count(box.macs) if box.macs else "",
        "nodes": ", ".join(box.ops),
        "source": box.source,
    }
    return "".join(f"<dt>{k}</dt><dd>{escape(v)}</dd>" for k, v in rows.items() if v)


def _notes(scene: Scene) -> Iterator[str]:
    rows = [("declared, never called", row) for row in scene.facts.dead]
    rows += [("side effect", row) for row in scene.facts.effects]
    for kind, row in rows:
        yield f"<p><b>{kind}:</b> {escape(row)}</p>\n"
