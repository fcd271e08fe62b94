"""The process ends with the command's code, and with all that its end owes others."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

_PRELUDE = """
import atexit, sys, threading, time
import netloft.cli.process as process
atexit.register(lambda: print("at exit"))
def main(obj):
    print("work")
    {work}
process.main = main
process.run()
"""


def _run(work: str) -> subprocess.CompletedProcess[str]:
    program = [sys.executable, "-c", _PRELUDE.format(work=work)]
    return subprocess.run(
        program, capture_output=True, text=True, check=False, timeout=60, stdin=subprocess.DEVNULL
    )


@pytest.mark.parametrize(
    ("work", "code"),
    [("sys.exit()", 0), ("sys.exit(0)", 0), ("sys.exit(3)", 3), ("sys.exit(130)", 130)],
)
def test_the_code_is_the_commands_and_what_is_registered_runs(work: str, code: int) -> None:
    done = _run(work)
    assert (done.returncode, done.stdout) == (code, "work\nat exit\n")


def test_nothing_is_taken_apart() -> None:
    kept = "global held; held = type('Held', (), {'__del__': lambda _: print('taken apart')})()"
    assert "taken apart" not in _run(f"{kept}; sys.exit(0)").stdout
    assert "taken apart" in _run(f"{kept}; sys.exit('as the interpreter does it')").stdout


def test_a_thread_is_waited_for() -> None:
    thread = "threading.Thread(target=lambda: (time.sleep(0.3), print('thread'))).start()"
    assert _run(f"{thread}; sys.exit(0)").stdout == "work\nthread\nat exit\n"


_LOGGING = """
import torch
log = open({log!r}, "w")
log.write("built\\n")

class Net(torch.nn.Module):
    def forward(self, x):
        log.write("run\\n")
        return x * 2

class Ends(torch.nn.Module):
    def forward(self, x):
        raise SystemExit({code})
"""


def _with_file(tmp_path: Path, *words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    net = tmp_path / "net.py"
    net.write_text(_LOGGING.format(log=str(tmp_path / "log"), code=code))
    program = [sys.executable, "-m", "netloft", words[0], f"{net}:{words[1]}", *words[2:]]
    return subprocess.run(program, capture_output=True, text=True, check=False, timeout=120)


def test_what_a_users_file_leaves_open_is_written(tmp_path: Path) -> None:
    assert _with_file(tmp_path, "trace", "Missing").returncode == 2
    assert (tmp_path / "log").read_text() == "built\n"
    export = ("--input", "1x3", "--quick", "--quiet", "-o", str(tmp_path / "out"))
    done = _with_file(tmp_path, "export", "Net", *export)
    assert (done.returncode, done.stderr) == (0, "")
    first, *others = (tmp_path / "log").read_text().splitlines()
    assert first == "built"
    assert len(others) > 10
    assert set(others) == {"run"}


@pytest.mark.parametrize("code", [0, 3])
def test_a_network_that_ends_the_process_is_a_mistake(tmp_path: Path, code: int) -> None:
    done = _with_file(tmp_path, "trace", "Ends", "--input", "1x3", "--json", code=code)
    assert done.returncode == 2
    told = json.loads(done.stdout)
    assert told["exit_code"] == 2
    assert f"sys.exit({code})" in told["problem"]
    assert told["source"] == f"net.py:13  raise SystemExit({code})"


def test_a_stream_that_was_replaced_is_written_too() -> None:
    done = _run("import io; sys.stdout = io.StringIO(); sys.__stdout__.write('kept'); sys.exit(0)")
    assert done.stdout == "work\nkept"


def test_what_is_no_number_is_told() -> None:
    done = _run("sys.exit('it is wrong')")
    assert (done.returncode, done.stderr) == (1, "it is wrong\n")


def test_a_mistake_of_ours_is_not_hidden() -> None:
    done = _run("raise RuntimeError('ours')")
    assert done.returncode == 1
    assert done.stderr.endswith("RuntimeError: ours\n")


def test_a_profiler_gets_its_turn() -> None:
    program = [sys.executable, "-m", "cProfile", "-m", "netloft", "--version"]
    done = subprocess.run(program, capture_output=True, text=True, check=True, timeout=60)
    assert "function calls" in done.stdout


def test_a_closed_pipe_is_the_interpreters_to_tell() -> None:
    program = [sys.executable, "-c", _PRELUDE.format(work="sys.exit(0)")]
    at_once = {"PYTHONUNBUFFERED"}  # with which it would be told of while it works
    environment = {key: value for key, value in os.environ.items() if key not in at_once}
    with subprocess.Popen(
        program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        process.stdout.close()
        _, told = process.communicate(timeout=60)
    assert process.returncode == 120  # Python's own code for output that cannot be written
    assert "BrokenPipeError" in told


_SLOW = """
import pathlib, time, torch

class Net(torch.nn.Module):
    def forward(self, x):
        pathlib.Path(__file__).with_suffix(".runs").touch()
        time.sleep(60)
        return x
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGTERM to handle")
def test_a_network_that_runs_is_ended_from_outside(tmp_path: Path) -> None:
    net = tmp_path / "net.py"
    net.write_text(_SLOW)
    program = [sys.executable, "-m", "netloft", "trace", f"{net}:Net", "--input", "1x3"]
    with subprocess.Popen(program, stderr=subprocess.PIPE, text=True) as process:
        while process.poll() is None and not net.with_suffix(".runs").exists():
            time.sleep(0.1)
        process.terminate()
        _, told = process.communicate(timeout=60)
    assert process.returncode == 143
    assert "error:" not in told
