"""Let a convolution pad for itself.

Given:
    %p = pad(%x, (1, 1, 1, 1))
    %y = conv2d(%p, padding=0)

Result:
    %y = conv2d(%x, padding=1)

Leaves alone:
    Pads with another value than zero, of other axes than the convolution's own, crops, and
    convolutions whose padding is a word or not of zeros.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from torch import fx

from netloft.graph.annotation import Annotation
from netloft.passes.affine import Affine, affine_of, input_of, put_affine
from netloft.passes.edit import Edit
from netloft.passes.merge_moves import pads_of

__all__ = ["fold_pad"]


def fold_pad(edit: Edit) -> None:
    """Fold each pad into the convolutions that read it."""
    for node, record in edit:
        affine = affine_of(edit, node, record)
        if affine is None or affine.op not in ("conv1d", "conv2d", "conv3d"):
            continue
        pad = input_of(node)
        found = _pads(edit, pad, affine)
        if found is None:
            continue
        operand = input_of(pad)
        put_affine(edit, node, affine.padded(found), _told(record, found), pad.name)
        node.args = (operand,)
        edit.note(node, f"%{pad.name} is padding of the convolution")
        if not pad.users:
            edit.erase(pad)


def _told(record: Annotation, pads: Sequence[int]) -> Annotation:
    """Return the record of a convolution that pads for itself; all ends only where they differ."""
    begins, ends = pads[: len(pads) // 2], pads[len(pads) // 2 :]
    padding = tuple(begins) if begins == ends else tuple(pads)
    return replace(record, attributes={**record.attributes, "padding": padding})


def _pads(edit: Edit, pad: fx.Node, affine: Affine) -> list[int] | None:
    """Return all begins and then all ends of the padding of both; None where they do not fit."""
    record: Annotation = pad.meta["netloft"]
    own = affine.options.get("padding", 0)
    if record.op != "pad" or isinstance(own, str):
        return None
    found = pads_of(edit, pad)
    n = int(affine.op[-2])
    if found is None or found[1] != 0.0 or any(found[0][2 * n :]):
        return None
    pads = [*found[0], *[0] * (2 * n - len(found[0]))][: 2 * n]
    pairs = [(pads[i], pads[i + 1]) for i in range(0, 2 * n, 2)][::-1]
    lengths = [own] * n if isinstance(own, int) else [*own] * (n // len(own) or 1)
    both = lengths if len(lengths) == 2 * n else lengths * 2
    added = [begin for begin, _ in pairs] + [end for _, end in pairs]
    return [a + b for a, b in zip(both, added, strict=True)]
