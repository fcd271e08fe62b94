"""What tuning found, and how that comes into the bundle."""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netloft.bundle.rewrite import copied, seal
from netloft.defaults import JSON_FORMAT
from netloft.errors import IntegrityError
from netloft.runtime.providers import NotRun
from netloft.runtime.tuning import TunedRow, files_of, machine, rows_of
from netloft.speed.settings import TriedRow

if TYPE_CHECKING:
    from netloft.speed.variants import KindRow

__all__ = ["TuneResult", "kept_row", "put"]


@dataclass(frozen=True)
class TuneResult:
    """What was tried.

    Attributes:
        rows: Every setting, by provider and batch.
        kept: The best of each, as the bundle has them now; where ONNX Runtime's own choice is the
            best there is none, unless a file is saved for it or huge pages pay.
        kinds: What each kind of convolution takes when it is rewritten.
        refused: Variants that are outside of what the bundle's certificate allows or were not
            tried, saved files and huge pages that do not pay, and whatever failed, with the reason.
    """

    rows: tuple[TriedRow, ...]
    kept: tuple[TunedRow, ...]
    kinds: tuple[KindRow, ...] = ()
    refused: tuple[NotRun, ...] = ()

    def to_dict(self) -> dict[str, object]:
        """Return everything, ready for JSON."""
        return {
            "format": JSON_FORMAT,
            "tried": [dataclasses.asdict(row) for row in self.rows],
            "kept": [row.to_dict() for row in self.kept],
            "convolutions": [dataclasses.asdict(row) for row in self.kinds],
            "refused": [row._asdict() for row in self.refused],
        }


def kept_row(row: TriedRow, file: str) -> TunedRow:
    """Return what the manifest says of a setting.

    Args:
        row: The setting, and what was measured.
        file: What it runs, by its name in the bundle.
    """
    cpu, cpus, onnxruntime = machine(row.provider)
    return TunedRow(
        cpu=cpu,
        cpus=cpus,
        onnxruntime=onnxruntime,
        provider=row.provider,
        batch=row.batch,
        threads=row.setting.threads,
        spinning=row.setting.spinning,
        file=file,
        p50_ms=row.p50_ms,
        ratio=row.ratio,
        ratio_low=row.low,
        ratio_high=row.high,
        optimisation=row.setting.optimisation,
        arena=row.setting.arena,
        options=dict(row.setting.options),
    )


def put(
    bundle: Path,
    measured: Mapping[str, Any],
    places: Collection[tuple[object, ...]],
    kept: Sequence[TunedRow],
    files: Mapping[str, bytes | Path],
) -> None:
    """Put the bundle in its own place again, with what was found and without what it replaces.

    Args:
        bundle: Its folder.
        measured: Its manifest as it was when it was measured.
        places: Where something was tried; the rows that the bundle had for those go.
        kept: Rows in their place; of ONNX Runtime's own choice only those beside others count.
        files: Files that these name, or their bytes, by name in the bundle.

    Raises:
        IntegrityError: Another bundle was put in its place meanwhile.
        OutputError: It cannot be written.
    """
    with copied(bundle) as (staging, manifest):
        if _apart_from_tuning(manifest) != _apart_from_tuning(measured):
            raise IntegrityError(
                f"{bundle} was replaced while it was measured", remedy="tune it again"
            )
        rows = _telling([row for row in rows_of(manifest) if row.place not in places] + [*kept])
        listed = {*manifest["files"], *files}
        for name in files_of(rows_of(manifest), listed) - files_of(rows, listed):
            (staging / name).unlink()  # no row names it any more
            with contextlib.suppress(OSError):  # others are in there
                (staging / name).parent.rmdir()
        for name, content in files.items():
            (staging / name).parent.mkdir(exist_ok=True)
            if isinstance(content, Path):
                shutil.copyfile(content, staging / name)
            else:
                (staging / name).write_bytes(content)
        seal(staging, manifest | {"tuning": [row.to_dict() for row in rows]})


def _telling(rows: Sequence[TunedRow]) -> list[TunedRow]:
    """Return the rows without ONNX Runtime's own choice where nothing else is known of a machine.

    Beside others it keeps the row of a neighbouring batch from being taken.
    """
    better = {(*row.machine, row.provider) for row in rows if not row.is_own_choice}
    return [row for row in rows if (*row.machine, row.provider) in better]


def _apart_from_tuning(manifest: Mapping[str, Any]) -> dict[str, Any]:
    tuned = files_of(rows_of(manifest), manifest["files"])
    files = {name: facts for name, facts in manifest["files"].items() if name not in tuned}
    rest = {key: value for key, value in manifest.items() if key != "tuning"}
    return {**rest, "files": files}
