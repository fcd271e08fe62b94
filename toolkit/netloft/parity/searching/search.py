"""Look for inputs in a box on which a file is furthest from its module, or has another first class.

The search starts from the usual inputs and the stress set, keeps the worst, and makes new inputs of
them: by the gradient of the module, by blocks, by mixtures. Where two inputs have different first
classes, the way between them is halved until the two best classes are as close as float32 can have
them; there the smallest error exchanges them.

The seed decides everything, and the number of evaluations is the bound, so that a slow machine
finds the same inputs as a fast one.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from netloft.parity.compare import measure
from netloft.parity.expected import Arrays, Expected, ExpectedRun
from netloft.parity.inputs import Case
from netloft.parity.searching.ascent import AIMS, Ascent
from netloft.parity.searching.flips import Flip, flips_on, scores_of
from netloft.parity.searching.moves import MOVES, between
from netloft.parity.stressing.stress import STRESS, WHOLE, Box, make_stress
from netloft.parity.task_level import LAYER_NOISE, rms_error

__all__ = ["SEARCH", "Found", "Score", "Search", "error_score", "noise_score"]

SEARCH = "search"
"""Kind of the inputs that are found."""

Inputs = Mapping[str, torch.Tensor]
Score = Callable[[Expected, ExpectedRun, Arrays], float]
"""How bad it is what a file gave on inputs; larger is worse."""

_BEST = 8
"""Inputs that new ones are made of."""
_HALVINGS = 26
"""Of the way between two inputs: float32 has 24 bits."""


@dataclass(frozen=True, eq=False)
class Found:
    """An input that was evaluated.

    Attributes:
        score: How bad it is.
        start: Kind of the input that it was made of.
        moves: What was done to it.
        run: What the module gives.
        given: What the file gave.
    """

    score: float
    start: str
    moves: tuple[str, ...]
    run: ExpectedRun
    given: Arrays

    @property
    def inputs(self) -> Inputs:
        """Return the input, by name."""
        return self.run.case.inputs


@dataclass
class Search:
    """One search.

    Args:
        expected: What the module gives on the inputs of a check.
        file: Runs the file.
        box: Range of each input.
        score: What is to be as large as can be.
        budget: Evaluations: inputs, or batches of a fixed size, that both are run on.
        seed: Of all that is left to chance.
        progress: Told how far it is.

    Attributes:
        found: The worst inputs, the worst first.
        flips: Where the file has another first class: the one of the widest margin, or none.
        starts: Worst score of the inputs that it began with, by their kind.
        evaluations: How many there were.
        ascent: What takes the gradients, and counts them.
    """

    expected: Expected
    file: Callable[[Arrays], Arrays]
    box: Box
    score: Score
    budget: int
    seed: int = 0
    progress: Callable[[str], None] = lambda _: None
    found: list[Found] = field(default_factory=list)
    flips: list[Flip] = field(default_factory=list)
    starts: dict[str, float] = field(default_factory=dict)
    evaluations: int = 0

    def __post_init__(self) -> None:
        self._random = torch.Generator().manual_seed(self.seed)
        self.ascent = Ascent(self.expected.graph, self.box)
        self._firsts = dict[str, dict[int, Found]]()
        batch = self.expected.graph.batch
        self._size = batch if isinstance(batch, int) else 1

    def go(self) -> Found:
        """Search, and return the worst: never less bad than what it began with."""
        for kind, inputs in itertools.islice(self._starting(), self.budget):
            made = self._evaluate(inputs, kind)
            if made is not None:
                self.starts[kind] = max(self.starts.get(kind, 0.0), made.score)
        while self.evaluations < self.budget - self.budget // 4:
            self._step()
        self._close_in()
        while self.evaluations < self.budget:
            self._step()
        return self.found[0]

    def _starting(self) -> Iterator[tuple[str, Inputs]]:
        """Give the fixed inputs in the box, the stress set first."""
        usual = [run.case for run in self.expected.runs if run.case.usual]
        example = usual[0].inputs
        for index, kind in enumerate(WHOLE):
            made = make_stress(example, self.box, kind, self._size, self.seed + index)
            yield f"{STRESS}: {kind}", made
        for case in usual:
            shapes = (t.shape[1:] == example[n].shape[1:] for n, t in case.inputs.items())
            if case.batch >= self._size and all(shapes):
                part = {n: t[: self._size] if t.dim() else t for n, t in case.inputs.items()}
                kind = "noise" if case.kind == "noise" else "usual"
                yield kind, {n: self._inside(n, tensor) for n, tensor in part.items()}

    def _inside(self, name: str, tensor: torch.Tensor) -> torch.Tensor:
        return tensor.clamp(*self.box[name]) if tensor.is_floating_point() else tensor

    def _evaluate(self, inputs: Inputs, start: str, moves: tuple[str, ...] = ()) -> Found | None:
        """Run file and module; None where the module does not take the inputs."""
        if self.evaluations % max(self.budget // 10, 1) == 0:
            self.progress(f"search: {self.evaluations} of {self.budget} inputs")
        self.evaluations += 1
        origin = f"from {start.removeprefix(f'{STRESS}: ')}, {len(moves)} moves"
        case = Case(SEARCH, self._size, inputs, usual=False, parts=(origin,) * self._size)
        runs = self.expected.runs_on(case)
        made = []
        for run, given in zip(runs, self._given(runs), strict=True):
            made.append(Found(self.score(self.expected, run, given), start, moves, run, given))
            self.flips += flips_on(self.expected, run, given, origin)
            for name in scores_of(run):
                self._firsts.setdefault(name, {}).setdefault(_first(made[-1], name), made[-1])
        self.found = sorted([*self.found, *made], key=lambda each: -each.score)[: 2 * _BEST]
        self.flips = sorted(self.flips, key=lambda flip: -flip.margin)[:1]
        return max(made, key=lambda each: each.score, default=None)

    def _given(self, runs: Sequence[ExpectedRun]) -> Iterator[Arrays]:
        return self.expected.given_on(runs, self.file) if runs else iter(())

    def _step(self) -> None:
        """Make a new input of one of the worst."""
        parent, other = self._pick(), self._pick()
        ways = [*AIMS, *MOVES]
        way = ways[int(torch.randint(len(ways), (1,), generator=self._random))]
        made: Inputs | None = None
        if way in AIMS:
            made = self.ascent.climb(parent.inputs, way, parent.given, self._random)
        if made is None:
            way = way if way in MOVES else next(iter(MOVES))
            made = MOVES[way](parent.inputs, other.inputs, self.box, self._random)
        self._evaluate(made, parent.start, (*parent.moves, way))

    def _pick(self) -> Found:
        """Choose among the worst, the first of them most often."""
        chance = float(torch.rand((), generator=self._random))
        best = self.found[:_BEST]
        return best[int(chance**2 * len(best))]

    def _close_in(self) -> None:
        """Go where two classes are as close as can be, on the way between inputs of either."""
        if self._size > 1:
            return
        for name, firsts in self._firsts.items():
            for mine, other in itertools.combinations(list(firsts.values()), 2):
                if self.evaluations + _HALVINGS > self.budget:
                    return
                self._halve(name, mine, other)

    def _halve(self, name: str, mine: Found, other: Found) -> None:
        near, far, first = mine.inputs, other.inputs, _first(mine, name)
        for _ in range(_HALVINGS):
            middle = between(near, far, 0.5)
            found = self._evaluate(middle, mine.start, (*mine.moves, "halved"))
            if found is None:
                return
            near, far = (middle, far) if _first(found, name) == first else (near, middle)


def _first(found: Found, name: str) -> int:
    """Return the module's first class, in float64."""
    return int(np.argmax(found.run.reference.float64[name]))


def error_score(expected: Expected, run: ExpectedRun, given: Arrays) -> float:
    """Return the largest scaled error over its noise floor, of all outputs of real numbers.

    Where that would not pass, the floor is measured again, or the search would collect inputs on
    which PyTorch agrees with the reference by luck.
    """
    errors = {
        name: measure(given[name], wanted, nonfinite_like=run.reference.float32[name]).scaled
        for name, wanted in run.reference.float64.items()
        if np.issubdtype(wanted.dtype, np.floating)
    }
    floors = {name: expected.floor_on(run, name) for name in errors}
    if any(errors[name] > expected.policy.tolerance(floors[name]) for name in errors):
        floors = expected.closer_floors_on(run)
    return max((error / floors[name] for name, error in errors.items()), default=0.0)


def noise_score(expected: Expected, run: ExpectedRun, given: Arrays) -> float:
    """Return the largest error over that of rounding one layer to 8 bits, root mean square."""
    return max(
        (
            rms_error(given[name], wanted) / LAYER_NOISE
            for name, wanted in run.reference.float32.items()
            if np.issubdtype(wanted.dtype, np.floating)
        ),
        default=0.0,
    )
