"""Session options that are best here are found, kept in the bundle, and taken when it is loaded."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from click.testing import CliRunner
from tests.toolkit.speed.stand_ins import taking
from torch import nn

import netloft
from netloft.cli import main
from netloft.errors import CheckError, InputError, IntegrityError, UsageError
from netloft.parity import vectors
from netloft.runtime import load, placed, tuning
from netloft.runtime.devices import cpu_model
from netloft.runtime.manifest import sealed
from netloft.runtime.providers import probe, process_cpus, start_session
from netloft.runtime.tuning import ALLOWED, TunedRow, problem_of, row_for, started_with
from netloft.speed import contestants as contestants_module
from netloft.speed import settings as settings_module
from netloft.speed import tune as tune_module
from netloft.speed import variants as variants_module
from netloft.speed.contestants import onnxruntime_contestant
from netloft.speed.engines import ENGINES
from netloft.speed.engines import tuned as engine_module
from netloft.speed.measure import Plan, RunError, Samples
from netloft.speed.settings import OWN, Setting, alternatives, screened, settings_here
from netloft.speed.setup import Setup
from netloft.speed.sources import source_of
from netloft.speed.tune import tune
from netloft.speed.variants import Variant

pytestmark = pytest.mark.usefixtures("usual_pages")


@pytest.fixture(autouse=True)
def _no_variants(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(variants_module, "variant_of", lambda *_, **__: Variant(b""))


def times(*factors: float, later: float = 1.3) -> Callable[[Sequence[Any], Plan], list[Samples]]:
    """Stand in for measuring: each session takes the first one's time, times a factor.

    A session keeps its factor when those that are surely slower are left out later; `later` is that
    of what is started beside a session that is known.
    """
    known: dict[int, float] = {}
    held = []  # or another session could come to have the identity of one that has gone

    def measured(runs: Sequence[Any], plan: Plan, **_: Any) -> list[Samples]:
        sessions = [run.func.__self__ for run in runs]
        held.extend(sessions)
        given = (1.0, *factors) if id(sessions[0]) not in known else ()
        for session, factor in zip(sessions, (*given, *[later] * len(runs)), strict=False):
            known.setdefault(id(session), factor)
        for run in runs:
            run()
        jitter = np.random.default_rng(0).normal(1, 0.005, (len(runs), 40))
        return [
            Samples(tuple(int(1e7 * known[id(session)] * j) for j in row), (1,) * 40)
            for session, row in zip(sessions, jitter, strict=True)
        ]

    return measured


def contents(bundle: Path) -> dict[Path, bytes]:
    """Return every file but the manifest."""
    files = (p for p in bundle.rglob("*") if p.is_file() and p.name != "manifest.json")
    return {path: path.read_bytes() for path in files}


@pytest.mark.parametrize(
    ("cpus", "expected"),
    [
        (1, [(None, True), (1, False)]),
        (2, [(None, True), (1, False), (2, True), (2, False)]),
        (3, [(None, True), (1, False), (2, True), (2, False), (3, True), (3, False)]),
    ],
)
def test_settings_to_try(cpus: int, expected: list[tuple[int | None, bool]]) -> None:
    assert [(s.threads, s.spinning) for s in settings_here(cpus)] == expected


def test_the_best_is_kept_and_taken(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tune_module, "process_cpus", lambda: 2)
    monkeypatch.setattr(tuning, "process_cpus", lambda: 2)
    monkeypatch.setattr(settings_module, "measure", times(0.8, 0.9))
    before = contents(bundle)
    found = tune(bundle, batches=[1, 8], providers=["cpu"])
    assert [row.chosen for row in found.rows] == [False, True, *[False] * 4] * 2
    assert found.rows[1].setting == Setting(1, False)
    assert [(row.batch, row.threads, row.spinning) for row in found.kept] == [
        (1, 1, False), (8, 1, False),
    ]  # fmt: skip
    assert contents(bundle) == before

    asked: list[dict[str, Any]] = []

    def watched(*args: Any, **options: Any) -> Any:
        asked.append(options)
        return start_session(*args, **options)

    monkeypatch.setattr(placed, "start_session", watched)
    net = load(bundle)
    assert net.tuned == found.kept[0]
    assert asked[-1] == {"threads": 1, "spinning": False, "resting": True}
    assert load(bundle, batch=100).tuned == found.kept[1]
    assert load(bundle, threads=2).tuned is None
    assert asked[-1] == {"threads": 2, "spinning": True, "resting": False}
    y = net.run({net.inputs[0].name: np.zeros((1, 3, 9, 9), np.float32)})
    assert next(iter(y.values())).shape == (1, 5)


@pytest.mark.parametrize(
    ("place", "change"), [(1, {"optimisation": "extended"}), (2, {"arena": False})]
)
def test_what_is_better_with_one_more_thing_changed(
    bundle: Path, monkeypatch: pytest.MonkeyPatch, place: int, change: dict[str, Any]
) -> None:
    monkeypatch.setattr(tune_module, "process_cpus", lambda: 2)
    usual = times(0.9)

    def measured(runs: Sequence[Any], plan: Plan, **_: Any) -> list[Samples]:
        taken = usual(runs, plan)
        if len(runs) == 3 and not held:  # the best, and one more thing changed
            held.add(id(runs[place].func.__self__))
        return [
            Samples(tuple(ns // 2 for ns in s.wall_ns), s.cpu_ns) if id(r.func.__self__) in held
            else s for r, s in zip(runs, taken, strict=True)
        ]  # fmt: skip

    held: set[int] = set()
    monkeypatch.setattr(settings_module, "measure", measured)
    (kept,) = tune(bundle, batches=[1], providers=["cpu"]).kept
    assert (kept.threads, kept.spinning) == (1, False)
    usually = {"optimisation": "all", "arena": True, "options": {}}
    assert {key: getattr(kept, key) for key in usually} == usually | change
    (row,) = json.loads((bundle / "manifest.json").read_bytes())["tuning"]
    assert {key: row[key] for key in usually if key in row} == change
    net, found = load(bundle), netloft.verify(bundle, providers=["cpu"])
    assert net.tuned == kept
    options = net._session.get_session_options()
    extended = options.graph_optimization_level.name == "ORT_ENABLE_EXTENDED"
    assert (extended, options.enable_cpu_mem_arena) == (kept.optimisation != "all", kept.arena)
    ((name, value),) = change.items()
    assert found.status == "pass"
    assert [row["input"].split(",")[0] for row in found.parity][-1] == f"{name} {value}"


def test_the_bench_lets_threads_sleep_between_runs(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings_module, "measure", times(1.2, 1.2, 1.2, later=0.5))
    (kept,) = tune(bundle, batches=[1], providers=["cpu"]).kept
    assert kept.threads is None
    source, setup = source_of(bundle, ["cpu"], process_cpus()), Setup("cpu", 1, process_cpus())
    made = ENGINES["onnxruntime-tuned"].make(source, setup)
    assert made.loads is not None
    assert made.loads.options["resting"]
    assert not started_with(kept)[1]["resting"]


@pytest.mark.parametrize(("options", "told"), [({}, "f32"), ({"use_tf32": "1"}, "tf32")])
def test_a_row_tells_of_tf32(
    bundle: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, str], told: str
) -> None:
    """On the CPU, in place of the GPU that has such options."""

    def started(model: Path, provider: str, *, provider_options: Any = None, **how: Any) -> Any:
        assert (provider_options or {}) == options
        return start_session(model, provider, **how)

    row = dataclasses.replace(ROW, provider="cuda", threads=None, options=options)
    monkeypatch.setattr(engine_module, "row_for", lambda *_: row)
    monkeypatch.setattr(contestants_module, "start_session", started)
    source, setup = source_of(bundle, ["cpu"], process_cpus()), Setup("cpu", 1, process_cpus())
    assert ENGINES["onnxruntime-tuned"].make(source, setup).read_precision() == told


def test_what_is_unusual_for_another_machine_is_told(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = {**ROW.to_dict(), "arena": False}
    manifest = json.loads((bundle / "manifest.json").read_bytes())
    (bundle / "manifest.json").write_bytes(sealed({**manifest, "tuning": [row]}))
    found = netloft.verify(bundle, providers=["cpu"])
    assert {"what": "model.onnx with arena False",
            "reason": "it is for A, 2 CPUs, ONNX Runtime 1.0 on cpu"} in found.not_run  # fmt: skip


def test_what_several_batches_have_alike_is_run_once(bundle: Path) -> None:
    here = dict(zip(("cpu", "cpus", "onnxruntime"), tuning.machine(), strict=True))
    row = {**ROW.to_dict(), **here, "threads": 1, "arena": False}
    manifest = json.loads((bundle / "manifest.json").read_bytes())
    rows = [row, {**row, "batch": 8}]
    (bundle / "manifest.json").write_bytes(sealed({**manifest, "tuning": rows}))
    found = netloft.verify(bundle, providers=["cpu"])
    assert found.status == "pass"
    assert [row["input"].split(",")[0] for row in found.parity].count("arena False") == 1


def test_a_gpu_is_a_part_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuning, "gpu_names", lambda: ("NVIDIA X", "NVIDIA Y"))
    assert tuning.machine("cuda")[0] == f"{cpu_model()}, NVIDIA X"
    assert tuning.machine("cpu")[0] == cpu_model()


def test_one_that_runs_out_of_memory_at_the_batch_is_told(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusals = iter(["no memory", ""])
    monkeypatch.setattr(tune_module, "refusal", lambda *_: next(refusals))
    monkeypatch.setattr(settings_module, "measure", times(0.9))
    found = tune(bundle, batches=[1], providers=["cpu"])
    ((what, reason),) = found.refused
    assert what.endswith("values in the file's layout at batch 1 on cpu")
    assert reason == "no memory"
    assert {row.setting.arena for row in found.rows} == {True, False}


def test_nothing_unusual_is_kept_for_jitter(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tune_module, "process_cpus", lambda: 2)
    monkeypatch.setattr(settings_module, "measure", times(0.8, 1.3, 1.3, later=0.7995))
    found = tune(bundle, batches=[1], providers=["cpu"])
    unusual = min(row.ratio for row in found.rows if not row.setting.usual)
    (kept,) = found.kept
    assert (kept.threads, kept.optimisation, kept.arena) == (1, "all", True)
    assert unusual < 0.81


def test_what_gives_something_else_is_not_measured(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(folder: Path, manifest: dict[str, Any], runs: dict[str, Any]) -> Any:
        def off(feeds: Any, outputs: Any) -> Any:
            return {name: value + 1 for name, value in runs["tuned"](feeds, outputs).items()}

        return vectors.replay(folder, manifest, {"tuned": off})

    monkeypatch.setattr(tune_module, "replay", wrong)
    monkeypatch.setattr(settings_module, "measure", times(0.9))
    found = tune(bundle, batches=[1], providers=["cpu"])
    assert all(row.setting.optimisation == "all" and row.setting.arena for row in found.rows)
    assert {reason for _, reason in found.refused} == {
        f"output '{name}' is not what the test vectors say"
        for name in json.loads((bundle / "manifest.json").read_bytes())["tolerances"]
        if name == load(bundle).outputs[0].name
    }
    assert [what.split(" at ")[0].split(", ")[-1] for what, _ in found.refused] == [
        "values in the file's layout", "without an arena of memory",
    ]  # fmt: skip


def test_what_is_worth_a_second_look() -> None:
    best = Setting(2, True)
    assert [str(each) for each in alternatives(best, "cpu")] == [
        "2 threads, waiting in a loop, values in the file's layout",
        "2 threads, waiting in a loop, without an arena of memory",
    ]
    assert [str(each) for each in alternatives(OWN, "cuda")] == [
        "ONNX Runtime's own choice, cudnn_conv_algo_search=HEURISTIC",
        "ONNX Runtime's own choice, cudnn_conv_algo_search=DEFAULT",
        "ONNX Runtime's own choice, prefer_nhwc=1",
        "ONNX Runtime's own choice, use_tf32=1",
    ]
    assert alternatives(OWN, "openvino") == []


class OnGpu:
    """Stand in for a session on a GPU, which tells how it was run."""

    def __init__(self) -> None:
        self.calls = list[str]()

    def get_outputs(self) -> list[SimpleNamespace]:
        return [SimpleNamespace(name="y")]

    def io_binding(self) -> OnGpu:
        return self

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_: self.calls.append(name)


@pytest.mark.parametrize("provider", ["cuda", "tensorrt"])
def test_on_a_gpu_copies_are_not_in_the_times(
    provider: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = list[tuple[Any, ...]]()
    values = SimpleNamespace(ortvalue_from_numpy=lambda *value: put.append(value))
    monkeypatch.setattr(onnxruntime, "OrtValue", values)
    monkeypatch.setattr(settings_module, "measure", taking(0.9))
    known, x = [OnGpu(), OnGpu(), OnGpu()], np.zeros((1, 3), np.float32)
    first, second, contestant = known
    sessions: Any = {OWN: first, alternatives(OWN, "cuda")[0]: second}
    screened(sessions, {"x": x}, provider, 1)
    as_bench: Any = contestant
    onnxruntime_contestant(as_bench, {"x": x}, provider=provider, batch=1, threads=1).run()
    made = ["bind_ortvalue_input", "bind_output", "run_with_iobinding", "synchronize_outputs"]
    assert [session.calls for session in known] == [made] * 3
    assert [where for _, *where in put] == [["cuda", 0]] * 3


def test_what_does_not_go_onto_a_gpu_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise RuntimeError("out of memory")

    taken = iter([lambda *_: None, full])
    values = SimpleNamespace(ortvalue_from_numpy=lambda *value: next(taken)(*value))
    monkeypatch.setattr(onnxruntime, "OrtValue", values)
    sessions: Any = {OWN: OnGpu(), alternatives(OWN, "cuda")[0]: OnGpu()}
    with pytest.raises(RunError, match="out of memory") as raised:
        screened(sessions, {"x": np.zeros((1, 3), np.float32)}, "cuda", 1)
    assert raised.value.index == 1


@pytest.mark.cuda
def test_options_of_cuda_are_tried_and_held_to_the_vectors(bundle: Path) -> None:
    if not (cuda := probe("cuda")).starts:
        pytest.skip(f"not run: {cuda.reason}")
    found = tune(bundle, batches=[1], providers=["cuda"], quick=True)
    tried = {row.setting.options for row in found.rows}
    told = [what.split(" at batch ")[0].rsplit(", ", 1)[-1] for what, _ in found.refused]
    refused = {(tuple(option.split("=")),) for option in told}
    assert {(), *((option,) for option in ALLOWED)} <= tried | refused
    net = load(bundle, provider="cuda")
    assert net.provider == "cuda"


def test_what_is_not_surely_better_is_not_kept(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tune_module, "process_cpus", lambda: 2)
    monkeypatch.setattr(settings_module, "measure", times(0.9995, 1.2))
    found = tune(bundle, batches=[1], providers=["cpu"])
    assert [row.chosen for row in found.rows] == [True, *[False] * 5]
    assert str(found.rows[0].setting) == "ONNX Runtime's own choice"
    assert found.kept == ()
    assert load(bundle).tuned is None


def test_tuning_again_keeps_what_others_found(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings_module, "measure", times(0.5))
    tune(bundle, batches=[1], providers=["cpu"])
    monkeypatch.setattr(tuning, "cpu_model", lambda: "Abacus")
    tune(bundle, batches=[1, 2], providers=["cpu"])
    tune(bundle, batches=[2], providers=["cpu"])
    rows = json.loads((bundle / "manifest.json").read_bytes())["tuning"]
    assert [(row["cpu"], row["batch"]) for row in rows] == [
        (cpu_model(), 1), ("Abacus", 1), ("Abacus", 2),
    ]  # fmt: skip
    assert netloft.verify(bundle).status == "pass"


def test_what_turns_out_no_better_is_forgotten_and_does_not_take_its_neighbours(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def rows() -> list[tuple[int, int | None]]:
        kept = json.loads((bundle / "manifest.json").read_bytes())["tuning"]
        return [(row["batch"], row["threads"]) for row in kept]

    monkeypatch.setattr(settings_module, "measure", times(0.5))
    tune(bundle, batches=[1, 8], providers=["cpu"])
    monkeypatch.setattr(settings_module, "measure", times(1.5))
    assert tune(bundle, batches=[8], providers=["cpu"]).kept == ()
    assert rows() == [(1, 1), (8, None)]
    tuned = [load(bundle, batch=batch).tuned for batch in (1, 4, 5, 8)]
    assert [row and row.batch for row in tuned] == [1, 1, None, None]
    assert netloft.verify(bundle).status == "pass"
    tune(bundle, batches=[1], providers=["cpu"])
    assert rows() == []


def test_a_saved_file_of_the_own_choice_tells_something(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings_module, "measure", times(0.5))
    row = tune(bundle, batches=[1], providers=["cpu"]).kept[0]
    own = dataclasses.replace(row, threads=None, spinning=True)
    assert own.is_own_choice
    saved = tuning.SavedFile("variants/0123456789ab.onnx", "of another processor", 0.5, 0.4, 0.6)
    assert not dataclasses.replace(own, saved=saved).is_own_choice


def test_a_batch_that_does_not_run_is_told(bundle: Path) -> None:
    before = (bundle / "manifest.json").read_bytes()
    with pytest.raises(InputError, match="does not run at batch 1000000000000 on cpu"):
        tune(bundle, batches=[10**12], providers=["cpu"])
    assert (bundle / "manifest.json").read_bytes() == before


def test_another_batch_than_the_fixed_one_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    net, out = nn.Sequential(nn.Flatten(), nn.Linear(12, 5)).eval(), tmp_path / "net"
    netloft.export(net, (torch.randn(2, 3, 4),), out=out, quick=True, batch=2)
    before = (out / "manifest.json").read_bytes()
    monkeypatch.setattr(settings_module, "measure", times(0.5))
    for batches in ("8", "2,8"):
        args = ["bench", str(out), "--tune", "--provider", "cpu", "--batches", batches]
        result = CliRunner().invoke(main, args)
        assert result.exit_code == 2
        assert f"{out} has a fixed batch of 2, and does not run at 8" in result.stderr
    assert (out / "manifest.json").read_bytes() == before
    for asked in (None, [2, 2]):
        found = tune(out, batches=asked, providers=["cpu"])
        assert {row.batch for row in found.rows} == {2}


def test_every_batch_is_run_before_the_first_is_tuned(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def measured(*_: Any) -> list[Samples]:
        raise AssertionError("it was measured")

    monkeypatch.setattr(settings_module, "measure", measured)
    with pytest.raises(InputError, match="does not run at batch 1000000000000 on cpu"):
        tune(bundle, batches=[1, 10**12], providers=["cpu"])


def failing(
    measured: Callable[[Sequence[Any], Plan], list[Samples]], fails: Callable[[Any], bool]
) -> Callable[[Sequence[Any], Plan], list[Samples]]:
    """Stand in for measuring, where some runs fail."""

    def with_failures(runs: Sequence[Any], plan: Plan, **_: Any) -> list[Samples]:
        for index, run in enumerate(runs):
            if fails(run):
                raise RunError(index, RuntimeError("bad allocation"))
        return measured(runs, plan)

    return with_failures


def batch_of(run: Any) -> int:
    *_, feeds = run.args
    return len(next(iter(feeds.values())))


def test_a_setting_that_fails_while_it_is_measured_is_told_and_the_others_go_on(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tune_module, "process_cpus", lambda: 2)
    fails = failing(
        times(0.8),
        lambda run: run.func.__self__.get_session_options().intra_op_num_threads == 2,
    )
    monkeypatch.setattr(settings_module, "measure", fails)
    found = tune(bundle, batches=[1], providers=["cpu"])
    assert [row.threads for row in found.kept] == [1]
    assert list(found.refused) == [
        (f"2 threads, {waiting} at batch 1 on cpu",
         "it failed while it was measured: RuntimeError: bad allocation")
        for waiting in ("waiting in a loop", "sleeping")
    ]  # fmt: skip
    assert {row.setting.threads for row in found.rows} == {None, 1}


def test_a_batch_that_fails_while_it_is_measured_loses_no_other(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings_module, "measure", times(0.5))
    tune(bundle, batches=[4], providers=["cpu"])
    fails = failing(times(0.5), lambda run: batch_of(run) == 4)
    monkeypatch.setattr(settings_module, "measure", fails)
    found = tune(bundle, batches=[1, 4, 2], providers=["cpu"])
    assert [row.batch for row in found.kept] == [1, 2]
    ((what, reason),) = found.refused
    assert what == "batch 4 on cpu"
    assert reason.startswith("ONNX Runtime's own choice: it failed while it was measured: ")
    rows = json.loads((bundle / "manifest.json").read_bytes())["tuning"]
    assert sorted(row["batch"] for row in rows) == [1, 2, 4]  # what is known of 4 stays


def test_nothing_that_could_be_measured_is_no_success(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings_module, "measure", failing(times(0.5), lambda _: True))
    before = (bundle / "manifest.json").read_bytes()
    with pytest.raises(CheckError, match="nothing could be tuned: batch 1 on cpu: ONNX Runtime's"):
        tune(bundle, batches=[1], providers=["cpu"])
    assert (bundle / "manifest.json").read_bytes() == before


def test_a_setting_that_does_not_start_is_told(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def started(model: Any, provider: str, setting: Setting, optimisation: str = "") -> Any:
        if setting.threads == 1 and setting.usual:
            raise UsageError("ONNX Runtime cannot load model.onnx on cpu: no memory")
        return settings_module.session_of(model, provider, setting, optimisation)

    monkeypatch.setattr(tune_module, "session_of", started)
    monkeypatch.setattr(settings_module, "measure", times(0.9))
    found = tune(bundle, batches=[1], providers=["cpu"])
    assert found.refused[0] == (
        "1 thread, sleeping on cpu", "ONNX Runtime cannot load model.onnx on cpu: no memory",
    )  # fmt: skip
    assert all(row.setting.threads != 1 for row in found.rows)


def test_a_manifest_with_what_is_no_number_is_refused(bundle: Path) -> None:
    path = bundle / "manifest.json"
    manifest = json.loads(path.read_bytes())
    path.write_text(json.dumps({**manifest, "seed": float("nan")}))
    with pytest.raises(IntegrityError, match="NaN is no number"):
        tune(bundle, batches=[1], providers=["cpu"])


def test_a_bundle_that_was_changed_is_not_tuned(bundle: Path) -> None:
    file = bundle / "model.onnx"
    file.write_bytes(file.read_bytes() + b"\0")
    before = (bundle / "manifest.json").read_bytes()
    with pytest.raises(IntegrityError, match=r"model\.onnx was changed"):
        tune(bundle)
    assert (bundle / "manifest.json").read_bytes() == before


ROW = TunedRow("A", 2, "1.0", "cpu", 1, 2, True, "model.onnx", 1.0, 0.9, 0.8, 1.0)


@pytest.mark.parametrize(
    "change",
    [{"threads": 0}, {"threads": 3}, {"threads": True}, {"threads": "2"}, {"batch": 0},
     {"spinning": 1}, {"cpu": None}, {"p50_ms": "fast"}, {"more": 1}, {"file": "other.onnx"},
     {"optimisation": "none"}, {"arena": 1}, {"options": []}, {"options": {"use_tf32": "1"}},
     {"provider": "cuda", "options": {"use_tf32": ["1"]}},
     {"provider": "cuda", "options": {"gpu_external_alloc": "1"}},
     {"file": "../model.onnx"}, {"file": None}, {"file": "report.json"}],
)  # fmt: skip
def test_rows_that_are_none(change: dict[str, object]) -> None:
    files = ["model.onnx", "report.json"]
    assert problem_of([ROW.to_dict()], files) == ""
    assert problem_of([{**ROW.to_dict(), **change}], files) != ""
    assert problem_of({}, files) != ""


@pytest.mark.parametrize(
    "change",
    [
        {"optimisation": "extended", "arena": False},
        {"provider": "cuda", "threads": None, "options": {"use_tf32": "1"}},
    ],
)
def test_rows_with_more(change: dict[str, Any]) -> None:
    row = {**ROW.to_dict(), **change}
    assert problem_of([row], ["model.onnx"]) == ""
    assert TunedRow(**row).to_dict() == row


def test_a_bundle_with_such_rows_is_refused(bundle: Path) -> None:
    path = bundle / "manifest.json"
    manifest = json.loads(path.read_bytes())
    path.write_text(json.dumps({**manifest, "tuning": [{**ROW.to_dict(), "threads": -1}]}))
    with pytest.raises(IntegrityError, match="tuned options that are none"):
        load(bundle)


def test_the_row_of_the_nearest_batch_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    here: dict[str, Any] = {
        "cpu": cpu_model(), "cpus": process_cpus(), "onnxruntime": onnxruntime.__version__
    }  # fmt: skip
    rows = [dataclasses.replace(ROW, **here, batch=n) for n in (1, 8, 64)]
    foreign = dataclasses.replace(ROW, **{**here, "cpu": "Abacus"}, batch=30)
    for batch, nearest in ((1, 1), (4, 1), (5, 8), (30, 8), (1000, 64)):
        found = row_for([foreign, *rows], "cpu", batch)
        assert found is not None
        assert found.batch == nearest
    assert row_for(rows, "cuda", 1) is None
    assert row_for([foreign], "cpu", 1) is None


def test_on_the_command_line(bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings_module, "measure", times(0.5))
    args = ["bench", str(bundle), "--tune", "--provider", "cpu", "--batches", "1"]
    result = CliRunner().invoke(main, args)
    assert result.exit_code == 0, result.output
    assert result.stdout.count("kept\n") == 1
    found = json.loads(CliRunner().invoke(main, [*args, "--json"]).stdout)
    assert found["kept"][0]["ratio"] == pytest.approx(0.5, rel=0.1)
    for option in (["--rounds", "9"], ["--budget", "p50_ms=1"], ["--engine", "all"]):
        assert CliRunner().invoke(main, [*args, *option]).exit_code == 2
    for targets in (["mnist"], [str(bundle), str(bundle)], [str(bundle / "model.onnx")]):
        assert CliRunner().invoke(main, ["bench", *targets, "--tune"]).exit_code == 2


def test_options_are_tuned_without_the_packages_that_write_files(bundle: Path) -> None:
    """As in netloft-runtime, on the host that a bundle is tuned for."""
    code = (
        "import sys\n"
        "for name in ('torch', 'onnx', 'onnx_ir', 'netloft_exporters'): sys.modules[name] = None\n"
        "from netloft.cli import main\n"
        "main(sys.argv[1:])"
    )
    how = ["--tune", "--quick", "--batches", "1", "--provider", "cpu", "--json"]
    command = [sys.executable, "-c", code, "bench", str(bundle), *how]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    found = json.loads(ended.stdout)
    assert [row for row in found["refused"] if row["what"] == "rewritten files"] == [
        {"what": "rewritten files",
         "reason": "not tried, for they take what is not installed: onnx and onnx_ir"},
    ]  # fmt: skip
    assert [row["setting"]["threads"] for row in found["tried"]].count(1) >= 1
    assert not any(row["setting"]["rewritten"] for row in found["tried"])
    assert netloft.verify(bundle, providers=["cpu"]).status == "pass"
