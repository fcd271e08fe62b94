"""Find the session options that are best on this machine, and keep them in the bundle."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netloft.bundle import staged_bundle
from netloft.errors import InputError, IntegrityError, UsageError
from netloft.runtime.devices import cpu_model
from netloft.runtime.load import check_files, read_manifest
from netloft.runtime.providers import available, process_cpus, start_session
from netloft.runtime.reasons import first_line
from netloft.runtime.tuning import TunedRow, rows_of
from netloft.speed.measure import Plan, measure
from netloft.speed.sources import random_feeds
from netloft.speed.stats import median, paired_ratio
from netloft.speed.targets import plan_of

if TYPE_CHECKING:
    import onnxruntime as ort

__all__ = ["Setting", "TuneResult", "settings_here", "tune"]


@dataclass(frozen=True)
class Setting:
    """Options of a session.

    Attributes:
        threads: For one operation; None for ONNX Runtime's own choice.
        spinning: Whether idle threads wait in a loop within a run. With its own choice of threads
            they wait so between runs too, as is its habit; else they sleep there.
    """

    threads: int | None
    spinning: bool

    def __str__(self) -> str:
        if self.threads is None:
            return "ONNX Runtime's own choice"
        waiting = "waiting in a loop" if self.spinning else "sleeping"
        return f"{self.threads} thread{'s' * (self.threads > 1)}, {waiting}"


OWN = Setting(None, True)


@dataclass(frozen=True)
class TriedRow:
    """One setting at one batch; the first of each batch is ONNX Runtime's own choice.

    Attributes:
        provider: Where it ran.
        batch: Items in a run.
        setting: The options.
        p50_ms: Median time of a run.
        ratio: Its time over that with ONNX Runtime's own choice.
        low: Lower end of its interval.
        high: Upper end.
        chosen: Whether it is the one that was kept.
    """

    provider: str
    batch: int
    setting: Setting
    p50_ms: float
    ratio: float
    low: float
    high: float
    chosen: bool


@dataclass(frozen=True)
class TuneResult:
    """What was tried.

    Attributes:
        rows: Every setting, by provider and batch.
        kept: The best of each, as the bundle has them now; where ONNX Runtime's own choice is the
            best there is none.
    """

    rows: tuple[TriedRow, ...]
    kept: tuple[TunedRow, ...]


def settings_here(cpus: int) -> list[Setting]:
    """Return the settings to try, ONNX Runtime's own choice first; threads are powers of two."""
    counts = {cpus, *(1 << n for n in range(cpus.bit_length()) if 1 << n <= cpus)}
    several = [Setting(n, spins) for n in sorted(counts - {1}) for spins in (True, False)]
    return [OWN, Setting(1, False), *several]


def tune(
    bundle: Path,
    *,
    batches: Sequence[int] = (1, 8),
    providers: Sequence[str] = (),
    quick: bool = False,
    progress: Callable[[str], None] = lambda _: None,
) -> TuneResult:
    """Measure settings side by side and write the best into the bundle's manifest.

    A setting is kept only where the whole interval of its ratio to ONNX Runtime's own choice is
    below 1; else that choice is. Rows for other machines stay as they are.

    Args:
        bundle: A bundle's folder; its files are checked first.
        batches: Batch sizes.
        providers: To run on; by default the CPU, and CUDA where it starts.
        quick: Take about a second for each batch and provider in place of four and more.
        progress: Told what is measured next.

    Raises:
        IntegrityError: The bundle was changed.
        OutputError: It cannot be written.
        ProviderError: A provider that was asked for does not start.
    """
    manifest = read_manifest(bundle)
    _written(manifest)  # or it could not be written again
    check_files(bundle, manifest["files"])
    fixed = manifest.get("batch")
    sizes = [fixed] if isinstance(fixed, int) else list(dict.fromkeys(batches))
    if not sizes or min(sizes) < 1:
        raise UsageError("there is no batch to tune for", remedy="give batches of 1 or more")
    running, _ = available(providers)
    rows, kept, places = list[TriedRow](), list[TunedRow](), set[tuple[object, ...]]()
    for provider in running:
        settings = settings_here(process_cpus()) if provider == "cpu" else [OWN]
        sessions = [_session(bundle / "model.onnx", provider, s) for s in settings]
        for batch in sizes:
            progress(f"{len(settings)} settings at batch {batch} on {provider}")
            tried = _tried(sessions, settings, provider, batch, plan_of(quick))
            rows += tried
            kept += [_kept(row) for row in tried[1:] if row.chosen]
            places.add(_place(provider, batch))
    _write(bundle, kept, places)
    return TuneResult(tuple(rows), tuple(kept))


def _session(path: Path, provider: str, setting: Setting) -> ort.InferenceSession:
    resting = setting.threads is not None
    return start_session(
        path, provider, threads=setting.threads, spinning=setting.spinning, resting=resting
    )


def _tried(
    sessions: Sequence[ort.InferenceSession],
    settings: Sequence[Setting],
    provider: str,
    batch: int,
    plan: Plan,
) -> list[TriedRow]:
    feeds = _feeds(sessions[0], provider, batch)
    runs = [lambda s=session: s.run(None, feeds) for session in sessions]
    samples = [taken.wall_ns for taken in measure(runs, plan)]
    ratios = [paired_ratio(taken, samples[0]) for taken in samples]
    sure = [i for i, ratio in enumerate(ratios) if ratio.high < 1]
    best = min(sure, key=lambda i: ratios[i].value, default=0)
    return [
        TriedRow(
            provider, batch, setting, round(median(taken) / 1e6, 4), round(ratio.value, 4),
            round(ratio.low, 4), round(ratio.high, 4), number == best,
        )
        for number, (setting, taken, ratio) in enumerate(
            zip(settings, samples, ratios, strict=True)
        )
    ]  # fmt: skip


def _feeds(session: ort.InferenceSession, provider: str, batch: int) -> dict[str, Any]:
    """Return inputs that the session runs on.

    Raises:
        InputError: It does not run with so many.
    """
    try:
        feeds = random_feeds(session, batch)
        session.run(None, feeds)
    except InputError:
        raise
    except Exception as error:  # ONNX Runtime has a dozen unrelated kinds
        raise InputError(
            f"the bundle does not run at batch {batch} on {provider}: {first_line(error)}",
            remedy="name a smaller batch with --batches",
        ) from error
    return feeds


def _place(provider: str, batch: int) -> tuple[object, ...]:
    import onnxruntime

    return cpu_model(), process_cpus(), str(onnxruntime.__version__), provider, batch


def _kept(row: TriedRow) -> TunedRow:
    import onnxruntime

    assert row.setting.threads is not None
    return TunedRow(
        cpu=cpu_model(),
        cpus=process_cpus(),
        onnxruntime=str(onnxruntime.__version__),
        provider=row.provider,
        batch=row.batch,
        threads=row.setting.threads,
        spinning=row.setting.spinning,
        p50_ms=row.p50_ms,
        ratio=row.ratio,
        ratio_low=row.low,
        ratio_high=row.high,
    )


def _write(bundle: Path, kept: Sequence[TunedRow], places: set[tuple[object, ...]]) -> None:
    """Put the bundle in its own place again, with the rows of these places in its manifest."""
    with staged_bundle(bundle) as staging:
        manifest = read_manifest(bundle)
        for name in manifest["files"]:
            (staging / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(bundle / name, staging / name, follow_symlinks=False)
        check_files(staging, manifest["files"])  # it was not changed since it was measured
        others = [row for row in rows_of(manifest) if row.place not in places]
        manifest["tuning"] = [row.to_dict() for row in (*others, *kept)]
        (staging / "manifest.json").write_bytes(_written(manifest))


def _written(manifest: Mapping[str, Any]) -> bytes:
    """Return a manifest's bytes.

    Raises:
        IntegrityError: A number in it is none.
    """
    try:
        return json.dumps(manifest, indent=2, allow_nan=False).encode() + b"\n"
    except ValueError as error:
        raise IntegrityError(
            f"manifest.json holds what is no number: {error}", remedy="export the model again"
        ) from error
