from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from tests.toolkit.speed.stand_ins import one_operation

from netloft.cli import main
from netloft.runtime.providers import probe, process_cpus
from netloft.speed import targets
from netloft.speed.measure import Plan


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Plan, "quick", lambda: Plan(budget_s=0.0, rounds=5, warmup_s=0.0))


@pytest.fixture
def file(tmp_path: Path) -> str:
    return str(one_operation(tmp_path / "relu.onnx", "b", 3, operation="Relu"))


def test_json_on_stdout_and_progress_on_stderr(file: str) -> None:
    arguments = [file, file, "--quick", "--provider", "cpu", "--threads", "1", "--batches", "1,2"]
    result = CliRunner().invoke(main, ["bench", *arguments, "--json"])
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert [row["batch"] for row in found["speed"]] == [1, 1, 2, 2]
    assert found["speed"][0]["ratio_to_first"] == 1
    assert found["environment"]["threads"] == 1
    assert result.stderr.splitlines() == ["measuring batch 1 on cpu", "measuring batch 2 on cpu"]


def test_table_and_what_did_not_run(file: str) -> None:
    result = CliRunner().invoke(main, ["bench", file, "--quick", "--batch-size", "4"])
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0].startswith(f"target {file}, engine ONNX Runtime")  # what every row shares
    assert lines[0].endswith(f", batch 4, threads {process_cpus()}")
    assert lines[1].split()[:3] == ["n", "p50", "ms"]
    assert lines[2].split()[0].isdigit()
    assert len(lines) > 3
    cuda = probe("cuda")
    assert cuda.starts or f"not run: provider cuda: {cuda.reason}" in lines
    assert lines[-1].startswith("load average before the first sample: ")


def test_loading_the_first_run_and_settings_are_printed(
    file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(targets, "plan_of", lambda *_: Plan(0.0, rounds=5, warmup_s=0.0))
    arguments = ["bench", file, "--provider", "cpu", "--threads", "1", "--batches", "1"]
    for name in ("OMP_WAIT_POLICY", "KMP_BLOCKTIME"):
        monkeypatch.setenv(name, "7")
    lines = CliRunner().invoke(main, arguments).stdout.splitlines()
    assert "load ms  first ms  memory MB" in lines[1]
    assert (
        "idle threads of ONNX Runtime wait in a loop within a run, and sleep between two; "
        "TF32 off; KMP_BLOCKTIME=7; OMP_WAIT_POLICY=7"
    ) in lines


def test_a_sweep_of_threads_and_batches(file: str) -> None:
    arguments = [file, "--quick", "--provider", "cpu", "--batches", "1,2", "--thread-counts", "1,2"]
    result = CliRunner().invoke(main, ["bench", *arguments, "--quiet", "--json"])
    found = [(row["threads"], row["batch"]) for row in json.loads(result.stdout)["speed"]]
    assert found == [(1, 1), (1, 2), (2, 1), (2, 2)]


def test_quiet_prints_errors_only(file: str) -> None:
    result = CliRunner().invoke(main, ["bench", file, "--quick", "--quiet", "--batches", "1"])
    assert (result.exit_code, result.output) == (0, "")


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ([], 2, "Missing argument 'TARGET...'"),
        (["absent.onnx"], 2, "there is no file absent.onnx"),
        (["x.onnx", "--batches", "1,zero"], 2, "give numbers from 1 to 65,536, such as 1,8"),
        (["x.onnx", "--batches", "65537"], 2, "give numbers from 1 to 65,536"),
        (["x.onnx", "--thread-counts", "1,257"], 2, "give numbers from 1 to 256"),
        (["x.onnx", "--batch-size", "0"], 2, "0 is not in the range"),
        (["no-such-model-here", "--provider", "cpu"], 2, "no-such-model-here"),
        (["x.onnx", "--engine", "all", "--engine", "tvm"], 2, "there is no engine 'tvm'"),
        (["x.onnx", "--threads", "1", "--thread-counts", "2,4"], 2, "say the same thing"),
        (["x.onnx", "--max-regression", "5%"], 2, "nothing to compare the first target with"),
        (["x.onnx", "x.onnx", "--max-regression", "5%"], 2, "nothing to compare the first"),
        (["x.onnx", "--quick", "--budget", "load_ms=9"], 2, "--quick does not measure"),
        (["x.onnx", "--quick", "--budget", "memory_mb=9,batch=2"], 2, "does not measure"),
        (["resnet18", "--profile", "--roofline", "r.svg"], 2, "every target is a MODEL"),
    ],
)
def test_mistakes(arguments: list[str], code: int, said: str) -> None:
    result = CliRunner().invoke(main, ["bench", *arguments])
    assert result.exit_code == code
    assert said in result.stderr
    assert "measuring" not in result.stderr, "it is known before"


def test_a_file_may_have_capital_letters(file: str, tmp_path: Path) -> None:
    path = tmp_path / "NET.ONNX"
    path.write_bytes(Path(file).read_bytes())
    result = CliRunner().invoke(main, ["bench", str(path), "--quick", "--batches", "1", "--json"])
    assert result.exit_code == 0, result.output
    assert [row["target"] for row in json.loads(result.stdout)["speed"]] == [str(path)]


@pytest.mark.skipif(probe("cuda").starts, reason="CUDA starts here")
def test_a_provider_that_does_not_start_is_exit_code_3(file: str) -> None:
    result = CliRunner().invoke(main, ["bench", file, "--provider", "cuda"])
    assert result.exit_code == 3
    assert result.stdout == ""
    assert "provider 'cuda' does not start" in result.stderr
    assert "remedy: " in result.stderr


def test_a_budget_decides_the_exit_code(file: str, tmp_path: Path) -> None:
    kept = CliRunner().invoke(
        main, ["bench", file, "--quick", "--budget", "p50_ms=1e12,batch=3", "--json"]
    )
    assert kept.exit_code == 0, kept.output
    facts = json.loads(kept.stdout)
    assert [row["batch"] for row in facts["speed"]] == [3]
    assert [row["status"] for row in facts["budgets"]] == ["kept"]

    how = ["bench", file, "--quick", "--budget", "items_per_s=1e12"]
    told = CliRunner().invoke(main, [*how, "--json"])
    assert told.exit_code == 1
    assert {row["status"] for row in json.loads(told.stdout)["budgets"]} == {"broken"}
    assert "error:" in told.stderr
    broken = CliRunner().invoke(main, how)
    assert broken.exit_code == 1
    assert "items_per_s >= 1e+12 is broken, it is" in broken.stderr
    assert "on cpu at batch 8" in broken.stderr

    for bad in ("p95=3", "p50_ms=1,provider=cuda"):
        assert CliRunner().invoke(main, ["bench", file, "--quick", "--budget", bad]).exit_code == 2


def test_an_earlier_run_is_the_baseline(file: str, tmp_path: Path) -> None:
    earlier = tmp_path / "earlier.json"
    first = CliRunner().invoke(main, ["bench", file, "--quick", "--batches", "2", "--json"])
    earlier.write_text(first.stdout)
    args = ["bench", file, "--quick", "--batches", "2", "--baseline", str(earlier)]
    again = CliRunner().invoke(main, [*args, "--max-regression", "900%"])
    assert again.exit_code == 0, again.output
    facts = json.loads(first.stdout)
    for key in ("p50_ms", "p50_low", "p50_high"):
        facts["speed"][0][key] /= 1e9  # five runs beside other tests have a wide interval
    earlier.write_text(json.dumps(facts))
    slower = CliRunner().invoke(main, args)
    assert slower.exit_code == 1
    assert "p50_ms over the baseline's <= 1.05 is broken" in slower.stderr


@pytest.mark.parametrize("share", ["5", "-5%", "x%", "nan%"])
def test_what_is_no_share(file: str, share: str) -> None:
    result = CliRunner().invoke(main, ["bench", file, "--max-regression", share])
    assert result.exit_code == 2
    assert "such as 5%" in result.output


def test_a_history_is_kept_and_drawn(file: str, tmp_path: Path) -> None:
    history, picture = tmp_path / "speed.jsonl", tmp_path / "speed.svg"
    args = ["bench", file, "--quick", "--quiet", "--batches", "1", "--plot", str(picture)]
    for _ in range(2):
        result = CliRunner().invoke(main, [*args, "--history", str(history)])
        assert result.exit_code == 0, result.output
    assert len(history.read_text().splitlines()) == 2
    assert picture.read_text().count("<circle") == 2
    alone = CliRunner().invoke(main, args)
    assert alone.exit_code == 2
    assert "add --history FILE" in alone.stderr
