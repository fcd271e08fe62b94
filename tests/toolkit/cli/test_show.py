from __future__ import annotations

import socket
import urllib.request
import webbrowser
from pathlib import Path

import netron
import pytest
import torch
from click.testing import CliRunner
from torch import nn

import netloft
from netloft.cli import main


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    (tmp_path / "model.onnx").write_bytes(b"the model")
    (tmp_path / "diagram.html").write_text("<html>")
    return tmp_path


def test_a_bundle_is_served_on_this_machine_only(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched: list[bytes] = []
    started: list[tuple[str, int]] = []
    start = netron.start

    def remember(*args: object, **options: object) -> object:
        assert options["browse"] is False
        started.append(start(*args, **options))
        return started[-1]

    def wait() -> None:  # in place of the user, who looks and then presses Ctrl-C
        with urllib.request.urlopen(f"http://127.0.0.1:{started[0][1]}/data/model.onnx") as reply:
            fetched.append(reply.read())
        netron.stop()

    monkeypatch.setattr(netron, "start", remember)
    monkeypatch.setattr(netron, "wait", wait)
    result = CliRunner().invoke(main, ["show", str(bundle), "--no-browser"])
    assert result.exit_code == 0, result.output
    assert fetched == [b"the model"]
    ((host, port),) = started
    assert host == "127.0.0.1"
    assert result.stdout.splitlines() == [
        f"netron: http://127.0.0.1:{port}", f"explorer: {bundle / 'diagram.html'}"
    ]  # fmt: skip


def test_a_lone_file_gets_an_explorer_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = nn.Sequential(nn.Linear(4, 3), nn.ReLU()).eval()
    file = netloft.to_onnx(module, (torch.randn(2, 4),), tmp_path / "net.onnx", prove=False)
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", opened.append)
    shown = netloft.show(file)
    netron.stop()
    assert shown.netron in opened  # Netron opens its own
    assert shown.explorer.as_uri() in opened
    assert "Linear → 3" in shown.explorer.read_text(encoding="utf-8")


def test_what_cannot_be_shown(tmp_path: Path) -> None:
    for target in (tmp_path, tmp_path / "absent.onnx"):
        result = CliRunner().invoke(main, ["show", str(target)])
        assert result.exit_code == 2
        assert "is neither a bundle nor an .onnx file" in result.stderr


def test_a_port_that_is_taken(bundle: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        result = CliRunner().invoke(
            main, ["show", str(bundle), "--port", str(port), "--no-browser"]
        )
    assert result.exit_code == 2
    assert f"port {port} cannot be served on" in result.stderr
