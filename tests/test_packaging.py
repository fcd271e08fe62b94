"""What is installed is what stands in the three source roots."""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import netloft

ROOT = Path(__file__).parents[1]
ROOTS = {"toolkit": "netloft", "exporters": "netloft_exporters", "diagrams": "netloft_diagrams"}


@pytest.mark.parametrize(("folder", "package"), ROOTS.items())
def test_source_root_holds_one_package(folder: str, package: str) -> None:
    found = [p.name for p in (ROOT / folder).iterdir() if p.name != "__pycache__"]
    assert found == [package]


def built(project: Path, to: Path) -> zipfile.ZipFile:
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation"]
    subprocess.run([*command, "-o", str(to), str(project)], check=True, capture_output=True)
    (wheel,) = to.glob("*.whl")
    return zipfile.ZipFile(wheel)


@pytest.mark.parametrize(
    ("project", "folders"),
    [(ROOT, tuple(ROOTS)), (ROOT / "packaging" / "runtime", ("toolkit",))],
    ids=["netloft", "netloft-runtime"],
)
def test_wheel_holds_every_file_and_nothing_else(
    tmp_path: Path, project: Path, folders: tuple[str, ...]
) -> None:
    packed = {n for n in built(project, tmp_path).namelist() if ".dist-info/" not in n}
    files = (p for folder in folders for p in (ROOT / folder).rglob("*") if p.is_file())
    relative = [p.relative_to(ROOT) for p in files if "__pycache__" not in p.parts]
    assert packed == {p.relative_to(p.parts[0]).as_posix() for p in relative}


def test_the_smaller_distribution_asks_for_no_torch(tmp_path: Path) -> None:
    wheel = built(ROOT / "packaging" / "runtime", tmp_path)
    (name,) = [n for n in wheel.namelist() if n.endswith("/METADATA")]
    lines = wheel.read(name).decode().splitlines()
    needed = [line for line in lines if line.startswith("Requires-Dist:") and ";" not in line]
    assert [re.split(r"[ >=]+", line)[1] for line in needed] == ["click", "numpy", "rich"]
    assert f"Version: {netloft.__version__}" in lines


def test_a_verb_that_lacks_a_package_names_it(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "for name in ('torch', 'torchvision', 'netloft_diagrams'): sys.modules[name] = None\n"
        "from netloft.cli import main\n"
        "main(sys.argv[1:])"
    )
    for arguments, package in ((["export", "mnist"], "torch"), (["draw", "x"], "netloft_diagrams")):
        command = [sys.executable, "-c", code, *arguments]
        ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert ended.returncode == 3, ended.stderr
        said = f"error: this needs the package {package}, which is not installed\n"
        assert ended.stderr.startswith(said)
    assert list(tmp_path.iterdir()) == []


def test_layers_hold() -> None:
    lint = Path(sys.executable).with_name("lint-imports")
    result = subprocess.run([str(lint)], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout
