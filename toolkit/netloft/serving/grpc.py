"""gRPC, by tritonclient."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
from tritonclient.grpc import InferenceServerClient, InferInput, InferRequestedOutput
from tritonclient.utils import InferenceServerException

from netloft.errors import ServingError
from netloft.protocol import DATATYPES, datatype_of
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

__all__ = ["CLIENT", "GrpcClient"]

_T = TypeVar("_T")
_UNLIMITED = -1

_TYPES = {theirs: ours for ours, theirs in DATATYPES.items()}
_CONTENTS = {
    "BOOL": "bool_contents", "INT8": "int_contents", "INT16": "int_contents",
    "INT32": "int_contents", "INT64": "int64_contents", "UINT8": "uint_contents",
    "UINT16": "uint_contents", "UINT32": "uint_contents", "UINT64": "uint64_contents",
    "FP32": "fp32_contents", "FP64": "fp64_contents",
}  # fmt: skip
"""Field of the values, in an answer without raw bytes; float16 goes as raw bytes alone.

Source: the protocol's `InferTensorContents`, in the address that `netloft.serving.client` names.
"""


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
                # else all channels to one address share a connection
                ("grpc.use_local_subchannel_pool", 1),
            ],
        )

    def tensors(self, kind: str) -> Sequence[Mapping[str, Any]]:
        """Return what the server says of the `inputs` or `outputs`."""
        found = self._asked(
            lambda: self._client.get_model_metadata(self._model, client_timeout=self._timeout_s)
        )
        # the message, since as JSON it has no shape where that is empty
        return described(
            [
                {"name": tensor.name, "datatype": tensor.datatype, "shape": tensor.shape}
                for tensor in getattr(found, kind)
            ]
        )

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
                request_id=REQUEST, client_timeout=self._timeout_s,
            )
        )  # fmt: skip
        response = result.get_response()
        tensors = [output.SerializeToString(deterministic=True) for output in response.outputs]
        return Answer(b"".join([*tensors, *response.raw_output_contents]), response)

    def read(self, answer: Answer, outputs: Sequence[str]) -> dict[str, npt.NDArray[Any]]:
        """Return the tensors of an answer."""
        response, found = answer.message, {}
        try:
            for index, output in enumerate(response.outputs):
                if output.name in outputs:
                    found[output.name] = _array(output, response.raw_output_contents, index)
        except Exception as error:  # what a server sends may be wrong in any way
            raise ServingError(f"the answer cannot be read: {said(first_line(error))}") from error
        return found

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


def _array(output: Any, raw: Sequence[bytes], index: int) -> npt.NDArray[Any]:
    """Return a tensor, from the raw bytes where the answer has any, else from its own contents."""
    kind = output.datatype
    if kind not in _TYPES:
        raise ValueError(f"'{output.name}' has the element type {kind}")
    if raw:
        found = np.frombuffer(raw[index], _TYPES[kind])
    elif kind in _CONTENTS:
        found = np.array(getattr(output.contents, _CONTENTS[kind]), _TYPES[kind])
    else:
        raise ValueError(f"'{output.name}' has no values")
    return found.reshape(tuple(output.shape))
