"""Published bundles in the real servers, held to their test vectors; skipped where there are none.

The servers are no dependency of netloft: they are `tritonserver` on PATH or of pip's
`nvidia-pytriton`, and pip's `kserve` and `mlflow`.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import socket
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO
from urllib.error import URLError
from urllib.request import Request, urlopen

import numpy as np
import pytest
from tests.toolkit.publishing.bundles import make_bundle

from netloft.bundle.vectors import read_vectors
from netloft.publishing import publish
from netloft.serving import verify_served

pytestmark = [pytest.mark.integration, pytest.mark.slow]

pytest.importorskip("tritonclient.http", reason="tritonclient is not installed")

PATIENCE_S = 90
BESIDE = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return make_bundle(tmp_path / "bundle")


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


@contextmanager
def running(command: list[str], ready: str, log: IO[bytes], **env: str) -> Iterator[None]:
    """Start a server, wait until it is ready, and end it."""
    process = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, **env})
    try:
        end = time.monotonic() + PATIENCE_S
        while not _answers(ready):
            if process.poll() is not None or time.monotonic() > end:
                log.seek(0)
                pytest.fail(f"{command[0]} does not start:\n{log.read().decode()[-4000:]}")
            time.sleep(0.2)
        yield
    finally:
        process.terminate()
        process.wait(30)


def _answers(url: str) -> bool:
    try:
        with urlopen(url, timeout=2) as response:
            return bool(response.status == 200)
    except (URLError, OSError):
        return False


def tritonserver() -> str:
    """Return the server, on PATH or in the package nvidia-pytriton."""
    found = shutil.which("tritonserver")
    packaged = Path(
        sysconfig.get_path("purelib"), "pytriton", "tritonserver", "bin", "tritonserver"
    )
    if found is None and not packaged.exists():
        pytest.skip("no tritonserver on PATH, and nvidia-pytriton is not installed")
    return found or str(packaged)


def has_onnxruntime(server: str) -> bool:
    backends = Path(server).parents[1] / "backends" / "onnxruntime"
    return backends.is_dir()


def backends_of(server: str, folder: Path) -> list[str]:
    """Return where pip's server has its backends, with the stub of the Python that runs."""
    packaged, made = Path(server).parents[1], folder / "backends"
    if not (packaged / "python_backend_stubs").is_dir():
        return []
    shutil.copytree(packaged / "backends", made)
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    stub = packaged / "python_backend_stubs" / version / "triton_python_backend_stub"
    shutil.copy(stub, made / "python")
    return [f"--backend-directory={made}"]


@pytest.mark.parametrize("scheme", ["http", "grpc"])
@pytest.mark.parametrize("backend", ["onnxruntime", "python"])
def test_triton_serves_it(bundle: Path, backend: str, scheme: str, tmp_path: Path) -> None:
    server = tritonserver()
    if backend == "onnxruntime" and not has_onnxruntime(server):
        pytest.skip("this tritonserver has no ONNX Runtime backend; pip's has the Python one alone")
    publish(bundle, "triton", tmp_path / "models", "net", backend=backend)
    ports = dict(zip(("http", "grpc", "metrics"), free_ports(3), strict=True))
    command = [server, "--model-repository", str(tmp_path / "models"), "--exit-on-error=true"]
    for name, port in ports.items():
        command += [f"--{name}-port={port}"]
    command += ["--http-address=127.0.0.1", "--grpc-address=127.0.0.1"]
    command += backends_of(server, tmp_path)
    # the Python backend's stub needs the library of the Python that runs
    libraries = [str(sysconfig.get_config_var("LIBDIR"))]
    libraries.append(str(Path(sysconfig.get_path("purelib"), "nvidia_pytriton.libs")))
    ready = f"http://127.0.0.1:{ports['http']}/v2/health/ready"
    path = os.pathsep.join([*libraries, os.environ.get("LD_LIBRARY_PATH", "")])
    found_by = {"LD_LIBRARY_PATH": path, "PATH": BESIDE}  # the stub takes the first python there
    with (tmp_path / "log").open("w+b") as log, running(command, ready, log, **found_by):
        found = verify_served(bundle, f"{scheme}://127.0.0.1:{ports[scheme]}", "net", seconds=0.5)
    assert found.status == "pass", found


@pytest.mark.parametrize("scheme", ["http", "grpc"])
def test_kserve_serves_it(bundle: Path, scheme: str, tmp_path: Path) -> None:
    if importlib.util.find_spec("kserve") is None:  # imported, its gRPC messages are tritonclient's
        pytest.skip("kserve is not installed")
    folder = publish(bundle, "kserve", tmp_path / "out", "net").path
    ports = dict(zip(("http", "grpc"), free_ports(2), strict=True))
    command = [sys.executable, str(folder / "server.py")]
    command += [f"--http_port={ports['http']}", f"--grpc_port={ports['grpc']}"]
    ready = f"http://127.0.0.1:{ports['http']}/v2/models/net/ready"
    with (tmp_path / "log").open("w+b") as log, running(command, ready, log):
        found = verify_served(bundle, f"{scheme}://127.0.0.1:{ports[scheme]}", "net", seconds=0.5)
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
