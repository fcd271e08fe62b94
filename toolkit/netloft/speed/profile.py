"""Where the time of a file goes: each node, next to runs of the whole that nothing watches."""

from __future__ import annotations

import json
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from netloft.defaults import MODULE
from netloft.errors import CheckError
from netloft.runtime.header import header_of
from netloft.speed.adding_up import SHARE, TRIES, adds_up, percent
from netloft.speed.contestants import timed_session
from netloft.speed.measure import Clock, Plan, measure
from netloft.speed.peak import Peak
from netloft.speed.roofline import Work, limit_ms, total, work_of
from netloft.speed.setup import Setup
from netloft.speed.stats import median

if TYPE_CHECKING:
    import onnx

__all__ = ["ProfileRow", "profile"]

Arrays = Mapping[str, npt.NDArray[Any]]

_ROUNDS = 200
"""Profiled runs at most: ONNX Runtime stops taking notes after a million."""


@dataclass(frozen=True)
class ProfileRow:
    """One kernel of a file, as ONNX Runtime ran it.

    Attributes:
        target: The file.
        provider: What ran it.
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
        macs: Multiply-adds of a run, in float32; None where they are not counted.
        bytes: That it reads and writes in a run, weights and all.
        gflops: 10^9 operations per second that it reached; a multiply-add is two.
        gbs: 10^9 bytes per second that it reached.
        limit_ms: The least milliseconds that this machine can do it in, as `roofline.py` says; None
            where the peak or the work is not known.
    """

    target: str
    provider: str
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
    bytes: int
    gflops: float | None
    gbs: float
    limit_ms: float | None


@dataclass(frozen=True)
class _Kernel:
    ms: float
    work: Work


_Kernels = Mapping[tuple[str, str], _Kernel]
"""By name and kind."""


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
    nodes = _nodes(path)
    found: _Kernels = {}
    whole = 0.0
    for _ in range(TRIES):
        found, whole = _measured(path, feeds, setup, plan)
        if adds_up(_times(found), whole):
            return tuple(
                ProfileRow(
                    target, setup.provider, setup.batch, setup.threads,
                    *_origin(name, kind, nodes), kind, **_speeds(kernel, whole, peak),
                )
                for (name, kind), kernel in found.items()
            )  # fmt: skip
    raise CheckError(
        f"the nodes of {target} took {percent(_times(found), whole)} % of the time of the whole "
        f"on {setup.provider}, further than {SHARE:.0%} from it: that does not say where time goes",
        remedy="measure again when the machine is quiet, with --threads 1 or a larger batch",
    )


def _times(kernels: _Kernels) -> list[float]:
    return [kernel.ms for kernel in kernels.values()]


def _speeds(kernel: _Kernel, whole: float, peak: Peak | None) -> dict[str, Any]:
    """Return the fields of a row from `ms` on."""
    ms, work = kernel.ms, kernel.work
    limit = limit_ms(work, peak) if peak else None
    per_s = 1e3 / ms / 1e9 if ms else 0.0
    return {
        "ms": round(ms, 5),
        "share": round(ms / whole, 5),
        "macs": work.macs,
        "bytes": work.bytes,
        "gflops": None if work.macs is None else round(2 * work.macs * per_s, 2),
        "gbs": round(work.bytes * per_s, 3),
        "limit_ms": None if limit is None else round(limit, 5),
    }


def _measured(path: Path, feeds: Arrays, setup: Setup, plan: Plan) -> tuple[_Kernels, float]:
    """Return what ran, and the milliseconds of the whole."""
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
    return _by_kernel(events), median(samples.wall_ns) / 1e6


def _bounded(plan: Plan) -> Plan:
    return Plan(plan.budget_s, min(plan.rounds, _ROUNDS), _ROUNDS, plan.patience, plan.warmup_s)


_SUFFIX = "_kernel_time"


def _by_kernel(events: list[dict[str, Any]]) -> _Kernels:
    """Return each kernel with its median milliseconds, in the order in which they run."""
    taken: dict[tuple[str, str], list[float]] = defaultdict(list)
    works: dict[tuple[str, str], list[Work]] = defaultdict(list)
    for event in events:
        if event.get("cat") == "Node" and str(event["name"]).endswith(_SUFFIX):
            kind = str(event["args"]["op_name"])
            key = str(event["name"]).removesuffix(_SUFFIX), kind
            taken[key].append(float(event["dur"]) / 1e3)
            works[key].append(work_of(kind, event["args"]))
    runs = min(map(len, taken.values()), default=0)
    # a kernel without a name stands for all of its kind: their sum in each run counts
    return {
        key: _Kernel(
            median(_per_run(values, len(values) // runs)), total(works[key][: len(values) // runs])
        )
        for key, values in taken.items()
    }


def _per_run(values: list[float], several: int) -> list[float]:
    return [sum(values[i : i + several]) for i in range(0, len(values), several)]


def _nodes(path: Path) -> dict[str, onnx.NodeProto]:
    """Return a file's nodes by their names, and by those of their values."""
    import onnx

    header = onnx.load_from_string(header_of(path))
    nodes = list(_all_nodes(header))
    return {name: n for n in nodes for name in n.output} | {n.name: n for n in nodes if n.name}


def _all_nodes(model: onnx.ModelProto) -> Iterator[onnx.NodeProto]:
    yield from model.graph.node
    for function in model.functions:
        yield from function.node


def _origin(
    name: str, kernel: str, nodes: Mapping[str, onnx.NodeProto]
) -> tuple[str, str, str, str]:
    """Return node, value, operator and module of what ran; a fused one is named by its value."""
    node = nodes.get(name) or nodes.get(name.removesuffix("_nchwc"))
    if node is None:
        return "", "", kernel, ""
    facts = {entry.key: entry.value for entry in node.metadata_props}
    return str(node.name), str(node.output[0]), str(node.op_type), facts.get(MODULE, "")
