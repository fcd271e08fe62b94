"""The names that people rely on, and what importing them costs."""

from __future__ import annotations

import subprocess
import sys

import pytest

import netloft

HEAVY = "('torch', 'torchvision', 'onnxruntime', 'onnx', 'graphviz', 'rich', 'jinja2', 'PIL')"


def loaded_after(code: str) -> str:
    """Return the heavy modules that are loaded after running `code` in a new interpreter."""
    script = f"import sys\n{code}\nprint([m for m in {HEAVY} if m in sys.modules])"
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return done.stdout.strip().splitlines()[-1]


@pytest.mark.parametrize("name", netloft.__all__)
def test_public_name_is_there(name: str) -> None:
    assert getattr(netloft, name) is not None
    assert name in dir(netloft)


def test_functions_stay_functions_after_their_modules_are_imported() -> None:
    code = (
        "import netloft, netloft.cli.trace, netloft.exporting, netloft.verification\n"
        "assert callable(netloft.trace) and callable(netloft.verify) and callable(netloft.bench)\n"
        "assert callable(netloft.export) and callable(netloft.draw) and callable(netloft.load)"
    )
    loaded_after(code)


def test_import_netloft_is_light() -> None:
    assert loaded_after("import netloft") == "[]"


def test_help_is_light() -> None:
    code = (
        "from click.testing import CliRunner\n"
        "from netloft.cli import VERBS, main\n"
        "for verb in VERBS:\n"
        "    result = CliRunner().invoke(main, [verb, '--help'])\n"
        "    assert result.exit_code == 0, result.output"
    )
    assert loaded_after(code) == "[]"


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = netloft.nonsense
