"""`netloft publish` and `netloft verify --url`: exit codes, what is told, and nothing written."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from tests.toolkit.publishing.bundles import make_bundle

from netloft.cli import main
from netloft.cli.publish import BACKENDS, TARGETS


def run(*args: str | Path) -> Result:
    return CliRunner().invoke(main, [str(arg) for arg in args])


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return make_bundle(tmp_path / "bundles" / "tiny")


def test_the_choices_are_the_targets() -> None:
    from netloft import publishing
    from netloft.publishing import options

    assert tuple(publishing.TARGETS) == TARGETS
    assert options.BACKENDS == BACKENDS


@pytest.mark.parametrize("target", TARGETS)
def test_what_was_written_is_told(bundle: Path, target: str, tmp_path: Path) -> None:
    done = run("publish", bundle, "--to", target, tmp_path / "out")
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert lines[0] == f"{target}: {tmp_path / 'out' / 'tiny'}"
    assert all(Path(line.strip()).is_file() for line in lines[1:])
    assert lines[-1].endswith("netloft.json")


def test_json_is_the_record(bundle: Path, tmp_path: Path) -> None:
    done = run("publish", bundle, "--to", "triton", tmp_path, "--name", "net", "--json")
    facts = json.loads(done.stdout)
    assert facts.pop("path") == str(tmp_path / "net")
    assert facts == json.loads((tmp_path / "net" / "netloft.json").read_text())


def test_quiet_says_nothing(bundle: Path, tmp_path: Path) -> None:
    done = run("publish", bundle, "--to", "mlflow", tmp_path, "--quiet")
    assert (done.exit_code, done.output) == (0, "")


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (("--to", "seldon"), 2, "'seldon' is not one of"),
        ((), 2, "Missing option '--to'"),
        (("--to", "triton", "--name", "../x"), 2, "cannot be the name of a published model"),
        (("--to", "triton", "--max-batch", "0"), 2, "0 is not in the range"),
        (("--to", "mlflow", "--backend", "python"), 2, "--backend means nothing to mlflow"),
        (("--to", "mlflow", "--provider", "cuda"), 2, "--provider means nothing to mlflow"),
        (("--to", "ort-web", "--provider", "cuda"), 2, "--provider means nothing to ort-web"),
    ],
)
def test_a_mistake_is_one_message_and_nothing_is_written(
    bundle: Path, args: tuple[str, ...], code: int, said: str, tmp_path: Path
) -> None:
    done = run("publish", bundle, tmp_path / "out", *args)
    assert done.exit_code == code
    assert said in done.output
    assert "Traceback" not in done.output
    assert not (tmp_path / "out").exists()


def test_no_bundle_and_a_damaged_one(bundle: Path, tmp_path: Path) -> None:
    none = run("publish", tmp_path / "none", "--to", "triton", tmp_path / "out")
    assert none.exit_code == 2
    assert "there is no bundle" in none.output
    (bundle / "model.onnx").write_bytes(b"other")
    damaged = run("publish", bundle, "--to", "triton", tmp_path / "out", "--json")
    assert damaged.exit_code == 1
    assert json.loads(damaged.stdout)["error"] == "IntegrityError"
    assert not (tmp_path / "out").exists()


def test_publishing_imports_no_torch(bundle: Path, tmp_path: Path) -> None:
    code = (
        "import sys\nfrom netloft.publishing import publish\n"
        f"publish({str(bundle)!r}, 'triton', {str(tmp_path / 'out')!r})\n"
        "assert not {'torch', 'mlflow', 'kserve', 'tritonclient'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ})


class TestUrl:
    """`netloft verify --url`."""

    @pytest.fixture(autouse=True)
    def _tritonclient(self) -> None:
        pytest.importorskip("tritonclient.http", reason="tritonclient is not installed")

    def test_a_served_model_passes_and_its_tables_are_shown(self, bundle: Path) -> None:
        from tests.toolkit.serving.servers import rest_server

        with rest_server(bundle) as (url, _):
            done = run("verify", bundle, "--url", url, "--load", "0.1")
        assert done.exit_code == 0, done.output
        assert "parity: errors against the module's stored results" in done.stdout
        heading = ["clients", "batch", "requests", "errors", "wrong"]
        (line,) = (line for line in done.stdout.splitlines() if line.startswith("clients"))
        assert line.split()[:5] == heading
        assert done.stdout.splitlines()[-1] == f"pass: tiny at {url}"

    def test_a_server_that_lies_is_exit_code_1(self, bundle: Path) -> None:
        from tests.toolkit.serving.servers import rest_server, wrong_shape, wrong_value

        with rest_server(bundle, lie=wrong_value) as (url, _):
            wrong = run("verify", bundle, "--url", url, "--json")
        assert wrong.exit_code == 1
        facts = json.loads(wrong.stdout)
        assert (facts["status"], facts["load"]) == ("fail", [])
        assert facts["parity"][0]["status"] == "fail"
        with rest_server(bundle, lie=wrong_shape) as (url, _):
            shape = run("verify", bundle, "--url", url, "--json")
        assert shape.exit_code == 1
        assert json.loads(shape.stdout)["error"] == "ServingError"

    @pytest.mark.parametrize(
        ("args", "said"),
        [
            (("--url", "nonsense"), "'nonsense' is no address of a server"),
            (("--url", "http://h", "--provider", "cpu"), "--provider: that is for a file"),
            (("--url", "http://h", "--layers", "--against", "mnist"), "--against and --layers"),
            (("--url", "http://h", "--arg", "k=1"), "the options of a MODEL: that is for a file"),
            (("--model", "net"), "--model is a server's name"),
            (("--url", "http://h", "--timeout", "0"), "not in the range"),
        ],
    )
    def test_a_mistake_is_exit_code_2(self, bundle: Path, args: tuple[str, ...], said: str) -> None:
        done = run("verify", bundle, *args)
        assert done.exit_code == 2
        assert said in done.output
