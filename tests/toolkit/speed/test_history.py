"""Runs that are kept, read again and drawn."""

from __future__ import annotations

import errno
import json
import os
import re
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from pathlib import Path

import pytest

from netloft.errors import InputError, OutputError, UsageError
from netloft.speed.history import Point, Series, append, check_history, read_series
from netloft.speed.rows import TargetResult, TargetRow
from netloft_diagrams.history import plot_history, render_history

ROW = TargetRow(
    target="net<&>", engine="ONNX Runtime", provider="cpu", batch=1, threads=2, n=40, sessions=1,
    p50_ms=10.0, p50_low=9.5, p50_high=10.5, p95_ms=None, p95_low=None, p95_high=None, p99_ms=None,
    p99_low=None, p99_high=None, items_per_s=100.0, cpu_ms=15.0, precision="", ratio_to_first=1.0,
    ratio_low=1.0,    ratio_high=1.0, verdict="",
)  # fmt: skip
NAME = "net<&> in ONNX Runtime: cpu, batch 1, 2 threads"


def result(*rows: TargetRow) -> TargetResult:
    return TargetResult(rows, (), {"cpu": "Abacus"})


def test_runs_are_added_and_read(tmp_path: Path) -> None:
    path = tmp_path / "speed.jsonl"
    append(path, result(ROW, replace(ROW, batch=8, threads=1)))
    append(path, result(replace(ROW, p50_ms=9.8)))
    assert len(path.read_text().splitlines()) == 2
    first, second = read_series(path)
    assert first.name == NAME
    assert second.name == "net<&> in ONNX Runtime: cpu, batch 8, 1 thread"
    assert [(p.p50_ms, p.low, p.high, p.cpu) for p in first.points] == [
        (10.0, 9.5, 10.5, "Abacus"), (9.8, 9.5, 10.5, "Abacus"),
    ]  # fmt: skip
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", first.points[0].time)


@pytest.mark.parametrize("piece", ['{"time": "now", "sp', '{"time": "now", "speed": [{"p50_ms": 1'])
def test_a_last_line_that_was_cut_off_is_told_and_the_next_begins_anew(
    tmp_path: Path, piece: str
) -> None:
    path = tmp_path / "speed.jsonl"
    path.write_text(piece)
    assert "the last line of" in check_history(path, drawn=True)
    assert read_series(path) == []
    append(path, result(ROW))
    assert check_history(path, drawn=True) == ""
    append(path, result(ROW))
    lines = path.read_text().splitlines()
    assert lines[0] == piece, "nothing is lost"
    assert json.loads(lines[1])["speed"][0]["batch"] == 1
    assert [json.loads(line).get("after_torn") for line in lines[1:]] == [True, None]
    assert [len(one.points) for one in read_series(path)] == [2]


def test_a_line_that_was_cut_off_elsewhere_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "speed.jsonl"
    append(path, result(ROW))
    whole = path.read_text()
    for text in ('{"time": "now", "sp\n' + whole, whole + '{"time": "now", "sp\n' + whole):
        path.write_text(text)
        check_history(path)
        for use in (read_series, lambda path: check_history(path, drawn=True)):
            with pytest.raises(InputError, match=r"line [12] of .* is none of the bench's"):
                use(path)


def test_a_last_line_without_its_end_is_a_run(tmp_path: Path) -> None:
    path = tmp_path / "speed.jsonl"
    append(path, result(ROW))
    path.write_text(path.read_text().rstrip())
    assert check_history(path, drawn=True) == ""
    append(path, result(ROW))
    assert [len(one.points) for one in read_series(path)] == [2]


def test_what_a_disk_takes_in_pieces_is_written_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, write = tmp_path / "speed.jsonl", os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:100]))
    append(path, result(ROW))
    monkeypatch.undo()
    assert [len(one.points) for one in read_series(path)] == [1]


def test_a_disk_that_is_full_is_told_and_the_next_run_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, write, room = tmp_path / "speed.jsonl", os.write, 50

    def little(descriptor: int, data: bytes) -> int:
        nonlocal room
        if not room:
            raise OSError(errno.ENOSPC, "No space left on device")
        written, room = write(descriptor, data[:room]), 0
        return written

    monkeypatch.setattr(os, "write", little)
    with pytest.raises(OutputError, match="No space left on device"):
        append(path, result(ROW))
    monkeypatch.undo()
    assert "was cut off" in check_history(path, drawn=True)
    append(path, result(ROW))
    assert [len(one.points) for one in read_series(path)] == [1]


@pytest.mark.parametrize(
    "line",
    [
        "[]",
        "{}",
        "[" * 100_000,
        '{"time": "", "environment": {"cpu": ""}, "speed": [{"p50_ms": 1, "p50_low": 1, '
        '"p50_high": 1, "batch": Infinity, "threads": 1, "target": "", "engine": "", '
        '"provider": ""}]}',
        '{"speed": [{}], "time": "", "environment": {"cpu": ""}}',
    ],
)
def test_what_is_no_history(tmp_path: Path, line: str) -> None:
    path = tmp_path / "speed.jsonl"
    path.write_text(line)
    with pytest.raises(InputError, match="is none of the bench's"):
        read_series(path)
    with pytest.raises(InputError, match="cannot be read"):
        read_series(tmp_path / "absent")
    with pytest.raises(OutputError, match="cannot be written"):
        append(tmp_path / "no" / "folder", result(ROW))


@pytest.mark.parametrize(
    "content", ['{\n  "speed": []\n}\n', "notes\n", "\0", '{"time": "now", "level": "info"}\n']
)
def test_nothing_is_added_to_another_file(tmp_path: Path, content: str) -> None:
    path = tmp_path / "bench.json"
    path.write_text(content)
    for use in (check_history, lambda path: append(path, result(ROW))):
        with pytest.raises(InputError, match="is no history, and nothing is added"):
            use(path)
    assert path.read_text() == content


@pytest.mark.parametrize("name", ["", "no/such/folder.jsonl", "n" * 300])
def test_what_cannot_be_written_is_told_before(tmp_path: Path, name: str) -> None:
    with pytest.raises(OutputError, match="cannot be written"):
        check_history(tmp_path / name)


def test_a_history_that_another_tool_has_written_again(tmp_path: Path) -> None:
    path = tmp_path / "speed.jsonl"
    append(path, result(ROW))
    path.write_text(json.dumps(json.loads(path.read_text()), separators=(",", ":")) + "\n")
    append(path, result(ROW))
    assert [len(one.points) for one in read_series(path)] == [2]


def test_runs_of_two_machines_are_two_lines(tmp_path: Path) -> None:
    path = tmp_path / "speed.jsonl"
    for cpu, p50 in (("Abacus", 10.0), ("Babbage", 10.2), ("Abacus", 9.8)):
        append(path, TargetResult((replace(ROW, p50_ms=p50),), (), {"cpu": cpu}))
    assert [(one.name, len(one.points)) for one in read_series(path)] == [
        (f"{NAME}, Abacus", 2), (f"{NAME}, Babbage", 1),
    ]  # fmt: skip


SERIES = [
    Series(NAME, (Point("2026-01-01", 10, 9, 12, "A"), Point("2026-01-03", 5, 4, 6, "A"))),
    Series("other", (Point("2026-01-02", 1, 1, 1, "A"),)),
]


def test_a_picture_has_a_panel_for_each(tmp_path: Path) -> None:
    drawn, height = render_history(SERIES)
    tree = ElementTree.fromstring(drawn)
    words = list(tree.itertext())
    assert NAME in words
    assert "5 ms" in words
    assert words.count("2026-01-01") == words.count("2026-01-03") == 2
    circles = [element for element in tree.iter() if element.tag.endswith("circle")]
    first, second, third = ((float(c.get("cx", 0)), float(c.get("cy", 0))) for c in circles)
    assert first[0] < third[0] < second[0], "the same run stands at the same place"
    assert first[1] < second[1], "less is lower"
    assert third[1] < height
    for suffix, begin in ((".svg", b"<svg"), (".png", b"\x89PNG")):
        plot_history(SERIES, tmp_path / f"history{suffix}")
        assert (tmp_path / f"history{suffix}").read_bytes().startswith(begin)


def test_what_is_not_drawn(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"not as '\.gif'"):
        plot_history(SERIES, tmp_path / "history.gif")
    with pytest.raises(UsageError, match="the history is empty"):
        plot_history([], tmp_path / "history.svg")
    with pytest.raises(OutputError):
        plot_history(SERIES, tmp_path / "no" / "folder.svg")
    assert not list(tmp_path.iterdir())
