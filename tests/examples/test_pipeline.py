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


def key_pair() -> tuple[str, bytes]:
    key = ec.generate_private_key(ec.SECP256R1())
    secret = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return secret.decode(), public


def uses(job: dict[str, Any], action: str) -> bool:
    return any(str(step.get("uses", "")).startswith(action) for step in job["steps"])


@pytest.mark.slow
def test_the_workflow(tmp_path: Path) -> None:
    """Each job has a folder of its own; what it does not check out or download is not there."""
    jobs = yaml.safe_load((EXAMPLE / "workflow.yml").read_text("utf-8"))["jobs"]
    secret, public = key_pair()
    path = f"{PYTHON}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"PATH": path, "SIGNING_KEY": secret}
    ran, artifact = 0, Path()
    for name, job in jobs.items():
        folder = tmp_path / name
        folder.mkdir()
        if uses(job, "actions/checkout"):
            shutil.copy(EXAMPLE / "net.py", folder)
            (folder / "public.pem").write_bytes(public)
        if uses(job, "actions/download-artifact"):
            shutil.copytree(artifact, folder / "out" / "net")
        for command in commands(job):
            ended = subprocess.run(
                ["bash", "-ec", command], cwd=folder, env=environment, capture_output=True,
                text=True, check=False,
            )  # fmt: skip
            assert ended.returncode == 0, (command, ended.stdout, ended.stderr)
            ran += 1
        artifact = folder / "out" / "net" if uses(job, "actions/upload-artifact") else artifact
    assert ran == 4
    assert {"signature.json", "bom.cdx.json"} <= set(os.listdir(artifact))
    assert json.loads((artifact / "report.json").read_bytes())["status"] == "pass"
    assert not list(tmp_path.rglob("key.pem"))
