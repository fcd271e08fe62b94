"""What bench and verify measured is laid over a drawing, of the same network alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from netloft.cli import main
from netloft.errors import InputError, UsageError
from netloft.graph import Graph
from netloft.models import load_model
from netloft.onnx_graph import read_onnx
from netloft.overlays import make_overlay, overlay_from
from netloft.overlays.reached import reached
from netloft.speed import profile
from netloft.tracing import trace
from netloft_diagrams.drawing import Drawing
from netloft_diagrams.page import Options


def run(*args: str | Path) -> Result:
    return CliRunner().invoke(main, [str(arg) for arg in args])


class Measured:
    """A network, its file, and what verify and bench said of it."""

    def __init__(self, folder: Path) -> None:
        import netloft

        model = load_model("mnist")
        inputs = model.example(1)
        self.graph: Graph = trace(model.module, inputs, name="mnist")
        self.file = folder / "mnist.onnx"
        netloft.to_onnx(model.module, inputs, self.file)
        self.verify, self.bench = folder / "verify.json", folder / "bench.json"
        verified = run("verify", self.file, "--against", "mnist", "--layers", "--json")
        self.verify.write_text(verified.stdout)
        options = ("--batches", "64", "--threads", "1", "--profile", "--json", "--quiet")
        with pytest.MonkeyPatch.context() as patch:
            # other tests run beside this one, and what times add up to is not looked at here
            patch.setattr(profile, "adds_up", lambda *_: True)
            benched = run("bench", self.file, *options)
        self.bench.write_text(benched.stdout)

    @property
    def nodes(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self.bench.read_text())["nodes"]
        return found


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Measured:
    return Measured(tmp_path_factory.mktemp("saved"))


def test_errors_are_those_of_the_report(measured: Measured) -> None:
    found = overlay_from(measured.verify, "error", measured.graph)
    rows = json.loads(measured.verify.read_text())["layers"]
    assert found.values == {row["node"]: row["ratio"] for row in rows}
    assert {"conv1", "conv2", "fc1", "fc2"} <= found.values.keys()
    assert "with true inputs" in found.details["conv2"]


@pytest.mark.parametrize("read", [False, True], ids=["module", "file"])
def test_times_add_up_to_those_of_the_report(measured: Measured, *, read: bool) -> None:
    graph = read_onnx(measured.file) if read else measured.graph
    found = overlay_from(measured.bench, "time", graph)
    known = [row["ms"] for row in measured.nodes if row["node"]]
    assert sum(map(float, found.values.values())) == pytest.approx(sum(known) / 1e3)
    assert found.total == pytest.approx(sum(row["ms"] for row in measured.nodes) / 1e3)
    assert max(found.values, key=lambda name: float(found.values[name])).startswith("conv2") or read
    assert found.title.endswith("on cpu, batch 64, 1 thread, median")


def kernel(ms: float, macs: int | None, limit: float | None, by: str, **more: Any) -> Any:
    facts = {"kernel": "Conv", "provider": "cpu", "ran_on": "cpu", "precision": "float32"}
    work = {"ms": ms, "macs": macs, "bytes": 1_000_000, "limit_ms": limit, "limit_by": by}
    return {**facts, **work, **more}


def test_kernels_are_added_up_and_the_gap_is_that_of_all() -> None:
    both = [
        kernel(1.0, 20_000_000, 0.5, "multiply-adds"), kernel(3.0, 20_000_000, 0.5, "multiply-adds")
    ]  # fmt: skip
    assert reached(both) == (
        "in ONNX Runtime: Conv",
        "20 GFLOP/s in float32, 0.5 GB/s",
        "4 times the limit of 1 ms by its multiply-adds",
    )
    other = kernel(1.0, None, None, "", kernel="If", precision="")
    assert reached([*both, other])[1:] == (
        "20 GFLOP/s in float32, 0.6 GB/s",
        "4 times the limit of 1 ms by its multiply-adds",
        "no limit is known for 20% of its time",
    )
    assert reached([]) == ()


def test_what_a_limit_is_not_and_where_a_kernel_fell_back() -> None:
    rows = [
        kernel(1.0, 20_000_000, 0.1, "bytes alone", precision="int8", kernel="QLinearConv"),
        kernel(1.0, 0, 0.9, "bytes", precision="", provider="cuda"),
    ]
    assert reached(rows)[1:] == (
        "40 Gop/s in int8, 1 GB/s",
        "2 times the limit of 1 ms by bytes alone, as no peak of int8 is known",
        "50% of its time on cpu, not cuda",
    )


def test_a_report_of_an_older_version_is_told_as_far_as_it_goes() -> None:
    old = kernel(2.0, 20_000_000, 1.0, "")
    for key in ("ran_on", "precision", "limit_by"):
        del old[key]
    assert reached([old])[2] == "2 times the limit of 1 ms"


def test_the_gap_stands_in_tooltip_and_panel(measured: Measured) -> None:
    found = overlay_from(measured.bench, "time", measured.graph)
    assert found.tell is not None
    assert any(" times the limit of " in line for line in found.tell(("conv2",)))
    everything = found.tell(tuple(found.values))
    known = [row for row in measured.nodes if row["node"] and row["limit_ms"] is not None]
    whole = sum(row["ms"] for row in known) / sum(row["limit_ms"] for row in known)
    assert f"{whole:.2g} times" in everything[2]
    assert found.notes[1].startswith("the whole: ")
    drawing = Drawing(measured.graph, Options(overlay=found))
    assert drawing.scene.root.told == everything
    line = found.tell(("conv2",))[2]
    assert line in drawing.svg
    assert f'"{line}"' in drawing.html()


def test_the_command_draws_a_report(measured: Measured, tmp_path: Path) -> None:
    for kind, report in (("error", measured.verify), ("time", measured.bench)):
        out = tmp_path / f"{kind}.svg"
        result = run("draw", "mnist", "--color", kind, "--report", report, "-o", out)
        assert result.exit_code == 0, result.output
        assert 'class="scale"' in out.read_text(encoding="utf-8")


@pytest.mark.parametrize("kind", ["error", "time"])
def test_a_report_of_another_network_is_refused(measured: Measured, kind: str) -> None:
    report = measured.verify if kind == "error" else measured.bench
    model = load_model("acoustic")
    graph = trace(model.module, model.example(1), name="acoustic")
    with pytest.raises(UsageError, match="the report is of another network"):
        overlay_from(report, kind, graph)


def test_a_file_that_is_named_twice_does_not_take_twice_as_long(
    measured: Measured, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(profile, "adds_up", lambda *_: True)
    how = ("--quick", "--provider", "cpu", "--batches", "2", "--threads", "1")
    found = run("bench", measured.file, measured.file, *how, "--profile", "--json", "--quiet")
    nodes = [(row["value"], row["kernel"]) for row in json.loads(found.stdout)["nodes"]]
    assert len(json.loads(found.stdout)["speed"]) == 2
    assert "Conv" in {kernel for _, kernel in nodes}
    assert len(set(nodes)) == len(nodes)
    doubled = tmp_path / "doubled.json"  # as an earlier version wrote it
    doubled.write_text(json.dumps({"nodes": measured.nodes * 2}))
    with pytest.raises(UsageError, match=r"has the nodes of .*mnist.onnx more than once"):
        overlay_from(doubled, "time", measured.graph)


BAD = {
    "no json": ("{", InputError, "is not JSON"),
    "a list": ("[]", InputError, "is no report"),
    "nothing measured": ("{}", UsageError, "has no rows of 'layers'"),
    "rows of something": ('{"layers": [{"node": "conv1"}]}', InputError, "are not what netloft"),
    "words": ('{"layers": ["conv1"]}', InputError, "are not what netloft"),
    "deep": ("[" * 100_000, InputError, "is not JSON"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_report_is_told(measured: Measured, tmp_path: Path, name: str) -> None:
    text, error, words = BAD[name]
    path = tmp_path / "report.json"
    path.write_text(text)
    with pytest.raises(error, match=words):
        overlay_from(path, "error", measured.graph)


def test_wrong_uses_are_told(measured: Measured, tmp_path: Path) -> None:
    out = tmp_path / "a.svg"
    wrong: list[tuple[list[str | Path], str]] = [
        (["--report", measured.verify], "say which with --color"),
        (["--report", measured.verify, "--color", "flops"], "no report holds 'flops'"),
        (["--report", tmp_path / "none.json", "--color", "error"], "cannot be read"),
        (["--report", "/dev/zero", "--color", "error"], "cannot be read"),
        (["--report", measured.verify, "--color", "time"], "has no rows of 'nodes'"),
    ]
    for args, words in wrong:
        result = run("draw", "mnist", *args, "-o", out)
        assert result.exit_code == 2, result.output
        assert words in result.output
        assert not out.exists()


def test_passes_are_those_of_the_export(measured: Measured, tmp_path: Path) -> None:
    bundle = tmp_path / "myresnet"
    assert run("export", "myresnet", "--quick", "--quiet", "-o", bundle).exit_code == 0
    model = load_model("myresnet")
    graph = trace(model.module, model.example(1), name="myresnet")
    found = overlay_from(bundle / "report.json", "pass", graph)
    live = make_overlay("pass", graph)
    assert (found.values, found.details) == (live.values, live.details)
    assert "fold_batch_norm \N{MINUS SIGN}batch_norm" in found.values.values()
    assert found.notes[0] == live.notes[0].replace("not proven", "in the export")
    with pytest.raises(UsageError, match="the report is of another network"):
        overlay_from(bundle / "report.json", "pass", measured.graph)
