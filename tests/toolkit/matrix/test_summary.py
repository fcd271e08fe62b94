"""One summary, told in several ways."""

from __future__ import annotations

import builtins
import json
from pathlib import Path
from typing import Any

import pytest

from netloft.errors import MissingError
from netloft.matrix.result import CellResult
from netloft.matrix.summary import Summary, require_pyarrow, write_summary

ROW: dict[str, Any] = {
    "id": "net-1", "model": "net", "spec": "net.py:Net", "arguments": '{"k": 3}',
    "precision": "int8", "opset": 20, "provider": "cpu", "batch": "dynamic", "seed": 0,
}  # fmt: skip
PASS = CellResult(
    **ROW, status="pass", settled=True, bundle="cells/net-1/bundle", nodes=4, bytes=1580,
    worst_ratio=3.085, least_sqnr_db=31.5, n=1000, threads=1, p50_ms=0.029, items_per_s=34591.3,
    ratio_to_eager=0.228, ratio_low=0.22, ratio_high=0.24, at_once=1, seconds=9.7,
)  # fmt: skip


def ended(status: str, **more: Any) -> CellResult:
    return CellResult(**ROW, status=status, **more)


@pytest.fixture
def no_pyarrow(monkeypatch: pytest.MonkeyPatch) -> None:
    found = builtins.__import__

    def without(name: str, *args: Any, **how: Any) -> Any:
        if name.partition(".")[0] == "pyarrow":
            raise ImportError("No module named 'pyarrow'")
        return found(name, *args, **how)

    monkeypatch.setattr(builtins, "__import__", without)


@pytest.mark.parametrize(
    ("statuses", "code", "status"),
    [
        ([], 0, "pass"),
        (["pass", "pass"], 0, "pass"),
        (["pass", "missing"], 3, "missing"),
        (["missing", "error", "pass"], 2, "error"),
        (["missing", "error", "fail", "pass"], 1, "fail"),
    ],
)
def test_the_worst_cell_decides(statuses: list[str], code: int, status: str) -> None:
    summary = Summary(tuple(map(ended, statuses)))
    assert summary.exit_code == code
    assert summary.to_dict()["status"] == status
    assert sum(summary.counts.values()) == len(statuses)


def test_the_three_files_say_the_same(tmp_path: Path) -> None:
    pq = pytest.importorskip("pyarrow.parquet", reason="not run: pyarrow is not installed")
    cells = [PASS, ended("fail", error="off by <b>one</b>", traceback="line 3")]
    summary = write_summary(tmp_path, cells)
    assert summary.not_run == ()
    facts = json.loads((tmp_path / "summary.json").read_text())
    assert facts == json.loads(json.dumps(summary.to_dict()))
    assert facts["counts"] == {"pass": 1, "fail": 1, "error": 0, "missing": 0}
    rows = pq.read_table(tmp_path / "summary.parquet").to_pylist()
    assert rows == facts["cells"]
    page = (tmp_path / "summary.html").read_text()
    assert '<a href="cells/net-1/bundle/report.html">net</a>' in page
    assert "off by &lt;b&gt;one&lt;/b&gt;" in page
    assert '<td class="n">3.08</td>' in page
    assert "2 cells: 1 pass, 1 fail" in page


def test_a_column_has_its_type_though_nothing_is_known(tmp_path: Path) -> None:
    pq = pytest.importorskip("pyarrow.parquet", reason="not run: pyarrow is not installed")
    schemas = []
    for cells in ([PASS], [ended("missing")]):
        write_summary(tmp_path, cells)
        schemas.append(pq.read_schema(tmp_path / "summary.parquet"))
    assert schemas[0] == schemas[1]
    kinds = {name: str(schemas[0].field(name).type) for name in ("p50_ms", "n", "batch", "settled")}
    assert kinds == {"p50_ms": "double", "n": "int64", "batch": "string", "settled": "bool"}


def test_where_pyarrow_is_missing_it_is_said_and_no_old_file_stays(
    tmp_path: Path, no_pyarrow: None
) -> None:
    (tmp_path / "summary.parquet").write_text("of an earlier run")
    summary = write_summary(tmp_path, [PASS])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["summary.html", "summary.json"]
    assert summary.exit_code == 0
    (row,) = json.loads((tmp_path / "summary.json").read_text())["not_run"]
    assert row["what"] == "summary.parquet"
    assert "netloft[parquet]" in row["reason"]
    with pytest.raises(MissingError, match="--parquet: pyarrow"):
        require_pyarrow()


def test_times_taken_beside_other_cells_are_called_noisy() -> None:
    assert len(Summary((PASS,)).notes) == 1
    beside = ended("pass", p50_ms=1.0, at_once=4)
    assert "up to 4 cells ran on one machine at once" in Summary((PASS, beside)).notes[1]
    assert len(Summary((PASS, ended("fail", at_once=4))).notes) == 1, "it was not timed"
