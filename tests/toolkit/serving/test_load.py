"""The load, with clients that answer by a clock of their own."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from netloft.errors import ServingError
from netloft.serving import load
from netloft.serving.client import Answer
from netloft.serving.load import measure_load


class Clock:
    """Time that passes where it is told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now

    def perf_counter_ns(self) -> int:
        return int(self.now * 1e9)


class Fake:
    """A client whose answers are those of a function, which takes their number."""

    def __init__(self, answer: Callable[[int], bytes]) -> None:
        self.answer, self.count, self.closed = answer, 0, False

    def send(self, _: Any) -> Answer:
        self.count += 1
        return Answer(self.answer(self.count), None)

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(load, "time", made)
    return made


def measured(fake: Fake, judge: Callable[[Answer], bool], batch: int = 1) -> load.LoadRow:
    clients: Any = lambda _: (fake, None, judge)  # noqa: E731
    return measure_load(clients, 1, batch, 1.0)


def test_items_in_a_second_are_those_of_the_requests_that_were_timed(clock: Clock) -> None:
    def answer(count: int) -> bytes:
        clock.now += 0.125
        return b"%d" % (count % 2)

    judged = []

    def judge(answer: Answer) -> bool:
        judged.append(answer.raw)
        clock.now += 1000.0  # takes long, and is no part of what is measured
        return True

    fake = Fake(answer)
    row = measured(fake, judge, batch=4)
    assert row.requests == 8
    assert row.items_per_s == 8 * 4 / 1.0
    assert row.p50_ms == 125
    assert sorted(judged) == [b"0", b"1"]
    assert fake.closed


def test_wrong_answers_of_the_warmup_count_and_its_errors_do_not(clock: Clock) -> None:
    def answer(count: int) -> bytes:
        clock.now += 0.25
        if count == 3:
            raise ServingError("still loading")
        return b"wrong" if count == 1 else b"right"

    row = measured(Fake(answer), lambda answer: answer.raw == b"right")
    assert (row.requests, row.errors, row.wrong, row.problem) == (4, 0, 1, "")


@pytest.mark.parametrize("most", [0, 10, 1 << 20])
def test_each_answer_is_judged_however_few_are_kept(
    clock: Clock, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(load, "_KEPT_BYTES", most)

    def answer(count: int) -> bytes:
        clock.now += 0.0625
        return b"wrong %d" % (count // 2) if count % 4 > 1 else b"right"

    row = measured(Fake(answer), lambda answer: answer.raw == b"right")
    assert (row.requests, row.wrong) == (16, 10)  # of 19 with the warm-up


def test_the_clients_warm_up_together() -> None:
    together = threading.Barrier(4)

    def clients(_: int) -> Any:
        fake = Fake(lambda count: b"%d" % (together.wait(5) if count == 1 else 0))
        return fake, None, lambda _: True

    row = measure_load(clients, 4, 1, 0.01)
    assert row.errors == row.wrong == 0
    assert row.requests >= 4
