"""Publish a bundle in the layout that an engine reads; no torch, and none of the engines."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from netloft.bundle import hash_files, staged_folder
from netloft.bundle.kind import FolderKind
from netloft.errors import OutputError, UsageError
from netloft.publishing import kserve, mlflow, ort_mobile, ort_web, triton
from netloft.publishing.options import Options
from netloft.publishing.source import Source, read_source

__all__ = ["TARGETS", "Options", "Published", "Target", "publish"]

RECORD = "netloft.json"
"""Says which bundle a folder came from, and lists its files."""

PUBLISHED = FolderKind(
    what="folder that netloft published",
    short="model",
    record=RECORD,
    keys=frozenset({"netloft", "format", "target", "bundle"}),
    elsewhere="give another DIR or another --name",
    has_caches=True,  # Triton's Python backend leaves some beside model.py
)

FORMAT = 1


@dataclass(frozen=True)
class Target:
    """An engine.

    Attributes:
        write: Writes the layout into a folder that is empty.
        takes: Names of the options that mean something to it.
        is_tuned: Session options that the bundle keeps are published.
    """

    write: Callable[[Source, Path, Options], None]
    takes: frozenset[str] = frozenset()
    is_tuned: bool = False


TARGETS: Mapping[str, Target] = {
    "triton": Target(triton.write, frozenset({"provider", "backend", "max_batch"}), is_tuned=True),
    "kserve": Target(kserve.write, frozenset({"provider"}), is_tuned=True),
    # MLflow has no place for a provider's options, and goes on with the CPU where one fails
    "mlflow": Target(mlflow.write, is_tuned=True),
    "ort-web": Target(ort_web.write),
    "ort-mobile": Target(ort_mobile.write),
}


@dataclass(frozen=True)
class Published:
    """What was written.

    Attributes:
        path: The model's folder.
        record: The contents of `netloft.json`.
    """

    path: Path
    record: Mapping[str, Any]


def publish(
    bundle: str | Path, target: str, folder: str | Path, name: str | None = None, **given: Any
) -> Published:
    """Write a bundle in the layout of an engine, into `folder/name`, whole or not at all.

    The same bundle and the same versions of what is written for give the same bytes.

    Args:
        bundle: Its folder; every file is compared with the manifest first.
        target: A name of `TARGETS`.
        folder: Such as Triton's model repository; what else is in it stays as it is.
        name: Of the model; the bundle's own by default.
        given: Fields of `Options` that the target takes.

    Raises:
        UsageError: There is no such target, the target does not take an option, or the name is
            not made of letters, digits, `_`, `.` and `-`.
        IntegrityError: A file of the bundle is missing, was changed, was added or is a link.
        OutputError: The place is not ours to write; what stands there stays as it was.
        ExportError: The network cannot be written in the target's format.
    """
    row = _row(target, given)
    options = Options(**given)
    source = read_source(Path(bundle), name)
    place = Path(folder) / source.name
    _refuse_inside(Path(bundle), place)
    with staged_folder(place, PUBLISHED) as staging:
        row.write(source, staging, options)
        record = _record(source, target, options, row, staging)
        text = json.dumps(record, indent=2, allow_nan=False)
        (staging / RECORD).write_text(text + "\n", encoding="utf-8")
    return Published(place, record)


def _row(target: str, given: Mapping[str, Any]) -> Target:
    if target not in TARGETS:
        raise UsageError(
            f"there is no target '{target}'", remedy=f"use one of {', '.join(TARGETS)}"
        )
    for option in sorted(given.keys() - TARGETS[target].takes):
        takes = [name for name, row in TARGETS.items() if option in row.takes]
        flag = option.replace("_", "-")
        raise UsageError(
            f"--{flag} means nothing to {target}",
            remedy=f"leave it out; it is for {', '.join(takes)}",
        )
    return TARGETS[target]


def _refuse_inside(bundle: Path, place: Path) -> None:
    if place.resolve().is_relative_to(bundle.resolve()):
        raise OutputError(
            f"{place} is in the bundle, which lists every file of it",
            remedy="give a DIR outside of the bundle",
        )


def _record(
    source: Source, target: str, options: Options, row: Target, folder: Path
) -> dict[str, Any]:
    from netloft import __version__

    tuned = source.tuned(options.provider) if row.is_tuned else None
    return {
        "netloft": __version__,
        "format": FORMAT,
        "target": target,
        "name": source.name,
        "bundle": source.origin,
        "options": {key: getattr(options, key) for key in sorted(row.takes)},
        "tuned": tuned.to_dict() if tuned else None,
        "files": {name: dataclasses.asdict(facts) for name, facts in hash_files(folder).items()},
    }
