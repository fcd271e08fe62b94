from __future__ import annotations

import json
import subprocess
import sys

from click.testing import CliRunner

from netloft.cli.models import models
from netloft.models.catalog import BUILTINS, torchvision_names


def test_lists_everything_that_can_be_named() -> None:
    result = CliRunner().invoke(models, [])
    assert result.exit_code == 0
    words = result.output.split()
    assert all(name in words for name in (*BUILTINS, *torchvision_names()))
    assert "torchvision, segmentation" in result.output
    assert "timm:NAME" in result.output


def test_json_is_the_same_as_data() -> None:
    facts = json.loads(CliRunner().invoke(models, ["--json"]).output)
    assert [row["name"] for row in facts["builtin"]] == list(BUILTINS)
    assert sorted(n for kind in facts["torchvision"].values() for n in kind) == sorted(
        torchvision_names()
    )


def test_the_built_in_part_needs_no_torch() -> None:
    code = (
        "import sys; from netloft.cli import main; "
        "main(['models', '--builtin'], standalone_mode=False); sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert done.stdout.startswith("Built in\nname ")
    assert "\x1b" not in done.stdout
