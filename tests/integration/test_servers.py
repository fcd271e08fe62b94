"""Published bundles in the real servers, held to their test vectors; skipped where there are none.

The servers are no dependency of netloft: they are `tritonserver` on PATH or of pip's
`nvidia-pytriton`, and pip's `kserve` and `mlflow`.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from urllib.request import Request, urlopen

import numpy as np
import pytest
from tests.integration.servers import (
    BESIDE,
    free_ports,
    has_onnxruntime,
    kserve,
    running,
    triton,
    tritonserver,
)
from tests.toolkit.publishing.bundles import make_bundle

from netloft.bundle.vectors import read_vectors
from netloft.publishing import publish
from netloft.serving import verify_served

pytestmark = [pytest.mark.integration, pytest.mark.slow]

pytest.importorskip("tritonclient.http", reason="tritonclient is not installed")


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return make_bundle(tmp_path / "bundle")


@pytest.mark.parametrize("scheme", ["http", "grpc"])
@pytest.mark.parametrize("backend", ["onnxruntime", "python"])
def test_triton_serves_it(bundle: Path, backend: str, scheme: str, tmp_path: Path) -> None:
    server = tritonserver()
    if not server:
        pytest.skip("no tritonserver on PATH, and nvidia-pytriton is not installed")
    if backend == "onnxruntime" and not has_onnxruntime(server):
        pytest.skip("this tritonserver has no ONNX Runtime backend; pip's has the Python one alone")
    with triton(bundle, tmp_path, backend) as urls:
        found = verify_served(bundle, urls[scheme], "net", seconds=0.5)
    assert found.status == "pass", found


@pytest.mark.parametrize("scheme", ["http", "grpc"])
def test_kserve_serves_it(bundle: Path, scheme: str, tmp_path: Path) -> None:
    if importlib.util.find_spec("kserve") is None:  # imported, its gRPC messages are tritonclient's
        pytest.skip("kserve is not installed")
    with kserve(bundle, tmp_path) as urls:
        found = verify_served(bundle, urls[scheme], "net", seconds=0.5)
    assert found.status == "pass", found


def test_mlflow_serves_it(bundle: Path, tmp_path: Path) -> None:
    """MLflow's own protocol is another one, so that it is asked without tritonclient."""
    pytest.importorskip("mlflow", reason="MLflow is not installed")
    folder = publish(bundle, "mlflow", tmp_path / "out").path
    (port,) = free_ports(1)
    command = [sys.executable, "-m", "mlflow", "models", "serve", "--model-uri", str(folder)]
    command += ["--env-manager", "local", "--host", "127.0.0.1", "--port", str(port)]
    address = f"http://127.0.0.1:{port}"
    example = (folder / "input_example.json").read_bytes()
    request = Request(f"{address}/invocations", example, {"Content-Type": "application/json"})
    with (
        (tmp_path / "log").open("w+b") as log,
        running(command, f"{address}/ping", log, PATH=BESIDE),  # it calls uvicorn
        urlopen(request, timeout=30) as response,
    ):
        found = json.load(response)["predictions"]["scores"]
    wanted = read_vectors(bundle / "test_data_set_0", "output")["scores"]
    assert np.allclose(found, wanted[:1], atol=1e-6)
