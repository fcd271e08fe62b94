"""One module of a network drawn alone, with the values that come in and go out."""

from __future__ import annotations

from dataclasses import replace

from netloft.errors import UsageError
from netloft_diagrams.scene import Box, Frame, Item, Scene, frames_of

__all__ = ["only"]


def only(scene: Scene, path: str) -> Scene:
    """Return the scene of the module at `path`, which may be one of the copies of a repeat.

    Raises:
        UsageError: No frame is drawn for that path.
    """
    frames = list(frames_of(scene.root))[1:]
    found = next((f for f in frames if f.path == path and f.class_name), None)
    if found is None:
        known = [f.path for f in frames if f.class_name]
        raise UsageError(
            f"no module {path!r} is drawn as a frame",
            remedy=f"give one of: {', '.join(known[:12]) or 'none here has several layers'}",
        )
    ends = _inputs(scene, found), _outputs(scene, found)
    root = Frame("f", path, found.class_name, (*ends[0], *found.items, *ends[1]))
    facts = replace(
        scene.facts,
        name=f"{scene.facts.name} · {path}",
        class_name=found.class_name,
        inputs=tuple(scene.shapes.get(n, "") for n in found.reads),
        outputs=tuple(scene.shapes.get(n, "") for n in found.gives),
        n_params=found.n_params,
        macs=found.macs,
        dead=(),
        effects=(),
        peak_activation_bytes=0,
        depth=0,
    )
    return replace(scene, root=_numbered(root), facts=facts, hidden=())


def _inputs(scene: Scene, frame: Frame) -> tuple[Item, ...]:
    return tuple(
        Box(f"i{k}", "input", "input", (scene.shapes.get(n, ""),), gives=(n,))
        for k, n in enumerate(frame.reads)
    )


def _outputs(scene: Scene, frame: Frame) -> tuple[Item, ...]:
    return tuple(
        Box(f"o{k}", "output", "output", (scene.shapes.get(n, ""),), reads=(n,))
        for k, n in enumerate(frame.gives)
    )


def _numbered(frame: Frame, depth: int = 0) -> Frame:
    items = (_numbered(i, depth + 1) if isinstance(i, Frame) else i for i in frame.items)
    return replace(frame, items=tuple(items), depth=depth)
