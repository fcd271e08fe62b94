"""What is installed is what stands in the three source roots."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOTS = {"toolkit": "netloft", "exporters": "netloft_exporters", "diagrams": "netloft_diagrams"}


@pytest.mark.parametrize(("folder", "package"), ROOTS.items())
def test_source_root_holds_one_package(folder: str, package: str) -> None:
    found = [p.name for p in (ROOT / folder).iterdir() if p.name != "__pycache__"]
    assert found == [package]


def test_wheel_holds_every_file_and_nothing_else(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation"]
    subprocess.run([*command, "-o", str(tmp_path), str(ROOT)], check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    packed = {n for n in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in n}
    files = (p for folder in ROOTS for p in (ROOT / folder).rglob("*") if p.is_file())
    relative = [p.relative_to(ROOT) for p in files if "__pycache__" not in p.parts]
    assert packed == {p.relative_to(p.parts[0]).as_posix() for p in relative}


def test_layers_hold() -> None:
    lint = Path(sys.executable).with_name("lint-imports")
    result = subprocess.run([str(lint)], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout
