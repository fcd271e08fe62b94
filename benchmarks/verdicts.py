"""How often the bench is right: of a file and itself, and of one that is a twentieth slower.

    python benchmarks/verdicts.py run benchmarks/verdicts.jsonl [NAME …] [--tries N] [--huge-pages]
    python benchmarks/verdicts.py report benchmarks/verdicts.jsonl > docs/verdicts.md

Each try compares a file with itself, as `netloft bench a.onnx a.onnx` does, with the bench's own
plan: two sessions, or sixteen of both, one after the other, where a run takes less than a
millisecond. `same` compares them as they are: "cannot tell" is right. `slower` lengthens every run
of the second by 5 %, waiting in a loop for as long as a twentieth of that very run took: "slower"
is right. A run that is followed by a wait may itself get shorter, so that it is slower by less; how
much was found stands under `by`. On huge pages, both sessions have their memory there before the
first round, as with `--huge-pages`.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import netloft
from netloft.models import load_model
from netloft.runtime.huge_pages import everything_on_huge_pages
from netloft.speed.conditions import Watch
from netloft.speed.contestants import (
    ONNXRUNTIME,
    Contestant,
    Loads,
    timed_options,
    timed_session,
)
from netloft.speed.engines.engine import in_onnxruntime
from netloft.speed.environment import describe_environment
from netloft.speed.measure import ratio_between
from netloft.speed.setup import Setup
from netloft.speed.sources import random_feeds
from netloft.speed.stats import verdict
from netloft.speed.targets import plan_of
from netloft.speed.together import together

NETS = ("mnist", "myresnet", "alphago", "resnet18")
THREADS = (1, 2)
TRIES = 20
SLOWER = 0.05

Row = dict[str, Any]


def started(path: Path, setup: Setup) -> Contestant:
    """Return a session of a file as a contestant."""
    session = timed_session(path, setup.provider, setup.threads)
    feeds = random_feeds(session, setup.batch)
    loads = Loads(path, timed_options(setup.threads))
    return in_onnxruntime(session, feeds, setup, path.name, ONNXRUNTIME, path, loads=loads)


def waiting(contestant: Contestant, share: float) -> Contestant:
    """Return one that does the same work, and waits in a loop for a share of its time."""
    again = contestant.again
    assert again is not None
    return dataclasses.replace(
        contestant, run=_longer(contestant.run, share), again=lambda: _longer(again(), share)
    )


def _longer(run: Callable[[], object], share: float) -> Callable[[], object]:
    def longer() -> None:
        start = time.perf_counter()
        run()
        end = start + (time.perf_counter() - start) * (1 + share)
        while time.perf_counter() < end:
            pass

    return longer


def tried(path: Path, batch: int, threads: int, planted: bool, huge_pages: bool) -> Row:
    """Compare two sessions of a file once."""
    first, second = (started(path, Setup("cpu", batch, threads)) for _ in range(2))
    first, second = waiting(first, 0.0), waiting(second, SLOWER if planted else 0.0)
    first.run(), second.run()
    start = time.perf_counter()
    watch = Watch()
    ready = everything_on_huge_pages if huge_pages else None
    measured, failed = together([first, second], plan_of(), ready=ready)
    if failed:
        raise RuntimeError(failed[0].reason)
    samples = [each.samples for each in measured]
    found = ratio_between(samples[1], samples[0])
    return {
        "planted": planted,
        "huge_pages": huge_pages,
        "batch": batch,
        "threads": threads,
        "ratio": round(found.value, 4),
        "low": round(found.low, 4),
        "high": round(found.high, 4),
        "verdict": verdict(found.low, found.high),
        "rounds": len(samples[0].wall_ns),
        "sessions": max(len(samples[0].lives), 1),
        "seconds": round(time.perf_counter() - start, 1),
        "others": watch.conditions().others,
    }


def run(file: Path, names: list[str], tries: int, counts: list[int], huge_pages: bool) -> None:
    """Append a row for each try."""
    environment = describe_environment(1).to_dict()
    for name in names:
        model = load_model(name)
        with tempfile.TemporaryDirectory() as folder, file.open("a", encoding="utf-8") as log:
            path = Path(folder, "net.onnx")
            netloft.to_onnx(model.module, model.example(), path, prove=False)
            for threads in counts:
                for number in range(2 * tries):
                    row = tried(path, 1, threads, bool(number % 2), huge_pages)
                    log.write(json.dumps({"name": name, **row, "cpu": environment["cpu"]}) + "\n")
                    log.flush()


def report(file: Path) -> Iterator[str]:
    """Return the page's lines."""
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    yield "# How often the bench is right\n"
    doc = (__doc__ or "").rpartition("\n\n")[2].strip()
    yield f"{doc}\n"
    yield "Generated by `benchmarks/verdicts.py`. Medians over the tries.\n"
    yield (
        "| processors | memory | network | threads | sessions | same: cannot tell "
        "| 5 % slower: found | by | half an interval | rounds | seconds |\n" + "|---" * 11 + "|"
    )
    by_place = dict[tuple[Any, ...], list[Row]]()
    for row in rows:
        by_place.setdefault(_place(row), []).append(row)
    for place in sorted(by_place):
        yield _line(by_place[place])
    for cpu, pages in sorted({place[:2] for place in by_place}):
        own = [row for row in rows if _place(row)[:2] == (cpu, pages)]
        same, slower = _apart(own)
        yield f"| {cpu} | {pages} | all | | | {_right(same)} | {_right(slower)} | | | | |"
    known = {(row["name"], row["threads"]) for row in rows}
    taken = sorted(row["others"] for row in rows if row["others"] is not None)
    left = [f"{n} with {t}" for n in NETS for t in THREADS if (n, t) not in known]
    if left:
        yield f"\nNot measured: {', '.join(left)} threads."
    if not taken:
        return
    yield (
        f"\nOther programs took {taken[0]:.0%} to {taken[-1]:.0%} of the processors meanwhile, "
        f"{taken[len(taken) // 2]:.0%} in the median try, and more than a tenth in "
        f"{sum(share > 0.1 for share in taken)} of {len(taken)}."
    )


def _place(row: Row) -> tuple[str, str, str, int]:
    pages = "huge pages" if row.get("huge_pages") else "as usual"
    return row["cpu"], pages, row["name"], row["threads"]


def _apart(rows: list[Row]) -> tuple[list[Row], list[Row]]:
    """Return the rows of a file and itself, and those of one that is slower."""
    return [row for row in rows if not row["planted"]], [row for row in rows if row["planted"]]


def _line(rows: list[Row]) -> str:
    same, slower = _apart(rows)
    planted, half, rounds, seconds = [
        sorted(values)[len(values) // 2] if values else math.nan
        for values in (
            [row["ratio"] - 1 for row in slower],
            [(row["high"] - row["low"]) / 2 / row["ratio"] for row in rows],
            [row["rounds"] for row in rows],
            [row["seconds"] for row in rows],
        )
    ]
    where = " | ".join(map(str, _place(rows[0])))
    sessions = ", ".join(map(str, sorted({row.get("sessions", 1) for row in rows})))
    right = f"{_right(same)} | {_right(slower)} | {planted:.1%}"
    return f"| {where} | {sessions} | {right} | {half:.1%} | {rounds} | {seconds} |"


def _right(rows: list[Row]) -> str:
    right = sum(row["verdict"] == ("slower" if row["planted"] else "cannot tell") for row in rows)
    return f"{right} of {len(rows)}"


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("what", choices=("run", "report"))
    parser.add_argument("file", type=Path)
    parser.add_argument("names", nargs="*", default=list(NETS))
    parser.add_argument("--tries", type=int, default=TRIES)
    parser.add_argument("--threads", type=int, nargs="+", default=list(THREADS))
    parser.add_argument("--huge-pages", action="store_true")
    given = parser.parse_args()
    if given.what == "run":
        run(given.file, given.names, given.tries, given.threads, given.huge_pages)
    else:
        print("\n".join(report(given.file)))


if __name__ == "__main__":
    main()
