"""Files that compute the same in another way, as far as that is surely faster on this machine."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnx.inliner
import onnx_ir as ir

from netloft.errors import NetloftError
from netloft.rewrites import Kind, Site, alone, input_of, rewrite, sites_of
from netloft.runtime.huge_pages import everything_on_huge_pages
from netloft.runtime.providers import NotRun, process_cpus
from netloft.runtime.reasons import first_line, reason_of
from netloft.speed.contestants import run_of, timed_session
from netloft.speed.measure import Plan, Run, ratio_of
from netloft.speed.stats import Interval

__all__ = ["KindRow", "Variant", "variant_of"]

_PLAN = Plan(budget_s=0.6, rounds=20, warmup_s=0.1, width=0.02, patience=4.0)
_QUICK = Plan(budget_s=0.1, rounds=8, warmup_s=0.05)
"""Of one convolution: a network has up to twenty kinds of them."""

_LARGEST = 1_900_000_000
"""Bytes of a file that keeps its weights inside."""


@dataclass(frozen=True)
class KindRow:
    """What one kind of convolution takes in the other way, with what `alone` puts around it.

    Attributes:
        batch: Items in a run.
        kind: The convolution.
        sites: How many of it the file has that can be rewritten.
        ratio: Its time over the plain one's.
        low: Lower end of the interval.
        high: Upper end.
    """

    batch: int
    kind: Kind
    sites: int
    ratio: float
    low: float
    high: float

    @property
    def pays(self) -> bool:
        """Whether it is surely faster."""
        return self.high < 1


@dataclass(frozen=True)
class Variant:
    """A file that gives the same.

    Attributes:
        model: Its bytes; empty where no convolution is surely faster in another way.
        rows: What was measured.
        refused: Why there is none although there might be; empty for no reason.
        not_run: Kinds that could not be measured, and stay as they are.
    """

    model: bytes
    rows: tuple[KindRow, ...] = ()
    refused: str = ""
    not_run: tuple[NotRun, ...] = ()


def variant_of(
    model: Path, batch: int, progress: Callable[[str], None], *, quick: bool = False
) -> Variant:
    """Return a file whose convolutions are computed in another way, where that is faster here.

    Each kind of convolution that the file has is measured alone, plain and rewritten, on the CPU
    with as many threads as the process has CPUs; those are rewritten whose whole interval lies
    below 1.

    Args:
        model: An `.onnx` file. One that keeps weights in files beside it has no variant; functions
            of one are replaced by what they do.
        batch: Items in a run.
        progress: Told what is measured next.
        quick: Measure each kind for a tenth of a second, not for six.
    """
    proto = onnx.load(model, load_external_data=False)
    if any(onnx.external_data_helper.uses_external_data(t) for t in proto.graph.initializer):
        return Variant(b"", refused="its weights are in a file beside it")
    if proto.functions:  # ONNX Runtime does the same when it loads the file
        proto = onnx.inliner.inline_local_functions(proto)
    try:
        shaped = ir.from_proto(onnx.shape_inference.infer_shapes(proto, strict_mode=True))
    except onnx.shape_inference.InferenceError as error:
        return Variant(b"", refused=f"its shapes do not fit: {first_line(error)}")
    by_kind: dict[Kind, list[Site]] = {}
    for site in sites_of(shaped):
        by_kind.setdefault(site.kind, []).append(site)
    rows, not_run = _measured(by_kind, batch, progress, _QUICK if quick else _PLAN)
    found = Variant(b"", tuple(rows), not_run=tuple(not_run))
    chosen = {row.kind for row in rows if row.pays}
    if not rewrite(shaped, chosen):
        return found
    tensors = [value.const_value for value in shaped.graph.initializers.values()]
    if sum(tensor.nbytes for tensor in tensors if tensor is not None) > _LARGEST:
        return dataclasses.replace(found, refused="the file would be larger than 1.9 GB")
    return dataclasses.replace(found, model=_bytes(shaped))


def _measured(
    by_kind: Mapping[Kind, Sequence[Site]],
    batch: int,
    progress: Callable[[str], None],
    plan: Plan,
) -> tuple[list[KindRow], list[NotRun]]:
    """Return a row for each kind, and those that fail."""
    rows, not_run = list[KindRow](), list[NotRun]()
    for kind, sites in sorted(by_kind.items()):
        what = f"{kind} at batch {batch}, plain and rewritten"
        progress(what)
        try:
            ratio = _ratio(sites[0], batch, plan)
        except (NetloftError, MemoryError) as error:
            not_run.append(NotRun(what, reason_of(error)))
        else:
            rows.append(KindRow(batch, kind, len(sites), ratio.value, ratio.low, ratio.high))
    return rows, not_run


def _ratio(site: Site, batch: int, plan: Plan) -> Interval:
    """Return the time of a rewritten convolution over that of the plain one."""
    plain, rewritten = alone(site, batch), alone(site, batch)
    rewrite(rewritten)
    x = np.random.default_rng(0).standard_normal(input_of(site, batch), np.float32)

    def started(file: bytes) -> Run:
        return run_of(timed_session(file, "cpu", process_cpus()), {"x": x}, "cpu")

    of_rewritten, of_plain = (functools.partial(started, _bytes(m)) for m in (rewritten, plain))
    return ratio_of(
        of_rewritten(),
        of_plain(),
        plan,
        ready=everything_on_huge_pages,
        agains=(of_rewritten, of_plain),
    )


def _bytes(model: ir.Model) -> bytes:
    return bytes(ir.to_proto(model).SerializeToString(deterministic=True))
