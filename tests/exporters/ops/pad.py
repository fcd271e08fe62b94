"""Padding."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from tests.exporters.ops.row import IMAGE, Row
from torch import nn
from torch.nn import functional as F  # noqa: N812 - what everybody calls it

__all__ = ["ROWS"]

SIGNAL, VOLUME = (1, 4, 20), (1, 4, 5, 6, 7)
SHAPES = {1: SIGNAL, 2: IMAGE, 3: VOLUME}
PADS = {1: (3, 1), 2: (3, 1, 0, 2), 3: (3, 1, 0, 2, 1, 4)}

MODULES: dict[str, tuple[Callable[..., nn.Module], ...]] = {
    "zero": (nn.ZeroPad1d, nn.ZeroPad2d, nn.ZeroPad3d),
    "reflection": (nn.ReflectionPad1d, nn.ReflectionPad2d, nn.ReflectionPad3d),
    "replication": (nn.ReplicationPad1d, nn.ReplicationPad2d, nn.ReplicationPad3d),
    "circular": (nn.CircularPad1d, nn.CircularPad2d, nn.CircularPad3d),
}

ROWS = [
    *(
        Row(f"{name} pad {n}d", classes[n - 1](PADS[n]), SHAPES[n])
        for name, classes in MODULES.items()
        for n in (1, 2, 3)
    ),
    Row("constant pad 1d", nn.ConstantPad1d(2, 1.5), SIGNAL),
    Row("constant pad 2d", nn.ConstantPad2d((1, -2, -3, 4), -0.5)),
    Row("constant pad 3d", nn.ConstantPad3d(1, 2), VOLUME),
    *(
        Row(f"pad {mode} and crop", partial(F.pad, pad=(-3, 5, 4, -2), mode=mode))
        for mode in ("constant", "reflect", "replicate", "circular")
    ),
    *(
        Row(f"crop by {mode}", partial(F.pad, pad=(-1, -2, -3, 0), mode=mode))
        for mode in ("reflect", "replicate", "circular")
    ),
    Row("reflect what is cut off", lambda x: F.pad(x, (9, -1), "reflect"), (1, 4, 10)),
    Row("pad with infinity", lambda x: F.pad(x, (1, 1), value=float("inf")).clamp(max=9.0)),
    Row("pad by nothing", lambda x: F.pad(x, (0, 0, 0, 0)) * 2),
    Row("pad the channels", lambda x: F.pad(x, (0, 0, 0, 0, 1, 2), value=3.0)),
    Row("pad the batch", lambda x: F.pad(x, (0, 0, 0, 0, 0, 0, 1, 0), value=3.0)),
    Row("pad by a size", lambda x: F.pad(x, (0, x.shape[-2] - 9), value=3.0)),
    Row("pad by the batch", lambda x: F.pad(x, (0, 0, x.shape[0], 0)).sum(2)),
    Row("pad integers", lambda x: F.pad(x.long(), (1, 2), value=-7)),
    Row("pad integers by reflection", lambda x: F.pad(x.round().int(), (1, 2, 3, 0), "reflect")),
    Row("pad booleans", lambda x: F.pad(x > 0, (1, -2, 0, 1), value=True)),
]
