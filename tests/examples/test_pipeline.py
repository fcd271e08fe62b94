"""The commands of the example's workflow run, and do what they say."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

EXAMPLE = Path(__file__).parents[2] / "examples" / "pipeline"
PYTHON = Path(sys.executable).parent


def commands(job: dict[str, Any]) -> list[str]:
    given = [step["run"] for step in job["steps"] if "run" in step]
    return [command for command in given if not command.startswith("pip install")]


@pytest.mark.slow
def test_the_workflow(tmp_path: Path) -> None:
    jobs = yaml.safe_load((EXAMPLE / "workflow.yml").read_text("utf-8"))["jobs"]
    shutil.copy(EXAMPLE / "net.py", tmp_path)
    key = ec.generate_private_key(ec.SECP256R1())
    secret = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    (tmp_path / "public.pem").write_bytes(public)
    path = f"{PYTHON}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"PATH": path, "SIGNING_KEY": secret.decode()}
    ran = 0
    for name in ("export", "gate", "release"):
        for command in commands(jobs[name]):
            ended = subprocess.run(
                ["bash", "-ec", command], cwd=tmp_path, env=environment, capture_output=True,
                text=True, check=False,
            )  # fmt: skip
            assert ended.returncode == 0, (command, ended.stdout, ended.stderr)
            ran += 1
    assert ran == 4
    assert {"signature.json", "bom.cdx.json"} <= set(os.listdir(tmp_path / "out" / "net"))
    assert json.loads((tmp_path / "out/net/report.json").read_bytes())["status"] == "pass"
    assert not (tmp_path / "key.pem").exists()
