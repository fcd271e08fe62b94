"""Files and functions small enough to read at once."""

from __future__ import annotations

import ast
import statistics
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("toolkit", "exporters", "diagrams")
SOURCES = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
FUNCTION = ast.FunctionDef | ast.AsyncFunctionDef
DOCUMENTED = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def functions(path: Path) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return [node for node in ast.walk(tree) if isinstance(node, FUNCTION)]


def code_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function without its signature and docstring."""
    body = node.body[1:] if ast.get_docstring(node) else node.body
    if not body or body[-1].end_lineno is None:
        return 0
    return body[-1].end_lineno - body[0].lineno + 1


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_file_is_short(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_functions_are_short_and_annotated(path: Path) -> None:
    for node in functions(path):
        assert code_lines(node) <= 40, f"{node.name} has {code_lines(node)} lines"
        assert node.returns is not None, f"{node.name} does not say what it returns"
        given = node.args
        every = [*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg]
        for arg in every:
            known = arg is None or arg.annotation is not None or arg.arg in ("self", "cls")
            assert known, f"{node.name} does not say what {arg.arg if arg else ''} is"


def public(body: list[ast.stmt], prefix: str = "") -> Iterator[tuple[str, DOCUMENTED]]:
    """Public functions and classes of a file, and the public methods of those classes."""
    for node in body:
        if isinstance(node, DOCUMENTED) and not node.name.startswith("_"):
            yield prefix + node.name, node
            if isinstance(node, ast.ClassDef):
                yield from public(node.body, f"{node.name}.")


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_what_is_public_is_described(path: Path) -> None:
    for name, node in public(ast.parse(path.read_text(encoding="utf-8")).body):
        assert ast.get_docstring(node), f"{name} has no docstring"


def test_the_median_function_is_short() -> None:
    sizes = [code_lines(node) for path in SOURCES for node in functions(path)]
    assert statistics.median(sizes) <= 8
