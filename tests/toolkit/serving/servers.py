"""Small servers of the Open Inference Protocol v2, with ONNX Runtime behind them; some lie."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from netloft.protocol import DATATYPES
from netloft.runtime.manifest import read_manifest

Arrays = dict[str, npt.NDArray[Any]]
Lie = Callable[["Handler", Arrays], Any]

TYPES = {theirs: ours for ours, theirs in DATATYPES.items()}
CONTENTS = {"bool": "bool", "int8": "int", "int64": "int64", "uint16": "uint", "uint64": "uint64",
            "float32": "fp32", "float64": "fp64"}  # fmt: skip
LENGTH = "Inference-Header-Content-Length"


class Model:
    """A bundle's file and what its manifest says.

    Attributes:
        manifest: The contents of `manifest.json`.
        name: Of the model.
        is_binary: The server knows tensors as bytes.
        lie: Answers a request for results in the place of the truth; None for no lie.
        most: Items in a request.
        is_typed: Over gRPC, the values of results are in `contents`, not in raw bytes.
        peers: Who asked for results over gRPC.
        asked: Bodies of the requests for results, of REST.
        answered: Requests for results.
    """

    def __init__(
        self,
        bundle: Path,
        *,
        is_binary: bool = True,
        lie: Lie | None = None,
        most: int = 64,
        is_typed: bool = False,
    ) -> None:
        self.manifest = read_manifest(bundle)
        self.name = str(self.manifest["name"])
        self.is_binary, self.lie, self.most = is_binary, lie, most
        self.asked: list[bytes] = []
        self.answered = 0
        self.is_typed, self.peers = is_typed, set[str]()
        self._session = ort.InferenceSession(bundle / "model.onnx")

    def run(self, inputs: Arrays) -> Arrays:
        self.answered += 1
        names = [tensor["name"] for tensor in self.manifest["outputs"]]
        values = self._session.run(names, inputs)
        return dict(zip(names, map(np.asarray, values), strict=True))

    def described(self, kind: str) -> list[dict[str, Any]]:
        return [
            {
                "name": tensor["name"],
                "datatype": DATATYPES[tensor["dtype"]],
                "shape": [n if isinstance(n, int) else -1 for n in tensor["shape"]],
            }
            for tensor in self.manifest[kind]
        ]


class Handler(BaseHTTPRequestHandler):
    """Speaks REST."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else each answer waits 40 ms for the client's next packet
    model: Model

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        model = self.model
        extensions = ["binary_tensor_data"] if model.is_binary else []
        if self.path == "/v2":
            self.reply(200, {"name": "test", "version": "1", "extensions": extensions})
        elif self.path == f"/v2/models/{model.name}":
            facts = {kind: model.described(kind) for kind in ("inputs", "outputs")}
            self.reply(200, {"name": model.name, "versions": ["1"], "platform": "test", **facts})
        else:
            self.reply(404, {"error": f"unknown path\x1b[31m {self.path}"})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.model.asked.append(body)
        request, inputs = read_request(body, self.headers.get(LENGTH))
        items = max(len(array) for array in inputs.values())
        if items > self.model.most:
            return self.reply(400, {"error": f"batch-size must be <= {self.model.most}"})
        outputs = self.model.run(inputs)
        if self.model.lie is not None:
            told = self.model.lie(self, outputs)
            if told is None:
                return None
            outputs = told
        self.answer(outputs, request)
        return None

    def answer(self, outputs: Mapping[str, npt.NDArray[Any]], request: Mapping[str, Any]) -> None:
        wanted = {each["name"]: each.get("parameters", {}) for each in request["outputs"]}
        tensors, data = [], b""
        for name, array in outputs.items():
            tensor: dict[str, Any] = {
                "name": name, "shape": list(array.shape), "datatype": DATATYPES[array.dtype.name],
            }  # fmt: skip
            if wanted.get(name, {}).get("binary_data"):
                tensor["parameters"] = {"binary_data_size": array.nbytes}
                data += array.tobytes()
            else:
                tensor["data"] = array.ravel().tolist()
            tensors.append(tensor)
        self.reply(200, {"model_name": self.model.name, "outputs": tensors}, data)

    def reply(self, status: int, facts: Mapping[str, Any], data: bytes = b"") -> None:
        head = json.dumps(facts).encode()
        self.send_response(status)
        if data:
            self.send_header(LENGTH, str(len(head)))
        self.send_header("Content-Length", str(len(head) + len(data)))
        self.end_headers()
        self.wfile.write(head + data)


def read_request(body: bytes, length: str | None) -> tuple[dict[str, Any], Arrays]:
    """Read what a client asks, with tensors as bytes or as JSON."""
    head = int(length) if length else len(body)
    request, place = json.loads(body[:head]), head
    found = {}
    for tensor in request["inputs"]:
        dtype, shape = TYPES[tensor["datatype"]], tensor["shape"]
        size = tensor.get("parameters", {}).get("binary_data_size")
        if size is None:
            array = np.array(tensor["data"], dtype)
        else:
            array, place = np.frombuffer(body[place : place + size], dtype), place + size
        found[tensor["name"]] = array.reshape(shape)
    return request, found


@contextmanager
def rest_server(bundle: Path, **how: Any) -> Iterator[tuple[str, Model]]:
    """Serve a bundle; gives the address and the model."""
    model = Model(bundle, **how)
    handler = type("ModelHandler", (Handler,), {"model": model})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    server.block_on_close = False
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", model
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def grpc_server(bundle: Path, **how: Any) -> Iterator[tuple[str, Model]]:
    """Serve a bundle over gRPC."""
    import grpc
    from tritonclient.grpc import service_pb2, service_pb2_grpc

    model = Model(bundle, **how)

    class Servicer(service_pb2_grpc.GRPCInferenceServiceServicer):  # type: ignore[misc]
        def ModelMetadata(self, request: Any, context: Any) -> Any:  # noqa: N802 - the protocol's
            if request.name != model.name:
                context.abort(grpc.StatusCode.NOT_FOUND, f"unknown model {request.name}")
            facts = {kind: model.described(kind) for kind in ("inputs", "outputs")}
            return service_pb2.ModelMetadataResponse(name=model.name, **facts)

        def ModelInfer(self, request: Any, context: Any) -> Any:  # noqa: N802 - the protocol's
            model.peers.add(context.peer())
            inputs = {
                tensor.name: np.frombuffer(raw, TYPES[tensor.datatype]).reshape(tensor.shape)
                for tensor, raw in zip(request.inputs, request.raw_input_contents, strict=True)
            }
            outputs = model.run(inputs)
            if model.lie is not None:
                outputs = model.lie(context, outputs)
            response = service_pb2.ModelInferResponse(model_name=model.name)
            for name, array in outputs.items():
                output = response.outputs.add(
                    name=name, datatype=DATATYPES[array.dtype.name], shape=array.shape
                )
                if model.is_typed:
                    values = getattr(output.contents, f"{CONTENTS[array.dtype.name]}_contents")
                    values.extend(array.ravel().tolist())
                else:
                    response.raw_output_contents.append(array.tobytes())
            return response

    server = grpc.server(ThreadPoolExecutor(8))
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(Servicer(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"grpc://127.0.0.1:{port}", model
    finally:
        server.stop(None).wait()


def hang(_: object, outputs: Arrays) -> Arrays:
    time.sleep(3)
    return outputs


def drip(handler: Handler, outputs: Arrays) -> None:
    """Send a byte now and then, each well within the client's patience."""
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    try:
        for _ in range(100):
            handler.wfile.write(b" ")
            time.sleep(0.05)
    except OSError:  # the client has left
        pass


def drip_headers(handler: Handler, outputs: Arrays) -> None:
    """Send headers a byte at a time, without end."""
    try:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nX: ")
        for _ in range(100):
            handler.wfile.write(b"x")
            time.sleep(0.05)
    except OSError:  # the client has left
        pass


def flood(handler: Handler, outputs: Arrays) -> None:
    """Send without end."""
    handler.send_response(200)
    handler.send_header("Content-Length", str(1 << 40))
    handler.end_headers()
    try:
        while True:
            handler.wfile.write(b"\0" * (1 << 16))
    except OSError:  # the client has left
        pass


def nest(handler: Handler, outputs: Arrays) -> None:
    """Send JSON that is nested deeper than a reader may go."""
    deep = b'{"outputs": ' + b"[" * 200_000
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(deep)))
    handler.end_headers()
    handler.wfile.write(deep)


def fail(handler: Handler, outputs: Arrays) -> None:
    handler.reply(500, {"error": "out of memory\nat line 1"})


def wrong_value(_: object, outputs: Arrays) -> Arrays:
    return {name: array + np.float32(0.01) for name, array in outputs.items()}


def nan(_: object, outputs: Arrays) -> Arrays:
    return {name: np.full_like(array, np.nan) for name, array in outputs.items()}


def wrong_shape(_: object, outputs: Arrays) -> Arrays:
    return {name: array.reshape(-1) for name, array in outputs.items()}


def wrong_type(_: object, outputs: Arrays) -> Arrays:
    return {name: array.astype(np.float64) for name, array in outputs.items()}


def no_output(_: object, outputs: Arrays) -> Arrays:
    return {}
