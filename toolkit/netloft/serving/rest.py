"""REST: tritonclient writes the requests and reads the answers, and the way there is bounded.

tritonclient's own connection waits for an answer of any length; here each has a time and a size.
"""

from __future__ import annotations

import contextlib
import http.client
import io
import json
import socket
import ssl
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import quote

import numpy as np
import numpy.typing as npt
from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput

from netloft.errors import ServingError
from netloft.protocol import datatype_of
from netloft.runtime.reasons import first_line
from netloft.serving.client import (
    REQUEST,
    Address,
    Answer,
    Arrays,
    SlowServerError,
    described,
    said,
)

__all__ = ["CLIENT", "RestClient"]

_CHUNK = 1 << 16
_HEADER_LENGTH = "Inference-Header-Content-Length"
_BINARY = "binary_tensor_data"
"""Extension of servers that take tensors as bytes behind the JSON.

Source: https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_binary_data.md
"""


class _Request(NamedTuple):
    body: bytes
    headers: Mapping[str, str]


class _Bounded(io.RawIOBase):
    """What a socket receives until a time; the socket's own timeout is of each receive alone."""

    def __init__(self, sock: socket.socket, received: io.RawIOBase, end: float) -> None:
        self._socket, self._received, self._end = sock, received, end

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int | None:  # type: ignore[override]
        self._socket.settimeout(_left(self._end))
        found: int | None = self._received.readinto(buffer)
        return found

    def close(self) -> None:
        self._received.close()
        super().close()


class _Response(http.client.HTTPResponse):
    """An answer whose headers and body have to be here, together, in the socket's timeout."""

    def __init__(self, sock: socket.socket, *rest: Any, **more: Any) -> None:
        super().__init__(sock, *rest, **more)
        end = time.monotonic() + (sock.gettimeout() or 0)
        self.fp: io.BufferedReader = io.BufferedReader(_Bounded(sock, self.fp.detach(), end))


class RestClient:
    """A connection that is kept open."""

    def __init__(self, address: Address, model: str, timeout_s: float, most_bytes: int) -> None:
        self._timeout_s, self._most_bytes = timeout_s, most_bytes
        self._path = f"{address.path}/v2"
        self._model = f"{self._path}/models/{quote(model, safe='')}"
        self._binary: bool | None = None
        if address.is_secret:
            self._connection: http.client.HTTPConnection = http.client.HTTPSConnection(
                address.host, address.port, timeout=timeout_s, context=ssl.create_default_context()
            )
        else:
            self._connection = http.client.HTTPConnection(
                address.host, address.port, timeout=timeout_s
            )
        self._connection.response_class = _Response

    def tensors(self, kind: str) -> Sequence[Mapping[str, Any]]:
        """Return what the server says of the `inputs` or `outputs`."""
        return described(self._json(self._model).get(kind))

    def request(self, inputs: Arrays, outputs: Sequence[str]) -> _Request:
        """Return a request, with tensors as bytes where the server knows that, and else as JSON."""
        if self._binary is None:
            self._binary = _BINARY in self._extensions()
        tensors = [_input(name, array, self._binary) for name, array in inputs.items()]
        wanted = [InferRequestedOutput(name, binary_data=self._binary) for name in outputs]
        body, length = InferenceServerClient.generate_request_body(
            tensors, outputs=wanted, request_id=REQUEST
        )
        if length is None:
            return _Request(body, {"Content-Type": "application/json"})
        headers = {"Content-Type": "application/octet-stream", _HEADER_LENGTH: str(length)}
        return _Request(body, headers)

    def send(self, request: _Request) -> Answer:
        """Send a request and wait for the whole answer."""
        place = f"{self._model}/infer"
        body, headers = self._exchange("POST", place, request.body, request.headers)
        return Answer(body, headers.get(_HEADER_LENGTH))

    def read(self, answer: Answer, outputs: Sequence[str]) -> dict[str, npt.NDArray[Any]]:
        """Return the tensors of an answer."""
        try:
            length = None if answer.message is None else int(answer.message)
            # the standard library's reader bears any nesting, and tritonclient's may not
            json.loads(answer.raw[:length])
            result = InferenceServerClient.parse_response_body(answer.raw, header_length=length)
            found = {name: result.as_numpy(name) for name in outputs}
        except Exception as error:  # what a server sends may be wrong in any way
            raise ServingError(f"the answer cannot be read: {said(first_line(error))}") from error
        return {name: np.asarray(array) for name, array in found.items() if array is not None}

    def close(self) -> None:
        """End the connection."""
        self._connection.close()

    def _extensions(self) -> list[object]:
        """Return what the server adds to the protocol; nothing where it does not say."""
        with contextlib.suppress(ServingError):
            found = self._json(self._path).get("extensions")
            return found if isinstance(found, list) else []
        return []

    def _json(self, path: str) -> Mapping[str, Any]:
        body, _ = self._exchange("GET", path, None, {})
        with contextlib.suppress(ValueError, RecursionError):
            found = json.loads(body)
            if isinstance(found, dict):
                return found
        raise ServingError(f"the answer to {path} is no JSON object")

    def _exchange(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]
    ) -> tuple[bytes, http.client.HTTPMessage]:
        """Send one message and read the answer, within the time and the size."""
        end = time.monotonic() + self._timeout_s
        try:
            response = self._answered(method, path, body, headers, end)
            found = self._read(response)
        except TimeoutError as error:
            self.close()
            raise SlowServerError(
                f"the server did not answer within {self._timeout_s:g} s",
                remedy="give a longer --timeout, or look at the server's log",
            ) from error
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise ServingError(
                f"the server does not answer: {said(error) or type(error).__name__}",
                remedy="is it started, and is this its address?",
            ) from error
        except ServingError:
            self.close()  # the rest of the answer is not wanted
            raise
        if response.status != 200:
            raise ServingError(f"the server says {response.status}: {_problem(found)}")
        return found, response.headers

    def _answered(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str], end: float
    ) -> http.client.HTTPResponse:
        """Send one message and read the headers; once more where the kept connection was closed."""
        is_kept = self._connection.sock is not None
        try:
            return self._sent(method, path, body, headers, end)
        except (BrokenPipeError, ConnectionResetError):  # the latter is also http.client's own
            if not is_kept:
                raise
            self.close()
        return self._sent(method, path, body, headers, end)

    def _sent(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str], end: float
    ) -> http.client.HTTPResponse:
        if self._connection.sock is None:
            self._connection.timeout = _left(end)
            self._connection.connect()
        # a kept socket still has what the last exchange left over
        self._connection.sock.settimeout(_left(end))
        self._connection.request(method, path, body, dict(headers))
        self._connection.sock.settimeout(_left(end))
        return self._connection.getresponse()

    def _read(self, response: http.client.HTTPResponse) -> bytes:
        found = bytearray()
        while chunk := response.read1(_CHUNK):
            found += chunk
            if len(found) > self._most_bytes:
                raise ServingError(
                    f"the answer is longer than {self._most_bytes:,} bytes, which is more than "
                    "the model's outputs can take"
                )
        response.close()  # the connection may be used again
        return bytes(found)


CLIENT = RestClient


def _left(end: float) -> float:
    """Return the seconds until a time that has not come."""
    left = end - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _input(name: str, array: npt.NDArray[Any], binary: bool) -> InferInput:
    if not binary and array.dtype == np.float16:
        raise ServingError(
            f"the server takes tensors as JSON alone, which has no form for '{name}' in float16",
            remedy="verify it over gRPC: --url grpc://HOST:PORT",
        )
    tensor = InferInput(name, list(array.shape), datatype_of(array.dtype.name))
    tensor.set_data_from_numpy(array, binary_data=binary)
    return tensor


def _problem(body: bytes) -> str:
    with contextlib.suppress(ValueError, KeyError, TypeError, RecursionError):
        return said(json.loads(body)["error"])
    return said(body[:1000].decode(errors="replace")) or "and nothing more"
