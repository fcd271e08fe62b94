"""Have something measured in a process that was started for it alone."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from netloft.errors import CheckError
from netloft.runtime.reasons import first_line

__all__ = ["answer", "ask", "on_disk", "shapes_of"]

LIMIT_S = 300


def ask(module: str, asked: Mapping[str, Any], keys: Collection[str]) -> dict[str, Any]:
    """Return what a fresh process found.

    Args:
        module: Has a function `answer`, which calls the one here.
        asked: Ready for JSON.
        keys: What it finds, each under its name.

    Raises:
        CheckError: It does not start, or came to an end without an answer.
    """
    # -P: what lies in the working folder is not imported
    command = [sys.executable, "-P", "-c", f"from {module} import answer; answer()"]
    try:
        ended = subprocess.run(
            command, input=json.dumps(asked), capture_output=True, text=True, timeout=LIMIT_S,
            check=False, errors="replace",
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise CheckError(f"it took more than {LIMIT_S} s in a process of its own") from error
    except OSError as error:
        raise CheckError(f"no process can be started for it: {error}") from error
    if ended.returncode:
        raise CheckError(
            f"the file does not run in a process of its own: it ended with code {ended.returncode}"
        )
    try:
        found: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
        if "error" not in found:
            return {key: found[key] for key in keys}
    except (LookupError, ValueError, TypeError) as error:
        raise CheckError("the process that runs the file gave no answer") from error
    raise CheckError(f"the file does not run in a process of its own: {found['error']}")


def answer(measured: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Read what is asked from standard input and write what was found.

    Args:
        measured: Finds it.
    """
    try:
        found = measured(json.load(sys.stdin))
    except Exception as error:  # noqa: BLE001 - ONNX Runtime has a dozen unrelated kinds
        found = {"error": first_line(error)}
    sys.stdout.write(json.dumps(found) + "\n")


def shapes_of(feeds: Mapping[str, Any]) -> dict[str, tuple[list[int], str]]:
    """Return the shape and element type of each input, ready for JSON."""
    return {name: (list(array.shape), array.dtype.name) for name, array in feeds.items()}


@contextlib.contextmanager
def on_disk(file: Path | bytes) -> Iterator[Path]:
    """Have a file there for another process, which may be given as its bytes.

    Raises:
        CheckError: There is no room for it.
    """
    if isinstance(file, Path):
        yield file
        return
    with tempfile.TemporaryDirectory(prefix="netloft-") as folder:
        path = Path(folder, "model.onnx")
        try:
            path.write_bytes(file)
        except OSError as error:
            raise CheckError(f"the file cannot be written: {error}") from error
        yield path
