"""Where the time of a file goes: each node, next to runs of the whole that nothing watches."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from netloft.errors import CheckError
from netloft.speed.adding_up import SHARE, TRIES, adds_up, percent
from netloft.speed.contestants import timed_session
from netloft.speed.file_nodes import FileNodes
from netloft.speed.kernels import Kernel, Kernels, kernels_of
from netloft.speed.measure import Clock, Plan, measure
from netloft.speed.peak import Peak
from netloft.speed.roofline import limit_of
from netloft.speed.setup import Setup
from netloft.speed.stats import median

__all__ = ["ProfileRow", "profile"]

Arrays = Mapping[str, npt.NDArray[Any]]

_ROUNDS = 200
"""Profiled runs at most: ONNX Runtime stops taking notes after a million."""


@dataclass(frozen=True)
class ProfileRow:
    """One kernel of a file, as ONNX Runtime ran it.

    Attributes:
        target: The file.
        provider: That was asked for.
        ran_on: Provider that ran it, as ONNX Runtime says: the CPU takes what another one lacks.
        batch: Items in the run.
        threads: For one operation.
        node: The file's node; the last one of several that were fused. Empty for what ONNX Runtime
            added, such as a change of layout.
        value: Name of the value that it gives.
        op: Its ONNX operator; that of the kernel where there is no node.
        module: Path of the module call that it comes from.
        kernel: What ran, such as `Conv` for a convolution with a fused activation.
        ms: Median milliseconds.
        share: Of the time of the whole.
        macs: Multiply-adds of a run; None where they are not counted.
        precision: Element type of their factors, such as `float32` or `int8`; empty where there
            are none.
        bytes: That it reads and writes in a run, weights and all.
        gflops: 10^9 operations per second that it reached; a multiply-add is two.
        gbs: 10^9 bytes per second that it reached.
        limit_ms: The least milliseconds that this machine can do it in, as `roofline.py` says; None
            where the peak or the work is not known.
        limit_by: What takes that long: `multiply-adds`, `bytes`, or `bytes alone` where the peak of
            its multiply-adds was not measured; empty where there is no limit.
    """

    target: str
    provider: str
    ran_on: str
    batch: int
    threads: int
    node: str
    value: str
    op: str
    module: str
    kernel: str
    ms: float
    share: float
    macs: int | None
    precision: str
    bytes: int
    gflops: float | None
    gbs: float
    limit_ms: float | None
    limit_by: str


def profile(
    target: str,
    path: Path,
    feeds: Arrays,
    setup: Setup,
    plan: Plan,
    peak: Peak | None = None,
) -> tuple[ProfileRow, ...]:
    """Time each node of a file.

    Runs of a session that takes the time of every node alternate with runs of one that does not;
    of both the median counts.

    Args:
        target: What the file is called in the rows.
        path: The file.
        feeds: Its inputs.
        setup: How it runs.
        plan: How long to measure.
        peak: What the machine can do; None where that is not known.

    Raises:
        CheckError: The nodes do not add up to the whole within `SHARE`.
    """
    nodes = FileNodes(path)
    found: Kernels = {}
    whole = 0.0
    for _ in range(TRIES):
        events, whole = _measured(path, feeds, setup, plan)
        found = kernels_of(events, nodes.known)
        if adds_up(_times(found), whole):
            return tuple(
                ProfileRow(
                    target, setup.provider, kernel.ran_on, setup.batch, setup.threads,
                    *nodes.origin(name, kind), kind, **_speeds(kernel, whole, peak),
                )
                for (name, kind), kernel in found.items()
            )  # fmt: skip
    raise CheckError(
        f"the nodes of {target} took {percent(_times(found), whole)} % of the time of the whole "
        f"on {setup.provider}, further than {SHARE:.0%} from it: that does not say where time goes",
        remedy="measure again when the machine is quiet, with --threads 1 or a larger batch",
    )


def _times(kernels: Kernels) -> list[float]:
    return [kernel.ms for kernel in kernels.values()]


def _speeds(kernel: Kernel, whole: float, peak: Peak | None) -> dict[str, Any]:
    """Return the fields of a row from `ms` on."""
    ms, work = kernel.ms, kernel.work
    limit = limit_of(work, peak) if peak else None
    per_s = 1e3 / ms / 1e9 if ms else 0.0
    return {
        "ms": round(ms, 5),
        "share": round(ms / whole, 5),
        "macs": work.macs,
        "precision": work.precision if work.macs else "",
        "bytes": work.bytes,
        "gflops": None if work.macs is None else round(2 * work.macs * per_s, 2),
        "gbs": round(work.bytes * per_s, 3),
        "limit_ms": None if limit is None else round(limit.ms, 5),
        "limit_by": "" if limit is None else limit.by,
    }


def _measured(
    path: Path, feeds: Arrays, setup: Setup, plan: Plan
) -> tuple[list[dict[str, Any]], float]:
    """Return what was noted, and the milliseconds of the whole."""
    provider, threads = setup.provider, setup.threads
    arrays = {name: np.asarray(array, order="C") for name, array in feeds.items()}
    with tempfile.TemporaryDirectory(prefix="netloft-") as folder:
        watched = timed_session(path, provider, threads, profile_to=Path(folder) / "times")
        plain = timed_session(path, provider, threads)
        runs: list[Callable[[], object]] = [
            lambda: plain.run(None, arrays), lambda: watched.run(None, arrays)
        ]  # fmt: skip
        samples, _ = measure(runs, _bounded(plan), Clock())
        events = json.loads(Path(watched.end_profiling()).read_text(encoding="utf-8"))
    return events, median(samples.wall_ns) / 1e6


def _bounded(plan: Plan) -> Plan:
    return Plan(plan.budget_s, min(plan.rounds, _ROUNDS), _ROUNDS, plan.patience, plan.warmup_s)
