"""Draw the gallery: the built-in networks, and well-known ones of every kind.

    python examples/gallery.py            writes docs/gallery
    python examples/gallery.py --check    tells whether it is current; exit code 1 where it is not

A drawing shows structure, so no weights are loaded and nothing is run.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torchvision
from torch import Tensor, nn

import netloft
from netloft.graph import Graph
from netloft.models.catalog import BUILTINS
from netloft_diagrams import render

FOLDER = Path(__file__).parents[1] / "docs" / "gallery"
NETWORKS: Mapping[str, tuple[int, ...]] = {
    "alexnet": (3, 224, 224),
    "resnet18": (3, 224, 224),
    "resnet152": (3, 224, 224),
    "densenet121": (3, 224, 224),
    "inception_v3": (3, 299, 299),
    "mobilenet_v3_large": (3, 224, 224),
    "convnext_tiny": (3, 224, 224),
    "vit_b_16": (3, 224, 224),
    "swin_t": (3, 224, 224),
    "maxvit_t": (3, 224, 224),
    "r3d_18": (3, 16, 112, 112),
    "fcn_resnet50": (3, 520, 520),
}
"""Of torchvision, with the shape of one input."""
NAMES = (*BUILTINS, *NETWORKS)


def graph_of(name: str) -> Graph:
    """Trace one network of the gallery."""
    if name in NETWORKS:
        module, shape = _build(name), NETWORKS[name]
    else:
        (size,) = BUILTINS[name].inputs
        module, shape = netloft.load(name), tuple(map(int, size.split("x")))[1:]
    example: tuple[Tensor, ...] = (torch.zeros(2, *shape),)
    return netloft.trace(module, example, name=name, prove=False)


def _build(name: str) -> nn.Module:
    keywords: dict[str, Any] = {"weights": None}
    if name.startswith("fcn"):
        keywords["weights_backbone"] = None
    if name == "inception_v3":
        keywords |= {"init_weights": False}
    module: nn.Module = torchvision.models.get_model(name, **keywords)
    return module.eval()


def page() -> str:
    """Return the page that shows all drawings."""
    rows = [
        "# Gallery",
        "",
        "What `netloft draw NAME` draws by default: as much as fits one A4 page with text of 6 pt. "
        "Made by `python examples/gallery.py`.",
    ]
    for name in NAMES:
        rows += ["", f"## {name}", "", f'<img src="{name}.svg" width="700" alt="{name}">']
    return "\n".join([*rows, ""])


def files() -> dict[Path, bytes]:
    """Return everything in the folder."""
    drawn = {FOLDER / f"{name}.svg": render(graph_of(name), "svg") for name in NAMES}
    return {FOLDER / "README.md": page().encode(), **drawn}


def main() -> int:
    """Write the gallery, or check it."""
    made = files()
    if "--check" in sys.argv[1:]:
        known = set(FOLDER.iterdir())
        old = [p for p, data in made.items() if not p.is_file() or p.read_bytes() != data]
        for path in sorted({*old, *(known - set(made))}):
            print(f"not current: {path.name}", file=sys.stderr)
        return 1 if old or known - set(made) else 0
    FOLDER.mkdir(exist_ok=True)
    for path, data in made.items():
        path.write_bytes(data)
        print(path.relative_to(FOLDER.parents[1]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
