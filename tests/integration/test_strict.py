"""The job that asks for a real server fails where its tests are skipped, and asks for each."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]

SKIPS = 'import pytest\n\n\ndef test_a():\n    pytest.skip("no server")\n'
MARKED = 'import pytest\n\n\n@pytest.mark.skipif(True, reason="no server")\ndef test_a(): ...\n'
WHOLE = 'import pytest\n\npytest.importorskip("nothing_of_that_name", reason="no server")\n'
EXPECTED = "import pytest\n\n\n@pytest.mark.xfail\ndef test_a():\n    assert False\n"
PASSES = "def test_a(): ...\n"


def run(folder: Path, text: str, *words: str) -> subprocess.CompletedProcess[str]:
    (folder / "test_it.py").write_text(text)
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--rootdir", str(folder)]
    return subprocess.run(
        [*command, *words, str(folder)], cwd=ROOT, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("text", [SKIPS, MARKED, WHOLE], ids=["test", "mark", "module"])
def test_what_is_skipped_fails(text: str, tmp_path: Path) -> None:
    done = run(tmp_path, text, "-p", "tests.integration.strict")
    assert done.returncode in (1, 2), done.stdout
    assert "no server; and so this run proves nothing" in done.stdout


@pytest.mark.parametrize("text", [EXPECTED, PASSES], ids=["xfail", "pass"])
def test_what_is_not_skipped_is_as_ever(text: str, tmp_path: Path) -> None:
    assert run(tmp_path, text, "-p", "tests.integration.strict").returncode == 0


def test_the_workflow_asks_for_every_server() -> None:
    yaml = pytest.importorskip("yaml", reason="pyyaml is not installed")
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text("utf-8"))
    job = workflow["jobs"]["integration"]
    files = {path.stem for path in (HERE / "requirements").glob("*.txt")} - {"common"}
    assert set(job["strategy"]["matrix"]["server"]) == files
    script = (HERE / "run.sh").read_text("utf-8")
    assert f"tests/integration/{(HERE / 'run.sh').name}" in job["steps"][-1]["run"]
    usage = next(line for line in script.splitlines() if line.startswith("#   tests/"))
    assert set(usage.split()[-1].split("|")) == files
