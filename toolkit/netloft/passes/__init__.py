"""Passes: graph in, simpler graph out, each one proven where it is made.

The order is data. A pass is a function of an `Edit`; it changes the nodes and says why in notes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import torch

from netloft.errors import UsageError, first_line
from netloft.graph.graph import Graph
from netloft.graph.module import compiled
from netloft.passes.edit import Edit, Note, NotFunctionalError
from netloft.passes.fold_batch_norm import fold_batch_norm
from netloft.passes.fold_constants import fold_constants
from netloft.passes.fold_pad import fold_pad
from netloft.passes.fold_scale import fold_scale
from netloft.passes.functionalise import functionalise
from netloft.passes.merge_common import merge_common
from netloft.passes.merge_moves import merge_moves
from netloft.passes.proof import LIMITS, Proof, Run, difference
from netloft.passes.record import Passed, PassRow
from netloft.passes.remove_dead import remove_dead
from netloft.passes.remove_identity import remove_identity

__all__ = [
    "DEFAULT",
    "PASSES",
    "NotFunctionalError",
    "Note",
    "Pass",
    "PassRow",
    "Passed",
    "choose_passes",
    "run_passes",
]

Pass = Callable[[Edit], None]

DEFAULT: tuple[Pass, ...] = (
    remove_dead,
    remove_identity,
    fold_constants,
    merge_moves,  # before merge_common: a move that is read twice is not merged
    remove_identity,  # two permutations may have become none
    merge_common,
    fold_pad,
    fold_scale,  # after fold_pad: a pad between scale and convolution would hide one
    fold_batch_norm,  # after fold_pad, which looks for convolutions as the module has them
)
"""After `functionalise`, which is not optional: what is exported holds values only."""

PASSES: Mapping[str, Pass] = {function.__name__: function for function in DEFAULT}


def choose_passes(
    only: Sequence[str] | None = None, without: Sequence[str] = ()
) -> tuple[Pass, ...]:
    """Return the passes to run, in order.

    Args:
        only: Names to run, in this order; None for the default ones.
        without: Names to leave out.

    Raises:
        UsageError: There is no such pass.
    """
    if "functionalise" in (*(only or ()), *without):
        raise UsageError(
            "functionalise always runs, before every pass: files have no writes in place",
            remedy="leave it out of the list",
        )
    unknown = [name for name in (*(only or ()), *without) if name not in PASSES]
    if unknown:
        raise UsageError(
            f"there is no pass '{unknown[0]}'", remedy=f"passes are: {', '.join(sorted(PASSES))}"
        )
    chosen = DEFAULT if only is None else tuple(PASSES[name] for name in only)
    return tuple(function for function in chosen if function.__name__ not in without)


def run_passes(
    graph: Graph,
    passes: Sequence[Pass] = DEFAULT,
    *,
    example: Mapping[str, torch.Tensor] | None = None,
    timed: bool = True,
) -> Passed:
    """Functionalise a graph and run passes over it.

    Args:
        graph: As it was traced; it is not changed.
        passes: What to run, in order.
        example: Inputs by name, of the right shapes: each pass that changed something is proven on
            fresh ones in float64, and taken back where that fails. None leaves the proofs out.
        timed: Say how long the graph took to run in these proofs, which takes each of them twice.

    Raises:
        NotFunctionalError: A write in place cannot be expressed as a value.
    """
    if example is None:
        return _unproven(graph, (functionalise, *passes))
    return _Proven(graph, Proof(example, graph.batch, timed=timed)).run(passes)


def _unproven(graph: Graph, passes: Sequence[Pass]) -> Passed:
    edit, rows, removed = Edit(graph), [], dict[str, str]()
    for function in passes:
        before, changes, names = len(edit.fx.nodes), edit.changes, _names(edit)
        seconds = _applied(function, edit)
        removed |= dict.fromkeys(names - _names(edit), function.__name__)
        status = "applied" if edit.changes > changes else "nothing to do"
        after = len(edit.fx.nodes)
        rows.append(PassRow(function.__name__, before, after, "not run", status, seconds=seconds))
    return Passed.of(edit.finish(), rows, edit.notes, removed)


def _applied(function: Pass, edit: Edit) -> float:
    """Run a pass over an edit; return the seconds that it took."""
    edit.running, start = function.__name__, time.perf_counter()
    function(edit)
    return time.perf_counter() - start


def _names(edit: Edit) -> set[str]:
    return {node.name for node in edit.fx.nodes}


class _Proven:
    """One edit a pass; `_edit` is the last that was proven, `_run` what it gave."""

    def __init__(self, graph: Graph, proof: Proof) -> None:
        self._edit, self._proof = Edit(graph), proof
        self._run: Run | None = None
        self._rows: list[PassRow] = []
        self._removed: dict[str, str] = {}

    def run(self, passes: Sequence[Pass]) -> Passed:
        """Run all; a failed proof of `functionalise` is the end of this route."""
        self._step(functionalise)
        if self._rows[0].status == "rolled back":
            raise NotFunctionalError("writes in place: the proof of their removal failed")
        for function in passes:
            self._step(function)
        notes = tuple(self._edit.notes)
        graph = self._edit.finish()
        compiled(graph.module)  # what is proven is there to be run, by other tools too
        return Passed.of(graph, self._rows, notes, self._removed)

    def _step(self, function: Pass) -> None:
        edit, old = Edit.of(self._edit), self._edit
        before = len(edit.fx.nodes)
        seconds = _applied(function, edit)
        row = PassRow(
            function.__name__, before, len(edit.fx.nodes), "", "nothing to do", seconds=seconds
        )
        self._rows.append(self._proven(row, edit) if edit.changes else row)
        gone = _names(old) - _names(self._edit)
        self._removed |= dict.fromkeys(gone, function.__name__)

    def _proven(self, row: PassRow, edit: Edit) -> PassRow:
        """Keep the edit if it holds; either way, say so."""
        try:
            old, new = self._proof.pair(self._edit, edit, self._run)
        except Exception as error:  # noqa: BLE001 - what does not run is not kept
            return replace(
                row, status="rolled back", proof=f"the graph did not run: {first_line(error)}"
            )
        gap = difference(old, new)
        held = gap <= LIMITS[new.precision]
        self._edit, self._run = (edit, new) if held else (self._edit, old)
        return replace(
            row,
            status="applied" if held else "rolled back",
            proof=f"run before and after in {new.precision} on fresh inputs",
            difference=gap,
            ms_before=old.ms,
            ms_after=new.ms,
        )
