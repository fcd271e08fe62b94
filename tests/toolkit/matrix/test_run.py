"""What is kept, what is run, and where nothing is written."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from pathlib import Path

import pytest

from netloft.bundle.lock import exclusive
from netloft.errors import OutputError
from netloft.matrix.cell import Cell
from netloft.matrix.result import LOCK, CellResult, count_start, starts, write_result
from netloft.matrix.run import run_matrix

Plan = Callable[[str], tuple[Cell, ...]]


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the cells that a pool was given; what ends in which way is in their names."""
    names = list[str]()

    def pool(cells: Sequence[Cell], folder: Path, where: str) -> Generator[CellResult, None, None]:
        for cell in cells:
            names.append(cell.label)
            assert starts(folder, cell.id) == 0
            count_start(folder, cell.id)
            kept = cell.label in ("fail", "error")
            result = CellResult(**cell.row(), status=cell.label, settled=kept)
            write_result(folder, result)
            yield result

    monkeypatch.setattr("netloft.matrix.pool.run_cells", pool)
    return names


def cells_of(plan: Plan, *names: str) -> tuple[Cell, ...]:
    return plan("".join(f'[[model]]\nspec = "mnist"\nname = "{n}"\nseed = {i}\n'
                        for i, n in enumerate(names)))  # fmt: skip


def test_what_is_done_is_kept_and_what_the_machine_lacked_is_tried_again(
    plan: Plan, tmp_path: Path, ran: list[str]
) -> None:
    cells = cells_of(plan, "fail", "missing", "error")
    told = list[tuple[str, int]]()
    for _ in range(2):
        summary = run_matrix(cells, tmp_path / "out", tell=lambda *what: told.append(what))
        assert [cell.status for cell in summary.cells] == ["fail", "missing", "error"]
    assert ran == ["fail", "missing", "error", "missing"]
    assert [count for _, count in told] == [1, 1, 1, 2, 1]
    assert told[3] == ("done before", 2)


def test_again_runs_all(plan: Plan, tmp_path: Path, ran: list[str]) -> None:
    cells = cells_of(plan, "fail", "error")
    run_matrix(cells, tmp_path / "out")
    run_matrix(cells, tmp_path / "out", again=True)
    assert ran == ["fail", "error"] * 2


def test_a_larger_file_runs_what_is_new(plan: Plan, tmp_path: Path, ran: list[str]) -> None:
    run_matrix(cells_of(plan, "fail"), tmp_path / "out")
    run_matrix(cells_of(plan, "fail", "error"), tmp_path / "out")
    assert ran == ["fail", "error"]


def test_a_cell_begun_by_a_run_that_died_has_all_its_attempts(
    plan: Plan, tmp_path: Path, ran: list[str]
) -> None:
    (cell,) = cells_of(plan, "fail")
    for _ in range(3):
        count_start(tmp_path / "out", cell.id)
    run_matrix([cell], tmp_path / "out")
    assert ran == ["fail"]


def test_a_folder_of_the_users_is_left_as_it_was(
    plan: Plan, tmp_path: Path, ran: list[str]
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "notes.txt").write_text("mine")
    with pytest.raises(OutputError, match=r"holds notes\.txt, which is no part of a matrix"):
        run_matrix(cells_of(plan, "fail"), out)
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot be written: Not a directory"):
        run_matrix(cells_of(plan, "fail"), tmp_path / "file")
    assert [path.name for path in out.iterdir()] == ["notes.txt"]
    assert ran == []


def test_two_runs_do_not_write_one_folder(plan: Plan, tmp_path: Path, ran: list[str]) -> None:
    out = tmp_path / "out"
    out.mkdir()
    locked = exclusive(out / LOCK, out, "")
    with locked, pytest.raises(OutputError, match="another process is writing"):
        run_matrix(cells_of(plan, "fail"), out)
    assert ran == []
