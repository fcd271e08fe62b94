"""What the documents say is there."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from netloft.cli import VERBS, main

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")])


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_examples_and_a_section(verb: str) -> None:
    shown = CliRunner().invoke(main, [verb, "--help"])
    assert shown.exit_code == 0
    assert f"netloft {verb}" in shown.output, "its help has no example"
    assert f"\n## {verb}\n" in (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda p: p.name)
def test_documents_point_at_files_that_exist(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!https?://|#)([^)#]+)[^)]*\)", text):
        assert (document.parent / target).exists(), target
    for target in re.findall(r"`((?:docs|examples|benchmarks)/[\w./-]+)`", text):
        assert (ROOT / target).exists(), target


def test_the_readme_tells_how_to_run_the_tests() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    commands = re.findall(r"^python3 -m venv .*$", readme, flags=re.MULTILINE)
    assert len(commands) == 2
    assert commands[0].endswith("netloft export resnet18")
    assert commands[1].endswith("pytest")


def test_the_readmes_python_runs_as_pasted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"^```python\n(.*?)^```", readme, flags=re.MULTILINE | re.DOTALL)
    assert 'out/alphago")' in example
    # the same lines, measured with fewer repetitions
    quick = example.replace('out/alphago")\n', 'out/alphago", quick=True)\n', 1)
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(compile(quick, "README.md", "exec"), names)
    assert names["probabilities"].shape == (2, 361)
    assert (tmp_path / "alphago.svg").is_file()


def test_the_version_is_said_once() -> None:
    import netloft

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["version"] == netloft.__version__


def test_the_passes_are_documented_in_their_order() -> None:
    from netloft.passes import DEFAULT

    text = (ROOT / "docs" / "passes.md").read_text()
    told = re.findall(r"^\| `(\w+)` \|", text, flags=re.MULTILINE)
    assert told == list(dict.fromkeys(function.__name__ for function in DEFAULT))
