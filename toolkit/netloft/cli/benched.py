"""What `netloft bench` does with what it measured."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from netloft.cli import report_error
from netloft.errors import MissingError, NetloftError, UsageError

if TYPE_CHECKING:
    from netloft.speed import TargetResult
    from netloft.speed.limits import Limits

__all__ = ["Outputs", "conclude"]


@dataclass(frozen=True)
class Outputs:
    """Files that are written beside the table.

    Attributes:
        history: The run is added to it.
        plot: The history is drawn into it.
        roofline: The nodes of a profile are drawn into it.
    """

    history: Path | None
    plot: Path | None
    roofline: Path | None

    def check(self, *, profiled: bool, files: bool, quiet: bool) -> None:
        """Refuse what could not be written, before anything is measured.

        Args:
            profiled: Whether nodes are asked for.
            files: Whether any target is a file or a bundle, which have them.
            quiet: Print errors only.

        Raises:
            UsageError: A file is none of ours to write, or has nothing to be made of.
            MissingError: What draws it is not installed, or the peak cannot be measured here.
        """
        if self.history is not None:
            from netloft.speed.history import check_history

            note = check_history(self.history, drawn=self.plot is not None)
            if note and not quiet:
                click.echo(f"note: {note}", err=True)
        if self.plot is not None:
            if self.history is None:
                raise UsageError("--plot draws a history", remedy="add --history FILE")
            from netloft_diagrams.history import check_plot

            check_plot(self.plot)
        if self.roofline is not None:
            if not profiled:
                raise UsageError("--roofline draws the nodes of a profile", remedy="add --profile")
            if not files:
                raise UsageError(
                    "--roofline draws the nodes of files, and every target is a MODEL",
                    remedy="netloft export it first, and measure the bundle",
                )
            from netloft.speed.peak import check_peak
            from netloft_diagrams.roofline import check_roofline

            check_roofline(self.roofline)
            check_peak()

    def writers(self) -> Iterator[Callable[[TargetResult], None]]:
        """Yield what writes each file, in the order in which they need each other."""
        if self.history is not None:
            yield self._keep
        if self.roofline is not None:
            yield self._draw_roofline

    def _keep(self, result: TargetResult) -> None:
        """Add a run to the history, and draw that."""
        from netloft.speed.history import append, read_series

        assert self.history is not None
        append(self.history, result)
        if self.plot is not None:
            from netloft_diagrams.history import plot_history

            plot_history(read_series(self.history), self.plot)

    def _draw_roofline(self, result: TargetResult) -> None:
        """Draw what was profiled.

        Raises:
            MissingError: The peak of this machine is not known, or the profile was refused: the
                exit code 1 is that of a limit.
        """
        from netloft.speed.peak import Peak
        from netloft_diagrams.roofline import plot_roofline

        assert self.roofline is not None
        peak = result.environment.get("peak")
        if not isinstance(peak, dict):
            reason = next((r for w, r in result.not_run if w.startswith("the peak")), "")
            raise MissingError(f"there is no roof to draw: {reason}", remedy="install a C compiler")
        if not result.nodes:
            reason = next((r for w, r in result.not_run if w.startswith("nodes of")), "")
            raise MissingError(f"there are no nodes to draw: {reason}", remedy="measure again")
        plot_roofline(result.nodes, Peak(**peak), self.roofline)


def conclude(
    result: TargetResult, limits: Limits, outputs: Outputs, as_json: bool, quiet: bool
) -> None:
    """Judge a run, print it, and write what was asked for; each is done whatever else failed.

    Args:
        result: What was measured.
        limits: That it is held to.
        outputs: To write.
        as_json: Print JSON.
        quiet: Print errors only.

    Raises:
        UsageError: Nothing was measured, so that there is nothing to print or to keep.
        SystemExit: Something failed; all of it was told on standard error, since the object of the
            measurements is out. Of several exit codes that of a broken limit counts, and then that
            of what failed first.
    """
    from netloft.speed.limits import require_kept

    _require_rows(result)
    unjudged = list[UsageError]()
    result = limits.judged(result, unjudged)
    _tell(result, as_json, quiet)
    found = [*_errors(require_kept, result), *unjudged]
    for write in outputs.writers():
        found += _errors(write, result)
    for error in found:
        report_error(error, as_json=False)
    if found:
        raise SystemExit(found[0].exit_code)


def _require_rows(result: TargetResult) -> None:
    """Raise where no target ran at all, and say of each why."""
    if result.rows:
        return
    reasons = [
        f"{place.target}{f' in {place.engine}' if place.engine else ''}: {place.reason}"
        for place in result.missing
    ] or [f"{what}: {reason}" for what, reason in result.not_run]
    raise UsageError(
        f"nothing was measured: {'; '.join(dict.fromkeys(reasons))}",
        remedy="give a target and an --engine that takes it: netloft bench --help lists them",
    )


def _errors(step: Callable[[TargetResult], None], result: TargetResult) -> list[NetloftError]:
    try:
        step(result)
    except NetloftError as error:
        return [error]
    return []


def _tell(result: TargetResult, as_json: bool, quiet: bool) -> None:
    if as_json:
        click.echo(json.dumps(result.to_dict(), indent=2))
    elif not quiet:
        from netloft.report.speed import print_speed

        print_speed(result)
