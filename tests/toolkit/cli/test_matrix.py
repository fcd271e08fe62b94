"""Many cells from the command line: the document's example, exit codes, and being interrupted."""

from __future__ import annotations

import builtins
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import netloft
from netloft.cli import main

ROOT = Path(__file__).parents[3]
NET = """\
import os
import time
from pathlib import Path

import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, width=4):
        super().__init__()
        self.conv = nn.Conv2d(3, width, 3)

    def forward(self, x):
        return torch.relu(self.conv(x)).mean((2, 3))


class Branching(Net):
    def forward(self, x):
        return self.conv(x) if x.sum() > 0 else x


class Slow(Net):
    def __init__(self, mark):
        super().__init__()
        Path(mark).write_text(str(os.getpid()))
        time.sleep(600)
"""
SMALL = '[matrix]\nthreads = 1\n[[model]]\nspec = "net.py:Net"\ninputs = ["1x3x8x8"]\n'


def run(*args: str | Path) -> Result:
    return CliRunner().invoke(main, ["matrix", *map(str, args)])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "net.py").write_text(NET)
    (tmp_path / "models.toml").write_text(SMALL)
    return tmp_path


@pytest.mark.slow
def test_the_documents_example_runs_and_is_not_run_twice(folder: Path) -> None:
    text = (ROOT / "docs" / "matrix.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"^```toml\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    (folder / "models.toml").write_text(example)
    out = folder / "out"
    first = run(folder / "models.toml", "-o", out, "--jobs", "2")
    assert first.exit_code == 0, first.output
    assert "5 cells: 5 pass" in first.stdout
    assert "up to 2 cells ran on one machine at once" in first.stdout
    assert re.search(r"^small +fp32 +20 +cpu +1 +pass", first.stdout, flags=re.MULTILINE)
    assert re.search(r"5/5 pass: ", first.stderr)

    second = run(folder / "models.toml", "-o", out, "--json")
    assert second.exit_code == 0, second.output
    assert re.fullmatch(r"\[ +\d+\.\d s\] 5/5 done before\n", second.stderr)
    told = json.loads(second.stdout)
    assert told == json.loads((out / "summary.json").read_text())
    cells = told["cells"]
    assert [cell["model"] for cell in cells] == ["mnist"] * 3 + ["small"] * 2
    assert [cell["batch"] for cell in cells] == ["dynamic"] * 4 + ["1"]
    for cell in cells:
        assert netloft.verify(out / cell["bundle"]).status == "pass"
    _keys_are_documented(text)


def _keys_are_documented(text: str) -> None:
    from netloft.matrix.plan import _OF_MODEL
    from netloft.matrix.result import CellResult

    keys = re.findall(r"^\| `(\w+)` \|", text, flags=re.MULTILINE)
    assert set(keys) == set(_OF_MODEL)
    for name in CellResult.__dataclass_fields__:
        assert f"`{name}`" in text, f"docs/matrix.md does not tell of {name}"


@pytest.mark.parametrize(
    ("text", "options", "code", "said"),
    [
        ('[matrix]\nopset = [20]\n[[model]]\nspec = "mnist"', [], 2, "models.toml:2  opset = [20]"),
        (SMALL, ["--cluster", "local:2", "--jobs", "2"], 2, "--jobs is for processes of this"),
        (SMALL, ["--cluster", "here"], 2, "neither tcp://HOST:PORT nor local:N"),
    ],
)
def test_a_mistake_writes_nothing(
    folder: Path, text: str, options: list[str], code: int, said: str
) -> None:
    (folder / "models.toml").write_text(text)
    result = run(folder / "models.toml", "-o", folder / "out", *options)
    assert result.exit_code == code, result.output
    assert said in result.stderr
    assert result.stderr.count("error:") == 1
    assert "remedy:" in result.stderr
    assert "Traceback" not in result.output
    assert not (folder / "out").exists()


@pytest.mark.parametrize(
    ("package", "options", "extra"),
    [("distributed", ["--cluster", "local:2"], "cluster"), ("pyarrow", ["--parquet"], "parquet")],
)
def test_a_missing_extra_is_told_before_the_work(
    folder: Path, monkeypatch: pytest.MonkeyPatch, package: str, options: list[str], extra: str
) -> None:
    found = builtins.__import__

    def without(name: str, *args: Any, **how: Any) -> Any:
        if name.partition(".")[0] == package:
            raise ImportError(f"No module named '{package}'")
        return found(name, *args, **how)

    monkeypatch.setattr(builtins, "__import__", without)
    result = run(folder / "models.toml", "-o", folder / "out", *options)
    assert result.exit_code == 3, result.output
    assert f"pip install 'netloft[{extra}]'" in result.stderr
    assert not (folder / "out").exists()


@pytest.mark.slow
def test_a_cell_that_fails_is_a_row_and_the_others_are_done(folder: Path) -> None:
    with (folder / "models.toml").open("a") as file:
        file.write('[[model]]\nspec = "net.py:Branching"\ninputs = ["1x3x8x8"]\n')
    result = run(folder / "models.toml", "-o", folder / "out", "--jobs", "1")
    assert result.exit_code == 2, result.output
    assert "2 cells: 1 pass, 1 error" in result.stdout
    assert re.search(r"^error: Branching-fp32-opset20-cpu-dynamic-\w{12}: ", result.stdout, re.M)
    assert "remedy: " in result.stdout
    assert "at once, which is noise" not in result.stdout


@pytest.fixture
def hears_ctrl_c() -> Iterator[None]:
    """A shell makes what it starts with & deaf to Ctrl-C, and its children inherit that."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.slow
@pytest.mark.usefixtures("hears_ctrl_c")
@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -signal.SIGKILL)],
)
def test_what_was_done_before_an_interruption_is_kept(
    folder: Path, number: signal.Signals, code: int
) -> None:
    mark, out = folder / "mark", folder / "out"
    (folder / "slow.toml").write_text(
        f'{SMALL}[[model]]\nspec = "net.py:Slow"\narguments = {{ mark = "{mark}" }}\n'
        'inputs = ["1x3x8x8"]'
    )
    command = [sys.executable, "-m", "netloft", "matrix", "-o", str(out), "--jobs", "1"]
    going = subprocess.Popen(
        [*command, str(folder / "slow.toml")], stderr=subprocess.PIPE, text=True
    )
    _wait_for(lambda: mark.exists() and bool(mark.read_text()))
    going.send_signal(number)
    _, told = going.communicate(timeout=30)
    assert going.returncode == code, told
    assert "Traceback" not in told
    assert (f"interrupted; what is done is in {out}" in told) == (number == signal.SIGINT)
    _wait_for(lambda: not _lives(int(mark.read_text())))

    result = run(folder / "models.toml", "-o", out)
    assert result.exit_code == 0, result.output
    assert "1/1 done before" in result.stderr


def _wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 90
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _lives(process: int) -> bool:
    """Tell whether a process runs; one that nobody has buried yet does not."""
    try:
        os.kill(process, 0)
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except (ProcessLookupError, FileNotFoundError):
        return False
    return state != "Z"
