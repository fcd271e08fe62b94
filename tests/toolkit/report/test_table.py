from __future__ import annotations

import io

import pytest

from netloft.report.table import print_table


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_plain_text_in_a_pipe_with_numbers_flush_right() -> None:
    out = io.StringIO()
    print_table("Speed", ["engine", "p50_ms"], [["eager", "12.50"], ["onnxruntime", "3.1"]], out)
    assert out.getvalue() == (
        "Speed\n"
        "engine       p50_ms\n"
        "eager         12.50\n"
        "onnxruntime     3.1\n"
    )  # fmt: skip


def test_no_rows_no_title() -> None:
    out = io.StringIO()
    print_table("", ["a", "b"], [], out)
    assert out.getvalue() == "a  b\n"


def test_control_characters_and_none_stay_out() -> None:
    out = io.StringIO()
    print_table("", ["reason", "x"], [["\x1b[1;31mred\nline\x1b[m", None]], out)
    assert out.getvalue() == "reason    x\nred line\n"


def test_markup_in_a_cell_is_text_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    out = Terminal()
    print_table("T", ["reason"], [["[E:onnxruntime]"]], out)
    assert "[E:onnxruntime]" in out.getvalue()
    assert "\x1b[3" not in out.getvalue()
