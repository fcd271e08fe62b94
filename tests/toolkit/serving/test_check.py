"""A served model is held to its bundle, and a server that lies is found out."""

from __future__ import annotations

import builtins
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.toolkit.publishing.bundles import BATCH, make_bundle, make_pairs_bundle
from tests.toolkit.serving import servers

from netloft.errors import IntegrityError, MissingError, ServingError, UsageError
from netloft.serving import verify_served
from netloft.serving.client import parse_url

pytest.importorskip("tritonclient.http", reason="tritonclient is not installed")

SERVERS = {"http": servers.rest_server, "grpc": servers.grpc_server}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("bundles") / "tiny")


@pytest.fixture(params=SERVERS)
def serve(request: pytest.FixtureRequest) -> Callable[..., Any]:
    return SERVERS[request.param]


def check(bundle: Path, url: str, **how: Any) -> Any:
    return verify_served(bundle, url, **{"timeout_s": 5.0, "seconds": 0.0, **how})


def test_a_server_that_serves_the_bundle_passes(bundle: Path, serve: Callable[..., Any]) -> None:
    with serve(bundle) as (url, _):
        found = check(bundle, url)
    assert found.status == "pass"
    (row,) = found.parity
    assert row["status"] == "pass"
    assert (row["provider"], row["output"], row["batch"]) == (url[:4], "scores", BATCH)
    assert found.checks[1] == "the server's model has the inputs and outputs of the manifest"


def test_the_rows_are_those_of_verify(bundle: Path) -> None:
    from netloft.verification import verify

    with servers.rest_server(bundle) as (url, _):
        (served,) = check(bundle, url).parity
    (local,) = verify(bundle, providers=["cpu"]).parity
    assert {**local, "provider": "http"} == served


def test_tensors_are_json_where_the_server_has_no_bytes(bundle: Path) -> None:
    with servers.rest_server(bundle, is_binary=False) as (url, model):
        assert check(bundle, url).status == "pass"
    assert b'"data":' in model.asked[0]
    with servers.rest_server(bundle) as (url, model):
        assert check(bundle, url).status == "pass"
    assert b'"binary_data_size":' in model.asked[0]


def test_load_has_a_row_for_each_number_of_clients(bundle: Path, serve: Callable[..., Any]) -> None:
    with serve(bundle) as (url, _):
        found = check(bundle, url, seconds=0.5)
    assert found.status == "pass"
    assert [row.concurrency for row in found.load] == [1, 2, 4, 8]
    for row in found.load:
        assert row.requests >= 8
        assert row.errors == row.wrong == 0
        assert row.batch == 1
        assert row.p50_ms is not None
        assert 0 < row.items_per_s <= row.requests / 0.5  # test_load has the exact value


@pytest.mark.parametrize(
    ("lie", "said"),
    [
        (servers.wrong_shape, r"output 'scores' has shape \[15\], and its test vector \[3, 5\]"),
        (servers.wrong_type, "output 'scores' is float64, and its test vector float32"),
        (servers.no_output, "the answer has no output 'scores'"),
    ],
)
def test_an_answer_of_another_form_is_refused(
    bundle: Path, serve: Callable[..., Any], lie: servers.Lie, said: str
) -> None:
    with serve(bundle, lie=lie) as (url, _), pytest.raises(ServingError, match=said):
        check(bundle, url)


@pytest.mark.parametrize("lie", [servers.wrong_value, servers.nan])
def test_wrong_values_fail_and_are_not_put_under_load(
    bundle: Path, serve: Callable[..., Any], lie: servers.Lie
) -> None:
    with serve(bundle, lie=lie) as (url, _):
        found = check(bundle, url, seconds=0.1)
    assert found.status == "fail"
    assert found.parity[0]["status"] == "fail"
    assert found.load == ()


def test_an_error_of_the_server_is_told_on_one_line(bundle: Path) -> None:
    with (
        servers.rest_server(bundle, lie=servers.fail) as (url, _),
        pytest.raises(ServingError) as caught,
    ):
        check(bundle, url)
    assert caught.value.problem == "the server says 500: out of memory at line 1"


def test_a_server_that_hangs_is_not_waited_for(bundle: Path, serve: Callable[..., Any]) -> None:
    with serve(bundle, lie=servers.hang) as (url, model):
        begin = time.monotonic()
        with pytest.raises(ServingError, match=r"did not answer within 0\.3 s|Deadline Exceeded"):
            check(bundle, url, timeout_s=0.3)
        assert time.monotonic() - begin < 2
    assert model.answered == 1, "asked again, item by item"


@pytest.mark.parametrize("lie", [servers.drip, servers.drip_headers])
def test_a_server_that_sends_byte_by_byte_is_not_waited_for(bundle: Path, lie: servers.Lie) -> None:
    with servers.rest_server(bundle, lie=lie) as (url, _):
        begin = time.monotonic()
        with pytest.raises(ServingError, match="did not answer within"):
            check(bundle, url, timeout_s=0.3)
        assert time.monotonic() - begin < 1


def test_an_answer_without_end_is_not_read(bundle: Path) -> None:
    with (
        servers.rest_server(bundle, lie=servers.flood) as (url, _),
        pytest.raises(ServingError, match="the answer is longer than"),
    ):
        check(bundle, url)


def test_a_huge_answer_over_grpc_is_not_read(bundle: Path) -> None:
    def huge(_: object, outputs: servers.Arrays) -> servers.Arrays:
        return {name: np.zeros((1 << 20, 5), np.float32) for name in outputs}

    with (
        servers.grpc_server(bundle, lie=huge) as (url, _),
        pytest.raises(ServingError, match=r"(?i)larger than max"),
    ):
        check(bundle, url)


def test_json_of_any_depth_is_an_error_and_no_crash(bundle: Path) -> None:
    with (
        servers.rest_server(bundle, lie=servers.nest) as (url, _),
        pytest.raises(ServingError, match="the answer cannot be read"),
    ):
        check(bundle, url)


def test_wrong_answers_under_load_are_counted(bundle: Path) -> None:
    answered = []

    def sometimes(handler: object, outputs: servers.Arrays) -> servers.Arrays:
        answered.append(1)
        return servers.wrong_value(handler, outputs) if len(answered) % 5 == 0 else outputs

    with servers.rest_server(bundle, lie=sometimes) as (url, _):
        found = check(bundle, url, seconds=0.2)
    assert found.parity[0]["status"] == "pass"
    assert found.status == "fail"
    assert sum(row.wrong for row in found.load) >= 4
    assert sum(row.errors for row in found.load) == 0


def test_no_more_clients_ask_where_nothing_is_answered(bundle: Path) -> None:
    answered = []

    def once(handler: servers.Handler, outputs: servers.Arrays) -> servers.Arrays | None:
        answered.append(1)
        if len(answered) > 1:
            servers.fail(handler, outputs)
            return None
        return outputs

    with servers.rest_server(bundle, lie=once) as (url, _):
        found = check(bundle, url, seconds=0.1)
    assert found.status == "fail"
    (row,) = found.load
    assert (row.concurrency, row.requests) == (1, 0)
    assert row.problem == "the server says 500: out of memory at line 1"


def test_errors_under_load_are_counted_and_told(bundle: Path) -> None:
    answered = []

    def overloaded(handler: servers.Handler, outputs: servers.Arrays) -> servers.Arrays | None:
        answered.append(1)
        if len(answered) > 20 and len(answered) % 2:
            servers.fail(handler, outputs)
            return None
        return outputs

    with servers.rest_server(bundle, lie=overloaded) as (url, _):
        found = check(bundle, url, seconds=0.2)
    assert found.status == "fail"
    assert any(row.errors for row in found.load)
    assert found.load[-1].problem == "the server says 500: out of memory at line 1"


def test_items_go_one_by_one_where_the_batch_is_too_large(bundle: Path) -> None:
    with servers.rest_server(bundle, most=1) as (url, model):
        found = check(bundle, url)
    assert found.status == "pass"
    assert len(model.asked) == 1 + BATCH
    assert found.notes == (
        f"asked item by item, since of {BATCH} at once the server says 400: "
        "batch-size must be <= 1",
    )


def test_a_fixed_batch_is_asked_for_whole(tmp_path: Path) -> None:
    fixed = make_bundle(tmp_path / "fixed", batch=4)
    with servers.rest_server(fixed) as (url, _):
        found = check(fixed, url, seconds=0.1)
    assert found.status == "pass"
    assert {row.batch for row in found.load} == {4}


def test_items_that_are_held_against_each_other_are_asked_for_together(tmp_path: Path) -> None:
    pairs = make_pairs_bundle(tmp_path / "pairs")
    with servers.rest_server(pairs) as (url, _):
        found = check(pairs, url, seconds=0.1)
    assert found.status == "pass"
    assert {row.batch for row in found.load} == {BATCH}
    with (
        servers.rest_server(pairs, most=1) as (url, model),
        pytest.raises(ServingError, match="batch-size must be"),
    ):
        check(pairs, url)
    assert len(model.asked) == 1


def test_another_model_at_the_address_is_told(tmp_path: Path, bundle: Path) -> None:
    other = make_bundle(tmp_path / "other", names=("image", "logits"))
    with (
        servers.rest_server(other) as (url, _),
        pytest.raises(ServingError, match="another one: it has no 'input'"),
    ):
        check(bundle, url)


def test_an_unknown_model_is_the_servers_word(bundle: Path, serve: Callable[..., Any]) -> None:
    with serve(bundle) as (url, _), pytest.raises(ServingError) as caught:
        check(bundle, url, model="a/../b")
    assert "\x1b" not in str(caught.value)
    assert "unknown" in str(caught.value)


@pytest.mark.parametrize("scheme", ["http", "grpc"])
def test_no_server_is_an_error_and_no_traceback(bundle: Path, scheme: str) -> None:
    with pytest.raises(ServingError, match="the server does not answer"):
        check(bundle, f"{scheme}://127.0.0.1:1", timeout_s=2.0)


@pytest.mark.parametrize(
    "url",
    ["127.0.0.1:8000", "ftp://host", "http://", "http://host:port", "http://user:word@host",
     "http://host/?x=1", "http://ho st", "http://host\r\nX: y", "http://[::1"],
)  # fmt: skip
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match="no address"):
        parse_url(url)


def test_an_address_may_have_a_path() -> None:
    found = parse_url("https://host/serving/")
    assert (found.host, found.port, found.path, found.is_secret) == ("host", 443, "/serving", True)


def test_a_damaged_bundle_is_not_asked_for(tmp_path: Path) -> None:
    damaged = make_bundle(tmp_path / "tiny")
    (damaged / "model.onnx").write_bytes(b"other")
    with pytest.raises(IntegrityError, match=r"model\.onnx was changed"):
        check(damaged, "http://127.0.0.1:1")
    with pytest.raises(UsageError, match="there is no bundle"):
        check(tmp_path / "none", "http://127.0.0.1:1")


@pytest.mark.parametrize("scheme", ["http", "grpc"])
def test_without_tritonclient_the_remedy_is_told(
    bundle: Path, scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    real = builtins.__import__

    def absent(name: str, *rest: Any, **more: Any) -> Any:
        if name.startswith("tritonclient"):
            raise ModuleNotFoundError(f"No module named '{name}'")
        return real(name, *rest, **more)

    for module in ("netloft.serving.rest", "netloft.serving.grpc"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(MissingError) as caught:
        check(bundle, f"{scheme}://127.0.0.1:1")
    assert caught.value.exit_code == 3
    assert caught.value.remedy == "pip install 'netloft[serve]'"
