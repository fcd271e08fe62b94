"""A failed certificate, told with the operation that is at fault."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from netloft.errors import ParityError, first_line
from netloft.locating import LayerRow, Located, Unlike, locate
from netloft.parity.check import ParityResult, require_parity
from netloft.parity.expected import Expected
from netloft.parity.inputs import Case

__all__ = ["require_located", "telling"]


def telling(expected: Expected, parity: ParityResult, providers: Sequence[str]) -> tuple[Case, str]:
    """Return the inputs and the provider of the worst row; of the smallest batch if all is well.

    Args:
        expected: What the module gives.
        parity: The rows of a file.
        providers: That the file ran on.
    """
    cases = [run.case for run in expected.runs]
    if not parity.failed:
        usual = [case for case in cases if case.usual]
        return min(reversed(usual), key=lambda case: case.batch), providers[0]
    worst = max(parity.failed, key=lambda row: row.ratio)
    alike = (c for c in cases if (c.kind, c.batch) == (worst.input, worst.batch))
    return next(alike), worst.provider


def require_located(
    parity: ParityResult,
    expected: Expected,
    path: Path,
    providers: Sequence[str],
    *,
    threads: int | None = None,
) -> None:
    """Raise for the worst row that fails, with the first operation that is wrong by itself.

    The layers are looked at after a failure alone; where that fails too, the message says why, and
    the failure stays the one that it is.

    Args:
        parity: The rows of the file.
        expected: What the module gives.
        path: The file.
        providers: That it ran on.
        threads: For one operation; None for the runtime's own choice.

    Raises:
        ParityError: Names the output, the index and both values; and the operation by its module
            path, its line and its node in the file.
    """
    try:
        require_parity(parity)
    except ParityError as error:
        raise _located(error, parity, expected, path, providers, threads) from error


def _located(
    error: ParityError,
    parity: ParityResult,
    expected: Expected,
    path: Path,
    providers: Sequence[str],
    threads: int | None,
) -> ParityError:
    case, provider = telling(expected, parity, providers)
    try:
        found = locate(expected.graph, path, case.inputs, provider=provider, threads=threads)
    except Exception as reason:  # noqa: BLE001 - whatever it is, the certificate failed first
        what = f"the operation at fault could not be looked for: {first_line(reason)}"
        return ParityError(f"{error.problem}; {what}", remedy=error.remedy)
    if not found.first:
        what = f"no operation on its own shows it on {case.kind} at batch {case.batch}"
        return ParityError(f"{error.problem}; {what}", remedy=error.remedy)
    return _named(error, found)


def _named(error: ParityError, found: Located) -> ParityError:
    every: list[LayerRow | Unlike] = [*found.layers, *found.unlike]
    rows = [row for row in every if row.node == found.first_node]
    return ParityError(
        f"{error.problem}; first bad operation: {found.first}",
        node=found.first_node,
        module=rows[0].module if rows else "",
        source=rows[0].source if rows else "",
        remedy=error.remedy,
    )
