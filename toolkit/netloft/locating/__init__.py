"""Where a file leaves its module: the first operation whose error is its own."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy.typing as npt
import onnx
import torch

from netloft.comparing import Change
from netloft.graph.graph import Graph, annotation
from netloft.locating.instrumented import run_cut, run_watched
from netloft.locating.pairs import Matched, Pair, match
from netloft.locating.rows import LayerRow, Located, Unlike
from netloft.locating.trajectories import Arrays, Trajectories
from netloft.parity.compare import scaled_error
from netloft.parity.flat import flat_header
from netloft.parity.inputs import feeds_of
from netloft.parity.policy import DEFAULT_POLICY, Policy
from netloft.parity.reference import ROUNDED_RUNS, moved
from netloft.parity.sums import least_of_sum

__all__ = ["LayerRow", "Located", "Unlike", "locate"]

_ROLES = ("weight", "bias", "running_mean", "running_var")


def locate(
    graph: Graph,
    path: Path,
    inputs: Mapping[str, torch.Tensor],
    *,
    provider: str = "cpu",
    threads: int | None = None,
    policy: Policy = DEFAULT_POLICY,
) -> Located:
    """Find the first operation of a file whose error leaves the noise floor by itself.

    First the weights are compared by value, without running anything. Then all inner values that
    the module and the file both have are compared twice: as they come out of the whole file, and
    with every operation given true inputs, so that its own error is told from what it inherits.
    The true inputs are the float64 values, rounded to the type that they have. Either is one
    session, whatever the number of layers.

    Args:
        graph: The proven graph of the module.
        path: The `.onnx` file, of any exporter.
        inputs: By name of `forward`'s argument.
        provider: What to run the file on.
        threads: For one operation; None for the runtime's own choice.
        policy: What passes.

    Raises:
        CheckError: The module has no float64 run, or a write in place cannot be expressed as a
            value.
        UsageError: ONNX Runtime cannot load the file with its inner values as outputs.
    """
    header = flat_header(path)
    matched = match(graph, path, header)
    layers = _Layers(matched, policy, provider)
    session = {"provider": provider, "threads": threads}
    rows = layers.rows(path.parent, header, feeds_of(graph, inputs), [*inputs.values()], session)
    unlike = tuple(_unlike(matched))
    ours = header.producer_name == "netloft"
    first, node = _first(matched, rows, unlike, ours)
    notes = tuple(_notes(matched, rows, unlike, ours))
    return Located(rows, unlike, first, node, _n_weights(matched), notes)


class _Layers:
    """Run both sides, and hold every value against its own."""

    def __init__(self, matched: Matched, policy: Policy, provider: str) -> None:
        self._matched, self._policy, self._provider = matched, policy, provider

    def rows(
        self,
        folder: Path,
        header: onnx.ModelProto,
        feeds: Mapping[str, npt.NDArray[Any]],
        inputs: Sequence[torch.Tensor],
        session: Mapping[str, Any],
    ) -> tuple[LayerRow, ...]:
        """Return a row for each pair."""
        pairs = self._matched.pairs
        run = Trajectories(self._matched.graph.module, inputs, [pair.node for pair in pairs])
        true = {pair.value: run.true[pair.node].numpy() for pair in pairs}
        whole = run_watched(header, folder, feeds, true, **session)
        own = run_cut(header, folder, feeds, true, **session)
        rows = [self._row(pair, run, whole[pair.value], own[pair.value]) for pair in pairs]
        if all(row.status == "pass" for row in rows):
            return tuple(rows)
        return tuple(self._looked_closer(rows, run))

    def _row(
        self, pair: Pair, run: Trajectories, whole: npt.NDArray[Any], own: npt.NDArray[Any]
    ) -> LayerRow:
        name, node = pair.node, self._matched.graph.node(pair.node)
        record, least = annotation(node), least_of_sum(node)
        error, floor = self._held(whole, run.whole[name], run.whole_float32[name], least)
        own_error, own_floor = self._held(own, run.own[name], run.own_float32[name], least)
        row = LayerRow(
            module=record.module,
            op=record.op,
            source=str(record.source or ""),
            node=name,
            onnx_node=pair.step,
            provider=self._provider,
            scaled_error=error,
            noise_floor=floor,
            ratio=error / floor,
            own_error=own_error,
            own_floor=own_floor,
            own_ratio=own_error / own_floor,
            status="",
        )
        return dataclasses.replace(row, status=self._status(row))

    def _held(
        self,
        actual: npt.NDArray[Any],
        exact: npt.NDArray[Any],
        single: npt.NDArray[Any],
        least: float,
    ) -> tuple[float, float]:
        """Return a scaled error, and PyTorch's own, which is the floor."""
        own = scaled_error(single, exact, nonfinite_like=single)
        floor = max(self._policy.floor(own, [own], single.dtype.name), least)
        return scaled_error(actual, exact, nonfinite_like=single), floor

    def _status(self, row: LayerRow) -> str:
        if self._policy.status(row.own_error, row.own_floor) == "fail":
            return "fail"
        beyond = self._policy.status(row.scaled_error, row.noise_floor) == "fail"
        return "inherits" if beyond else "pass"

    def _looked_closer(self, rows: Sequence[LayerRow], run: Trajectories) -> list[LayerRow]:
        """Measure PyTorch's own error again, on true inputs that differ by one rounding.

        A node that is exact by luck must not make another one wrong.
        """
        generator = torch.Generator().manual_seed(0)
        again = [run.perturbed(lambda t: moved(t, t.dtype, generator)) for _ in range(ROUNDED_RUNS)]
        return [self._again(row, run, again) if row.status == "fail" else row for row in rows]

    def _again(self, row: LayerRow, run: Trajectories, again: Sequence[Arrays]) -> LayerRow:
        exact = run.own[row.node]
        errors = (scaled_error(a[row.node], exact, nonfinite_like=a[row.node]) for a in again)
        floor = max(row.own_floor, *errors)
        made = dataclasses.replace(row, own_floor=floor, own_ratio=row.own_error / floor)
        return dataclasses.replace(made, status=self._status(made))


def _unlike(matched: Matched) -> list[Unlike]:
    return [
        Unlike(
            module=change.entry.path,
            op=change.entry.op,
            source=str((change.a or change.entry).source or ""),
            node=change.entry.node[0] if change.a is None else change.a.node[0],
            what=_what(change),
            is_weight=_is_weight(change),
        )
        for change in matched.difference.unexplained
    ]


def _what(change: Change) -> str:
    if change.kind in ("added", "removed"):
        return f"{'the file' if change.kind == 'added' else 'the module'} alone has it"
    return change.words


def _is_weight(change: Change) -> bool:
    return change.kind == "changed" and any(row[0].split(" ")[0] in _ROLES for row in change.what)


def _n_weights(matched: Matched) -> int:
    return sum(len(c.a.weights) for c in matched.difference.changes if c.a and c.b and c.whole)


def _first(
    matched: Matched, rows: Sequence[LayerRow], unlike: Sequence[Unlike], ours: bool
) -> tuple[str, str]:
    """Return the first bad operation in words, and its node.

    Another exporter may write a weight otherwise on purpose; then the error alone decides.
    """
    order = {node.name: i for i, (node, _) in enumerate(matched.graph)}
    bad: list[tuple[int, str, str]] = []
    for row in rows:
        if row.status == "fail":
            bad.append((order[row.node], f"{row}{_near(row, unlike, rows, order)}", row.node))
    if ours:
        bad += [(order[u.node], str(u), u.node) for u in unlike if u.is_weight and u.node in order]
    if not bad:
        return "", ""
    _, words, node = min(bad, key=lambda found: found[0])
    own = next((u.what for u in unlike if u.node == node), "")
    return (f"{words}; {own}" if own and own not in words else words), node


def _near(
    row: LayerRow, unlike: Sequence[Unlike], rows: Sequence[LayerRow], order: Mapping[str, int]
) -> str:
    """Tell what differs in structure between this value and the one compared before it."""
    here = order[row.node]
    before = max((order[r.node] for r in rows if order[r.node] < here), default=-1)
    near = [u for u in unlike if before < order.get(u.node, -1) < here]
    return f"; before it, {near[0]}" if near else ""


def _notes(
    matched: Matched, rows: Sequence[LayerRow], unlike: Sequence[Unlike], ours: bool
) -> list[str]:
    real = sum(change.a is not None for change in matched.difference.changes)
    notes = [f"{len(rows)} of {real} operations were compared by value, inside the network"]
    if not ours:
        notes += [
            f"written otherwise than in the module: {each}" for each in unlike if each.is_weight
        ]
    return notes
