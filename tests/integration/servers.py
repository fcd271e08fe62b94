"""The real servers, started on this machine for a published model."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO
from urllib.error import URLError
from urllib.request import urlopen

from netloft.publishing import publish

PATIENCE_S = 90
BESIDE = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"


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
                raise RuntimeError(f"{command[0]} ends:\n{log.read().decode()[-4000:]}")
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
    """Return the server, on PATH or in the package nvidia-pytriton; empty for none."""
    found = shutil.which("tritonserver")
    packaged = Path(
        sysconfig.get_path("purelib"), "pytriton", "tritonserver", "bin", "tritonserver"
    )
    return found or (str(packaged) if packaged.exists() else "")


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


@contextmanager
def triton(bundle: Path, folder: Path, backend: str) -> Iterator[Mapping[str, str]]:
    """Serve a bundle as `net` by Triton; give the address of each protocol."""
    server = tritonserver()
    publish(bundle, "triton", folder / "models", "net", backend=backend)
    ports = dict(zip(("http", "grpc", "metrics"), free_ports(3), strict=True))
    command = [server, "--model-repository", str(folder / "models"), "--exit-on-error=true"]
    for name, port in ports.items():
        command += [f"--{name}-port={port}"]
    command += ["--http-address=127.0.0.1", "--grpc-address=127.0.0.1"]
    command += backends_of(server, folder)
    # the Python backend's stub needs the library of the Python that runs
    libraries = [str(sysconfig.get_config_var("LIBDIR"))]
    libraries.append(str(Path(sysconfig.get_path("purelib"), "nvidia_pytriton.libs")))
    path = os.pathsep.join([*libraries, os.environ.get("LD_LIBRARY_PATH", "")])
    found_by = {"LD_LIBRARY_PATH": path, "PATH": BESIDE}  # the stub takes the first python there
    ready = f"http://127.0.0.1:{ports['http']}/v2/health/ready"
    with (folder / "log").open("w+b") as log, running(command, ready, log, **found_by):
        yield {name: f"{name}://127.0.0.1:{ports[name]}" for name in ("http", "grpc")}


@contextmanager
def kserve(bundle: Path, folder: Path) -> Iterator[Mapping[str, str]]:
    """Serve a bundle as `net` by KServe's model server; give the address of each protocol."""
    published = publish(bundle, "kserve", folder / "out", "net").path
    ports = dict(zip(("http", "grpc"), free_ports(2), strict=True))
    command = [sys.executable, str(published / "server.py")]
    command += [f"--http_port={ports['http']}", f"--grpc_port={ports['grpc']}"]
    ready = f"http://127.0.0.1:{ports['http']}/v2/models/net/ready"
    with (folder / "log").open("w+b") as log, running(command, ready, log):
        yield {name: f"{name}://127.0.0.1:{port}" for name, port in ports.items()}
