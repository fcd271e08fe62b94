"""Import a user's file or module, and blame the user's line when that fails.

This runs the code that it imports. Nothing is sandboxed: it is for code that the user would run.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import linecache
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

from netloft.errors import SpecError
from netloft.tracing.source import describe, raised_at, relative_file

__all__ = ["blame", "has_run", "import_file", "import_module", "prints_to_stderr"]

_OURS = "netloft/models/"

_ran = set[str]()
"""Names of the user's modules that this process has run."""


def has_run() -> bool:
    """Tell whether this process has run code of the user's."""
    return bool(_ran)


@contextlib.contextmanager
def prints_to_stderr() -> Iterator[None]:
    """Send what user code prints to standard error: standard output is for data."""
    with contextlib.redirect_stdout(sys.stderr):
        yield


@contextlib.contextmanager
def _on_path(folder: Path) -> Iterator[None]:
    """Let a file import its neighbours, as it can when Python runs it."""
    entry = str(folder)
    sys.path.insert(0, entry)
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):  # the file took it off the path itself
            sys.path.remove(entry)


def import_file(path: Path, shown: str) -> ModuleType:
    """Run a Python file as a module.

    Args:
        path: The file; its folder is on `sys.path` meanwhile.
        shown: The file as the user wrote it, for messages.

    Raises:
        SpecError: There is no such file, or it raises when it is run.
    """
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist"
        raise SpecError(f"{shown} {what}", remedy="give the path of a Python file, as net.py:Net")
    resolved = path.resolve()
    name = _module_name(resolved)
    spec = importlib.util.spec_from_file_location(name, resolved)
    if spec is None or spec.loader is None:
        raise SpecError(
            f"{shown} is not a Python file", remedy="give a file whose name ends in .py"
        )
    linecache.checkcache(str(resolved))
    _ran.add(name)
    module = importlib.util.module_from_spec(spec)
    before = sys.modules.get(name)
    # inspect, pickle and dataclasses look a class's module up here
    sys.modules[name] = module
    try:
        with _on_path(resolved.parent), prints_to_stderr():
            spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        if before is not None:
            sys.modules[name] = before
        raise _import_failed(shown, error) from error
    return module


def _module_name(path: Path) -> str:
    """A name that no installed package has, the same on every machine and run."""
    stem = "".join(c if c.isalnum() else "_" for c in path.stem)
    name, number = f"netloft_file_{stem}", 2
    while name in sys.modules and getattr(sys.modules[name], "__file__", None) != str(path):
        name, number = f"netloft_file_{stem}_{number}", number + 1
    return name


def import_module(name: str) -> ModuleType:
    """Import an installed module, or one in the working folder.

    Raises:
        SpecError: There is none, or it raises when it is imported.
    """
    if name.partition(".")[0] != "netloft":
        _ran.add(name)
    try:
        with _on_path(Path.cwd()), prints_to_stderr():
            return importlib.import_module(name)
    except ModuleNotFoundError as error:
        # the module itself, or something that it imports
        if error.name and (name == error.name or name.startswith(f"{error.name}.")):
            raise SpecError(
                f"there is no Python module '{error.name}'",
                remedy="install it, or give the path of a file, as path/to/file.py:Net",
            ) from error
        raise _import_failed(name, error) from error
    except (Exception, SystemExit) as error:
        raise _import_failed(name, error) from error


def _import_failed(shown: str, error: BaseException) -> SpecError:
    said = f"{type(error).__name__}: {_first_line(error)}"
    if isinstance(error, SyntaxError):
        said = f"SyntaxError: {error.msg}"
    return SpecError(
        f"{shown} cannot be imported: {said}",
        source=blame(error),
        remedy=_import_remedy(error),
    )


def _import_remedy(error: BaseException) -> str:
    if isinstance(error, ModuleNotFoundError) and error.name:
        return f"install '{error.name}' or put it beside the file"
    if isinstance(error, SystemExit):
        return "put what the file does when it is run under `if __name__ == '__main__':`"
    return "mend the file; it has to import without an error"


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else "no message"


def blame(error: BaseException) -> str:
    """Return `file.py:line  text` of the user's code that raised `error`; empty if it is ours."""
    if isinstance(error, SyntaxError) and error.filename:
        text = (error.text or "").strip()
        return f"{relative_file(error.filename)}:{error.lineno}  {text}".rstrip()
    source = raised_at(error)
    return "" if source is None or source.file.startswith(_OURS) else describe(source)
