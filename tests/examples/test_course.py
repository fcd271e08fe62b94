"""The notebook runs from its first cell to its last."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from examples.digits import COURSES, load_digits, png_files, train, weights_of

NOTEBOOK = Path(__file__).parents[2] / "examples" / "course.ipynb"


def cells() -> list[str]:
    found = json.loads(NOTEBOOK.read_text("utf-8"))["cells"]
    assert not any(cell.get("outputs") for cell in found)
    return ["".join(cell["source"]) for cell in found if cell["cell_type"] == "code"]


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is displayed; Jupyter itself is not needed."""
    found: list[str] = []
    stand_in: Any = ModuleType("IPython.display")
    stand_in.SVG = str
    stand_in.display = found.append
    monkeypatch.setitem(sys.modules, "IPython", ModuleType("IPython"))
    monkeypatch.setitem(sys.modules, "IPython.display", stand_in)
    return found


def test_every_cell_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shown: list[str]) -> None:
    pytest.importorskip("sklearn")
    digits, held_out = load_digits()
    course = dataclasses.replace(COURSES[0], epochs=2)  # the notebook's own training takes longer
    folder = tmp_path / "course" / "digits"
    folder.mkdir(parents=True)
    (folder / "mnist-digits.safetensors").write_bytes(weights_of(train(course, digits)))
    for name, data in png_files(held_out).items():
        (folder / name).write_bytes(data)
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    for cell in cells():
        exec(compile(cell, "course.ipynb", "exec"), names)
    assert (tmp_path / "course" / "myresnet" / "manifest.json").is_file()
    assert [text.count("<image") for text in shown] == [25, 50, 10, 10, 7]  # and a legend
