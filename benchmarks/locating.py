"""Is a corrupted weight found where it is? One weight of ResNet18's layer3, in 50 random places.

    python benchmarks/locating.py run benchmarks/locating.jsonl [N]
    python benchmarks/locating.py report benchmarks/locating.jsonl > docs/locating.md

Each place is corrupted in one of five ways, in turn. Two answers count: that of `netloft verify
--layers`, which compares weights by value first, and that of the errors alone, as it would be for a
file of another exporter, which may write weights otherwise on purpose.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

import netloft
from netloft.graph.graph import annotation
from netloft.locating import Located, locate
from netloft.models import load_model
from netloft.tracing import trace

Row = dict[str, Any]


def _bit(value: np.float32) -> np.float32:
    """Flip the lowest bit of the exponent: the value is halved or doubled."""
    bits = np.asarray(value).view(np.int32) ^ np.int32(1 << 23)
    return np.float32(bits.view(np.float32))


WAYS: dict[str, Callable[[np.float32], np.float32]] = {
    "times 1.001": lambda v: np.float32(v * 1.001),
    "times 1.1": lambda v: np.float32(v * 1.1),
    "sign flipped": lambda v: np.float32(-v),
    "set to 0": lambda v: np.float32(0 * v),
    "a bit of the exponent": _bit,
}


def run(count: int) -> Iterator[Row]:
    """Corrupt one place after the other, and ask where it is."""
    model = load_model("resnet18")
    inputs = model.example(1)
    graph = trace(model.module, inputs, name="resnet18")
    with tempfile.TemporaryDirectory() as folder:
        good, bad = Path(folder) / "good.onnx", Path(folder) / "bad.onnx"
        netloft.to_onnx(model.module, inputs, good)
        yield _row(locate(graph, good, inputs), "", "none", 0.0)
        for seed in range(count):
            file = onnx.load(good)
            way = list(WAYS)[seed % len(WAYS)]
            name = _corrupt(file, WAYS[way], np.random.default_rng(seed))
            onnx.save(file, bad)
            start = time.perf_counter()
            found = locate(graph, bad, inputs)
            seconds = time.perf_counter() - start
            wanted = next(
                node.name for node, _ in graph if annotation(node).module == name.rpartition(".")[0]
            )
            yield _row(found, wanted, way, seconds) | {"weight": name}


def _corrupt(
    file: onnx.ModelProto,
    way: Callable[[np.float32], np.float32],
    random: np.random.Generator,
) -> str:
    """Change one element that is not 0; return the weight's name."""
    tensors = [t for t in file.graph.initializer if t.name.startswith("layer3") and len(t.dims) > 1]
    tensor = tensors[random.integers(len(tensors))]
    array: npt.NDArray[np.float32] = numpy_helper.to_array(tensor).copy()
    flat = array.reshape(-1)
    at = random.choice(np.flatnonzero(flat))
    flat[at] = way(flat[at])
    tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
    return str(tensor.name)


def _row(found: Located, wanted: str, way: str, seconds: float) -> Row:
    by_error = next((row.node for row in found.layers if row.status == "fail"), "")
    return {
        "way": way,
        "wanted": wanted,
        "named": found.first_node,
        "with_line": "resnet.py:" in found.first,
        "by_error": by_error,
        "seconds": round(seconds, 3),
    }


def report(rows: Sequence[Row]) -> str:
    """Return the page."""
    clean, rest = rows[0], rows[1:]
    named = sum(row["named"] == row["wanted"] and row["with_line"] for row in rest)
    alone = sum(row["by_error"] == row["wanted"] for row in rest)
    wrong = sum(row["by_error"] not in ("", row["wanted"]) for row in rest)
    lines = [
        "# Finding a corrupted weight",
        "",
        "One weight of ResNet18's `layer3` corrupted in the exported file, by "
        "`python benchmarks/locating.py`: see there how.",
        "",
        f"The operation is named, with its source line, for {named} of {len(rest)} places; from "
        f"the errors alone {alone} are named right, {wrong} wrong, and "
        f"{len(rest) - alone - wrong} are too small to be told from rounding. In the file as "
        "exported "
        + ("nothing is found." if not clean["named"] else f"{clean['named']} is named."),
        "",
        "| one weight | places | named | by the errors alone |",
        "|---|---|---|---|",
    ]
    for way in WAYS:
        of = [row for row in rest if row["way"] == way]
        right = sum(row["named"] == row["wanted"] for row in of)
        error = sum(row["by_error"] == row["wanted"] for row in of)
        lines.append(f"| {way} | {len(of)} | {right} | {error} |")
    seconds = sorted(row["seconds"] for row in rest)
    lines += ["", f"Median time: {seconds[len(seconds) // 2]:.1f} s, two threads.", ""]
    return "\n".join(lines)


def main() -> None:
    """Run or report."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("what", choices=["run", "report"])
    parser.add_argument("file", type=Path)
    parser.add_argument("count", type=int, nargs="?", default=50)
    given = parser.parse_args()
    if given.what == "report":
        rows = [json.loads(line) for line in given.file.read_text().splitlines()]
        sys.stdout.write(report(rows))
        return
    with given.file.open("w") as file:
        for row in run(given.count):
            file.write(json.dumps(row) + "\n")
            file.flush()


if __name__ == "__main__":
    main()
