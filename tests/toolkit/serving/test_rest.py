"""A connection that is kept: each exchange has the whole time, and a closed one is made again."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.toolkit.publishing.bundles import SHAPE, make_bundle
from tests.toolkit.serving import servers

from netloft.errors import ServingError
from netloft.serving.client import connect, parse_url

pytest.importorskip("tritonclient.http", reason="tritonclient is not installed")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("bundles") / "tiny")


def client_of(url: str, timeout_s: float) -> Any:
    return connect(parse_url(url), "tiny", timeout_s, 1 << 20)


def asked(client: Any) -> Any:
    return client.request({"input": np.zeros((1, *SHAPE), np.float32)}, ["scores"])


def test_each_exchange_has_the_whole_time(bundle: Path) -> None:
    def slow(_: object, outputs: servers.Arrays) -> servers.Arrays:
        time.sleep(0.35)
        return outputs

    with servers.rest_server(bundle, lie=slow) as (url, _):
        client = client_of(url, 0.6)
        request = asked(client)
        for _ in range(3):
            client.send(request)
        client.close()


def closing(handler: servers.Handler, outputs: servers.Arrays) -> servers.Arrays:
    """Close the connection after the answer, without a word in it."""
    handler.close_connection = True
    return outputs


def test_a_kept_connection_that_was_closed_is_made_again(bundle: Path) -> None:
    with servers.rest_server(bundle, lie=closing) as (url, model):
        client = client_of(url, 5.0)
        request = asked(client)
        for _ in range(3):
            client.send(request)
            time.sleep(0.05)  # until the server has closed it
        client.close()
    assert model.answered == 3


def test_a_connection_that_is_closed_at_once_is_an_error(bundle: Path) -> None:
    def rude(handler: servers.Handler, outputs: servers.Arrays) -> None:
        handler.close_connection = True

    with servers.rest_server(bundle, lie=rude) as (url, model):
        client = client_of(url, 5.0)
        request = asked(client)
        with pytest.raises(ServingError, match="the server does not answer"):
            client.send(request)
        client.close()
    assert model.answered == 2
