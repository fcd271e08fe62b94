"""What every verb that takes a MODEL takes, and how it tells of mistakes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from netloft.cli import main

EVERY = [
    "--seed=1", "--batch=2", "--opset=20", "--provider=cpu", "--precision=fp32", "--threads=1",
    "--quiet", "--arg=hidden=20", "--input=1x1x28x28",
]  # fmt: skip


def run(*args: str | Path) -> Result:
    return CliRunner().invoke(main, [str(arg) for arg in args])


@pytest.mark.parametrize(
    "verb", [["trace"], ["draw", "-o", "net.svg"], ["bench", "--quick"], ["export", "--quick"]],
    ids=lambda verb: verb[0],
)  # fmt: skip
def test_every_verb_takes_every_shared_option(
    verb: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = run(verb[0], "mnist", *verb[1:], *EVERY)
    assert (result.exit_code, result.output) == (0, "")


@pytest.mark.parametrize("verb", ["trace", "draw", "bench", "export", "verify"])
def test_options_without_meaning_are_hidden(verb: str) -> None:
    text = run(verb, "--help").stdout
    for option in ("--opset", "--precision"):
        assert (option in text) == (verb == "export")
    assert ("--batch dynamic" in text) == (verb != "verify")
    assert ("--threads" in text) == (verb in ("bench", "export", "verify"))


@pytest.mark.parametrize("precision", ["fp64", "int4", ""])
def test_other_precisions_are_refused(precision: str) -> None:
    result = run("export", "mnist", "--precision", precision, "--json")
    assert result.exit_code == 2
    assert "'fp32', 'fp16', 'int8'" in json.loads(result.stdout)["problem"]
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["trace", "mnist", "--nonsense"], "No such option"),
        (["trace"], "Missing argument 'MODEL'"),
        (["explode", "mnist"], "No such command 'explode'"),
        (["--nonsense"], "No such option"),
        (["export", "mnist", "--precision", "int8", "--functions"], "int8 does not go with ONNX"),
        (["export", "mnist", "--min-sqnr", "25"], "of an int8 file, and this one is fp32"),
        (["export", "mnist", "--precision", "int8", "--min-sqnr", "19"], "19 dB of signal"),
        (["export", "mnist", "--precision", "int8", "--min-sqnr", "nan"], "nan dB of signal"),
        (["export", "mnist", "--precision", "int8", "--min-agreement", "2"], "of 2 is no share"),
        (["export", "mnist", "--batch", "0"], "Invalid value for '--batch'"),
    ],
)
def test_a_wrong_command_line_is_told_as_json_too(arguments: list[str], problem: str) -> None:
    result = run(*arguments, "--json")
    assert result.exit_code == 2
    facts = json.loads(result.stdout)
    assert (facts["status"], facts["exit_code"]) == ("error", 2)
    assert problem in facts["problem"]
    assert problem in result.stderr
    assert run(*arguments).stdout == ""


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("--input=1x99999999999999999999", "elements in one item"),
        ("--input=1x9999999x9999999", "elements in one item"),
        ("--input=1x4:quint8", "'quint8' is not an element type of inputs"),
        ("--input=1x4:complex64", "'complex64' is not an element type of inputs"),
        ("--batch=100000000000", "--batch 100000000000 is more than 65536 items"),
        ("--batch=65537", "--batch 65537 is more than 65536 items"),
        ("--batch=\N{SUPERSCRIPT TWO}", "give 'dynamic' or a number of 1 or more"),
        (f"-o{'n' * 300}.svg", "File name too long"),
    ],
)
def test_numbers_and_names_out_of_range_are_mistakes(option: str, said: str) -> None:
    result = run("draw", "mnist", option)
    assert result.exit_code == 2, result.output
    assert said in result.stderr
    assert result.stderr.lower().count("error:") == 1


def test_a_long_name_of_a_bundle_is_a_mistake(tmp_path: Path) -> None:
    result = run("export", "mnist", "--quiet", "-o", tmp_path / ("n" * 300))
    assert result.exit_code == 2
    assert "File name too long" in result.stderr
