from __future__ import annotations

import os

import pytest

from netloft.runtime.capture import captured_output


def test_both_streams_are_caught_and_put_back(capfd: pytest.CaptureFixture[str]) -> None:
    with captured_output() as captured:
        os.write(2, b"from C++\n")
        print("from Python")
    os.write(2, b"after\n")
    assert captured.text == "from C++\nfrom Python\n"
    assert capfd.readouterr() == ("", "after\n")


def test_standard_error_is_put_back_after_an_error(capfd: pytest.CaptureFixture[str]) -> None:
    before = os.fstat(2).st_ino

    def fail() -> None:
        with captured_output():
            os.write(2, b"swallowed\n")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert os.fstat(2).st_ino == before
    assert capfd.readouterr().err == ""


def test_no_descriptor_is_left_open() -> None:
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    for _ in range(5):
        with captured_output():
            pass
    after = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    assert after == before
