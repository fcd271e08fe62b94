"""Programs in a process of their own, where nothing has been imported yet."""

from __future__ import annotations

import json
import subprocess
import sys


def told_by(program: str) -> dict[str, object]:
    """Run a program and return the JSON object that it prints."""
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    answer: dict[str, object] = json.loads(done.stdout)
    return answer
