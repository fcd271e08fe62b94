"""gRPC, by tritonclient."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
from tritonclient.grpc import InferenceServerClient, InferInput, InferRequestedOutput
from tritonclient.utils import InferenceServerException

from netloft.errors import ServingError
from netloft.protocol import datatype_of
from netloft.runtime.reasons import first_line
from netloft.serving.client import Address, Answer, Arrays, SlowServerError, described, said

__all__ = ["CLIENT", "GrpcClient"]

_T = TypeVar("_T")
_UNLIMITED = -1


class _Request(NamedTuple):
    inputs: Sequence[InferInput]
    outputs: Sequence[InferRequestedOutput]


class GrpcClient:
    """A channel."""

    def __init__(self, address: Address, model: str, timeout_s: float, most_bytes: int) -> None:
        self._model, self._timeout_s = model, timeout_s
        host = f"[{address.host}]" if ":" in address.host else address.host
        self._client = InferenceServerClient(
            f"{host}:{address.port}",
            ssl=address.is_secret,
            channel_args=[
                ("grpc.max_send_message_length", _UNLIMITED),
                ("grpc.max_receive_message_length", most_bytes),
            ],
        )

    def tensors(self, kind: str) -> Sequence[Mapping[str, Any]]:
        """Return what the server says of the `inputs` or `outputs`."""
        found = self._asked(
            lambda: self._client.get_model_metadata(
                self._model, as_json=True, client_timeout=self._timeout_s
            )
        )
        return described(found.get(kind))

    def request(self, inputs: Arrays, outputs: Sequence[str]) -> _Request:
        """Return a request; its tensors are bytes."""
        tensors = []
        for name, array in inputs.items():
            tensor = InferInput(name, list(array.shape), datatype_of(array.dtype.name))
            tensors.append(tensor.set_data_from_numpy(array))
        return _Request(tensors, [InferRequestedOutput(name) for name in outputs])

    def send(self, request: _Request) -> Answer:
        """Send a request and wait for the whole answer."""
        result = self._asked(
            lambda: self._client.infer(
                self._model, request.inputs, outputs=request.outputs,
                client_timeout=self._timeout_s,
            )
        )  # fmt: skip
        response = result.get_response()
        tensors = [output.SerializeToString(deterministic=True) for output in response.outputs]
        return Answer(b"".join([*tensors, *response.raw_output_contents]), result)

    def read(self, answer: Answer, outputs: Sequence[str]) -> dict[str, npt.NDArray[Any]]:
        """Return the tensors of an answer."""
        try:
            found = {name: answer.message.as_numpy(name) for name in outputs}
        except Exception as error:  # what a server sends may be wrong in any way
            raise ServingError(f"the answer cannot be read: {said(first_line(error))}") from error
        return {name: np.asarray(array) for name, array in found.items() if array is not None}

    def close(self) -> None:
        """End the channel."""
        self._client.close()

    def _asked(self, ask: Callable[[], _T]) -> _T:
        try:
            return ask()
        except InferenceServerException as error:
            is_slow = error.status() == "StatusCode.DEADLINE_EXCEEDED"
            raise (SlowServerError if is_slow else ServingError)(
                f"the server does not answer: {said(error)}",
                remedy="is it started, and is this its address of gRPC?",
            ) from error


CLIENT = GrpcClient
