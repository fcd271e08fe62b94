"""What a module gives, as known results that any runtime is held against."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from netloft.parity.expected import Expected
from netloft.parity.flat import flat_header
from netloft.parity.judge import judged, worst_items
from netloft.parity.rerun.known import Arrays, Known, Run
from netloft.parity.session import FileRunner

__all__ = ["known_results"]


def known_results(expected: Expected, path: Path) -> Known:
    """Return the inputs of a certificate with the module's results on them.

    Args:
        expected: What the module gives.
        path: The file.
    """
    header = flat_header(path)
    batches = [batch for batch in expected.batches() if expected.runs[batch[0]].case.batch]
    first = [expected.runs[batch[0]] for batch in batches]

    def start(provider: str, threads: int | None = None, **session: Any) -> Run:
        return FileRunner(path, header, expected.taps, provider, threads, **session).run

    def rows(index: int, by: str, given: Arrays) -> list[dict[str, Any]]:
        batch = batches[index]
        parts = expected.given_on([expected.runs[i] for i in batch], lambda _: dict(given))
        pairs = zip(batch, parts, strict=True)
        made = [row for i, part in pairs for row in judged(expected, i, {by: part})]
        by_item = expected.runs[batch[0]].item is not None
        return [dataclasses.asdict(row) for row in (worst_items(made) if by_item else made)]

    return Known(
        path,
        [run.feeds for run in first],
        [run.case.usual for run in first],
        [output.name for output in expected.graph.outputs],
        {tap.name: tap.value for tap in expected.taps},
        expected.graph.batch == "dynamic",
        start,
        rows,
    )
