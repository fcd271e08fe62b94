"""ONNX Runtime on a phone: the `.ort` format, and the operators that a small build needs.

Source: https://onnxruntime.ai/docs/performance/model-optimizations/ort-format-models.html
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from netloft.errors import ExportError, ParityError
from netloft.parity.vectors import replay, runs_in
from netloft.publishing.options import Options
from netloft.publishing.ort_format import in_order
from netloft.publishing.source import Source, copy_model
from netloft.publishing.templating import render
from netloft.runtime.providers import start_session
from netloft.runtime.reasons import first_line
from netloft.runtime.tuning import MODEL

__all__ = ["write"]

_TOOL = "onnxruntime.tools.convert_onnx_models_to_ort"
_LEVEL = "ORT_CONVERT_ONNX_MODELS_TO_ORT_OPTIMIZATION_LEVEL"
_OPERATORS = "model.required_operators.config"
_LONGEST_S = 600.0


def write(source: Source, folder: Path, options: Options) -> None:
    """Write `model.ort`, held to the test vectors, and `required_operators.config`.

    Args:
        source: The bundle.
        folder: The model's.
        options: Not used.

    Raises:
        ExportError: ONNX Runtime cannot convert the file.
        ParityError: The converted file computes something else.
    """
    with tempfile.TemporaryDirectory() as scratch:
        copy_model(source, Path(scratch))
        _convert(Path(scratch))
        model, operators = Path(scratch, "model.ort"), Path(scratch, _OPERATORS)
        (folder / "model.ort").write_bytes(in_order(model.read_bytes()))
        # its comments are the place of the converted file
        lines = [line for line in operators.read_text().splitlines() if not line.startswith("#")]
        (folder / "required_operators.config").write_text("\n".join(lines).strip() + "\n")
    _prove(source, folder / "model.ort")
    render("ort_mobile_README.md.j2", folder / "README.md", name=source.name, sha256=source.sha256)


def _convert(folder: Path) -> None:
    """Run ONNX Runtime's own converter; what suits this machine's processor alone is left out."""
    command = [sys.executable, "-m", _TOOL, "--optimization_style", "Fixed"]
    command += ["--target_platform", "arm", MODEL]
    environment = {key: value for key, value in os.environ.items() if key != _LEVEL}
    try:
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, check=False,
            errors="replace", timeout=_LONGEST_S,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise ExportError(
            f"ONNX Runtime did not convert the file in {_LONGEST_S:.0f} s",
            remedy="publish a smaller network",
        ) from error
    if done.returncode or not (folder / "model.ort").exists():
        said = [line for line in done.stderr.splitlines() if line.strip()]
        raise ExportError(
            f"ONNX Runtime cannot convert the file: {said[-1] if said else 'it does not say why'}",
            remedy="a file with weights beyond 2 GB has no .ort form",
        )


def _prove(source: Source, model: Path) -> None:
    """Run the converted file on the bundle's test vectors."""
    try:
        rows = replay(source.folder, source.manifest, {"cpu": runs_in(start_session(model))})
    except Exception as error:
        raise ParityError(f"model.ort does not run here: {first_line(error)}") from error
    for row in rows:
        if row["status"] != "pass":
            raise ParityError(
                f"model.ort computes something else: the error of '{row['output']}' is "
                f"{float(row['ratio']):.3g} times the noise floor",
                remedy="publish the bundle for another target",
            )
