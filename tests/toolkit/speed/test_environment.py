from __future__ import annotations

import getpass
import json
import platform
from pathlib import Path

import pytest

from netloft.speed.environment import describe_environment


def test_what_threads_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_WAIT_POLICY", "PASSIVE")
    monkeypatch.setenv("OMP_TOOL_LIBRARIES", "/home/somebody/tool.so")
    found = describe_environment(2).to_dict()["openmp"]
    assert isinstance(found, dict)
    assert found["OMP_WAIT_POLICY"] == "PASSIVE"
    assert "OMP_TOOL_LIBRARIES" not in found


def test_what_a_number_needs_beside_it_and_nothing_private() -> None:
    found = describe_environment(2).to_dict()
    assert found["threads"] == 2
    assert found["python"] == platform.python_version()
    assert all(found[key] for key in ("cpu", "cpus", "os", "torch", "onnxruntime", "onnx"))
    text = json.dumps(found)
    host = platform.node()
    for private in (host if len(host) > 3 else "", str(Path.home()), str(Path.cwd())):
        assert not private or private == "/" or private not in text
    assert f"/{getpass.getuser()}" not in text
