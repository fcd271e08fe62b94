"""What a client of the Open Inference Protocol does, whichever way its messages go.

Source: https://kserve.github.io/website/docs/concepts/architecture/data-plane/v2-protocol
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import urlsplit

import numpy.typing as npt

from netloft.errors import MissingError, ServingError, UsageError
from netloft.runtime.reasons import with_extra

__all__ = [
    "REQUEST",
    "Address",
    "Answer",
    "Arrays",
    "Client",
    "SlowServerError",
    "connect",
    "described",
    "parse_url",
    "said",
]

REQUEST = "netloft"
"""Name of each request: servers send it back, or one of their own, other each time, for none."""

Arrays = Mapping[str, npt.NDArray[Any]]

_PORTS = {"http": 80, "https": 443, "grpc": 8001, "grpcs": 8001}
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]+")
_LONGEST = 300  # characters of what a server says that are told


class SlowServerError(ServingError):
    """A server did not answer in time; asked again, it would be waited for again."""


@dataclass(frozen=True)
class Address:
    """Where a server is.

    Attributes:
        host: Name or number.
        port: Of the server.
        path: Before the protocol's own; empty, or it begins with `/`.
        is_grpc: gRPC, and not REST.
        is_secret: Encrypted.
    """

    host: str
    port: int
    path: str
    is_grpc: bool
    is_secret: bool


@dataclass(frozen=True)
class Answer:
    """What a server sent, not yet read.

    Attributes:
        raw: The same bytes for the same answer.
        message: What the client reads the tensors from.
    """

    raw: bytes
    message: Any


class Client(Protocol):
    """One connection; it belongs to one thread."""

    def tensors(self, kind: str) -> Sequence[Mapping[str, Any]]:
        """Return what the server says of the `inputs` or `outputs`: `name`, `datatype`, `shape`."""

    def request(self, inputs: Arrays, outputs: Sequence[str]) -> Any:
        """Return a request, ready to be sent more than once."""

    def send(self, request: Any) -> Answer:
        """Send a request and wait for the whole answer."""

    def read(self, answer: Answer, outputs: Sequence[str]) -> dict[str, npt.NDArray[Any]]:
        """Return the tensors of an answer."""

    def close(self) -> None:
        """End the connection."""


def parse_url(url: str) -> Address:
    """Return where a server is.

    Args:
        url: Such as `http://127.0.0.1:8000` or `grpc://127.0.0.1:8001`.

    Raises:
        UsageError: It is no such address.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise UsageError(f"{url!r} is no address: {error}", remedy=_REMEDY) from error
    known = parts.scheme in _PORTS and parts.hostname and not (parts.query or parts.fragment)
    if not known or parts.username is not None or _CONTROL.search(url) or " " in url:
        raise UsageError(f"{url!r} is no address of a server", remedy=_REMEDY)
    return Address(
        host=str(parts.hostname),
        port=_PORTS[parts.scheme] if port is None else port,
        path=parts.path.rstrip("/"),
        is_grpc=parts.scheme.startswith("grpc"),
        is_secret=parts.scheme in ("https", "grpcs"),
    )


_REMEDY = "give http://HOST:PORT, https://…, grpc://HOST:PORT or grpcs://…"


def connect(address: Address, model: str, timeout_s: float, most_bytes: int) -> Client:
    """Return a client; nothing is sent yet.

    Args:
        address: Of the server.
        model: Its name there.
        timeout_s: Of one request, with its answer.
        most_bytes: Of one answer; a longer one is refused and not read.

    Raises:
        MissingError: tritonclient is not installed.
    """
    name = "grpc" if address.is_grpc else "rest"
    try:
        module = importlib.import_module(f"netloft.serving.{name}")
    except (ImportError, RuntimeError) as error:  # tritonclient's own is a RuntimeError
        raise MissingError(
            f"a served model is verified with tritonclient, which is not here: {said(error)}",
            remedy=with_extra("serve"),
        ) from error
    client: Client = module.CLIENT(address, model, timeout_s, most_bytes)
    return client


def described(tensors: object) -> list[Mapping[str, Any]]:
    """Return descriptions of tensors that a server gave, with whole numbers as lengths.

    Raises:
        ServingError: They are none.
    """
    try:
        if not isinstance(tensors, list | None):
            raise TypeError
        return [
            {
                "name": str(tensor["name"]),
                "datatype": str(tensor["datatype"]),
                "shape": [int(length) for length in tensor["shape"]],
            }
            for tensor in tensors or ()
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise ServingError("the server describes its tensors in an unknown way") from error


def said(text: object) -> str:
    """Return what a server said, short and on one line."""
    return _CONTROL.sub(" ", str(text)).strip()[:_LONGEST]
