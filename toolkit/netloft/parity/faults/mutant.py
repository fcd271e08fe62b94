"""A file with a fault in it, and what it gives."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from netloft.errors import NetloftError
from netloft.parity.faults.kinds import Fault

__all__ = ["Arrays", "Mutant", "Run"]

Arrays = dict[str, npt.NDArray[Any]]
Run = Callable[[onnx.ModelProto], Iterator[Arrays]]
"""Runs a model on one set of inputs after another; raises a NetloftError where it does not run."""


@dataclass
class Mutant:
    """A file with a fault in it; it is run when its results are asked for, and then once.

    Attributes:
        model: The model, whose large weights lie in `folder`.
        folder: Of the file that the model was made of.
        fault: What was planted; None in the file as it is.
        run: Runs it.
    """

    model: onnx.ModelProto
    folder: Path
    fault: Fault | None
    run: Run
    _made: list[Arrays] = field(default_factory=list)
    _running: Iterator[Arrays] | None = None
    _refused: NetloftError | None = None

    def results(self) -> Iterator[Arrays]:
        """Return what it gives on one set of inputs after another.

        Raises:
            NetloftError: It does not run.
        """
        yield from self._made
        if self._refused is not None:  # whoever asks again is told again
            raise self._refused
        self._running = self._running or self.run(self.model)
        try:
            for made in self._running:
                self._made.append(made)
                yield made
        except NetloftError as error:
            self._refused = error
            raise

    def gives_what(self, other: Mutant) -> bool:
        """Tell whether all results of both are the same to the last bit."""
        pairs = zip(self.results(), other.results(), strict=True)
        return all(_same(mine, theirs) for mine, theirs in pairs)


def _same(mine: Arrays, theirs: Arrays) -> bool:
    return mine.keys() == theirs.keys() and all(
        array.shape == theirs[name].shape and array.tobytes() == np.asarray(theirs[name]).tobytes()
        for name, array in mine.items()
    )
