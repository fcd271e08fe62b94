"""The page for a browser: in Chromium, with a stand-in for ONNX Runtime, and with the real one."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.toolkit.publishing.bundles import make_bundle
from tests.toolkit.publishing.page import shown

from netloft.bundle.vectors import read_vectors
from netloft.publishing import publish

pytestmark = pytest.mark.browser

HOSTILE = ("<img src=x onerror=document.title='owned'>", "</script><script>alert(1)</script>")
LABELS = ("<b>one</b>", "two", "three", "four", "five")

STAND_IN = """
export const env = { wasm: {} };
export class Tensor {
  constructor(type, data, dims) { Object.assign(this, { type, data, dims }); }
}
export const InferenceSession = {
  async create(model, options) {
    if (!(model instanceof Uint8Array) || options.executionProviders[0] !== "wasm") throw Error();
    const answers = await (await fetch("../ort/answers.json")).json();
    return { async run(feeds) {
      for (const tensor of Object.values(feeds)) {
        const size = tensor.dims.reduce((a, b) => a * b, 1);
        if (tensor.data.length !== size) throw Error("an input of another size");
      }
      const read = ([type, values, dims]) =>
        new Tensor(type, Float32Array.from(values, Number), dims);
      return Object.fromEntries(Object.entries(answers).map(([name, a]) => [name, read(a)]));
    } };
  },
};
"""


def answer(folder: Path, tensors: Mapping[str, Any]) -> None:
    """Let the stand-in give these results."""
    runtime = folder.parent / "ort"
    runtime.mkdir()
    (runtime / "ort.wasm.min.mjs").write_text(STAND_IN)
    facts = {
        name: ["float32", [repr(float(value)) for value in array.ravel()], list(array.shape)]
        for name, array in tensors.items()
    }
    text = json.dumps(facts).replace('"nan"', '"NaN"').replace('"inf"', '"Infinity"')
    (runtime / "answers.json").write_text(text)


def row(page: Any) -> list[str]:
    found: list[str] = page.eval_on_selector_all(
        "#parity tbody td", "cells => cells.map(cell => cell.textContent)"
    )
    return found


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return make_bundle(tmp_path / "b", names=HOSTILE, labels=LABELS)


@pytest.fixture
def wanted(bundle: Path) -> dict[str, Any]:
    return read_vectors(bundle / "test_data_set_0", "output")


@pytest.fixture
def folder(bundle: Path, tmp_path: Path) -> Path:
    return publish(bundle, "ort-web", tmp_path / "out").path


def test_the_right_results_pass_and_names_are_text(folder: Path, wanted: dict[str, Any]) -> None:
    answer(folder, wanted)
    with shown(folder) as page:
        assert page.get_attribute("#status", "data-status") == "pass"
        cells = row(page)
        assert cells[0] == HOSTILE[1]
        assert (cells[2], cells[5], cells[7]) == ("0.0e+0", "0.00", "pass")
        assert page.title() == "tiny"
        assert page.query_selector("img") is None
        first = LABELS[int(np.argmax(wanted[HOSTILE[1]][0]))]
        assert page.text_content("#first") == f"first item: {first}"


def _off(array: Any) -> Any:
    return array + np.float32(1e-4) * np.abs(array).max()


def _nan(array: Any) -> Any:
    return np.where(np.arange(array.size).reshape(array.shape) == 7, np.nan, array)


def _flat(array: Any) -> Any:
    return array.ravel()


@pytest.mark.parametrize("wrong", [_off, _nan, _flat])
def test_wrong_results_fail(folder: Path, wanted: dict[str, Any], wrong: Any) -> None:
    answer(folder, {name: wrong(array) for name, array in wanted.items()})
    with shown(folder) as page:
        assert page.get_attribute("#status", "data-status") == "fail"
        assert row(page)[7] == "fail"


def test_the_error_is_the_one_that_verify_tells(folder: Path, wanted: dict[str, Any]) -> None:
    from netloft.parity.compare import measure

    near = {name: array + np.float32(1e-6) for name, array in wanted.items()}
    answer(folder, near)
    error = measure(near[HOSTILE[1]], wanted[HOSTILE[1]])
    with shown(folder) as page:
        cells = row(page)
    assert float(cells[2]) == pytest.approx(error.max_abs, rel=0.06)
    assert float(cells[3]) == pytest.approx(error.scaled, rel=0.06)


def test_without_onnx_runtime_the_page_says_what_to_do(folder: Path) -> None:
    with shown(folder) as page:
        assert page.get_attribute("#status", "data-status") == "error"
        assert "README.md says how to put it there" in page.text_content("#status")


def test_the_policy_allows_this_folder_alone(folder: Path) -> None:
    text = (folder / "index.html").read_text()
    assert "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'" in text
    assert "<script>" not in text
    assert "&lt;img src=x" in text
    for name in ("index.html", "app.js", "style.css"):
        assert "http" not in (folder / name).read_text().replace("http-equiv", "")


@pytest.mark.integration
def test_onnx_runtime_web_passes(tmp_path: Path) -> None:
    dist = os.environ.get("NETLOFT_ORT_WEB")
    if dist is None:
        pytest.skip("NETLOFT_ORT_WEB does not name the folder dist of npm's onnxruntime-web")
    folder = publish(make_bundle(tmp_path / "b"), "ort-web", tmp_path / "out").path
    (folder.parent / "ort").mkdir()
    for name in ("ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm"):
        shutil.copy(Path(dist) / name, folder.parent / "ort" / name)
    with shown(folder) as page:
        assert page.get_attribute("#status", "data-status") == "pass", page.text_content("#status")
        assert row(page)[7] == "pass"
