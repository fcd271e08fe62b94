"""`netloft trace` from the command line."""

from __future__ import annotations

import json
from pathlib import Path

from click.testing import CliRunner, Result

from netloft.cli import main

NET = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.bn = nn.BatchNorm2d(4)

    def forward(self, x):
        h = self.bn(self.conv(x))
        torch.relu_(h[:, :2])
        return h + 1


class Sealed(nn.Module):
    def forward(self, x):
        h = x * 2
        h.resize_(2, 3)
        return h
"""


def run(*args: str | Path) -> Result:
    return CliRunner().invoke(main, [str(arg) for arg in args])


def net(folder: Path, name: str) -> list[str]:
    (folder / "net.py").write_text(NET)
    return [f"{folder / 'net.py'}:{name}", "--input", "1x3x8x8"]


def test_explain_says_what_was_done_and_why(tmp_path: Path) -> None:
    result = run("trace", *net(tmp_path, "Net"), "--explain", "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    notes = {note["node"]: (note["source"], note["text"]) for note in found["notes"]}
    assert notes["relu_"] == (
        "net.py:14",
        "relu in place became a value; %bn was written through the view %getitem; "
        "%add reads %setitem in place of %bn",
    )
    assert notes["bn"] == ("net.py:13", "folded into %conv")
    rows = {row["name"]: row for row in found["passes"]}
    assert rows["fold_batch_norm"]["status"] == "applied"
    assert rows["fold_batch_norm"]["difference"] < 1e-12
    assert rows["merge_moves"]["status"] == "nothing to do"


def test_a_pass_that_is_left_out_does_not_run(tmp_path: Path) -> None:
    left_out = run(
        "trace", *net(tmp_path, "Net"), "--explain", "--json", "--no-pass", "fold_batch_norm"
    )
    names = [row["name"] for row in json.loads(left_out.stdout)["passes"]]
    assert "fold_batch_norm" not in names
    assert "fold_pad" in names
    none = run("trace", *net(tmp_path, "Net"), "--explain", "--json", "--passes", "")
    assert [row["name"] for row in json.loads(none.stdout)["passes"]] == ["functionalise"]


def test_a_pass_that_there_is_not_is_told_with_those_that_there_are(tmp_path: Path) -> None:
    result = run("trace", *net(tmp_path, "Net"), "--explain", "--passes", "fold_everything")
    assert result.exit_code == 2
    assert "there is no pass 'fold_everything'" in result.stderr
    assert "remedy: passes are: fold_batch_norm, fold_constants" in result.stderr


def test_a_write_that_is_no_value_is_told_with_what_an_export_does(tmp_path: Path) -> None:
    result = run("trace", *net(tmp_path, "Sealed"), "--explain")
    assert result.exit_code == 2
    assert "%resize_: resize_ has no form that gives a value" in result.stderr
    assert "an export of it goes through torch.onnx whole" in result.stderr
