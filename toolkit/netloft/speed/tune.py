"""Find the file and session options that are best on this machine, and keep them in the bundle."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netloft.defaults import BATCHES
from netloft.errors import CheckError, NetloftError, UsageError
from netloft.parity.vectors import replay, runs_in
from netloft.runtime.huge_pages import why_no_huge_pages
from netloft.runtime.integrity import check_files
from netloft.runtime.manifest import read_manifest
from netloft.runtime.providers import NotRun, available, process_cpus
from netloft.runtime.reasons import reason_of
from netloft.runtime.tuning import MODEL, PagesRatio, SavedFile, TunedRow, machine, started_with
from netloft.speed.fresh import on_disk
from netloft.speed.keeping import TuneResult, kept_row, put
from netloft.speed.measure import RunError
from netloft.speed.optimised import LEVEL, Optimised, optimised, why_not
from netloft.speed.paging import surely_faster
from netloft.speed.settings import (
    OWN,
    Sessions,
    Setting,
    TriedRow,
    alternatives,
    screened,
    session_of,
    settings_here,
    try_all,
)
from netloft.speed.sources import feeds_that_run, refusal
from netloft.speed.targets import plan_of

if TYPE_CHECKING:
    import onnxruntime as ort

    from netloft.speed.variants import KindRow

__all__ = ["Prove", "TuneResult", "tune"]

Prove = Callable[[Path, Path], str]
"""Takes a file and what it should compute, and returns why it does not; empty where it does."""


def tune(
    bundle: Path,
    *,
    batches: Sequence[int] | None = None,
    providers: Sequence[str] = (),
    quick: bool = False,
    save_optimised: bool = False,
    prove: Prove | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> TuneResult:
    """Measure settings side by side and write the best into the bundle's manifest.

    A setting is kept only where the whole interval of its ratio to ONNX Runtime's own choice is
    below 1; else that choice is. Rows for other machines stay as they are. What this process has in
    memory is put on huge pages meanwhile, where the system can.

    Args:
        bundle: A bundle's folder; its files are checked first.
        batches: Batch sizes; by default 1 and 8, or the one that a bundle has.
        providers: To run on; by default the CPU, and CUDA where it starts.
        quick: Take a few seconds for each batch and provider in place of half a minute.
        save_optimised: Keep what ONNX Runtime makes of the best file too, on the CPU, where that
            surely loads faster; it has all weights once more.
        prove: Holds a rewritten float32 file against the bundle's model once it gives what the test
            vectors say, and returns why it is not the same function; None for the vectors alone.
        progress: Told what is measured next.

    Raises:
        UsageError: There is no batch, or one that a bundle of a fixed batch does not have.
        IntegrityError: The bundle was changed.
        InputError: It does not run at one of the batches; that is seen before any is tuned.
        CheckError: Nothing of it could be measured.
        OutputError: It cannot be written.
        ProviderError: A provider that was asked for does not start.
    """
    manifest = read_manifest(bundle)
    check_files(bundle, manifest["files"])
    sizes = _sizes(bundle, manifest.get("batch"), batches)
    running, _ = available(providers)
    # where a file cannot be removed while it is mapped into memory, it stays there
    with tempfile.TemporaryDirectory(prefix="netloft-", ignore_cleanup_errors=True) as folder:
        saving = Path(folder) if save_optimised else None
        work = _Tuning(bundle, manifest, quick, progress, saving, prove)
        for provider in running:  # or the last batch would fail when the first has been tuned
            work.require_runs(provider, sizes)
        for provider in running:
            work.run(provider, sizes)
        work.require_any()
        put(bundle, manifest, work.places, work.kept, work.files)
    better = tuple(row for row in work.kept if not row.is_own_choice)
    return TuneResult(tuple(work.rows), better, tuple(work.kinds), tuple(work.refused))


class _Tuning:
    """What was found so far.

    Attributes:
        rows: What was tried.
        kept: Rows for the manifest, one for each batch.
        kinds: Convolutions that were measured.
        refused: What is not kept, and what failed.
        places: Where something was tried; what the bundle had for those goes.
        files: Where the variants that are kept are, or their bytes, by name in the bundle.
    """

    def __init__(
        self,
        bundle: Path,
        manifest: Mapping[str, Any],
        quick: bool,
        progress: Callable[[str], None],
        saving: Path | None,
        prove: Prove | None,
    ) -> None:
        self._prove, self._proven = prove, dict[bytes, str]()
        self._saving, self._optimised = saving, dict[tuple[str, str, str], Optimised | str]()
        self._bundle, self._manifest, self._quick = bundle, manifest, quick
        self._unwritable = _why_unwritable()
        self._plan, self._tell = plan_of(quick), progress
        self.rows: list[TriedRow] = []
        self.kept: list[TunedRow] = []
        self.kinds: list[KindRow] = []
        self.refused: list[NotRun] = []
        self.places: set[tuple[object, ...]] = set()
        self.files: dict[str, bytes | Path] = {}

    def require_runs(self, provider: str, batches: Sequence[int]) -> None:
        """Run the model once at each batch.

        Raises:
            InputError: It does not run at one.
        """
        session = session_of(self._bundle / MODEL, provider, OWN)
        for batch in batches:
            feeds_that_run(self._bundle, session, provider, batch)

    def require_any(self) -> None:
        """Refuse to write down nothing.

        Raises:
            CheckError: No batch could be measured.
        """
        if not self.places:
            what, reason = self.refused[-1]
            raise CheckError(f"nothing could be tuned: {what}: {reason}", remedy="tune it again")

    def run(self, provider: str, batches: Sequence[int]) -> None:
        """Try everything on one provider; what fails is told, and the rest goes on."""
        absent = {"rewritten files": self._unwritable, "huge pages": why_no_huge_pages()}
        if provider == "cpu":
            self.refused += [NotRun(what, reason) for what, reason in absent.items() if reason]
        settings = settings_here(process_cpus()) if provider == "cpu" else [OWN]
        sessions = self._started(self._bundle / MODEL, provider, settings, f"on {provider}")
        for batch in batches if OWN in sessions else ():
            with self._told(f"batch {batch} on {provider}"):
                self._at(batch, provider, sessions)

    @contextlib.contextmanager
    def _told(self, what: str) -> Iterator[None]:
        """List what fails, and go on without it."""
        try:
            yield
        except (NetloftError, MemoryError) as error:
            self.refused.append(NotRun(what, reason_of(error)))

    def _started(
        self, model: Path | bytes, provider: str, settings: Iterable[Setting], where: str
    ) -> dict[Setting, ort.InferenceSession]:
        started = dict[Setting, "ort.InferenceSession"]()
        for setting in settings:
            with self._told(f"{setting} {where}"):
                started[setting] = session_of(model, provider, setting)
        return started

    def _together(
        self, measured: Callable[[Sessions], list[TriedRow]], sessions: Sessions, where: str
    ) -> list[TriedRow]:
        """Measure sessions side by side; the rounds begin anew without one that fails.

        Raises:
            CheckError: The first failed, which the others are compared with.
        """
        left = dict(sessions)
        while True:
            try:
                return measured(left)
            except RunError as error:
                failed = list(left)[error.index]
                if error.index == 0:
                    raise CheckError(f"{failed}: {error.problem}") from error
                self.refused.append(NotRun(f"{failed} at {where}", error.problem))
                del left[failed]

    def _at(self, batch: int, provider: str, sessions: Sessions) -> None:
        feeds = feeds_that_run(self._bundle, sessions[OWN], provider, batch)
        how, where = (feeds, provider, batch), f"batch {batch} on {provider}"
        variant = self._variant(provider, batch)
        self._tell(f"{len(sessions)} settings at {where}")
        looked = self._together(lambda each: screened(each, *how), sessions, where)
        more = self._more(looked, provider, feeds, batch)
        if more:
            self._tell(f"the best of them with one more thing changed at batch {batch}")
            beside = {OWN: sessions[OWN], **more}
            looked += self._together(lambda each: screened(each, *how), beside, where)[1:]
        known = {**sessions, **more}
        left = {row.setting: known[row.setting] for row in looked if row.chosen}
        if variant:
            left |= self._started(variant, provider, _rewritten(left), f"at {where}")
        self._tell(f"the best of them at {where}")

        def start(setting: Setting) -> ort.InferenceSession:
            model = variant if setting.rewritten else self._bundle / MODEL
            return session_of(model, provider, setting)

        tried = self._together(lambda each: try_all(each, *how, self._plan, start), left, where)
        self._keep(next(row for row in tried if row.chosen), variant, feeds)
        self.rows += [*tried, *(row for row in looked if not row.chosen)]
        self.places.add((*machine(provider), provider, batch))

    def _more(
        self, looked: Sequence[TriedRow], provider: str, feeds: Mapping[str, Any], batch: int
    ) -> Sessions:
        """Start the best so far with one more thing changed, where that gives the same."""
        best = min(looked, key=lambda row: row.ratio).setting
        started: dict[Setting, ort.InferenceSession] = {}
        for setting in alternatives(best, provider):
            held = self._held(self._bundle / MODEL, provider, setting)
            reason = held if isinstance(held, str) else refusal(held, feeds)
            if isinstance(held, str) or reason:
                self.refused.append(NotRun(f"{setting} at batch {batch} on {provider}", reason))
            else:
                started[setting] = held
        return started

    def _variant(self, provider: str, batch: int) -> bytes:
        """Return a file that is faster in parts and gives the same; empty where there is none."""
        if provider != "cpu" or self._unwritable:
            return b""
        from netloft.speed.variants import variant_of

        with self._told(f"a rewritten file at batch {batch}"):
            made = variant_of(self._bundle / MODEL, batch, self._tell, quick=self._quick)
            self.kinds += made.rows
            self.refused += made.not_run
            reason = made.refused or (made.model and self._problem_with(made.model, provider))
            if reason:
                raise CheckError(str(reason))
            return made.model
        return b""

    def _problem_with(self, model: bytes, provider: str) -> str:
        """Return why a rewritten file is not the same function; empty where it is."""
        held = self._held(model, provider, OWN)
        if isinstance(held, str):
            return held
        if self._prove is None or self._manifest.get("precision", "fp32") != "fp32":
            return ""
        digest = hashlib.sha256(model).digest()
        if digest not in self._proven:
            self._tell("the rewritten file against the model in float64")
            with tempfile.TemporaryDirectory(prefix="netloft-") as folder:
                file = Path(folder, "rewritten.onnx")
                file.write_bytes(model)
                self._proven[digest] = self._prove(file, self._bundle / MODEL)
        return self._proven[digest]

    def _held(
        self, model: bytes | Path, provider: str, setting: Setting, optimisation: str = ""
    ) -> ort.InferenceSession | str:
        """Start a session as `session_of` does; return it, or why it gives not what is right."""
        try:
            session = session_of(model, provider, setting, optimisation)
            rows = replay(self._bundle, self._manifest, {"tuned": runs_in(session)})
        except (NetloftError, MemoryError) as error:
            return reason_of(error)
        failed = [row["output"] for row in rows if row["status"] != "pass"]
        if not rows:
            return "the test vectors tell nothing of it"
        return f"output '{failed[0]}' is not what the test vectors say" if failed else session

    def _keep(self, row: TriedRow, variant: bytes, feeds: Mapping[str, Any]) -> None:
        name = MODEL
        if row.setting.rewritten:
            digest = hashlib.sha256(variant).hexdigest()[:12]
            name = f"variants/{digest}.onnx"  # one for all batches that take the same
            self.files[name] = variant
        kept = kept_row(row, name)
        if self._saving:
            kept = dataclasses.replace(kept, saved=self._saved(row, name, feeds))
        if row.provider == "cpu" and not why_no_huge_pages():
            kept = dataclasses.replace(kept, huge_pages=self._huge_pages(kept, feeds))
        self.kept.append(kept)

    def _huge_pages(self, row: TunedRow, feeds: Mapping[str, Any]) -> PagesRatio | None:
        """Return what memory on huge pages gives a row, where that surely is something."""
        file, options = started_with(row)
        where = f"batch {row.batch} on {row.provider}"
        with self._told(f"huge pages at {where}"):
            self._tell(f"{file} on huge pages at {where}")
            with on_disk(self.files.get(file, self._bundle / file)) as path:
                return surely_faster(path, options, feeds, quick=self._quick)
        return None

    def _saved(self, row: TriedRow, name: str, feeds: Mapping[str, Any]) -> SavedFile | None:
        """Return what ONNX Runtime makes of a file, where it is worth its bytes."""
        where = f"batch {row.batch} on {row.provider}"
        with self._told(f"a saved file of {name} at {where}"):
            made = self._optimised_of(row, name)
            if isinstance(made, str):
                raise CheckError(made)
            self._tell(f"runs of what ONNX Runtime made of {name} at {where}")
            run = made.run_ratio(feeds, row.provider, row.setting, self._plan)
            reason = why_not(made.load, run)
            if reason:
                raise CheckError(reason)
            self.files |= made.files
            return made.kept()
        return None

    def _optimised_of(self, row: TriedRow, name: str) -> Optimised | str:
        """Return it, or why there is none; it is made once for all batches."""
        what = row.provider, name, row.setting.optimisation
        if what not in self._optimised:
            assert self._saving is not None
            self._tell(f"loading of what ONNX Runtime makes of {name}")
            source, content = self._bundle / name, self.files.get(name)
            if isinstance(content, bytes):  # it is not in the bundle yet
                source = self._saving / f"rewritten-{Path(name).name}"
                source.write_bytes(content)
            how = row.provider, row.setting
            made = optimised(source, self._saving, *how, quick=self._quick)
            if isinstance(made, Optimised):
                held = self._held(made.path, row.provider, row.setting, LEVEL)
                made = held if isinstance(held, str) else made
            self._optimised[what] = made
        return self._optimised[what]


def _sizes(bundle: Path, fixed: object, batches: Sequence[int] | None) -> list[int]:
    """Return the batches to tune for."""
    if isinstance(fixed, int):
        others = [batch for batch in batches or () if batch != fixed]
        if others:
            raise UsageError(
                f"{bundle} has a fixed batch of {fixed}, and does not run at "
                f"{', '.join(map(str, others))}",
                remedy=f"name batch {fixed} or none, or export it with --batch dynamic",
            )
        batches = [fixed] if batches is None else batches
    sizes = list(dict.fromkeys(BATCHES if batches is None else batches))
    if not sizes or min(sizes) < 1:
        raise UsageError("there is no batch to tune for", remedy="give batches of 1 or more")
    return sizes


def _why_unwritable() -> str:
    """Return why no file can be rewritten here; empty where one can be.

    The smaller distribution comes without the packages for it.
    """
    missing = [name for name in ("onnx", "onnx_ir") if find_spec(name) is None]
    which = " and ".join(missing)
    return f"not tried, for they take what is not installed: {which}" if missing else ""


def _rewritten(settings: Iterable[Setting]) -> list[Setting]:
    """Return the settings for a variant; ONNX Runtime's own choice of threads is for the model.

    What is unusual was held to the vectors with the model alone.
    """
    own = [setting for setting in settings if setting.threads is not None and setting.usual]
    own = own or [Setting(process_cpus(), True)]
    return [dataclasses.replace(setting, rewritten=True) for setting in own]
