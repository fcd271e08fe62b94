"""`netloft matrix`."""

from __future__ import annotations

from pathlib import Path

import click

from netloft.cli.options import output_options
from netloft.errors import UsageError

__all__ = ["matrix"]


@click.command(short_help="Export, verify and measure many models in many ways.")
@click.argument("file", type=click.Path(path_type=Path), metavar="FILE.toml")
@click.option("-o", "--out", type=click.Path(path_type=Path), metavar="DIR", required=True,
              help="Folder of the bundles and of the summary.")  # fmt: skip
@click.option("--jobs", type=click.IntRange(1, 1024), metavar="N",
              help="Cells at once; by default half of the cores. 1 gives the truest times."
              )  # fmt: skip
@click.option("--cluster", metavar="tcp://HOST:PORT|local:N",
              help="Run the cells on a Dask scheduler's workers, or on N workers of this machine."
              )  # fmt: skip
@click.option("--again", is_flag=True, help="Run the cells too that are done.")
@click.option("--parquet", is_flag=True, help="Fail where summary.parquet cannot be written.")
@output_options
def matrix(
    file: Path,
    out: Path,
    jobs: int | None,
    cluster: str | None,
    again: bool,
    parquet: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Export, verify and measure every cell of models × precisions × opsets × providers × batches.

    FILE.toml names them (docs/matrix.md). A cell that is done is not done again, so that the same
    command goes on where it was interrupted. The exit code is 1 where a check failed, else 2 where
    an input is wrong, else 3 where something is missing, else 0.

    \b
    Examples:
      netloft matrix models.toml -o out/matrix
      netloft matrix models.toml -o out/matrix --jobs 1 --again
      netloft matrix models.toml -o out/matrix --cluster local:4
      netloft matrix models.toml -o /shared/matrix --cluster tcp://10.0.0.1:8786
    """
    import json

    from netloft.matrix.dask_pool import check_cluster
    from netloft.matrix.plan import read_plan
    from netloft.matrix.printing import print_matrix
    from netloft.matrix.run import check_folder, run_matrix
    from netloft.matrix.summary import require_pyarrow
    from netloft.report.progress import counted

    if cluster is not None:
        if jobs is not None:
            raise UsageError(
                "--jobs is for processes of this machine", remedy="a cluster has its own workers"
            )
        check_cluster(cluster)
    if parquet:
        require_pyarrow()
    cells = read_plan(file)
    check_folder(out)
    try:
        with counted(len(cells), quiet=quiet) as tell:
            summary = run_matrix(
                cells, out, jobs=jobs, cluster=cluster or "", again=again, tell=tell
            )
    except KeyboardInterrupt:
        click.echo(f"interrupted; what is done is in {out}, and is not done again", err=True)
        raise SystemExit(130) from None
    if as_json:
        click.echo(json.dumps(summary.to_dict(), indent=2))
    elif not quiet:
        print_matrix(summary, out)
    raise SystemExit(summary.exit_code)
