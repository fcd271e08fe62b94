"""Damage and attacks on bundles and files, each tried many times; `faults.py` runs them."""

from __future__ import annotations

import functools
import itertools
import json
import os
import random
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from tests.toolkit.runtime import hostile

from netloft.errors import IntegrityError
from netloft.runtime import load
from netloft.runtime.scan import Budget, scan
from netloft.runtime.trial import GIB, Limits, try_out


@dataclass
class Counts:
    """What happened in the tries of one accident.

    Attributes:
        tries: How often it was tried.
        whole: How often a whole bundle stood there afterwards, the old one or the new one.
        absent: How often none did, where none had been.
        told: How often it ended in one clear error.
        bad: What should not have happened, each in a few words.
    """

    tries: int = 0
    whole: int = 0
    absent: int = 0
    told: int = 0
    bad: list[str] = field(default_factory=list)


Models = tuple[Path, Path]
Accident = Callable[[Counts, Models, Path, int], None]


def _refused(counts: Counts, what: str, said: str, attempt: Callable[[], object]) -> None:
    """Count one attempt, which has to end in an error that says so."""
    counts.tries += 1
    try:
        attempt()
    except IntegrityError as error:
        counts.told += said in error.problem
        if said not in error.problem:
            counts.bad.append(f"{what}: {error.problem}")
    else:
        counts.bad.append(f"{what} was believed")


def _damaged(damage: Callable[[Path, random.Random], str]) -> Accident:
    """Damage a bundle; it has to be refused, with the file named."""

    def accident(counts: Counts, models: Models, place: Path, tries: int) -> None:
        target, chance = place / "net", random.Random(0)
        for _ in range(tries):
            shutil.copytree(models[0], target)
            name = damage(target, chance)
            _refused(counts, name, name, lambda: load(target))
            shutil.rmtree(target)

    return accident


def _any_file(target: Path, chance: random.Random) -> Path:
    return chance.choice(sorted(p for p in target.rglob("*") if p.is_file()))


def _flip(target: Path, chance: random.Random) -> str:
    path = _any_file(target, chance)
    content = bytearray(path.read_bytes())
    content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    path.write_bytes(content)
    return path.relative_to(target).as_posix()


def _truncate(target: Path, chance: random.Random) -> str:
    path = _any_file(target, chance)
    os.truncate(path, chance.randrange(path.stat().st_size))
    return path.relative_to(target).as_posix()


def _append(target: Path, chance: random.Random) -> str:
    path = _any_file(target, chance)
    with path.open("ab") as file:
        file.write(b"\0" * chance.randint(1, 64))
    return path.relative_to(target).as_posix()


def _missing(target: Path, chance: random.Random) -> str:
    path = _any_file(target, chance)
    path.unlink()
    return path.relative_to(target).as_posix()


def _extra(target: Path, chance: random.Random) -> str:
    folder = chance.choice([target, target / "test_data_set_0"])
    path = folder / chance.choice([".hidden", "model.onnx.data", "extra.py", "input_9.pb"])
    path.write_bytes(b"x")
    return path.relative_to(target).as_posix()


def _swapped(target: Path, chance: random.Random) -> str:
    names = [p for p in sorted(target.rglob("*")) if p.is_file() and p.name != "manifest.json"]
    first, second = sorted(chance.sample(names, 2))
    other = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(other)
    listed: list[str] = list(json.loads((target / "manifest.json").read_bytes())["files"])
    both = {p.relative_to(target).as_posix() for p in (first, second)}
    return next(name for name in listed if name in both)


def _soft_link(target: Path, chance: random.Random) -> str:
    path = _any_file(target, chance)
    away = target.parent / "away"
    shutil.move(path, away)
    path.symlink_to(away)
    return path.relative_to(target).as_posix()


def _outside(counts: Counts, models: Models, place: Path, tries: int) -> None:
    """Try each way in which a weight reaches for what is not its own."""
    for name, (make, said) in hostile.OUTSIDE.items():
        for _ in range(max(1, tries // len(hostile.OUTSIDE) + 1)):
            folder = place / "model"
            folder.mkdir()
            model = make(folder)
            _refused(counts, name, said, functools.partial(scan, model))
            shutil.rmtree(folder)


FOUR = {"x": np.arange(4, dtype=np.float32)}
HUNGRY: dict[str, tuple[hostile.Make, dict[str, Any], tuple[int, ...]]] = {
    "endless loop": (hostile.endless, {"x": np.float32(1)}, ()),
    "forty doublings": (hostile.doubling, FOUR, ()),
    "10^10 numbers": (hostile.huge, FOUR, (4,)),
}
"""How each is made, its input, and the shape of its result, if it ever gave one."""


def _hungry(counts: Counts, models: Models, place: Path, tries: int) -> None:
    """Run files that never end or want all memory, within limits."""
    limits = Limits(memory=GIB, seconds=3)
    for name in itertools.islice(itertools.cycle(HUNGRY), tries):
        make, feeds, shape = HUNGRY[name]
        start = time.monotonic()
        how = {"feeds": feeds, "outputs": {"y": shape}, "limits": limits}
        attempt = functools.partial(try_out, make(place), "cpu", **how)
        _refused(counts, name, "was stopped", attempt)
        if time.monotonic() - start > limits.seconds + 10:
            counts.bad.append(f"{name} took {time.monotonic() - start:.0f} s")


def _unread(counts: Counts, models: Models, place: Path, tries: int) -> None:
    """Scan files that are refused before anything runs."""
    for name in itertools.islice(itertools.cycle(hostile.REFUSED), tries):
        make, said = hostile.REFUSED[name]
        attempt = functools.partial(scan, make(place), Budget(nodes=100))
        _refused(counts, name, said, attempt)


ATTACKS: dict[str, tuple[str, Accident]] = {
    "flips": ("one bit flipped in any file", _damaged(_flip)),
    "truncated": ("a file cut off", _damaged(_truncate)),
    "appended": ("bytes appended to a file", _damaged(_append)),
    "swapped": ("two files swapped", _damaged(_swapped)),
    "missing": ("a file missing", _damaged(_missing)),
    "extra": ("a file that is not listed", _damaged(_extra)),
    "soft-link": ("a link in the place of a file", _damaged(_soft_link)),
    "outside": ("weights that lie where they should not", _outside),
    "beyond": ("sizes and depths beyond all bounds", _unread),
    "hungry": ("files that never end, or want all memory", _hungry),
}
