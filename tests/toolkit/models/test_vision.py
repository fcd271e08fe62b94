"""torchvision comes without PyTorch's compiler, and with it as soon as somebody needs it."""

from __future__ import annotations

from pathlib import Path

from tests.toolkit.fresh import told_by

_COMPILER = "torch._dynamo"
_ASKED = f"""
import json, sys
{{work}}
told["compiler"] = {_COMPILER!r} in sys.modules
told["left"] = type(sys.modules.get("{_COMPILER}.utils")).__name__
print(json.dumps(told))
"""


def _told(work: str) -> dict[str, object]:
    """Run a program in a process of its own, which says what it knows."""
    return told_by(_ASKED.format(work=work))


_MODELS = "from netloft.models.vision import torchvision_models; models = torchvision_models();"


def test_a_network_comes_without_the_compiler() -> None:
    told = _told(f"{_MODELS} told = {{'names': len(models.list_models())}}; models.resnet18()")
    assert told["names"] > 80  # type: ignore[operator]
    assert (told["compiler"], told["left"]) == (False, "NoneType")


def test_who_asks_the_function_gets_the_compilers_answer() -> None:
    work = (
        "from torchvision.ops.roi_align import is_compile_supported as asked;"
        "told = {'cpu': asked('cpu'), 'other': asked('meta')};"
        "from torch._dynamo.utils import is_compile_supported as own;"
        "told['same'] = own('cpu') == asked('cpu')"
    )
    told = _told(f"{_MODELS} {work}")
    assert told == {"cpu": True, "other": False, "same": True, "compiler": True, "left": "module"}


def test_a_torchvision_that_reads_more_gets_the_compiler() -> None:
    work = (
        "import netloft.models.vision as vision; stand = vision._NotYet('torch._dynamo.utils');"
        "sys.modules['torch._dynamo.utils'] = stand;"
        "from torch._dynamo.utils import counters;"
        "told = {'counters': type(counters).__name__}"
    )
    told = _told(work)
    assert told == {"counters": "defaultdict", "compiler": True, "left": "module"}


def test_a_compiler_that_is_there_is_left_alone() -> None:
    work = (
        "import torch._dynamo; own = sys.modules['torch._dynamo.utils'];"
        f"{_MODELS} told = {{'same': sys.modules['torch._dynamo.utils'] is own}}"
    )
    assert _told(work) == {"same": True, "compiler": True, "left": "module"}


def test_a_quick_export_needs_no_compiler_from_end_to_end(tmp_path: Path) -> None:
    words = ["export", "resnet18", "--input", "1x3x64x64", "--quick", "--quiet"]
    words += ["--provider", "cpu", "-o", str(tmp_path / "net")]
    work = (
        f"from netloft.cli import main; main({words!r}, standalone_mode=False);"
        "told = {'algebra': 'torch.fx.experimental.symbolic_shapes' in sys.modules}"
    )
    assert _told(work) == {"algebra": False, "compiler": False, "left": "NoneType"}
    assert (tmp_path / "net" / "manifest.json").is_file()
