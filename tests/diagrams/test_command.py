"""`netloft draw` from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from netloft.cli import main
from netloft_diagrams.command import spread


@pytest.mark.parametrize(
    ("given", "read"),
    [
        (["net", "-o", "a.svg", "b.png"], ["net", "-o", "a.svg", "-o", "b.png"]),
        (["net", "-o", "a.svg", "-o", "b.png"], ["net", "-o", "a.svg", "-o", "b.png"]),
        (["-o", "a.svg", "b.png", "net"], ["-o", "a.svg", "-o", "b.png", "net"]),
        (["-o", "a.svg", "net.py:Net"], ["-o", "a.svg", "net.py:Net"]),
        (
            ["net", "-o", "a.svg", "b.png", "--depth", "2"],
            ["net", "-o", "a.svg", "-o", "b.png", "--depth", "2"],
        ),
        (["net", "--output", "a.svg", "b.png"], ["net", "--output", "a.svg", "-o", "b.png"]),
        (["net", "-o", "a.svg", "--", "b.png"], ["net", "-o", "a.svg", "--", "b.png"]),
    ],
)
def test_one_option_takes_several_files(given: list[str], read: list[str]) -> None:
    assert spread(given) == read


def test_draw_writes_the_files_it_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(main, ["draw", "myresnet", "-o", "a.svg", "b.png", "c.txt"])
    assert (result.exit_code, result.stdout) == (0, "a.svg\nb.png\nc.txt\n")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.svg", "b.png", "c.txt"]


def test_prints_of_the_model_stay_off_stdout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = ["draw", "myresnet", "--arg", "verbose=true", "--json"]
    result = CliRunner().invoke(main, arguments)
    assert json.loads(result.stdout) == {
        "format": 1, "status": "pass", "model": "myresnet", "files": ["myresnet.svg"],
    }  # fmt: skip


def test_a_wrong_suffix_is_a_usage_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(main, ["draw", "mnist", "-o", "net.gif"])
    assert result.exit_code == 2
    assert "'.gif' is no format to draw in" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_help_shows_the_examples_line_by_line() -> None:
    result = CliRunner().invoke(main, ["draw", "--help"])
    assert "\n    netloft draw resnet18\n" in result.stdout
