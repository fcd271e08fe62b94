"""The steps of a verification, and what each of them found."""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netloft.errors import IntegrityError, ProviderError, UsageError
from netloft.parity.vectors import Arrays, Run, replay
from netloft.parity.verdict import counts
from netloft.runtime.integrity import check_files
from netloft.runtime.load import check_declared
from netloft.runtime.manifest import AGAIN, read_manifest
from netloft.runtime.providers import PROVIDERS
from netloft.runtime.scan import Scan
from netloft.runtime.trial import Child, Limits, Trial
from netloft.runtime.tuning import machine, rows_of, tuned_files
from netloft.verification.found import Verification
from netloft.verification.machines import foreign_machine, is_for_here, place_of
from netloft.verification.use import check_comparable

if TYPE_CHECKING:
    import torch
    from torch import nn

    from netloft.against import Against
    from netloft.locating import Located
    from netloft.parity.faults.mutate import Mutation
    from netloft.parity.rerun.known import Known
    from netloft.parity.rerun.runtimes import RuntimeRow

__all__ = ["Work"]

_VALID = "the model passes onnx.checker and strict shape inference"

_REWRITTEN = (
    "a rewritten convolution gives the same for finite input; NaN and infinity reach further in it"
)

_SAVED = "ONNX Runtime made it of {file} for one kind of processor, and `load` takes it there alone"

_FOREIGN = (
    "they are of {domains}, whose operators it does not know and passes over; ONNX Runtime alone "
    "checks them, where it runs the file"
)

_BY_TASK = (
    "what the search found is told and not judged: an int8 file is calibrated for what its "
    "network is for, and clips what lies beyond"
)


@dataclasses.dataclass
class Work:
    """What is verified, and what was found so far.

    Attributes:
        path: The bundle or the file.
        providers: To run on.
        threads: For one operation.
        limits: Of the processes that try the target out.
        child: The first of these, which may have been started before.
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
    limits: Limits
    child: Child | None
    not_run: list[Mapping[str, str]] = dataclasses.field(default_factory=list)
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
        """The file that is verified."""
        return self.path / "model.onnx" if os.path.isdir(self.path) else self.path

    @property
    def failed(self) -> bool:
        """Whether anything found so far counts against it."""
        located = self.held.located if self.held else None
        return (
            any(counts(row["status"], row["input"]) for row in self.rows)
            or any(row.is_bad for row in self.runtimes)
            or (located is not None and located.status == "fail")
        )

    def check_signature(self, key: Path) -> None:
        """See that the holder of a key signed the bundle, before anything in it is read."""
        from netloft.bundle.signature import check_signature

        if not os.path.isdir(self.path):
            raise UsageError(
                f"{self.path} is no bundle, and bundles are signed", remedy="name a bundle's folder"
            )
        self.checks.append(check_signature(self.path, key))

    def examine(self, against: nn.Module | Path | None, *, searched: bool) -> None:
        """Look at the target as at a stranger's: its files, what they say, and a trial."""
        if os.path.isdir(self.path):
            self._replay(against, searched=searched)
        else:
            self._load()

    def _replay(self, against: nn.Module | Path | None, *, searched: bool) -> None:
        """Check a bundle's files, and run it on its own vectors."""
        manifest = read_manifest(self.path)
        self.by_task = searched and manifest.get("precision") == "int8"
        if not self.by_task:
            check_comparable(manifest, against)
        check_files(self.path, manifest["files"])
        self.checks.append(f"{len(manifest['files'])} files are what the manifest says")
        self.rows += replay(self.path, manifest, self._runs(self.model, manifest, self.providers))
        self._replay_tuned(manifest)
        self._replay_unusual(manifest)
        self._replay_saved(manifest)
        self.power = functools.partial(_planted, self.path, manifest)
        self.known = functools.partial(_known, self.path, manifest)

    def _replay_tuned(self, manifest: Mapping[str, Any]) -> None:
        """Hold the files that stand in for the model on some machines to the same vectors."""
        for name, providers in tuned_files(rows_of(manifest)).items():
            running = [provider for provider in providers if provider in self.providers]
            runs = self._runs(self.path / name, manifest, running)
            self.rows += [
                {**row, "input": f"{name}, {row['input']}"}
                for row in replay(self.path, manifest, runs)
            ]
            self.notes = (*self.notes, f"{name}: {_REWRITTEN}")
            if not running:
                self._tried(self.path / name, "cpu")
                self._leave(name, f"it is for {', '.join(providers)}")

    def _replay_unusual(self, manifest: Mapping[str, Any]) -> None:
        """Hold the options that a row has for this machine to the same vectors."""
        seen = list[tuple[object, ...]]()  # batches share what they run with
        for row in rows_of(manifest):
            what = row.file, row.provider, row.unusual, row.machine
            if not row.unusual or what in seen:
                continue
            seen.append(what)
            told = ", ".join(f"{key} {value}" for key, value in row.unusual.items())
            if row.machine != machine(row.provider) or row.provider not in self.providers:
                self._leave(f"{row.file} with {told}", f"it is for {place_of(row)}")
                continue
            path = self.path / row.file
            runs = self._runs(path, manifest, [row.provider], options=row.unusual)
            found = replay(self.path, manifest, runs)
            self.rows += [{**each, "input": f"{told}, {each['input']}"} for each in found]

    def _replay_saved(self, manifest: Mapping[str, Any]) -> None:
        """Do so with what ONNX Runtime saved on this machine; of what others did, read it."""
        rows = rows_of(manifest)
        files = {row.saved.file: row for row in reversed(rows) if row.saved is not None}
        here = {row.saved.file for row in rows if row.saved is not None and is_for_here(row)}
        for name, row in files.items():
            path, running = self.path / name, [p for p in (row.provider,) if p in self.providers]
            self.notes = (*self.notes, f"{name}: {_SAVED.format(file=row.file)}")
            if name in here and running:
                runs = self._runs(path, manifest, running, options={"optimisation": "none"})
                found = replay(self.path, manifest, runs)
                self.rows += [{**each, "input": f"{name}, {each['input']}"} for each in found]
                continue
            self._tried(path, "cpu", start=False)
            why = f"it is for {row.provider}" if name in here else foreign_machine(row)
            self._leave(name, why)

    def _load(self) -> None:
        """Start a file that comes without anything to compare with."""
        for provider in self.providers:
            self._tried(self.model, provider)
            self.checks.append(f"the model loads on {provider}")

    def _runs(
        self, model: Path, manifest: Mapping[str, Any], providers: Sequence[str], **how: Any
    ) -> dict[str, Run]:
        run = functools.partial(self._run, model, manifest)
        return {name: functools.partial(run, name, **how) for name in providers}

    def _run(
        self,
        model: Path,
        manifest: Mapping[str, Any],
        provider: str,
        feeds: Arrays,
        outputs: Mapping[str, Sequence[int]],
        **how: Any,
    ) -> Arrays:
        found = self._tried(model, provider, feeds=feeds, outputs=outputs, **how)
        check_declared(manifest, found.declared, model.name)
        if model == self.model:
            _check_versions(manifest, found.scan)
        ran, options = _ran(model, provider, found), how.get("options")
        own = f" with {options}" if options and model == self.model else ""
        self.checks.append(f"{ran}{own}")
        return found.outputs

    def _tried(self, model: Path, provider: str, **how: Any) -> Trial:
        """Let a file run in a process of its own; the first one has been started already."""
        child, self.child = self.child or Child(), None
        with child:
            found = child.try_out(model, provider, threads=self.threads, limits=self.limits, **how)
        self._note_scan(model, found.scan)
        if found.checked and _VALID not in self.checks:
            self.checks.append(_VALID)
        if found.checked is None:
            self._leave("onnx.checker", "the onnx package is not installed")
        elif found.scan.foreign:
            nodes, domains = sum(found.scan.foreign.values()), list(found.scan.foreign)
            what = f"onnx.checker of {nodes} of the {found.scan.nodes} nodes of {model.name}"
            self._leave(what, _FOREIGN.format(domains=", ".join(domains[:4])))
        if not found.memory_held:
            self._leave(f"a limit of memory on {provider}", "this system does not hold one")
        return found

    def _leave(self, what: str, reason: str) -> None:
        row = {"what": what, "reason": reason}
        self.not_run += [row] if row not in self.not_run else []

    def _note_scan(self, model: Path, found: Scan) -> None:
        """Tell how large a file is, and what its weights hold."""
        told = f"{model.name}: {found.nodes:,} nodes, {found.weight_bytes:,} bytes of weights"
        clean = not found.nan and not found.unread
        told += ", without NaN" if clean else ""
        if told in self.checks:
            return
        self.checks.append(told)
        if found.unread:
            what = f"a look for NaN in {found.unread} weights of {model.name}"
            self._leave(what, "their element type is not one that is read here")
        for what, names in (("NaN", found.nan), ("infinities", found.infinite)):
            if names:
                more = f" and {len(names) - 1} more" if names[1:] else ""
                self.notes += (f"{model.name}: the weight '{names[0]}'{more} holds {what}",)

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
            self._leave("layers", self.held.not_run)
        if not self.by_task:
            self.power = functools.partial(planted_against, self.held)
            self.known = functools.partial(known_results, self.held.expected, self.model)

    def seek(self, **how: Any) -> None:
        """Search for the worst input."""
        from netloft.against import located
        from netloft.worst import seek_worst

        assert self.held is not None
        if self.failed:
            self._leave("search", "the file fails as it is, on inputs that are named")
            return
        rows, self.search = seek_worst(self.held, self.providers[0], self.threads, **how)
        self.rows += [dataclasses.asdict(row) for row in rows]
        if self.failed:
            self.held = located(self.held.with_rows(rows), self.providers, self.threads)
        if self.by_task:
            self.notes += (_BY_TASK,)

    def vary(self, *, asked: Sequence[str], progress: Callable[[str], None]) -> None:
        """Run the file under each setting."""
        from netloft.parity.rerun.runtimes import compare_runtimes, every_provider

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
            self._leave("mutation", "the file fails as it is, so that every fault would be found")
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


def _planted(*given: Any, **how: Any) -> Mutation:
    from netloft.parity.faults.replay import planted_alone

    return planted_alone(*given, **how)


def _known(*given: Any) -> Known:
    from netloft.parity.rerun.known import known_alone

    return known_alone(*given)


def _check_versions(manifest: Mapping[str, Any], found: Scan) -> None:
    """The manifest says which runtimes read the file, and the file has to say the same."""
    for key, actual in (("ir_version", found.ir_version), ("opset", found.opsets.get(""))):
        if manifest.get(key) != actual:
            raise IntegrityError(
                f"manifest.json says {key} {manifest.get(key)}, and model.onnx has {actual}",
                remedy=AGAIN,
            )


def _ran(model: Path, provider: str, found: Trial) -> str:
    """Say how many nodes the provider ran.

    Raises:
        ProviderError: It ran none.
    """
    mine, total = found.ran_on.get(PROVIDERS[provider], 0), sum(found.ran_on.values())
    nodes = f"{provider} ran {mine} of the {total} nodes that ONNX Runtime made of {model.name}"
    if total and not mine:
        raise ProviderError(
            f"{nodes}: {', '.join(found.elsewhere)} ran elsewhere",
            remedy="name the provider that does run it with --provider",
        )
    rest = f"; {', '.join(found.elsewhere)} ran elsewhere" if found.elsewhere else ""
    return f"{nodes}{rest}"
