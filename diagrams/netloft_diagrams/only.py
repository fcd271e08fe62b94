"""One module of a network drawn alone, with the values that come in and go out."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import replace

from netloft.errors import UsageError
from netloft.graph import Graph
from netloft_diagrams.scene import Box, Facts, Frame, Item, boxes_of, frames_of

__all__ = ["alone", "facts_of"]


def alone(root: Frame, path: str, graph: Graph, shapes: Mapping[str, str]) -> Frame:
    """Return the module at `path` as a root, with boxes for what it reads and gives.

    Args:
        root: The whole network, before anything is folded, with the ports of each frame.
        path: Where the module hangs; of several calls the first is drawn. A container that is
            never called, such as a `ModuleList`, is what its modules span.
        graph: For the modules that are called or never called.
        shapes: Shape of each value.

    Raises:
        UsageError: There is nothing of several operations at that path.
    """
    frame = next((f for f in frames_of(root) if f.path == path), None) or _span(root, path)
    if frame is None:
        raise _refusal(root, path, graph)
    ins = [
        Box(f"i{k}", "input", "input", (shapes.get(n, ""),), gives=(n,))
        for k, n in enumerate(frame.reads)
    ]
    outs = [
        Box(f"o{k}", "output", "output", (shapes.get(n, ""),), reads=(n,))
        for k, n in enumerate(frame.gives)
    ]
    return Frame("f", path, frame.class_name, (*ins, *frame.items, *outs))


def facts_of(facts: Facts, root: Frame) -> Facts:
    """Return what the title block says of one module; the network's strip at the foot goes."""
    ends = {kind: [b.lines[0] for b in _ends(root, kind)] for kind in ("input", "output")}
    return replace(
        facts,
        name=f"{facts.name} · {root.path}",
        class_name=root.class_name,
        inputs=tuple(ends["input"]),
        outputs=tuple(ends["output"]),
        n_params=root.n_params,
        macs=root.macs,
        n_unused=0,
        dead=(),
        effects=(),
        peak_activation_bytes=0,
        depth=0,
    )


def _ends(root: Frame, kind: str) -> list[Box]:
    return [i for i in root.items if isinstance(i, Box) and i.kind == kind]


def _span(root: Frame, path: str) -> Frame | None:
    """Return the items from the first to the last that lie below a path that is never called."""
    for frame in reversed(list(frames_of(root))):
        below = [k for k, item in enumerate(frame.items) if _is_below(item, path)]
        if len(below) < 2:
            continue
        items = frame.items[below[0] : below[-1] + 1]
        rest = [*frame.items[: below[0]], *frame.items[below[-1] + 1 :]]
        wanted = {n for item in rest for n in item.reads} | set(frame.gives)
        made = list(dict.fromkeys(n for item in items for n in item.gives))
        read = dict.fromkeys(n for item in items for n in item.reads)
        return Frame(
            f"{frame.key}s", path, "", tuple(items),
            reads=tuple(n for n in read if n not in made),
            gives=tuple(n for n in made if n in wanted),
        )  # fmt: skip
    return None


def _is_below(item: Item, path: str) -> bool:
    return item.path.startswith(f"{path}.")


def _refusal(root: Frame, path: str, graph: Graph) -> UsageError:
    called = {call.path for call in graph.modules} | {box.path for box in boxes_of(root)}
    called |= {f.path for f in frames_of(root)}
    if path in called - {""} or any(name.startswith(f"{path}.") for name in called):
        parent = path.rpartition(".")[0]
        return UsageError(
            f"{path!r} is one operation",
            remedy=f"draw its parent: --only {parent}" if parent else "draw the whole network",
        )
    if any(dead.path == path for dead in graph.dead_modules):
        return UsageError(f"{path!r} is never called", remedy="give a module that forward calls")
    known = list(dict.fromkeys(f.path for f in frames_of(root) if f.path))
    return UsageError(f"the forward pass calls no module {path!r}", remedy=_nearest(path, known))


def _nearest(path: str, known: Sequence[str]) -> str:
    if not known:
        return "no module here holds several operations: draw the whole network"
    near = difflib.get_close_matches(path, known, n=5, cutoff=0.5)
    more = ", …" if not near and len(known) > 12 else ""
    return f"give one of: {', '.join(near or known[:12])}{more}"
