from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from netloft.cli import doctor as module
from netloft.cli import main
from netloft.cli.doctor import Check, examine


@pytest.fixture(scope="module")
def checks() -> list[Check]:
    return examine()


def test_every_gap_has_a_reason_and_a_remedy(checks: list[Check]) -> None:
    for check in checks:
        assert check.found if check.ok else (check.reason and check.remedy), check
    names = [check.name for check in checks]
    assert names == [
        "Python", "torch", "torchvision", "onnx", "onnxruntime", "provider cpu", "provider cuda",
        "provider tensorrt", "provider openvino", "NVIDIA GPU", "C++ compiler", "Graphviz", "PNG",
        "PDF",
    ]  # fmt: skip
    essential = [check.name for check in checks if check.essential]
    assert essential == ["torch", "onnxruntime", "provider cpu"]


def test_json_and_table(checks: list[Check], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "examine", lambda: checks)
    result = CliRunner().invoke(main, ["doctor", "--json"])
    assert result.exit_code == 0
    assert [row["name"] for row in json.loads(result.stdout)["checks"]] == [c.name for c in checks]
    result = CliRunner().invoke(main, ["doctor"])
    assert result.exit_code == 0
    assert result.stdout.splitlines()[0].startswith("what ")
    assert len(result.stdout.splitlines()) == len(checks) + 1


@pytest.mark.parametrize(("essential", "code"), [(True, 3), (False, 0)])
def test_only_what_is_essential_fails(
    essential: bool, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = Check("torch", False, reason="none", remedy="pip install", essential=essential)
    monkeypatch.setattr(module, "examine", lambda: [missing])
    assert CliRunner().invoke(main, ["doctor"]).exit_code == code
    result = CliRunner().invoke(main, ["doctor", "--json"])
    assert result.exit_code == code
    assert json.loads(result.stdout)["status"] == ("missing" if essential else "ok")


def test_a_package_that_cannot_be_imported() -> None:
    check = module._package("X", "netloft_absent_package", "pip install x")
    assert check == Check(
        "X", False, "", "No module named 'netloft_absent_package'", "pip install x"
    )
