"""A bundle in ONNX Runtime's packages for JavaScript, as `benchmarks/served.py` asks servers.

onnxruntime-node runs what was published for the browser in node; onnxruntime-web runs in Chromium,
on the published page, whose own verdict and ratio these are.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from netloft.parity.compare import measure
from netloft.publishing import publish

HERE = Path(__file__).parent / "javascript"
WEB = ("ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm")
RATIOS = "rows => rows.map(row => row.cells[5].textContent)"
LOAD = """async seconds => {
  const { ARRAYS, load, oneItem } = await import("../bench/load.mjs");
  const ort = await import("../ort/ort.wasm.min.mjs");
  const expected = await (await fetch("expected.json")).json();
  const values = {};
  for (const tensor of expected.inputs) {
    values[tensor.name] = new ARRAYS[tensor.dtype](await (await fetch(tensor.file)).arrayBuffer());
  }
  const model = new Uint8Array(await (await fetch("model.onnx")).arrayBuffer());
  const session = await ort.InferenceSession.create(model, { executionProviders: ["wasm"] });
  return await load(session, oneItem(ort, expected, tensor => values[tensor.name]), seconds);
}"""

Row = dict[str, Any]


def rows(bundle: Path, packages: Path, seconds: float) -> Iterator[Row]:
    """Give a row for each of the packages below `packages/node_modules` that is there."""
    modules = packages / "node_modules"
    with tempfile.TemporaryDirectory() as place:
        folder = publish(bundle, "ort-web", Path(place, "out")).path
        if (modules / "onnxruntime-node").is_dir():
            version = _version(modules / "onnxruntime-node")
            yield {"server": f"onnxruntime-node {version}", **_node(folder, packages, seconds)}
        if (modules / "onnxruntime-web").is_dir():
            version = _version(modules / "onnxruntime-web")
            dist = modules / "onnxruntime-web" / "dist"
            yield {"server": f"onnxruntime-web {version}", **_web(folder, dist, seconds)}


def _version(package: Path) -> str:
    return str(json.loads((package / "package.json").read_text("utf-8"))["version"])


def _node(folder: Path, packages: Path, seconds: float) -> Row:
    with tempfile.TemporaryDirectory() as out:
        command = ["node", HERE / "node.mjs", packages, folder, out, seconds]
        told = subprocess.run([*map(str, command)], capture_output=True, text=True, check=True)
        ratios = [
            _ratio(folder, output, Path(out, f"{index}.bin"))
            for index, output in enumerate(_expected(folder)["outputs"])
        ]
    status = "pass" if all(passed for passed, _ in ratios) else "fail"
    parity = [{"ratio": ratio} for _, ratio in ratios]
    return {
        "protocol": "in its process",
        "status": status,
        "parity": parity,
        "load": json.loads(told.stdout),
    }


def _expected(folder: Path) -> Row:
    found: Row = json.loads((folder / "expected.json").read_text("utf-8"))
    return found


def _ratio(folder: Path, output: Row, file: Path) -> tuple[bool, float]:
    """Return whether an output is within its tolerance, and its error over the noise floor."""
    actual = np.fromfile(file, output["dtype"]).reshape(output["shape"])
    wanted = np.fromfile(folder / output["file"], output["dtype"]).reshape(output["shape"])
    error = measure(actual, wanted).scaled
    return error <= output["tolerance"], error / output["noise_floor"]


def _web(folder: Path, dist: Path, seconds: float) -> Row:
    beside = folder.parent
    for name in ("ort", "bench"):
        (beside / name).mkdir()
    for name in WEB:
        shutil.copy(dist / name, beside / "ort" / name)
    shutil.copy(HERE / "load.mjs", beside / "bench")
    from tests.toolkit.publishing.page import (
        shown,  # Playwright is not in the servers' environments
    )

    with shown(folder) as page:
        status = page.get_attribute("#status", "data-status")
        cells = page.eval_on_selector_all(
            "#parity tbody tr", "rows => rows.map(r => r.cells[5].textContent)"
        )
        parity = [{"ratio": float(cell)} for cell in cells]
        load = page.evaluate(LOAD, seconds)
    return {"protocol": "Chromium, one thread", "status": status, "parity": parity, "load": load}
