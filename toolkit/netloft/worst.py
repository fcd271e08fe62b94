"""The worst input of a file: searched for, judged as any other, and kept as a test vector."""

from __future__ import annotations

import dataclasses
import os
import re
import secrets
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy.typing as npt

from netloft.against import Against
from netloft.bundle.atomic import sync_tree
from netloft.bundle.vectors import check_keep, write_vectors
from netloft.errors import OutputError
from netloft.parity.compare import Comparison
from netloft.parity.flat import flat_header
from netloft.parity.judge import judged
from netloft.parity.searching.flips import Flip
from netloft.parity.searching.search import Found, Search, error_score, noise_score
from netloft.parity.session import FileRunner
from netloft.parity.stressing.stress import STRESS, box_of
from netloft.parity.task_level import LAYER_NOISE, sqnr_db

__all__ = ["keep_vectors", "seek_worst"]

Arrays = Mapping[str, npt.NDArray[Any]]


def seek_worst(
    held: Against,
    provider: str,
    threads: int | None,
    *,
    budget: int,
    seed: int = 0,
    keep: Path | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> tuple[list[Comparison], dict[str, Any]]:
    """Search for the input that is worst for a file.

    Args:
        held: What the comparison found; the input that is found joins its runs.
        provider: What runs the file.
        threads: For one operation; None for the runtime's own choice.
        budget: Evaluations.
        seed: Of the search.
        keep: Folder that a test vector of the worst input is written to; None for nowhere.
        progress: Told how far it is.

    Returns:
        The parity rows of that input, none for a file that is judged by the task; and what was
        found, as in `search` of `netloft verify --json`.

    Raises:
        ParityError: The file fails on an input that the module takes.
        OutputError: The vector cannot be written.
    """
    expected, taps = held.expected, held.expected.taps
    runner = FileRunner(held.model, flat_header(held.model), taps, provider, threads)
    box = box_of(run.case for run in expected.runs)
    score = noise_score if held.by_task else error_score
    search = Search(expected, runner.run, box, score, budget, seed, progress)
    worst = search.go()
    index = len(expected.runs)
    expected.runs.append(worst.run)
    rows = [] if held.by_task else judged(expected, index, {provider: worst.given})
    facts = _facts(search, worst, by_task=held.by_task) | {"provider": provider, "kept": None}
    if keep is not None:
        (whole,) = expected.runs_on(dataclasses.replace(worst.run.case, parts=()))
        names = [output.name for output in expected.graph.outputs]
        outputs = {name: whole.reference.float32[name] for name in names}
        facts["kept"] = str(keep_vectors(keep, worst.run.feeds, outputs))
    return rows, facts


def _facts(search: Search, worst: Found, *, by_task: bool) -> dict[str, Any]:
    def told(score: float) -> float:
        return sqnr_db(score * LAYER_NOISE) if by_task else score

    stress = {k.partition(": ")[2]: v for k, v in search.starts.items() if k.startswith(STRESS)}
    others: dict[str, Any] = {
        kind: told(search.starts[kind]) for kind in ("noise", "usual") if kind in search.starts
    }
    return {
        "measure": "sqnr_db" if by_task else "ratio",
        "seed": search.seed,
        "evaluations": search.evaluations,
        "gradients": search.ascent.gradients,
        "box": {name: list(ends) for name, ends in search.box.items()},
        **others,
        **_of_stress(stress, told),
        "worst": told(worst.score),
        "start": worst.start,
        "moves": list(worst.moves),
        "flip": _flip(search.flips[0], by_task=by_task) if search.flips else None,
    }


def _of_stress(scores: Mapping[str, float], told: Callable[[float], float]) -> dict[str, Any]:
    """Tell the worst of the stress set; nothing where the module takes none of it."""
    if not scores:
        return {}
    kind = max(scores, key=lambda kind: scores[kind])
    return {"stress": told(scores[kind]), "stress_kind": kind}


def _flip(flip: Flip, *, by_task: bool) -> dict[str, Any]:
    return {
        "output": flip.output,
        "margin": flip.margin,
        "noise_floor": None if by_task else flip.floor,  # of float32
        "module_class": flip.module_class,
        "file_class": flip.file_class,
        "pytorch_too": flip.is_ours_too,
        "origin": flip.origin,
    }


def keep_vectors(folder: Path, inputs: Arrays, outputs: Arrays) -> Path:
    """Write one test data set into a folder, whole or not at all, beside those that are there.

    Args:
        folder: Made where it is not there.
        inputs: By the file's input names.
        outputs: By output name; what the module gives in float32.

    Returns:
        The new `test_data_set_N`, with the first N above all that are there.

    Raises:
        OutputError: The place is not ours to write, or the disk refuses.
    """
    check_keep(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        private = folder / f".netloft-{secrets.token_hex(8)}"
        try:
            write_vectors(private, inputs, outputs)
            sync_tree(private)
            return _renamed(private, folder)
        finally:
            shutil.rmtree(private, ignore_errors=True)  # gone already where all went well
    except OSError as error:
        raise OutputError(
            f"{folder} cannot be written: {error.strerror or error}",
            remedy="name another folder with --keep",
        ) from error


def _renamed(private: Path, folder: Path) -> Path:
    taken = [re.fullmatch(r"test_data_set_(\d{1,8})", path.name) for path in folder.iterdir()]
    number = max((int(match[1]) + 1 for match in taken if match), default=0)
    while True:
        target = folder / f"test_data_set_{number}"
        try:
            os.rename(private, target)
        except OSError:
            if not target.exists():
                raise
            number += 1  # another process was faster
        else:
            return target
