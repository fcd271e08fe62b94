"""Which line of the user's code is running, told without an absolute path."""

from __future__ import annotations

import linecache
import os
import re
import sys
from functools import cache
from pathlib import Path
from types import FrameType, TracebackType

from netloft.graph.annotation import Source

__all__ = ["current_source", "frame_in", "raised_at", "relative_file"]

# Frames of these packages are machinery between the user's line and the operation.
_MACHINERY = ("torch", "netloft", "netloft_exporters", "netloft_diagrams")
_FRAME = re.compile(r'File "([^"]+)", line (\d+), in [^\n]*\n\s*([^\n]*)')
_MODELS = os.sep + os.path.join("netloft", "models") + os.sep


@cache
def _package_roots() -> tuple[str, ...]:
    import torch

    here = Path(__file__).parents[1]
    roots = [Path(torch.__file__).parent, here]
    return tuple(str(root) + os.sep for root in roots)


@cache
def is_user_file(filename: str) -> bool:
    """Tell whether code in `filename` is a network's, and not the machinery around it."""
    if filename.startswith("<"):
        return False
    if _MODELS in filename:
        return True
    if any(filename.startswith(root) for root in _package_roots()):
        return False
    return not _is_standard_library(filename)


def _is_standard_library(filename: str) -> bool:
    library = str(Path(os.__file__).parent) + os.sep
    return filename.startswith(library) and "site-packages" not in filename[len(library) :]


@cache
def relative_file(filename: str) -> str:
    """Return a file's path below its package's root; never a path of the builder's.

    It does not depend on the working folder, so that two exports say the same.
    """
    path = Path(filename)
    root = path.parent
    while (root / "__init__.py").is_file():
        root = root.parent
    return path.relative_to(root).as_posix()


def _source(filename: str, line: int) -> Source:
    return Source(relative_file(filename), line, linecache.getline(filename, line).strip())


def current_source() -> Source | None:
    """Return the innermost line of the network's code on the stack; None where there is none."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and not _starts_the_network(frame):
        if is_user_file(frame.f_code.co_filename):
            return _source(frame.f_code.co_filename, frame.f_lineno)
        frame = frame.f_back
    return None


def _starts_the_network(frame: FrameType) -> bool:
    """Tell whether a frame is ours that called the network; above it is whoever called us."""
    return frame.f_code.co_name in ("trace", "_run") and _is_ours(frame.f_code.co_filename)


@cache
def _is_ours(filename: str) -> bool:
    return Path(filename).parent == Path(__file__).parent


def raised_at(error: BaseException) -> Source | None:
    """Return the innermost line of the user's code that `error` passed through."""
    found: Source | None = None
    step: TracebackType | None = error.__traceback__
    while step is not None:
        filename = step.tb_frame.f_code.co_filename
        if is_user_file(filename):
            found = _source(filename, step.tb_lineno)
        step = step.tb_next
    return found


def frame_in(text: str) -> Source | None:
    """Return the innermost line of the network's code in a printed stack; None if there is none."""
    frames = [frame for frame in _FRAME.findall(text) if is_user_file(frame[0])]
    if not frames:
        return None
    filename, line, code = frames[-1]
    return Source(relative_file(filename), int(line), code.strip())


def describe(source: Source | None) -> str:
    """Return `model.py:42  y = relu(x)` for an error message."""
    return f"{source}  {source.text}".rstrip() if source else ""
