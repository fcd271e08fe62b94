"""Several bundles, files and modules side by side."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING

from netloft.defaults import BATCHES
from netloft.errors import CheckError, MissingError, NetloftError, ProviderError, UsageError
from netloft.runtime.huge_pages import everything_on_huge_pages, why_no_huge_pages
from netloft.runtime.providers import NotRun, available, process_cpus
from netloft.speed.budgets import Place
from netloft.speed.command import COMMAND, check_command, command_contestant
from netloft.speed.conditions import Watches
from netloft.speed.contestants import Contestant, read_back, start
from netloft.speed.engines import DEFAULT, ENGINES, Engine, chosen, engines_for
from netloft.speed.environment import describe_environment
from netloft.speed.footprint import Footprint, footprint
from netloft.speed.measure import Plan
from netloft.speed.peak import Peak, measure_peak
from netloft.speed.profile import ProfileRow
from netloft.speed.rows import TargetResult, TargetRow, target_row
from netloft.speed.setup import Setup
from netloft.speed.sources import ModuleSource, Source, source_of
from netloft.speed.together import Measured, together

if TYPE_CHECKING:
    from netloft.speed.sources import Target

__all__ = ["bench", "plan_of"]

_USUAL = frozenset(ENGINES[name].label for name in DEFAULT)
"""Engines that nobody has to name."""

WIDTH = 0.015
"""Half the width of a ratio's interval that is narrow enough: a twentieth is then told from 1."""


def bench(
    *targets: Target,
    batches: Sequence[int] = BATCHES,
    providers: Sequence[str] = (),
    threads: int | Sequence[int] | None = None,
    engines: Sequence[str] = (),
    commands: Sequence[str] = (),
    quick: bool = False,
    profiled: bool = False,
    rounds: int = 0,
    loads: int = 1,
    huge_pages: bool = False,
    shapes: Mapping[str, Sequence[int]] | None = None,
    progress: Callable[[str], None] | None = None,
) -> TargetResult:
    """Measure targets side by side; the first is what the others are compared with.

    Args:
        targets: A bundle's folder, an `.onnx` file, a MODEL spec, or a module with example inputs
            as a tuple. Bundles and files run in ONNX Runtime, modules in PyTorch.
        batches: Batch sizes; a file with a fixed batch runs at that one.
        providers: To run on; by default the CPU, and CUDA where it starts.
        threads: For one operation; by default the CPUs of this process. Of several numbers, each is
            measured in its turn.
        engines: What to run each target in that it can run in: names of
            `netloft.speed.engines.ENGINES`, or `all`; by default `onnxruntime` and `eager`.
        commands: Other contestants, on the CPU: see `command.py`.
        quick: Take about a second for each batch and provider in place of four.
        profiled: Tell where the time of each file goes, node by node, too.
        rounds: Runs of each target at the least, whatever they cost: 104 give a 95th percentile,
            528 a 99th.
        loads: Fresh processes in which each file is loaded; 8 give an interval of 99 %. With
            `quick` there is none.
        huge_pages: Put what all targets have in memory on huge pages first, which few programs do:
            ratios are steadier, and times may be shorter than those of a program that does not.
        shapes: Of an example, by input, for files that are no bundles: where other axes than the
            batch are open, they are as long as there. A bundle's test vectors have them.
        progress: Told what is measured next.

    Raises:
        UsageError: A target is none of these, there is no such engine or command, or a command
            has no CPU's contestants to run beside, or memory cannot be put on huge pages here or is
            another process's.
        IntegrityError: A bundle was changed.
        InputError: A file has an open axis behind the batch, and no example tells its length.
        ProviderError: A provider that was asked for does not start.
        MissingError: Nodes are to be told, and the package onnx is not installed.
    """
    if not targets or not batches or min(batches) < 1 or loads < 1:
        raise UsageError(
            "nothing to measure", remedy="give a target, and batches and loads of 1 or more"
        )
    given = threads or process_cpus()
    counts = (given,) if isinstance(given, int) else tuple(dict.fromkeys(given))
    if not counts or min(counts) < 1 or (profiled and len(counts) > 1):
        raise UsageError(
            "threads are one or more, and nodes are told of one number of them",
            remedy="give one number of threads to profile with",
        )
    plan, tell = plan_of(quick, rounds), progress or (lambda _: None)
    if huge_pages:
        _check_pages(others=bool(commands) or profiled)
    work = _Work(chosen(engines), commands, 0 if quick else loads, plan, tell, huge_pages)
    for command in commands:
        check_command(command)
    if profiled and find_spec("onnx") is None:
        raise MissingError(
            "the nodes of a file are told with the package onnx, which is not here",
            remedy="pip install onnx, or leave out --profile",
        )
    running, missing = available(providers)
    if commands and "cpu" not in running:
        raise UsageError(
            "a command runs beside what the CPU does, which is not measured",
            remedy="add --provider cpu, or leave out --command",
        )
    environment = describe_environment(max(counts), huge_pages=huge_pages)
    for count in counts:
        sources, running, left = _sources(targets, running, count, shapes, asked=bool(providers))
        missing = (*missing, *left)
        work.run(sources, batches, running, count)
    if "all" in engines:  # an engine that nobody named may be missing
        work.absent = [p for p in work.absent if p.engine in {*_USUAL, COMMAND, ""}]
    facts = {**environment.to_dict(), "conditions": work.conditions()}
    not_run = (*missing, *work.not_run)
    result = TargetResult(tuple(work.rows), not_run, facts, missing=tuple(work.absent))
    return _with_nodes(result, sources, counts[0], work.plan, work.tell) if profiled else result


def _check_pages(others: bool) -> None:
    if others:
        raise UsageError(
            "--huge-pages is for what this process has in memory while targets take turns",
            remedy="leave it out, or leave out --command and --profile",
        )
    if why_no_huge_pages():
        raise UsageError(
            f"memory cannot be put on huge pages here: {why_no_huge_pages()}",
            remedy="measure without --huge-pages, or on Linux 6.1 and later",
        )


def _sources(
    targets: Sequence[Target],
    running: tuple[str, ...],
    threads: int,
    shapes: Mapping[str, Sequence[int]] | None,
    *,
    asked: bool,
) -> tuple[list[Source], tuple[str, ...], tuple[NotRun, ...]]:
    """Return the targets, what they run on, and what nobody asked for and runs nothing of one."""
    try:
        return [source_of(target, running, threads, shapes) for target in targets], running, ()
    except ProviderError as error:
        if asked or running == ("cpu",):
            raise
        left = tuple(NotRun(f"provider {name}", error.problem) for name in running if name != "cpu")
        return [source_of(target, ("cpu",), threads, shapes) for target in targets], ("cpu",), left


@dataclasses.dataclass
class _Work:
    """What is measured, and what was so far.

    Attributes:
        asked: Engines.
        commands: Other contestants.
        loads: Processes that load each file; of none nothing is told that takes longer to find.
        plan: How long to measure.
        tell: Told what is measured next.
        huge_pages: Whether what all have in memory is put on huge pages first.
        machine: How it was meanwhile.
        on_small_pages: What stays there although it was to go, and why.
        rows: What was measured.
        not_run: What was not.
        absent: Where there is no row that was asked for.
    """

    asked: Sequence[Engine]
    commands: Sequence[str]
    loads: int
    plan: Plan
    tell: Callable[[str], None]
    huge_pages: bool = False
    machine: Watches = dataclasses.field(default_factory=Watches)
    on_small_pages: list[str] = dataclasses.field(default_factory=list)
    rows: list[TargetRow] = dataclasses.field(default_factory=list)
    not_run: list[NotRun] = dataclasses.field(default_factory=list)
    absent: list[Place] = dataclasses.field(default_factory=list)

    def run(
        self,
        sources: Sequence[Source],
        batches: Sequence[int],
        providers: Sequence[str],
        threads: int,
    ) -> None:
        """Measure with one number of threads."""
        fixed = [source.fixed_batch for source in sources if source.fixed_batch is not None]
        with _torch_settings(sources, threads):
            for batch in dict.fromkeys((*batches, *fixed)):
                for provider in providers:
                    self._side_by_side(sources, Setup(provider, batch, threads))

    def _side_by_side(self, sources: Sequence[Source], setup: Setup) -> None:
        self.tell(f"batch {setup.batch} on {setup.provider}")
        entries = [e for s in sources for e in _entries(s, self.asked, setup, self.absent)]
        entries += _commands(self.commands, setup, self.absent)
        loads: _Footprints = {}
        if self.loads:
            with self.machine.watch(f"loading, {setup}"):
                loads = _footprints(entries, self.loads)
        with self.machine.watch(str(setup)):
            running = [entry for entry in entries if isinstance(entry, Contestant)]
            measured, failed = together(running, self.plan, ready=self._ready(setup))
        rows, unread = _rows(measured, entries[0], loads, read=bool(self.loads))
        self.rows += rows
        self.not_run += [e for e in (*entries, *loads.values(), *unread) if isinstance(e, NotRun)]
        for contestant, reason in failed:
            self.not_run.append(NotRun(_what(contestant.target, contestant.engine, setup), reason))
            self.absent.append(_place(contestant.target, contestant.engine, setup, reason))

    def conditions(self) -> dict[str, object]:
        """Return how the machine was, ready for JSON."""
        return self.machine.to_dict(self.on_small_pages)

    def _ready(self, setup: Setup) -> Callable[[], None] | None:
        """Return what is done once all are warm."""
        told = list[str]()

        def laid_out() -> None:
            stays = everything_on_huge_pages()
            if stays and not told:  # of several sessions of each, the first
                told.append(f"{setup}: {stays}")
                self.on_small_pages.extend(told)

        return laid_out if self.huge_pages else None


def _with_nodes(
    result: TargetResult,
    sources: Sequence[Source],
    threads: int,
    plan: Plan,
    tell: Callable[[str], None],
) -> TargetResult:
    """Add where the time of each file goes, and how far that is from what the machine can do."""
    tell("what this machine can do")
    peak, missing = _peak(threads)
    nodes, not_run = list[ProfileRow](), [*result.not_run, *missing]
    for source in {source.name: source for source in sources}.values():  # a file named twice
        places = {(r.provider, r.batch): None for r in result.rows if r.target == source.name}
        for provider, batch in places:
            tell(f"the nodes of {source.name} at batch {batch} on {provider}")
            setup = Setup(provider, batch, threads)
            try:
                nodes += source.profile(setup, plan, peak if provider == "cpu" else None)
            except (NetloftError, MemoryError) as error:  # what was measured is not lost for it
                what = f"nodes of {source.name} at batch {batch}"
                not_run.append(NotRun(what, str(error) or type(error).__name__))
    facts = {**result.environment, "peak": peak.to_dict() if peak else None}
    return dataclasses.replace(
        result, nodes=tuple(nodes), not_run=tuple(not_run), environment=facts
    )


def _peak(threads: int) -> tuple[Peak | None, list[NotRun]]:
    try:
        return measure_peak(threads), []
    except MissingError as reason:
        return None, [NotRun("the peak of this machine", str(reason))]


def _entries(
    source: Source, engines: Sequence[Engine], setup: Setup, absent: list[Place]
) -> Iterator[Contestant | NotRun]:
    """Start a source in every engine that takes it, and list what does not run."""
    fitting = engines_for(source, engines)
    if not fitting:
        reason = "no engine that was asked for takes it"
        absent.append(_place(source.name, "", setup, reason))
        yield NotRun(source.name, reason)
    for engine in fitting:
        what = _what(source.name, engine.label, setup)
        other_batch = source.fixed_batch not in (None, setup.batch)
        reason = engine.refuses(setup.provider)
        if other_batch:
            reason = f"it has a fixed batch of {source.fixed_batch}"
        made: Callable[[], Contestant] = functools.partial(engine.make, source, setup)
        entry = NotRun(what, reason) if reason else start(what, made)
        if isinstance(entry, NotRun):
            absent.append(_place(source.name, engine.label, setup, entry.reason, other_batch))
        yield entry


def _what(target: str, engine: str, setup: Setup) -> str:
    """Return a contestant's name in the list of what did not run."""
    if engine == COMMAND:
        return f"{target} at batch {setup.batch}"
    within = "" if engine in _USUAL else f" in {engine}"
    return f"{target}{within} on {setup.provider} at batch {setup.batch}"


def _place(target: str, engine: str, setup: Setup, reason: str, other_batch: bool = False) -> Place:
    where = setup.provider, setup.batch, setup.threads
    return Place(target, engine, *where, reason, other_batch)


def _commands(
    commands: Sequence[str], setup: Setup, absent: list[Place]
) -> Iterator[Contestant | NotRun]:
    """Start commands, which run on the CPU as far as anyone here knows."""
    for command in commands if setup.provider == "cpu" else ():
        made = functools.partial(command_contestant, command, setup)
        entry = start(_what(command, COMMAND, setup), made)
        if isinstance(entry, NotRun):
            absent.append(_place(command, COMMAND, setup, entry.reason))
        yield entry


_Footprints = dict[tuple[str, str], Footprint | NotRun]
"""By target and engine."""


def _footprints(entries: Sequence[Contestant | NotRun], processes: int) -> _Footprints:
    """Return what it takes to load the files."""
    found: _Footprints = {}
    for entry in entries:
        if isinstance(entry, Contestant) and entry.loads is not None:
            if (entry.target, entry.engine) in found:  # a file named twice
                continue
            try:
                result: Footprint | NotRun = footprint(entry.loads, entry.provider, processes)
            except CheckError as reason:
                result = NotRun(f"loading of {entry.target} in {entry.engine}", str(reason))
            found[entry.target, entry.engine] = result
    return found


def _rows(
    measured: Sequence[Measured],
    first: Contestant | NotRun,
    loads: _Footprints,
    *,
    read: bool,
) -> tuple[list[TargetRow], list[NotRun]]:
    """Return the rows of those that ran, and of whom it is not known what they compute in.

    The first entry is the baseline, where it ran.
    """
    baseline = next((samples for contestant, samples in measured if contestant is first), None)
    known = {place: load for place, load in loads.items() if isinstance(load, Footprint)}
    rows, unread = list[TargetRow](), list[NotRun]()
    for contestant, samples in measured:
        c, missing = contestant, None
        if read:
            setup = Setup(c.provider, c.batch, c.threads)
            c, missing = read_back(c, _what(c.target, c.engine, setup))
        rows.append(target_row(c, samples, baseline, known.get((c.target, c.engine))))
        unread += [missing] if missing else []
    return rows, unread


def plan_of(quick: bool = False, rounds: int = 0) -> Plan:
    """Return how long to measure; what is not quick goes on until an interval is narrow."""
    plan = Plan.quick() if quick else Plan(width=WIDTH)
    return dataclasses.replace(plan, least=rounds)


@contextlib.contextmanager
def _torch_settings(sources: Sequence[Source], threads: int) -> Iterator[None]:
    """Set up torch where a module takes part; files alone are measured without importing it."""
    if not any(isinstance(source, ModuleSource) for source in sources):
        yield
        return
    from netloft.speed.torch_contestants import forget_compiled, torch_settings

    with torch_settings(threads):
        try:
            yield
        finally:
            forget_compiled()
