"""One file on the same inputs under every setting of ONNX Runtime; needs no torch.

What a runtime makes of a file depends on how it is told to run it: its optimiser writes the file
anew, threads divide sums, kernels differ by batch size, CUDA may round factors to TensorFloat-32.
Each setting is held against the same known results as the file itself, with the same tolerance. A
result beyond it fails. One that is within it and not the same to the last bit is only told.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from netloft.errors import CheckError, UsageError, first_line
from netloft.parity.compare import measure
from netloft.parity.rerun.known import Arrays, Known, Run
from netloft.parity.rerun.settings import ALONE, BASE, PLAIN, Setting, settings_of
from netloft.parity.verdict import counts
from netloft.runtime.capture import captured_output
from netloft.runtime.providers import PROVIDERS, NotRun, probe, process_cpus

__all__ = ["RuntimeRow", "Runtimes", "compare_runtimes", "every_provider", "verdicts_of"]

_MOST_ITEMS = 16
"""Items of a batch that are run one by one at most."""


@dataclass(frozen=True)
class RuntimeRow:
    """The worst that a setting does to an output.

    Attributes:
        provider: What ran the file.
        varied: `optimisation`, `threads`, `repeat`, `batch` or `TF32`.
        setting: How.
        precision: Of the arithmetic.
        input: Kind of the inputs on which it is worst.
        batch: How many items these have.
        output: Name of the output; empty where the file does not run.
        bitwise: On all inputs the same bits as under the provider's usual setting; None for that
            setting itself, and where the file does not run.
        max_diff: Largest absolute difference to that setting, over all inputs.
        max_abs: Largest absolute error on the worst inputs.
        scaled_error: Over the largest magnitude of the reference.
        noise_floor: What is only noise, as in the parity rows.
        ratio: `scaled_error` over `noise_floor`.
        tolerance: Largest scaled error that passes.
        status: `pass`, `fail` or `undecided`, as in the parity rows; `note` where the setting asks
            for another arithmetic, or the network itself gives another result.
        reason: Why it does not run, or is only a note; else empty.
    """

    provider: str
    varied: str
    setting: str
    precision: str
    input: str = ""
    batch: int = 0
    output: str = ""
    bitwise: bool | None = None
    max_diff: float = 0.0
    max_abs: float = float("inf")
    scaled_error: float = float("inf")
    noise_floor: float = 0.0
    ratio: float = float("inf")
    tolerance: float = 0.0
    status: str = "fail"
    reason: str = ""

    @property
    def is_bad(self) -> bool:
        """Tell whether it keeps the file from passing."""
        return counts(self.status, self.input)


_JUDGED = (
    "input", "batch", "output", "max_abs", "scaled_error", "noise_floor", "ratio", "tolerance",
    "status",
)  # fmt: skip
"""What is taken from a row of the certificate."""


@dataclass(frozen=True)
class Runtimes:
    """What the settings showed.

    Attributes:
        rows: One for each setting and output.
        verdicts: What they mean, in words.
        not_run: What was not tried, and why.
    """

    rows: tuple[RuntimeRow, ...]
    verdicts: tuple[str, ...]
    not_run: tuple[NotRun, ...]


def every_provider() -> tuple[tuple[str, ...], tuple[NotRun, ...]]:
    """Return the providers that start on this machine, and why the others do not."""
    found = [probe(name) for name in PROVIDERS]
    missing = [
        NotRun(f"settings of {each.name}{_MORE.get(each.name, '')}", each.reason)
        for each in found
        if not each.starts
    ]
    return tuple(each.name for each in found if each.starts), tuple(missing)


_MORE = {"cuda": ", TF32 on and off"}


def compare_runtimes(
    known: Known,
    providers: Sequence[str],
    threads: int | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> Runtimes:
    """Run a file under every setting, and hold each result against what is known.

    Args:
        known: The file, its inputs and what it should give.
        providers: That start on this machine.
        threads: For one operation; None for the machine's cores.
        progress: Told which setting is tried.

    Raises:
        ProviderError: A provider does not start after all.
    """
    rows: list[RuntimeRow] = []
    not_run: list[NotRun] = []
    verdicts: list[str] = []
    for provider in providers:
        tried = _Provider(known, provider, threads or process_cpus(), not_run)
        found = list(tried.rows(progress))
        verdicts += verdicts_of(provider, found)
        rows += found
    return Runtimes(tuple(rows), tuple(verdicts), tuple(not_run))


@dataclass
class _Provider:
    """One provider under its settings.

    Attributes:
        known: The file, its inputs and what it should give.
        name: The provider.
        threads: For one operation.
        not_run: What cannot be tried is added.
        run: The file under the usual setting; None before, and where it does not run so.
        base: What that gave, by run.
    """

    known: Known
    name: str
    threads: int
    not_run: list[NotRun]
    run: Run | None = None
    base: Mapping[int, Arrays] = field(default_factory=dict)

    def rows(self, progress: Callable[[str], None]) -> Iterator[RuntimeRow]:
        """Try everything."""
        for setting in settings_of(self.name, self.threads):
            progress(f"{self.name}: {setting.varied}, {setting.name}")
            try:
                yield from self._rows(setting)
            except (UsageError, CheckError) as error:  # that it does not run is what is found
                yield RuntimeRow(
                    self.name,
                    setting.varied,
                    setting.name,
                    setting.precision,
                    reason=first_line(error),
                )

    def _rows(self, setting: Setting) -> list[RuntimeRow]:
        if setting.session is not None:
            run = self._start(setting.session)
            given = self._on_all(run)
            if setting.varied == BASE.varied and setting.name == BASE.name:
                self.run, self.base = run, given
            return self._judged(setting, given)
        if self.run is None:  # it has been told already
            return []
        if setting.varied == ALONE:
            return self._alone(setting, self.run)
        return self._judged(setting, self._on_all(self.run))

    def _start(self, session: Mapping[str, Any]) -> Run:
        return self.known.start(self.name, **{"threads": self.threads, **session})

    def _on_all(self, run: Run) -> dict[int, Arrays]:
        with captured_output():  # ONNX Runtime also prints why it fails
            return {index: run(feeds) for index, feeds in enumerate(self.known.feeds)}

    def _judged(self, setting: Setting, given: Mapping[int, Arrays]) -> list[RuntimeRow]:
        """Return the worst row of each output."""
        judged: dict[str, list[dict[str, Any]]] = {}
        for index, values in given.items():
            for row in self.known.rows(index, self.name, values):
                judged.setdefault(row["output"], []).append(row)
        return [self._row(setting, output, rows, given) for output, rows in judged.items()]

    def _row(
        self,
        setting: Setting,
        output: str,
        rows: Sequence[Mapping[str, Any]],
        given: Mapping[int, Arrays],
    ) -> RuntimeRow:
        worst = max(rows, key=lambda r: (counts(r["status"], r["input"]), float(r["ratio"])))
        pairs = [(given[i][output], self.base[i][output]) for i in given if i in self.base]
        is_base = given is self.base
        row = RuntimeRow(
            provider=self.name,
            varied=setting.varied,
            setting=setting.name,
            precision=setting.precision,
            bitwise=None if is_base or not pairs else all(_same(a, b) for a, b in pairs),
            max_diff=max((measure(a, b).max_abs for a, b in pairs), default=0.0),
            **{key: worst[key] for key in _JUDGED},
        )
        excuse = setting.excuse
        return dataclasses.replace(row, status="note", reason=excuse) if excuse else row

    def _alone(self, setting: Setting, run: Run) -> list[RuntimeRow]:
        """Run the items of a batch one by one: together they should be what the batch gives."""
        chosen, reason = self._with_items()
        if reason:
            self.not_run.append(NotRun(f"{self.name}: each item alone", reason))
            return []
        given = self._separately(run, chosen)
        if given is None:
            reason = "alone, items give results of other lengths than in a batch"
            self.not_run.append(NotRun(f"{self.name}: each item alone", reason))
            return []
        rows = self._judged(setting, given)
        if not any(row.is_bad for row in rows):
            return rows
        plain = self._separately(self._start(PLAIN), chosen) or {}
        together = {index: self.base[index] for index in chosen}
        other = self._bad(setting, plain) - self._bad(setting, together)
        excuse = "without the optimiser too: the network itself reads across its batch"
        return [
            dataclasses.replace(row, status="note", reason=excuse) if row.output in other else row
            for row in rows
        ]

    def _bad(self, setting: Setting, given: Mapping[int, Arrays]) -> set[str]:
        return {row.output for row in self._judged(setting, given) if row.is_bad}

    def _with_items(self) -> tuple[list[int], str]:
        """Return the runs whose items can be run alone, or why there is none."""
        if not self.known.is_batch_open:
            return [], "the file takes one batch size"
        found = [
            i
            for i, usual in enumerate(self.known.usual)
            if usual and 1 < (self.known.batch(i) or 0) <= _MOST_ITEMS
        ]
        if not found:
            return [], f"no inputs have 2 to {_MOST_ITEMS} items"
        for name, array in self.base[found[0]].items():
            if not array.ndim or array.shape[0] != self.known.batch(found[0]):
                return [], f"'{name}' does not have an item for each of the inputs"
        return found, ""

    def _separately(self, run: Run, chosen: Sequence[int]) -> dict[int, Arrays] | None:
        """Return the items' results put together; None where that is not what a batch gives."""
        made = {index: self._item_by_item(run, self.known.feeds[index]) for index in chosen}
        alike = all(
            values is not None and all(values[n].shape == v.shape for n, v in self.base[i].items())
            for i, values in made.items()
        )
        return {i: values for i, values in made.items() if values} if alike else None

    def _item_by_item(self, run: Run, feeds: Arrays) -> Arrays | None:
        items = len(next(iter(feeds.values())))
        single = [{name: array[i : i + 1] for name, array in feeds.items()} for i in range(items)]
        with captured_output():
            given = [run(item) for item in single]
        if any(len({item[name].shape[1:] for item in given}) > 1 for name in given[0]):
            return None
        return {name: np.concatenate([item[name] for item in given]) for name in given[0]}


def _same(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> bool:
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


def verdicts_of(provider: str, rows: Sequence[RuntimeRow]) -> Iterator[str]:
    """Say what the settings of a provider mean together.

    Args:
        provider: What ran the file.
        rows: Of its settings.
    """
    bad = {(row.varied, row.setting) for row in rows if row.status == "fail"}
    if not bad and any(row.is_bad for row in rows):
        yield f"{provider}: nothing can be said: PyTorch's own error is too large to judge by"
    levels = [row.setting for row in rows if row.varied == BASE.varied]
    failing = [level for level in dict.fromkeys(levels) if (BASE.varied, level) in bad]
    if failing:
        yield f"{provider}: {_of_levels(failing, list(dict.fromkeys(levels)))}"
    elif bad:
        told = ", ".join(sorted(f"{varied} ({setting})" for varied, setting in bad))
        yield f"{provider}: the runtime is at fault, and not the export: only {told} fails"
    repeats = [row for row in rows if row.varied == "repeat" and row.bitwise is False]
    if repeats:
        most = max(row.max_diff for row in repeats)
        yield f"{provider}: results differ from run to run, by up to {most:.1e}"


def _of_levels(failing: Sequence[str], levels: Sequence[str]) -> str:
    """Say whose fault it is that some levels of optimisation fail."""
    if len(levels) == 1:
        return "the file fails; this provider has no level without an optimiser to tell why"
    told = ", ".join(failing)
    if len(failing) == len(levels):
        return (
            "the file fails at every level of optimisation, so that the optimiser of ONNX Runtime "
            "is not at fault: the export is, or a kernel"
        )
    if "none" not in failing:
        return (
            f"the optimiser of ONNX Runtime is at fault, and not the export: without it the file "
            f"passes, and with it (level {told}) it fails"
        )
    return (
        f"as it is written (level {told}) the file fails, and optimised it passes: the optimiser "
        "of ONNX Runtime hides a fault of the export, or of a kernel that it replaces"
    )
