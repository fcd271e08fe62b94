"""Is a bundle or an ONNX file what it should be: integrity, structure, and the same results."""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netloft.errors import UsageError
from netloft.parity.faults.mutate import Mutation
from netloft.parity.rerun.known import Known
from netloft.parity.rerun.runtimes import RuntimeRow, compare_runtimes, every_provider
from netloft.parity.vectors import known_alone, planted_alone, replay
from netloft.parity.verdict import counts
from netloft.runtime.integrity import check_files
from netloft.runtime.manifest import read_manifest
from netloft.runtime.providers import available, start_session
from netloft.runtime.tuning import rows_of, tuned_files
from netloft.structure import check_structure
from netloft.verification_use import check_comparable, check_doubts, check_search, check_use

if TYPE_CHECKING:
    import torch
    from torch import nn

    from netloft.against import Against
    from netloft.locating import Located
    from netloft.parity.inputs import Case, DomainInputs


__all__ = ["Verification", "verify"]


_REWRITTEN = (
    "a rewritten convolution gives the same for finite input; NaN and infinity reach further in it"
)

_BY_TASK = (
    "what the search found is told and not judged: an int8 file is calibrated for what its "
    "network is for, and clips what lies beyond"
)


@dataclasses.dataclass(frozen=True)
class Verification:
    """What a verification found.

    Attributes:
        status: `pass` or `fail`.
        checks: What was checked besides parity, in order.
        parity: One row for each provider and output; keys as in `report.json`.
        not_run: What was not checked, and why.
        notes: What a reader has to know to trust the parity rows.
        layers: One row for each value inside the network; see `netloft.locating.LayerRow`.
        unlike: Operations that differ between module and file, found without running them.
        first_bad: The first operation that is wrong by itself, in words; empty for none.
        mutation: How many planted faults the same checks find, where that was asked for.
        runtimes: One row for each setting of ONNX Runtime and output; see
            `netloft.parity.rerun.runtimes.RuntimeRow`.
        verdicts: Whose fault it is, by what other settings and other implementations give.
        search: What a search for the worst input found, where that was asked for
            (`docs/parity.md`).
    """

    status: str
    checks: tuple[str, ...]
    parity: tuple[Mapping[str, Any], ...]
    not_run: tuple[Mapping[str, str], ...]
    notes: tuple[str, ...] = ()
    layers: tuple[Mapping[str, Any], ...] = ()
    unlike: tuple[Mapping[str, Any], ...] = ()
    first_bad: str = ""
    mutation: Mapping[str, Any] | None = None
    runtimes: tuple[Mapping[str, Any], ...] = ()
    verdicts: tuple[str, ...] = ()
    search: Mapping[str, Any] | None = None


def verify(
    target: str | Path,
    *,
    providers: Sequence[str] = (),
    against: nn.Module | str | Path | None = None,
    example_inputs: tuple[torch.Tensor, ...] | Mapping[str, torch.Tensor] | None = None,
    threads: int | None = None,
    layers: bool = False,
    stress: bool = False,
    search: int = 0,
    seed: int = 0,
    keep: str | Path | None = None,
    mutate: int = 0,
    data: Callable[[str | int], Iterable[Case]] | None = None,
    runtimes: bool = False,
    second_opinion: Sequence[str] = (),
    domain: DomainInputs | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> Verification:
    """Verify a bundle on its own test vectors, or an ONNX file against a module.

    A bundle needs no torch: its files are hashed, the model is checked, and it is run on the test
    vectors, whose outputs came from the source module.

    Args:
        target: A bundle's folder, or an `.onnx` file.
        providers: `cpu`, `cuda` …; empty for CPU, and CUDA where it starts.
        against: The source module, in eval mode, for a full parity check; or the path of another
            `.onnx` file, which is run in float64 in its place.
        example_inputs: Inputs of the right shapes, with `against`; for a file made from what it
            declares where they are left out.
        threads: For one operation; None for the machine's cores.
        layers: With `against`, compare the values inside the network too; that is done anyway
            where an output fails.
        stress: With `against`, compare on the whole stress set too (`docs/parity.md`).
        search: With `against`, evaluations, 32 or more, of a search for the worst input; int8
            bundles are searched too. It runs on the first of the providers.
        seed: Of the search.
        keep: Folder that a test vector of the worst input is written to.
        mutate: Faults of each kind to plant in copies of a file that passes, to see how many the
            same checks find on the first of the providers (`docs/parity.md`).
        data: With `against`, gives inputs of your own for the batch size of the file, besides those
            that are made; `netloft.parity.inputs.Case` says what they are.
        runtimes: Run the file under each setting of ONNX Runtime too: levels of optimisation,
            threads, run to run, item by item, and TF32 where CUDA starts.
        second_opinion: Other implementations to run the file with: `reference`, `openvino`.
        domain: With `against`, gives inputs of what the module is for, for a batch and a seed.
        progress: Told what is being compared or planted.

    Raises:
        IntegrityError: A file is missing, was changed or does not belong to the bundle.
        ProviderError: A provider that was asked for does not start here.
        MissingError: A second opinion is not installed, or does not know all of the file.
        UsageError: The target is neither, `against` lacks its inputs, or its inputs and outputs
            are not those of the file; or faults are to be planted, and there is nothing to find
            them with.
    """
    path = _target(target)
    against = _other_file(against) if isinstance(against, str | Path) else against
    wanted = {"layers": layers, "stress": stress, "search": search, "data": data, "domain": domain}
    check_use(path, against, [what for what, asked in wanted.items() if asked], mutate=mutate)
    check_doubts(path, against, runtimes=runtimes, second_opinion=second_opinion)
    if search or keep is not None:
        check_search(search, keep)
    running, missing = available(providers)
    work = _Work(path, running, threads, not_run=[row._asdict() for row in missing])
    if os.path.isdir(path):
        work.replay(against, searched=bool(search) and not (stress or layers))
    check_structure(work.model)
    work.checks.insert(1, "the model passes onnx.checker and strict shape inference")
    if against is not None:
        asked = {"layers": layers, "stress": stress, "data": data, "domain": domain}
        how = {what: value for what, value in asked.items() if value}
        work.compare(against, example_inputs, progress=progress, **how)
    if search:
        kept = None if keep is None else Path(keep)
        work.seek(budget=search, seed=seed, keep=kept, progress=progress)
    if not work.rows:
        work.load()
    if runtimes:
        work.vary(asked=providers, progress=progress)
    for name in second_opinion:
        work.ask(name, progress)
    if mutate:
        work.plant(mutate, progress)
    return work.found()


def _other_file(against: str | Path) -> Path:
    """Return the other file, which is looked at as carefully as the target."""
    path = Path(against)
    if not (os.path.isfile(path) and path.suffix.lower() == ".onnx"):
        raise UsageError(
            f"{path} is no .onnx file to compare with", remedy="name an .onnx file, or a module"
        )
    check_structure(path)
    return path


@dataclasses.dataclass
class _Work:
    """What is verified, and what was found so far.

    Attributes:
        path: The bundle or the file.
        providers: To run on.
        threads: For one operation.
        not_run: What was not checked.
        checks: What was, besides parity.
        rows: Of parity.
        notes: What a reader has to know.
        held: The comparison with the module.
        power: Plants faults and shows them to the same checks.
        mutation: How many of those they find.
        known: Returns what the file should give, on all that was compared by then.
        runtimes: Rows of the settings.
        verdicts: Whose fault it is.
        by_task: It is an int8 bundle, which is held against a module for a search alone.
        search: What that found.
    """

    path: Path
    providers: Sequence[str]
    threads: int | None
    not_run: list[Mapping[str, str]]
    checks: list[str] = dataclasses.field(default_factory=list)
    rows: list[Mapping[str, Any]] = dataclasses.field(default_factory=list)
    notes: tuple[str, ...] = ()
    held: Against | None = None
    power: Callable[..., Mutation] | None = None
    mutation: Mapping[str, Any] | None = None
    known: Callable[[], Known] | None = None
    runtimes: tuple[RuntimeRow, ...] = ()
    verdicts: tuple[str, ...] = ()
    by_task: bool = False
    search: Mapping[str, Any] | None = None

    @property
    def model(self) -> Path:
        return self.path / "model.onnx" if os.path.isdir(self.path) else self.path

    @property
    def failed(self) -> bool:
        located = self.held.located if self.held else None
        return (
            any(counts(row["status"], row["input"]) for row in self.rows)
            or any(row.is_bad for row in self.runtimes)
            or (located is not None and located.status == "fail")
        )

    def replay(self, against: nn.Module | Path | None, *, searched: bool) -> None:
        """Check a bundle's files, and run it on its own vectors."""
        manifest = read_manifest(self.path)
        self.by_task = searched and manifest.get("precision") == "int8"
        if not self.by_task:
            check_comparable(manifest, against)
        check_files(self.path, manifest["files"])
        self.checks.append(f"{len(manifest['files'])} files are what the manifest says")
        self.rows += replay(self.path, manifest, self.providers, self.threads)
        self._replay_tuned(manifest)
        self.power = functools.partial(planted_alone, self.path, manifest)
        self.known = functools.partial(known_alone, self.path, manifest)

    def _replay_tuned(self, manifest: Mapping[str, Any]) -> None:
        """Hold the files that stand in for the model on some machines to the same vectors."""
        for name, providers in tuned_files(rows_of(manifest)).items():
            check_structure(self.path / name)
            running = [provider for provider in providers if provider in self.providers]
            rows = replay(self.path, manifest, running, self.threads, self.path / name)
            self.rows += [{**row, "input": f"{name}, {row['input']}"} for row in rows]
            self.notes = (*self.notes, f"{name}: {_REWRITTEN}")
            if not running:
                reason = f"it is for {', '.join(providers)}"
                self.not_run.append({"what": name, "reason": reason})

    def compare(
        self,
        against: nn.Module | Path,
        example_inputs: tuple[torch.Tensor, ...] | Mapping[str, torch.Tensor] | None,
        **how: Any,
    ) -> None:
        """Hold the file against its module, or another file."""
        from netloft.against import compare, planted_against
        from netloft.against_file import compare_files
        from netloft.parity.rerun.certified import known_results

        rest = example_inputs, self.providers
        how |= {"threads": self.threads}
        if isinstance(against, Path):
            self.held = compare_files(self.model, against, *rest, **how)
        else:
            self.held = compare(self.model, against, *rest, by_task=self.by_task, **how)
        self.rows += [dataclasses.asdict(row) for row in self.held.parity.rows]
        self.notes = self.held.parity.notes
        self.not_run += self.held.left
        if self.held.not_run:
            self.not_run.append({"what": "layers", "reason": self.held.not_run})
        if not self.by_task:
            self.power = functools.partial(planted_against, self.held)
            self.known = functools.partial(known_results, self.held.expected, self.model)

    def seek(self, **how: Any) -> None:
        """Search for the worst input."""
        from netloft.against import located
        from netloft.worst import seek_worst

        assert self.held is not None
        if self.failed:
            reason = "the file fails as it is, on inputs that are named"
            self.not_run.append({"what": "search", "reason": reason})
            return
        rows, self.search = seek_worst(self.held, self.providers[0], self.threads, **how)
        self.rows += [dataclasses.asdict(row) for row in rows]
        if self.failed:
            self.held = located(self.held.with_rows(rows), self.providers, self.threads)
        if self.by_task:
            self.notes += (_BY_TASK,)

    def load(self) -> None:
        """Load a file that there is nothing to compare with."""
        reason = "a lone .onnx file has no test vectors; give the module it came from"
        self.not_run.append({"what": "parity", "reason": reason})
        for provider in self.providers:
            start_session(self.model, provider, threads=self.threads)
            self.checks.append(f"the model loads on {provider}")

    def vary(self, *, asked: Sequence[str], progress: Callable[[str], None]) -> None:
        """Run the file under each setting."""
        assert self.known is not None
        providers, missing = (self.providers, ()) if asked else every_provider()
        found = compare_runtimes(self.known(), providers, self.threads, progress)
        self.runtimes = found.rows
        self.verdicts += found.verdicts
        self.not_run += [row._asdict() for row in (*missing, *found.not_run)]

    def ask(self, name: str, progress: Callable[[str], None]) -> None:
        """Let another implementation run the file."""
        from netloft.parity.rerun.second_opinion import ask

        assert self.known is not None
        opinion = ask(self.known(), name, self.rows, progress)
        self.rows += opinion.rows
        self.notes += (f"second opinion: {opinion.told}",)
        self.verdicts += (opinion.verdict,) if opinion.verdict else ()

    def plant(self, per_kind: int, progress: Callable[[str], None]) -> None:
        """See how many planted faults the same checks find."""
        if self.failed:
            reason = "the file fails as it is, so that every fault would be found"
            self.not_run.append({"what": "mutation", "reason": reason})
            return
        assert self.power is not None
        how = {"per_kind": per_kind, "progress": progress}
        self.mutation = self.power(self.providers[0], self.threads, **how).facts()

    def found(self) -> Verification:
        """Return the record."""
        found = Verification(
            "fail" if self.failed else "pass",
            tuple(self.checks),
            tuple(self.rows),
            tuple(self.not_run),
            self.notes,
            mutation=self.mutation,
            runtimes=tuple(dataclasses.asdict(row) for row in self.runtimes),
            verdicts=self.verdicts,
            search=self.search,
        )
        located = self.held.located if self.held else None
        return found if located is None else _with_layers(found, located)


def _with_layers(found: Verification, located: Located) -> Verification:
    return dataclasses.replace(
        found,
        checks=(*found.checks, f"{located.weights} weights were compared by value"),
        layers=tuple(dataclasses.asdict(row) for row in located.layers),
        unlike=tuple(dataclasses.asdict(row) for row in located.unlike),
        first_bad=located.first,
        notes=(*found.notes, *located.notes),
    )


def _target(target: str | Path) -> Path:
    path = Path(target)
    if not os.path.isdir(path) and not (os.path.isfile(path) and path.suffix.lower() == ".onnx"):
        raise UsageError(
            f"{path} is neither a bundle nor an .onnx file",
            remedy="name what netloft export wrote, or an .onnx file",
        )
    return path
