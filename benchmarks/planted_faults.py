"""How many planted faults the certificate finds, beside the tolerances of other tools.

    python benchmarks/planted_faults.py run FILE [NAME …] [--per-kind N]
    python benchmarks/planted_faults.py again FILE
    python benchmarks/planted_faults.py report FILE > docs/planted_faults.md

FILE is `benchmarks/planted_faults.jsonl`.

Each network has a process of its own and is exported once. Faults are planted in copies of the file
one at a time. The certificate sees each at batches 1 and 2, and where the outputs pass it looks at
the layers, as `netloft verify --layers` does. Every other policy sees the same results of the same
file on one batch of noise, beside the module in float32, as its tool does. Then the file without a
fault is run on other inputs, batch sizes and thread counts: whatever is said against it is a false
alarm. `again` asks the other policies alone, of the same faults and the same runs: for a new one.
"""

from __future__ import annotations

import argparse
import itertools
import json
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from netloft.against import Against, layers_check
from netloft.errors import NetloftError
from netloft.locating import locate
from netloft.models import load_model
from netloft.models.catalog import BUILTINS
from netloft.models.loaded import LoadedModel
from netloft.parity.check import certify
from netloft.parity.expected import Expected
from netloft.parity.faults.mutant import Mutant
from netloft.parity.faults.mutate import Check, mutate
from netloft.parity.faults.outputs import outputs_check, runs_of
from netloft.parity.inputs import Case, cases
from netloft.runtime.providers import start_session
from netloft.tracing import trace
from netloft_exporters import to_onnx

Row = dict[str, Any]
Array = npt.NDArray[Any]
Policy = Callable[[Array, Array], bool]

BATCHES = (1, 2)
SEEDS, THREADS = range(1, 8), (1, 2)
"""Of the runs without a fault; the batch size goes round 1, 2 and 3."""
ZOO = ("torchvision:mobilenet_v2", "torchvision:convnext_tiny", "torchvision:vit_b_16")
OWN = "netloft"


def names() -> list[str]:
    """Return the networks: the built-in ones, and three of torchvision's."""
    return [*BUILTINS, *ZOO]


def _within(rtol: float, atol: float) -> Policy:
    return lambda actual, wanted: bool(np.allclose(actual, wanted, rtol=rtol, atol=atol))


def _torch_verify(actual: Array, wanted: Array) -> bool:
    error = np.abs(actual - wanted)
    return bool(error.max() < 5e-3 and (error / (np.abs(wanted) + 1e-7)).max() < 1e-1)


POLICIES: Mapping[str, Policy] = {
    "torch.onnx verify": _torch_verify,
    "timm": lambda actual, wanted: bool(np.abs(actual - wanted).max() < 1.5e-3),
    "optimum": _within(1e-5, 1e-5),
    "polygraphy": lambda actual, wanted: bool(
        (np.abs(actual - wanted) <= np.maximum(1e-5, 1e-5 * np.abs(wanted))).all()
    ),
    "assert_close": _within(1.3e-6, 1e-5),
    "onnx backend": _within(1e-3, 1e-7),
    "onnxsim": _within(1e-4, 1e-5),
    "onnxslim": _within(1e-3, 1e-4),
}
"""What passes, by the tool whose default it is."""


def measured(name: str, per_kind: int) -> Row:
    """Plant faults in one network, and run it without."""
    warnings.simplefilter("ignore")
    start = time.monotonic()
    model = load_model(name)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.onnx"
        to_onnx(model.module, model.example(), path, prove=False)
        return {
            "name": name,
            "per_kind": per_kind,
            **planted(model, path, per_kind),
            **fault_free(model, path),
            "seconds": round(time.monotonic() - start),
        }


def planted(model: LoadedModel, path: Path, per_kind: int) -> Row:
    """Return what became of each fault, with every policy."""
    example = model.example()
    graph = trace(model.module, example)
    result, expected = certify(graph, model.module, path, cases(example, BATCHES, 0), ["cpu"], 2)
    found: dict[Any, Row] = {}
    held = Against(path, graph, expected, result)
    run = runs_of(expected, path, "cpu", 2)
    with tempfile.TemporaryDirectory() as folder:
        checks = {
            "outputs": _recorded(outputs_check(expected, "cpu"), expected, found),
            "layers": layers_check(held, Path(folder), "cpu", 2),
        }
        mutation = mutate(path, checks, run, per_kind=per_kind, progress=_tell)
    faults = [
        {**vars(t.fault), "status": t.status, "check": t.check, "reason": t.reason,
         "passes": found[t.fault]}
        for t in mutation.trials
    ]  # fmt: skip
    return {"faults": faults, "without_place": list(mutation.without_place)}


def _tell(what: str) -> None:
    print(what, file=sys.stderr)


def _recorded(check: Check, expected: Expected, found: dict[Any, Row]) -> Check:
    def recorded(mutant: Mutant) -> str | None:
        said = check(mutant)
        try:
            found[mutant.fault] = passes(expected, 0, next(mutant.results()))
        except NetloftError:  # no tool can compare what does not run
            found[mutant.fault] = dict.fromkeys(POLICIES, False)
        return said

    return recorded


def passes(expected: Expected, index: int, given: Mapping[str, Array]) -> Row:
    """Return which policies let a file's results on one set of inputs pass."""
    wanted = expected.runs[index].reference.float32
    outputs = [output.name for output in expected.graph.outputs]
    return {
        name: all(
            given[o].shape == wanted[o].shape and policy(given[o], wanted[o]) for o in outputs
        )
        for name, policy in POLICIES.items()
    }


def fault_free(model: LoadedModel, path: Path) -> Row:
    """Return how often each policy speaks against the file as it is."""
    alarms, runs = dict.fromkeys([OWN, *POLICIES], 0), 0
    graph = trace(model.module, model.example())
    for threads, inputs in _free_inputs(model):
        result, expected = certify(graph, model.module, path, inputs, ["cpu"], threads)
        for name in _alarms(expected, path, threads):
            alarms[name] += 1
        located = locate(graph, path, expected.runs[0].case.inputs, threads=threads)
        alarms[OWN] += "fail" in (result.status, located.status)
        runs += 1
    return {"runs": runs, "alarms": alarms}


def _free_inputs(model: LoadedModel) -> Iterator[tuple[int, Iterator[Case]]]:
    for seed in SEEDS:
        for threads in THREADS:
            batch = (1, 2, 3)[(seed + threads) % 3]
            yield threads, cases(model.example(), (batch,), 1000 * seed)


def _alarms(expected: Expected, path: Path, threads: int) -> list[str]:
    """Return the policies that speak against a file, on the first inputs."""
    session = start_session(path, "cpu", threads=threads)
    outputs = [output.name for output in session.get_outputs()]
    given = session.run(outputs, expected.runs[0].feeds)
    passed = passes(expected, 0, dict(zip(outputs, given, strict=True)))
    return [name for name in POLICIES if not passed[name]]


def others(name: str) -> Row:
    """Return what the other policies say of each fault, and their false alarms."""
    warnings.simplefilter("ignore")
    model, found = load_model(name), dict[Any, Row]()
    alarms = dict.fromkeys(POLICIES, 0)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.onnx"
        to_onnx(model.module, model.example(), path, prove=False)
        graph = trace(model.module, model.example())
        noise = itertools.islice(cases(model.example(), BATCHES, 0), 1)
        expected = Expected(graph, model.module, noise)
        seen = _recorded(lambda mutant: "seen" if mutant.fault else None, expected, found)
        mutate(path, {"others": seen}, runs_of(expected, path, "cpu", 2))
        for threads, inputs in _free_inputs(model):
            expected = Expected(graph, model.module, itertools.islice(inputs, 1))
            for policy in _alarms(expected, path, threads):
                alarms[policy] += 1
    told = [[*vars(fault).values(), passed] for fault, passed in found.items() if fault]
    return {"passes": told, "alarms": alarms}


def again(file: Path) -> None:
    """Ask the other policies anew of what is in the file."""
    rows = rows_of(file)
    for row in rows:
        command = [sys.executable, __file__, "others", row["name"]]
        made = json.loads(subprocess.check_output(command, text=True).splitlines()[-1])
        passed = {tuple(fault): passes for *fault, passes in made["passes"]}
        for fault in row["faults"]:
            fault["passes"] = passed[
                tuple(fault[key] for key in ("kind", "node", "module", "what"))
            ]
        row["alarms"] |= made["alarms"]
        print(row["name"], file=sys.stderr)
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def run(file: Path, wanted: Sequence[str], per_kind: int) -> None:
    """Measure what the file does not have yet, each network in a process of its own."""
    done = {row["name"] for row in rows_of(file)}
    for name in [n for n in wanted or names() if n not in done]:
        command = [sys.executable, __file__, "one", name, "--per-kind", str(per_kind)]
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
        if ended.returncode:
            print(name, ended.stderr.splitlines()[-3:], file=sys.stderr)
            continue
        with file.open("a", encoding="utf-8") as lines:
            lines.write(ended.stdout.splitlines()[-1] + "\n")
        print(name, file=sys.stderr)


def rows_of(file: Path) -> list[Row]:
    """Return what was measured so far."""
    if not file.is_file():
        return []
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def _caught(faults: Sequence[Row]) -> list[int]:
    """Return how many faults netloft and each policy find."""
    return [
        sum(f["status"] == "caught" for f in faults),
        sum(f["check"] == "outputs" for f in faults),
        *(sum(not f["passes"][name] for f in faults) for name in POLICIES),
    ]


def _table(heading: str, groups: Mapping[str, Sequence[Row]]) -> list[str]:
    lines = [f"| {heading} | faults | {OWN} | its outputs alone | {' | '.join(POLICIES)} |"]
    lines.append("|---|" + "---|" * (len(POLICIES) + 3))
    for name, faults in groups.items():
        cells = map(str, (len(faults), *_caught(faults)))
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return [*lines, ""]


def report(file: Path) -> str:
    """Return the page."""
    rows = rows_of(file)
    effective = {r["name"]: [f for f in r["faults"] if f["status"] != "no effect"] for r in rows}
    everything = [fault for faults in effective.values() for fault in faults]
    kinds = list(dict.fromkeys(fault["kind"] for fault in everything))
    by_kind = {k: [f for f in everything if f["kind"] == k] for k in kinds}
    caught, runs = _caught(everything)[0], sum(row["runs"] for row in rows)
    alarms = {name: sum(r["alarms"][name] for r in rows) for name in (OWN, *POLICIES)}
    idle = sum(len(row["faults"]) for row in rows) - len(everything)
    told = ", ".join(f"{name} {count}" for name, count in alarms.items())
    missed = [
        f"- {name}, {f['kind']}, in {f['module'] or f['node']}: {f['what']}"
        for name, faults in effective.items()
        for f in faults
        if f["status"] == "missed"
    ]
    lines = [
        "# Planted faults, found and missed",
        "",
        "Generated by `benchmarks/planted_faults.py`; what is planted and how each policy is "
        "applied is said there and in `docs/parity.md`.",
        "",
        f"On {len(rows)} of {len(names())} networks, netloft finds {caught} of {len(everything)} "
        "faults that have an effect "
        f"({100 * caught / max(len(everything), 1):.1f} %). {idle} more changed no bit of any "
        "result and are not counted.",
        "",
        f"False alarms in {runs} runs of files without a fault: {told}.",
        "",
        *_table("network", {**effective, "all": everything}),
        *_table("kind", by_kind),
        "## Missed by netloft",
        "",
        *(missed or ["None."]),
        "",
    ]
    return "\n".join(lines)


def main() -> None:
    """Run, or report."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("what", choices=("run", "one", "again", "others", "report"))
    parser.add_argument("file")
    parser.add_argument("names", nargs="*")
    parser.add_argument("--per-kind", type=int, default=1)
    given = parser.parse_args()
    if given.what == "one":
        print(json.dumps(measured(given.file, given.per_kind)))
    elif given.what == "others":
        print(json.dumps(others(given.file)))
    elif given.what == "again":
        again(Path(given.file))
    elif given.what == "run":
        run(Path(given.file), given.names, given.per_kind)
    else:
        print(report(Path(given.file)), end="")


if __name__ == "__main__":
    main()
