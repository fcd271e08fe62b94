"""The process ends with the command's code, and with all that its end owes others."""

from __future__ import annotations

import os
import subprocess
import sys
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


def _run(work: str, *flags: str) -> subprocess.CompletedProcess[str]:
    program = [sys.executable, *flags, "-c", _PRELUDE.format(work=work)]
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


def test_what_a_users_file_leaves_open_is_written(tmp_path: Path) -> None:
    log, net = tmp_path / "log", tmp_path / "net.py"
    net.write_text(
        f"log = open({str(log)!r}, 'w')\nlog.write('built')\n"
        "class Net(__import__('torch').nn.Module): pass\n"
    )
    program = [sys.executable, "-m", "netloft", "trace", f"{net}:Missing"]
    done = subprocess.run(program, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    assert log.read_text() == "built"


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
