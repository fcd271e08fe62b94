from __future__ import annotations

import io
import re
import sys

import pytest

from netloft.report.progress import counted


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_log_has_a_line_for_each(capsys: pytest.CaptureFixture[str]) -> None:
    with counted(5) as tell:
        tell("done before", 3)
        tell("pass: net", 1)
    out, told = capsys.readouterr()
    assert out == ""
    assert re.sub(r"\[ *\d+\.\d s\]", "", told) == " 3/5 done before\n 4/5 pass: net\n"


def test_a_terminal_has_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", screen := Terminal())
    with counted(5) as tell:
        tell("done before", 3)
        tell("pass: [net]", 2)
    assert "5/5" in screen.getvalue()
    assert "pass: [net]" in screen.getvalue()


def test_quiet_is_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    with counted(1, quiet=True) as tell:
        tell("pass", 1)
    assert capsys.readouterr() == ("", "")
