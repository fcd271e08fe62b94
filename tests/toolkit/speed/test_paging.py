"""What huge pages give a session is measured in processes of their own, and kept where it pays."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from tests.toolkit.speed.stand_ins import one_operation

from netloft.cli import main
from netloft.errors import CheckError, InputError, UsageError
from netloft.publishing.source import read_source
from netloft.report.speed import print_tuning
from netloft.runtime import Net, huge_pages, load
from netloft.runtime.huge_pages import HugePages, why_no_huge_pages
from netloft.runtime.manifest import read_manifest, sealed
from netloft.runtime.tuning import PagesRatio, TunedRow, machine, problem_of, row_for, rows_of
from netloft.speed import bench, paging
from netloft.speed import measure as measure_module
from netloft.speed import targets as targets_module
from netloft.speed import tune as tune_module
from netloft.speed.contestants import Loads
from netloft.speed.engines import ENGINES
from netloft.speed.footprint import footprint
from netloft.speed.fresh import ask
from netloft.speed.saved import read_rows
from netloft.speed.setup import Setup
from netloft.speed.sources import source_of
from netloft.speed.tune import TuneResult, tune

FEEDS = {"x": np.ones((2, 3), np.float32)}
GAIN = PagesRatio(0.93, 0.91, 0.95)
can = pytest.mark.skipif(bool(why_no_huge_pages()), reason=f"huge pages: {why_no_huge_pages()}")


def answering(
    monkeypatch: pytest.MonkeyPatch, asked: list[dict[str, Any]], ratios: Iterator[float]
) -> None:
    def answer(module: str, facts: dict[str, Any], keys: list[str]) -> dict[str, Any]:
        assert (module, keys) == ("netloft.speed.paging", ["ratio"])
        asked.append(json.loads(json.dumps(facts)))
        return {"ratio": next(ratios)}

    monkeypatch.setattr(paging, "ask", answer)


def test_the_middle_of_eight_processes_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, Any]] = []
    ratios = [0.9, 0.97, 0.91, 0.96, 0.92, 0.95, 0.93, 0.94]
    answering(monkeypatch, asked, iter(ratios))
    found = paging.surely_faster(Path("a.onnx"), {"threads": 2, "resting": False}, FEEDS)
    assert found == PagesRatio(0.935, 0.9, 0.97)
    assert [each["huge_first"] for each in asked] == [False, True] * 4
    assert asked[0]["options"] == {"threads": 2, "resting": True}
    assert asked[0]["inputs"] == {"x": [[2, 3], "float32"]}


def test_one_process_without_a_gain_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, Any]] = []
    answering(monkeypatch, asked, iter([0.9, 0.98, 1.02, 0.9]))
    with pytest.raises(CheckError, match=r"not surely faster: 0\.980 .*0\.900 to 1\.020"):
        paging.surely_faster(Path("a.onnx"), {}, FEEDS)
    assert len(asked) == 3


@pytest.mark.parametrize("huge_first", [False, True])
def test_a_process_times_both(tmp_path: Path, huge_first: bool) -> None:
    file = one_operation(tmp_path / "abs.onnx", 2, 3)
    asked: dict[str, Any] = {"path": str(file), "options": {"threads": 1}}
    asked |= {"inputs": {"x": [[2, 3], "float32"]}}
    asked |= {"quick": True, "huge_first": huge_first}
    found = ask("netloft.speed.paging", asked, ["ratio"])
    assert 0.2 < found["ratio"] < 5


def test_a_process_that_fails_says_why(tmp_path: Path) -> None:
    file = one_operation(tmp_path / "abs.onnx", 2, 3)
    asked = {"path": str(file), "options": {"threads": 1}, "inputs": {"x": [[9], "float32"]}}
    with pytest.raises(CheckError, match=r"process of its own: .*x"):
        ask("netloft.speed.paging", {**asked, "quick": True, "huge_first": False}, ["ratio"])


def test_tuning_keeps_what_pays(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also for ONNX Runtime's own choice; then the row is worth keeping for that alone."""
    given: list[tuple[Path, dict[str, Any]]] = []

    def gain(path: Path, options: dict[str, Any], feeds: Any, *, quick: bool) -> PagesRatio:
        assert path.exists()
        assert quick
        assert next(iter(feeds.values())).shape[0] == 1
        given.append((path, options))
        return GAIN

    monkeypatch.setattr(tune_module, "surely_faster", gain)
    found = tune(bundle, batches=[1], providers=["cpu"], quick=True)
    (kept,) = found.kept
    assert kept.huge_pages == GAIN
    assert not kept.is_own_choice
    assert rows_of(read_manifest(bundle)) == [kept]
    assert found.to_dict()["kept"] == [kept.to_dict()]
    assert kept.to_dict()["huge_pages"] == dataclasses.asdict(GAIN)
    ((path, options),) = given
    assert path.name == "model.onnx"
    assert options["threads"] == kept.threads


def test_what_does_not_pay_is_told(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_gain(*_: Any, **__: Any) -> Any:
        raise CheckError("not surely faster")

    monkeypatch.setattr(tune_module, "surely_faster", no_gain)
    found = tune(bundle, batches=[1], providers=["cpu"], quick=True)
    assert all(row.huge_pages is None for row in found.kept)
    assert ("huge pages at batch 1 on cpu", "not surely faster") in found.refused


def tuned(bundle: Path, **changes: Any) -> TunedRow:
    """Write a row with huge pages into a bundle."""
    cpu, cpus, onnxruntime = machine()
    row = TunedRow(
        cpu, cpus, onnxruntime, "cpu", 1, None, True, "model.onnx", 1.0, 1.0, 0.99, 1.01,
        huge_pages=GAIN,
    )  # fmt: skip
    manifest = read_manifest(bundle)
    path = bundle / "manifest.json"
    path.write_bytes(sealed({**manifest, "tuning": [{**row.to_dict(), **changes}]}))
    return row


def pictures(net: Net, batch: int) -> dict[str, Any]:
    generator = np.random.default_rng(0)
    return {net.inputs[0].name: generator.standard_normal((batch, 3, 9, 9)).astype(np.float32)}


def test_a_bundle_is_loaded_so(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put: list[int] = []

    @contextlib.contextmanager
    def around(pages: HugePages, feeds: dict[str, Any]) -> Iterator[None]:
        put.extend(len(value) for value in feeds.values() if pages._wanted)
        yield

    monkeypatch.setattr(huge_pages, "why_no_huge_pages", str)
    monkeypatch.setattr(HugePages, "around", around)
    row = tuned(bundle)
    net = load(bundle)
    assert net.tuned == row
    assert put == []
    for batch in (1, 3):
        net.run(pictures(net, batch))
    assert put == [1, 3]
    load(bundle, threads=1).run(pictures(net, 1))
    assert put == [1, 3], "other options are asked for than those of the row"
    source, setup = source_of(bundle, ["cpu"], machine()[1]), Setup("cpu", 1, machine()[1])
    for engine in ("onnxruntime", "deployed", "onnxruntime-tuned"):
        ENGINES[engine].make(source, setup)
    assert put == [1, 3, 1, 1, 1, 1], "the untuned session stays as it is"


def test_the_result_is_the_same(bundle: Path) -> None:
    plain = load(bundle)
    x = pictures(plain, 4)
    before = plain.run(x)
    tuned(bundle)
    net = load(bundle)
    for _ in range(4):
        for name, value in net.run(x).items():
            np.testing.assert_array_equal(value, before[name])


@pytest.mark.parametrize(
    "wrong", [None, {}, True, {"run_ratio": 0.9}, {**dataclasses.asdict(GAIN), "run_high": "1"}]
)
def test_a_row_that_is_none_is_refused(bundle: Path, wrong: object) -> None:
    row = tuned(bundle).to_dict()
    assert problem_of([row], ["model.onnx"]) == ""
    assert problem_of([{**row, "provider": "cuda"}], ["model.onnx"]) != ""
    assert problem_of([{**row, "huge_pages": wrong}], ["model.onnx"]) != ""


def test_a_row_of_another_machine_does_nothing(bundle: Path) -> None:
    tuned(bundle, cpu="another")
    assert row_for(rows_of(read_manifest(bundle)), "cpu", 1) is None


@can
def test_the_bench_puts_all_on_huge_pages(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put: list[object] = []
    monkeypatch.setattr(huge_pages, "_put", put.append)
    monkeypatch.setattr(measure_module, "_least", lambda *_: 1e9)  # long runs are of one session
    how: dict[str, Any] = {"batches": [1], "providers": ["cpu"], "quick": True}
    assert bench(bundle, **how).environment["huge_pages"] is False
    assert put == []
    found = bench(bundle, **how, huge_pages=True)
    assert found.environment["huge_pages"] is True
    assert len(put) == 1


@can
def test_what_stays_on_small_pages_is_told(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huge_pages, "_collapsed", lambda *_: errno.ENOMEM)
    monkeypatch.setattr(huge_pages, "_used", lambda _, begin, end, __: [(begin, end)])
    how: dict[str, Any] = {"batches": [1], "providers": ["cpu"], "quick": True}
    found = bench(bundle, **how, huge_pages=True)
    complaints: Any = found.environment["conditions"]
    assert "stay on small pages: ENOMEM" in complaints["complaints"][-1]


@pytest.mark.parametrize("more", [{"commands": ["cat"]}, {"profiled": True}])
def test_the_bench_refuses_what_it_does_not_reach(bundle: Path, more: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="--huge-pages is for what this process has"):
        bench(bundle, batches=[1], providers=["cpu"], huge_pages=True, **more)


def test_the_bench_refuses_it_where_there_are_none(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(targets_module, "why_no_huge_pages", lambda: "an old Linux")
    with pytest.raises(UsageError, match="an old Linux"):
        bench(bundle, batches=[1], providers=["cpu"], huge_pages=True)


def test_tuning_tells_once_where_there_are_none(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tune_module, "why_no_huge_pages", lambda: "an old Linux")
    found = tune(bundle, batches=[1, 2], providers=["cpu"], quick=True)
    assert [each for each in found.refused if "huge" in each.what] == [
        ("huge pages", "an old Linux")
    ]


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["--budget", "p50_ms=9"], "is for ratios"),
        (["--history", "h.jsonl"], "is for ratios"),
        (["--tune"], "--tune goes with"),
    ],
)
def test_what_it_does_not_go_with(bundle: Path, more: list[str], told: str) -> None:
    found = CliRunner().invoke(main, ["bench", str(bundle), "--huge-pages", *more])
    assert found.exit_code == 2
    assert told in " ".join(found.output.split())


def test_no_limit_is_held_on_a_report_of_it(tmp_path: Path) -> None:
    row = {"batch": 1, "threads": 1, "p50_ms": 1.0, "p50_low": 0.9, "p50_high": 1.1}
    file = tmp_path / "old.json"
    facts = {"speed": [row], "environment": {"cpu": "a", "huge_pages": True}}
    file.write_text(json.dumps(facts))
    with pytest.raises(InputError, match="huge pages"):
        read_rows(file, "a")
    facts["environment"] = {"cpu": "a", "huge_pages": False}
    file.write_text(json.dumps(facts))
    assert len(read_rows(file, "a")) == 1


def test_tables_tell_of_it(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    print_tuning(TuneResult((), (tuned(bundle),)))
    printed = capsys.readouterr().out
    assert "kept with its memory on huge pages" in printed
    assert "0.910 to 0.950" in printed


def test_it_is_no_servers_to_lay_out(bundle: Path) -> None:
    tuned(bundle)
    assert read_source(bundle, None).tuned("cpu") is None
    tuned(bundle, threads=1, spinning=False)
    best = read_source(bundle, None).tuned("cpu")
    assert best is not None
    assert (best.threads, best.huge_pages) == (1, None)


@can
def test_a_footprint_has_what_it_takes(bundle: Path) -> None:
    """It is loaded and run as a program does, with memory on huge pages."""
    feeds = pictures(load(bundle), 1)
    found = footprint(Loads(bundle / "model.onnx", {"threads": 1}, feeds, huge_pages=True), "cpu")
    assert found.memory_mb > 0
    tuned(bundle)
    source, setup = source_of(bundle, ["cpu"], machine()[1]), Setup("cpu", 1, machine()[1])
    loads = [ENGINES[name].make(source, setup).loads for name in ("deployed", "onnxruntime")]
    assert [made is not None and made.huge_pages for made in loads] == [True, False]
