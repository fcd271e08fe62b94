"""gRPC: values in either place of an answer, shapes that are empty, and a channel for each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.toolkit.publishing.bundles import SHAPE, make_bundle
from tests.toolkit.serving import servers

from netloft.errors import ServingError
from netloft.serving import verify_served
from netloft.serving.client import connect, parse_url

pytest.importorskip("tritonclient.grpc", reason="tritonclient is not installed")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("bundles") / "tiny")


def answered(url: str) -> Any:
    """Ask for one item and read the answer."""
    client = connect(parse_url(url), "tiny", 5.0, 1 << 20)
    try:
        request = client.request({"input": np.zeros((1, *SHAPE), np.float32)}, ["scores"])
        return client.read(client.send(request), ["scores"])["scores"]
    finally:
        client.close()


def test_a_server_that_answers_in_typed_contents_passes(bundle: Path) -> None:
    with servers.grpc_server(bundle, is_typed=True) as (url, _):
        assert verify_served(bundle, url, timeout_s=5.0, seconds=0.0).status == "pass"


@pytest.mark.parametrize("dtype", servers.CONTENTS)
def test_typed_contents_are_of_every_element_type(bundle: Path, dtype: str) -> None:
    values = np.array([[0, 1], [1, 127]]).astype(dtype)
    with servers.grpc_server(bundle, is_typed=True, lie=lambda *_: {"scores": values}) as (url, _):
        found = answered(url)
    assert found.dtype == values.dtype
    assert np.array_equal(found, values)


def test_an_answer_without_values_is_refused(bundle: Path) -> None:
    def empty(context: Any, outputs: servers.Arrays) -> Any:
        return {"scores": Hollow(outputs["scores"])}

    with (
        servers.grpc_server(bundle, is_typed=True, lie=empty) as (url, _),
        pytest.raises(ServingError, match="the answer cannot be read"),
    ):
        answered(url)


class Hollow:
    """Says a type and a shape, and has no values."""

    def __init__(self, array: Any) -> None:
        self.dtype, self.shape = array.dtype, array.shape

    def ravel(self) -> Any:
        return np.zeros(0, self.dtype)


def test_a_single_number_has_an_empty_shape(bundle: Path) -> None:
    with servers.grpc_server(bundle) as (url, model):
        model.manifest["outputs"][0]["shape"] = []
        client = connect(parse_url(url), "tiny", 5.0, 1 << 20)
        (tensor,) = client.tensors("outputs")
        client.close()
    assert tensor == {"name": "scores", "datatype": "FP32", "shape": []}


def test_each_client_has_a_connection_of_its_own(bundle: Path) -> None:
    with servers.grpc_server(bundle) as (url, model):
        clients = [connect(parse_url(url), "tiny", 5.0, 1 << 20) for _ in range(4)]
        for client in clients:
            client.send(client.request({"input": np.zeros((1, *SHAPE), np.float32)}, ["scores"]))
        for client in clients:
            client.close()
    assert len(model.peers) == 4
