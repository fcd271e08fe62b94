from __future__ import annotations

import subprocess
import sys

import pytest

from netloft.models.catalog import BUILTINS, closest, torchvision_kind, torchvision_names


def test_the_list_of_built_ins_needs_no_torch() -> None:
    code = "import sys, netloft.models.catalog; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_every_built_in_says_what_it_is() -> None:
    for name, row in BUILTINS.items():
        assert name == row.name
        assert row.description
        assert row.source
        assert row.domain in ("photo", "go", "digit", "speech")


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("resnet18", "classification"),
        ("fcn_resnet50", "segmentation"),
        ("fasterrcnn_resnet50_fpn", "detection"),
        ("r3d_18", "video"),
        ("raft_small", "optical_flow"),
        ("quantized_resnet18", "quantization"),
    ],
)
def test_tells_the_kinds_of_torchvision(name: str, kind: str) -> None:
    assert name in torchvision_names()
    assert torchvision_kind(name) == kind


def test_closest_ignores_case_and_gives_up() -> None:
    assert closest("AlphaGoo", BUILTINS) == ("alphago",)
    assert closest("qqqq", BUILTINS) == ()
