"""Session options that were measured to be best on some machine, and kept in the manifest."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from netloft.runtime.devices import cpu_instructions, cpu_model, gpu_names
from netloft.runtime.providers import process_cpus
from netloft.runtime.reasons import NVIDIA

__all__ = [
    "ALLOWED",
    "MODEL",
    "PagesRatio",
    "SavedFile",
    "TunedRow",
    "files_of",
    "machine",
    "problem_of",
    "row_for",
    "rows_of",
    "started_with",
    "tuned_files",
    "weights_of",
]

ALLOWED = (
    ("cudnn_conv_algo_search", "HEURISTIC"),
    ("cudnn_conv_algo_search", "DEFAULT"),
    ("prefer_nhwc", "1"),
    ("use_tf32", "1"),
)
"""Options of CUDA that may be better than its own: a manifest may have these and no others.

Source: ONNX Runtime's page of the CUDA execution provider. By default it tries every algorithm
(`EXHAUSTIVE`), and netloft keeps it from TensorFloat-32.
"""

MODEL = "model.onnx"
"""The file that every bundle has."""

_FILE = re.compile(r"model\.onnx|variants/[0-9a-f]{12}\.onnx")
_VARIANT = re.compile(r"variants/[0-9a-f]{12}\.onnx")


@dataclass(frozen=True)
class SavedFile:
    """What ONNX Runtime made of a row's file when it optimised it, which starts sooner.

    It has ONNX Runtime's own operators, and weights in the order that its kernels take on one kind
    of processor. On another they may give wrong numbers and no error.

    Attributes:
        file: In the bundle; weights may be in a file beside it, whose name has `.data` at the end.
        instructions: What the processor it was made on has, as `cpu_instructions` says.
        load_ratio: Time to check and to start it over that for the row's file.
        load_low: Lower end of its interval.
        load_high: Upper end.
    """

    file: str
    instructions: str
    load_ratio: float
    load_low: float
    load_high: float


@dataclass(frozen=True)
class PagesRatio:
    """What memory on huge pages gives a row, over processes that were started for it.

    Attributes:
        run_ratio: Time of a run over that of the same session on usual pages.
        run_low: Lower end of its interval.
        run_high: Upper end.
    """

    run_ratio: float
    run_low: float
    run_high: float


@dataclass(frozen=True)
class TunedRow:
    """What is best on one kind of machine for one batch.

    Attributes:
        cpu: Its processors, as `machine` says.
        cpus: That the process had.
        onnxruntime: Version that was measured.
        provider: Such as `cpu`.
        batch: Items in a run.
        threads: For one operation; None for ONNX Runtime's own choice, where something else is
            better than its habit, or nothing is and another batch has a row.
        spinning: Whether idle threads wait in a loop within a run; between runs they sleep, but
            for ONNX Runtime's own choice.
        file: What runs: the bundle's model, or another file of it that gives the same.
        p50_ms: Median time of a run with these; on the CPU with memory on huge pages, where the
            system has them, as all that it was compared with.
        ratio: Its time over that with ONNX Runtime's own choice, round by round.
        ratio_low: Lower end of its interval.
        ratio_high: Upper end.
        saved: What to start in its place, as ONNX Runtime left it; None for nothing.
        optimisation: How far ONNX Runtime optimises the file: all of it, or `extended`, without
            another layout of the values in memory.
        arena: Whether memory is kept between runs.
        options: Of the provider, in its own words.
        huge_pages: What it gives to put the session's memory on huge pages; None where that stays
            as it is.
    """

    cpu: str
    cpus: int
    onnxruntime: str
    provider: str
    batch: int
    threads: int | None
    spinning: bool
    file: str
    p50_ms: float
    ratio: float
    ratio_low: float
    ratio_high: float
    saved: SavedFile | None = None
    optimisation: str = "all"
    arena: bool = True
    options: Mapping[str, str] = field(default_factory=dict)
    huge_pages: PagesRatio | None = None

    @property
    def place(self) -> tuple[object, ...]:
        """What a bundle keeps one row for."""
        return *self.machine, self.provider, self.batch

    @property
    def machine(self) -> tuple[str, int, str]:
        """What it was measured on, as `machine` says of the one here."""
        return self.cpu, self.cpus, self.onnxruntime

    def to_dict(self) -> dict[str, object]:
        """Return the fields, ready for JSON; without those that are as is usual."""
        return {key: value for key, value in asdict(self).items() if _USUAL.get(key, ()) != value}

    @property
    def unusual(self) -> dict[str, Any]:
        """What is not as ONNX Runtime has it but for threads, as options of `start_session`."""
        found: dict[str, Any] = {}
        if self.optimisation != "all":
            found["optimisation"] = self.optimisation
        if not self.arena:
            found["arena"] = False
        if self.options:
            found["provider_options"] = dict(self.options)
        return found

    @property
    def is_own_choice(self) -> bool:
        """Whether it starts as a bundle does without it: nothing was better at its batch."""
        extra = self.saved or self.huge_pages
        return extra is None and started_with(self) == started_with(None)

    @property
    def starts(self) -> SavedFile | None:
        """What to start in place of its file on this machine, of which the row is.

        None where nothing is saved, or the processor has not the instructions it was made for.
        """
        if self.saved is None or not self.saved.instructions:
            return None
        return self.saved if self.saved.instructions == cpu_instructions() else None


_USUAL: dict[str, object] = {
    "saved": None, "optimisation": "all", "arena": True, "options": {}, "huge_pages": None,
}  # fmt: skip
"""What a row has where nothing else is said."""

_KINDS: dict[str, type] = {
    "cpu": str, "cpus": int, "onnxruntime": str, "provider": str, "batch": int, "threads": int,
    "spinning": bool, "file": str, "p50_ms": float, "ratio": float, "ratio_low": float,
    "ratio_high": float, "optimisation": str, "arena": bool, "options": dict,
}  # fmt: skip
_PARTS: dict[str, tuple[type, dict[str, type]]] = {
    "saved": (SavedFile, {
        "file": str, "instructions": str, "load_ratio": float, "load_low": float,
        "load_high": float,
    }),
    "huge_pages": (PagesRatio, {"run_ratio": float, "run_low": float, "run_high": float}),
}  # fmt: skip
"""What a row may have, that is several things itself."""


def problem_of(tuning: object, files: Collection[str]) -> str:
    """Return what is wrong with the rows of a manifest; empty where nothing is.

    Args:
        tuning: The rows.
        files: Names that the manifest lists.
    """
    if not isinstance(tuning, list) or not all(map(_is_row, tuning)):
        return "has tuned options that are none"
    given = [row["file"] for row in tuning]
    saved = [row["saved"]["file"] for row in tuning if "saved" in row]
    strange = [name for name in given if name not in files or not _FILE.fullmatch(name)]
    strange += [name for name in saved if name not in files or not _VARIANT.fullmatch(name)]
    return f"has tuned options of {strange[0]!r}, which is no file of its own" if strange else ""


def _is_row(row: object) -> bool:
    if not isinstance(row, dict):
        return False
    known = {key: value for key, value in {**_USUAL, **row}.items() if key not in _PARTS}
    if known.get("threads", 1) is None:
        known["threads"] = 1  # ONNX Runtime's own choice
    if any(part in row and not _has(row[part], kinds) for part, (_, kinds) in _PARTS.items()):
        return False
    return (
        _has(known, _KINDS)
        and 1 <= known["threads"] <= row["cpus"]
        and row["batch"] >= 1
        and known["optimisation"] in ("all", "extended")
        and all(option in ALLOWED for option in known["options"].items())
        and (row["provider"] == "cuda" or not known["options"])
        and (row["provider"] == "cpu" or "huge_pages" not in row)
    )


def _has(facts: object, kinds: Mapping[str, type]) -> bool:
    """Tell whether these are the keys of a JSON object, each with a value of its kind."""
    if not isinstance(facts, dict) or facts.keys() != kinds.keys():
        return False
    return all(_is(facts[key], kind) for key, kind in kinds.items())


def _is(value: object, kind: type) -> bool:
    if isinstance(value, bool) != (kind is bool):
        return False
    return isinstance(value, kind) or (kind is float and isinstance(value, int))


def rows_of(manifest: Mapping[str, Any]) -> list[TunedRow]:
    """Return the rows of a manifest that was checked."""
    return [
        TunedRow(**row | {part: of(**row[part]) for part, (of, _) in _PARTS.items() if part in row})
        for row in manifest.get("tuning", ())
    ]


def machine(provider: str = "cpu") -> tuple[str, int, str]:
    """Return what a row is for: the processors' models, the CPUs here, and ONNX Runtime's version.

    Args:
        provider: Where the network runs; on an NVIDIA GPU, that counts as a processor, too.
    """
    import onnxruntime

    gpus = gpu_names()[:1] if provider in NVIDIA else ()  # the one that a session takes
    return ", ".join((cpu_model(), *gpus)), process_cpus(), str(onnxruntime.__version__)


def tuned_files(rows: Sequence[TunedRow]) -> dict[str, tuple[str, ...]]:
    """Return the files that stand in for the model, each with the providers that run it."""
    found: dict[str, set[str]] = {}
    for row in rows:
        if row.file != MODEL:
            found.setdefault(row.file, set()).add(row.provider)
    return {name: tuple(sorted(found[name])) for name in sorted(found)}


def weights_of(file: str) -> str:
    """Return the name of the file that a saved one has its weights in, where they are many."""
    return f"{file}.data"


def files_of(rows: Sequence[TunedRow], files: Collection[str]) -> set[str]:
    """Return what of a bundle's files is there for these rows alone.

    Args:
        rows: Of its manifest.
        files: Names of all that it lists.
    """
    saved = [row.saved.file for row in rows if row.saved is not None]
    beside = [weights_of(name) for name in saved]
    return {*tuned_files(rows), *saved, *(name for name in beside if name in files)}


def started_with(row: TunedRow | None) -> tuple[str, dict[str, Any]]:
    """Return the file of a bundle to start on this machine, and the options of its session.

    Args:
        row: The one that fits; None for ONNX Runtime's own choice of all.
    """
    if row is None:
        return MODEL, {"threads": None, "spinning": True, "resting": False}
    how = {"threads": row.threads, "spinning": row.spinning, "resting": row.threads is not None}
    how |= row.unusual
    saved = row.starts
    # it is optimised: to look for more would take the time that is to be saved
    return (row.file, how) if saved is None else (saved.file, how | {"optimisation": "none"})


def row_for(rows: Sequence[TunedRow], provider: str, batch: int) -> TunedRow | None:
    """Return the row that fits this machine, of several the one of the nearest batch.

    Returns:
        None where there is none, or that one is of ONNX Runtime's own choice.
    """
    if not rows:
        return None
    here = *machine(provider), provider
    fitting = [row for row in rows if row.place[:-1] == here]
    nearest = min(fitting, key=lambda row: (abs(row.batch - batch), row.batch), default=None)
    return None if nearest is None or nearest.is_own_choice else nearest
