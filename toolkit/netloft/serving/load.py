"""How fast a served model answers when several ask at once."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from netloft.errors import ServingError
from netloft.serving.client import Answer, Client
from netloft.speed.stats import percentile

__all__ = ["CONCURRENCY", "LoadRow", "measure_load"]

CONCURRENCY = (1, 2, 4, 8)

_WARMUP = 3
_KEPT_BYTES = 64 << 20
"""Of different answers that a client keeps until its time is over; those beyond are judged at once.

Most servers send the same bytes again and again; of one that does not, memory is not to be full.
"""


@dataclass(frozen=True)
class LoadRow:
    """One number of clients, each of which asks again as soon as it has an answer.

    Attributes:
        concurrency: Clients.
        batch: Items in a request.
        requests: That were answered.
        errors: That were not.
        wrong: Answers that are not within the tolerance, those of the warm-up among them.
        p50_ms: Median time from sending a request to the last byte of its answer; None where the
            requests are too few to tell, as for the others.
        p95_ms: 95th percentile.
        p99_ms: 99th percentile.
        items_per_s: Items that were answered in a second, all clients together.
        problem: The first error, in words; empty for none.
    """

    concurrency: int
    batch: int
    requests: int
    errors: int
    wrong: int
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    items_per_s: float
    problem: str


@dataclass
class _Worker:
    """One client, in one thread at a time.

    Attributes:
        client: Its connection.
        request: What it asks.
        judge: Tells whether an answer is right.
        times_ms: Of the requests that were answered.
        errors: Those that were not.
        wrong: Answers that are wrong.
        problem: The first error.
        kept: Answers that are not judged yet and how often each came, by their bytes.
        kept_bytes: Of those.
    """

    client: Client
    request: Any
    judge: Callable[[Answer], bool]
    times_ms: list[float] = field(default_factory=list)
    errors: int = 0
    wrong: int = 0
    problem: str = ""
    kept: dict[bytes, tuple[Answer, int]] = field(default_factory=dict)
    kept_bytes: int = 0

    def warm_up(self) -> None:
        """Ask a few times; errors and times do not count, and wrong answers do."""
        for _ in range(_WARMUP):
            self._ask()
            if self.errors:
                break
        self.times_ms.clear()
        self.errors, self.problem = 0, ""

    def run(self, seconds: float) -> None:
        """Ask again and again; each thread that judges meanwhile would hold up the others."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self._ask()

    def judge_kept(self) -> None:
        for answer, count in self.kept.values():
            self.wrong += 0 if self.judge(answer) else count
        self.kept.clear()

    def _ask(self) -> None:
        begin = time.perf_counter_ns()
        try:
            answer = self.client.send(self.request)
        except ServingError as error:
            self.errors += 1
            self.problem = self.problem or error.problem
            return
        self.times_ms.append((time.perf_counter_ns() - begin) / 1e6)
        first, count = self.kept.get(answer.raw, (answer, 0))
        size = 0 if count else len(answer.raw)
        if self.kept_bytes + size <= _KEPT_BYTES:
            self.kept[first.raw] = first, count + 1
            self.kept_bytes += size
        else:
            self.wrong += not self.judge(answer)


def measure_load(
    clients: Callable[[int], tuple[Client, Any, Callable[[Answer], bool]]],
    concurrency: int,
    batch: int,
    seconds: float,
) -> LoadRow:
    """Let several clients ask for a while.

    Args:
        clients: Takes the number of a client and returns it, what it asks, and what tells whether
            an answer is right; called by several threads.
        concurrency: How many there are.
        batch: Items in a request.
        seconds: How long.
    """

    def ready(index: int) -> _Worker:
        worker = _Worker(*clients(index))
        worker.warm_up()
        return worker

    with ThreadPoolExecutor(concurrency) as threads:
        workers = list(threads.map(ready, range(concurrency)))
        begin = time.monotonic()
        list(threads.map(lambda worker: worker.run(seconds), workers))
        elapsed_s = time.monotonic() - begin
    for worker in workers:
        worker.judge_kept()
        worker.client.close()
    return _row(workers, batch, elapsed_s)


def _row(workers: Sequence[_Worker], batch: int, elapsed_s: float) -> LoadRow:
    times = [time_ms for worker in workers for time_ms in worker.times_ms]
    return LoadRow(
        concurrency=len(workers),
        batch=batch,
        requests=len(times),
        errors=sum(worker.errors for worker in workers),
        wrong=sum(worker.wrong for worker in workers),
        p50_ms=percentile(times, 50),
        p95_ms=percentile(times, 95),
        p99_ms=percentile(times, 99),
        items_per_s=len(times) * batch / elapsed_s,
        problem=next((worker.problem for worker in workers if worker.problem), ""),
    )
