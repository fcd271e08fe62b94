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


@dataclass(frozen=True)
class LoadRow:
    """One number of clients, each of which asks again as soon as it has an answer.

    Attributes:
        concurrency: Clients.
        batch: Items in a request.
        requests: That were answered.
        errors: That were not.
        wrong: Answers that are not within the tolerance.
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
    """One client in its own thread.

    Attributes:
        client: Its connection.
        request: What it asks.
        judge: Tells whether an answer is right.
        times_ms: Of the requests that were answered.
        errors: Those that were not.
        wrong: Answers that are wrong.
        problem: The first error.
        known: Answers that were judged, and the verdict: most are the same, byte by byte.
    """

    client: Client
    request: Any
    judge: Callable[[Answer], bool]
    times_ms: list[float] = field(default_factory=list)
    errors: int = 0
    wrong: int = 0
    problem: str = ""
    known: dict[int, bool] = field(default_factory=dict)

    def warm_up(self) -> None:
        """Ask a few times that do not count; an error is left for the time that does."""
        for _ in range(_WARMUP):
            self._ask()
            if self.errors:
                break
        self.times_ms.clear()
        self.errors = self.wrong = 0

    def run(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self._ask()

    def _ask(self) -> None:
        begin = time.perf_counter_ns()
        try:
            answer = self.client.send(self.request)
        except ServingError as error:
            self.errors += 1
            self.problem = self.problem or error.problem
            return
        self.times_ms.append((time.perf_counter_ns() - begin) / 1e6)
        mark = hash(answer.raw)
        if mark not in self.known:
            self.known[mark] = self.judge(answer)
        self.wrong += not self.known[mark]


def measure_load(
    clients: Callable[[int], tuple[Client, Any, Callable[[Answer], bool]]],
    concurrency: int,
    batch: int,
    seconds: float,
) -> LoadRow:
    """Let several clients ask for a while.

    Args:
        clients: Takes the number of a client and returns it, what it asks, and what tells whether
            an answer is right.
        concurrency: How many there are.
        batch: Items in a request.
        seconds: How long.
    """
    workers = [_Worker(*clients(index)) for index in range(concurrency)]
    for worker in workers:
        worker.warm_up()
    begin = time.monotonic()
    with ThreadPoolExecutor(concurrency) as threads:
        list(threads.map(lambda worker: worker.run(seconds), workers))
    elapsed_s = time.monotonic() - begin
    for worker in workers:
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
