"""What the bench and the tuner found, in the terminal."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from netloft.report.table import print_table

if TYPE_CHECKING:
    from netloft.speed import TargetResult, TargetRow
    from netloft.speed.profile import ProfileRow
    from netloft.speed.tune import TuneResult

__all__ = ["print_speed", "print_tuning"]

_NODE_COLUMNS = (
    "target", "provider", "batch", "node", "operator", "module", "ms", "share", "GFLOP/s", "GB/s",
    "limit ms", "of limit", "limit by",
)  # fmt: skip


def print_speed(result: TargetResult) -> None:
    """Print the rows, the time of each node, the limits kept and broken, and the machine."""
    _print_rows(result.rows)
    if result.nodes:
        title = "\nnodes: median time of each in ONNX Runtime, the slowest first"
        slowest = sorted(result.nodes, key=lambda row: (row.target, row.batch, -row.ms))
        print_table(title, _NODE_COLUMNS, [_node_cells(row) for row in slowest])
    for judgement in result.budgets:
        click.echo(str(judgement))
    for what, reason in result.not_run:
        click.echo(f"not run: {what}: {reason}")
    facts = result.environment
    where = [facts["cpu"], *list(facts["gpu"] or ()), facts["os"]]  # type: ignore[call-overload]
    versions = [f"torch {facts['torch']}" if facts["torch"] else "", facts["onnxruntime"]]
    click.echo(", ".join(str(part) for part in (*where, *versions) if part))
    click.echo(_settings(facts))
    peak = facts.get("peak")
    if peak:
        of = f"{peak['gflops']} GFLOP/s in float32, {peak['gbs']} GB/s"  # type: ignore[index]
        click.echo(f"this machine can do, with {peak['threads']} threads: {of}")  # type: ignore[index]
    for complaint in facts["conditions"]["complaints"]:  # type: ignore[index]
        click.echo(f"the machine was not quiet: {complaint}")
    click.echo(f"load average before the first sample: {facts['load_average']}")


def _settings(facts: Mapping[str, Any]) -> str:
    """Say how threads wait, and what a GPU may round: what others set otherwise."""
    waiting = (
        "wait in a loop within a run, and sleep" if facts["spinning"] else "sleep within a run and"
    )
    told = [f"idle threads of ONNX Runtime {waiting} between two", f"TF32 {_ON[facts['tf32']]}"]
    told += ["memory on huge pages"] * bool(facts.get("huge_pages"))
    openmp = [f"{name}={value}" for name, value in facts["openmp"].items()]
    return "; ".join([*told, *(openmp or ["no variable of OpenMP is set"])])


_ON = {True: "on", False: "off"}


def print_tuning(found: TuneResult) -> None:
    """Print what was tried for each batch, and what of that was kept."""
    from netloft.speed.settings import OWN

    if found.kinds:
        print_table(
            "convolutions written in another way; ratio = time over the plain one's",
            ("batch", "convolution", "sites", "ratio", "99 % interval", ""),
            [
                (row.batch, str(row.kind), row.sites, f"{row.ratio:.3f}",
                 f"{row.low:.3f} to {row.high:.3f}", "faster" if row.pays else "")
                for row in found.kinds
            ],
        )  # fmt: skip
        click.echo()
    columns = ("provider", "batch", "options", "p50 ms", "ratio", "99 % interval", "")
    rows = [
        (row.provider, row.batch, str(row.setting), f"{row.p50_ms:.3f}", f"{row.ratio:.3f}",
         "" if row.setting == OWN else f"{row.low:.3f} to {row.high:.3f}",
         "kept" if row.chosen else "")
        for row in found.rows
    ]  # fmt: skip
    title = "ratio = time over ONNX Runtime's own choice; kept only where it is surely below 1"
    print_table(title, columns, rows)
    _print_saved(found)
    _print_pages(found)
    for what, reason in found.refused:
        click.echo(f"not kept: {what}: {reason}")


def _print_saved(found: TuneResult) -> None:
    """Print what is to be had by starting what ONNX Runtime saved."""
    rows = [
        (row.provider, row.batch, row.file, saved.file, f"{saved.load_ratio:.3f}",
         f"{saved.load_low:.3f} to {saved.load_high:.3f}")
        for row in found.kept if (saved := row.saved) is not None
    ]  # fmt: skip
    if rows:
        click.echo()
        title = (
            "kept as ONNX Runtime optimised it; ratio = time to check and load it over the file's"
        )
        print_table(title, ("provider", "batch", "file", "saved", "ratio", "99 % interval"), rows)


def _print_pages(found: TuneResult) -> None:
    """Print what is to be had by putting a session's memory on huge pages."""
    rows = [
        (row.provider, row.batch, row.file, f"{pages.run_ratio:.3f}",
         f"{pages.run_low:.3f} to {pages.run_high:.3f}")
        for row in found.kept if (pages := row.huge_pages) is not None
    ]  # fmt: skip
    if rows:
        click.echo()
        title = "kept with its memory on huge pages; ratio = time over that on usual pages"
        print_table(title, ("provider", "batch", "file", "ratio", "99 % interval"), rows)


def _print_rows(rows: Sequence[TargetRow]) -> None:
    """Print the rows; what all of them share stands once, above."""
    shared = [key for key in _WHERE if len({_WHERE[key](row) for row in rows}) == 1]
    above = [f"{key} {_WHERE[key](rows[0])}" for key in shared if rows]
    cells = _WHERE | _MEASURED
    empty = {key for key, cell in _MEASURED.items() if not any(cell(row) for row in rows)}
    columns = [key for key in cells if key not in (*shared, *empty)]
    print_table(", ".join(above), columns, [[cells[key](row) for key in columns] for row in rows])


_Cell = Callable[["TargetRow"], object]

_WHERE: dict[str, _Cell] = {
    "target": lambda row: row.target,
    "engine": lambda row: row.engine,
    "provider": lambda row: row.provider,
    "batch": lambda row: row.batch,
    "threads": lambda row: row.threads,
}
_MEASURED: dict[str, _Cell] = {
    "computes in": lambda row: row.precision,
    "n": lambda row: row.n,
    "sessions": lambda row: row.sessions if row.sessions > 1 else "",
    "p50 ms": lambda row: f"{row.p50_ms:.3f}",
    "p95 ms": lambda row: _number(row.p95_ms, ".3f"),
    "p99 ms": lambda row: _number(row.p99_ms, ".3f"),
    "items/s": lambda row: f"{row.items_per_s:.1f}",
    "ratio": lambda row: _number(row.ratio_to_first, ".3f"),
    "99 % interval": lambda row: (
        f"{row.ratio_low:.3f} to {row.ratio_high:.3f}" if row.verdict else ""
    ),
    "verdict": lambda row: row.verdict,
    "cpu ms": lambda row: _number(row.cpu_ms, ".3f"),
    "load ms": lambda row: _number(row.load_ms, ".1f"),
    "first ms": lambda row: _number(row.first_ms, ".1f"),
    "memory MB": lambda row: _number(row.memory_mb, ".0f"),
}


def _number(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


def _node_cells(row: ProfileRow) -> list[object]:
    name = row.node or "(added by ONNX Runtime)"
    op = row.op if row.op == row.kernel else f"{row.kernel} to {row.op}"  # fused
    # the CPU takes what another provider lacks
    where = row.provider if row.ran_on == row.provider else f"{row.ran_on}, not {row.provider}"
    known = [row.target, where, row.batch, name, op, row.module]
    reached = row.limit_ms / row.ms if row.limit_ms is not None and row.ms else None
    return [
        *known,
        f"{row.ms:.3f}",
        f"{row.share:.1%}",
        _number(row.gflops or None, ".1f"),
        f"{row.gbs:.2f}",
        _number(row.limit_ms, ".3f"),
        _number(reached, ".0%"),
        row.limit_by,
    ]
