from __future__ import annotations

import inspect
import pickle
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from netloft.errors import SpecError
from netloft.models.usercode import import_file, import_module

Write = Callable[[str, str], Path]


def test_imports_a_file_and_its_neighbours(write: Write) -> None:
    write("nets/neighbour_of_net.py", "width = 7\n")
    path = write("nets/one.py", "from neighbour_of_net import width\nclass A: pass\n")
    before = list(sys.path)
    module = import_file(path, "nets/one.py")
    assert module.width == 7
    assert sys.path == before
    assert "class A" in inspect.getsource(module.A)
    assert type(pickle.loads(pickle.dumps(module.A()))) is module.A


def test_files_of_one_name_do_not_collide(write: Write) -> None:
    first = import_file(write("a/same.py", "x = 1\n"), "a/same.py")
    second = import_file(write("b/same.py", "x = 2\n"), "b/same.py")
    assert (first.x, second.x) == (1, 2)
    assert first.__name__ != second.__name__


def test_a_file_is_read_again_after_a_change(write: Write) -> None:
    path = write("again.py", "x = 1\n")
    assert import_file(path, "again.py").x == 1
    path.write_text("x = 'changed'\n")
    assert import_file(path, "again.py").x == "changed"


def test_prints_go_to_standard_error(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    import_file(write("loud.py", "print('hello')\n"), "loud.py")
    assert capsys.readouterr() == ("", "hello\n")


MEND = "mend the file; it has to import without an error"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "x = 1\nclass A(:\n",
            "broken.py cannot be imported: SyntaxError: invalid syntax\n"
            f"  source: broken.py:2  class A(:\n  remedy: {MEND}",
        ),
        (
            "import no_such_thing_at_all\n",
            "broken.py cannot be imported: ModuleNotFoundError: No module named "
            "'no_such_thing_at_all'\n  source: broken.py:1  import no_such_thing_at_all\n"
            "  remedy: install 'no_such_thing_at_all' or put it beside the file",
        ),
        (
            "def f():\n    return 1 / 0\nf()\n",
            "broken.py cannot be imported: ZeroDivisionError: division by zero\n"
            f"  source: broken.py:2  return 1 / 0\n  remedy: {MEND}",
        ),
        (
            "import sys\nsys.exit(3)\n",
            "broken.py cannot be imported: SystemExit: 3\n"
            "  source: broken.py:2  sys.exit(3)\n"
            "  remedy: put what the file does when it is run under "
            "`if __name__ == '__main__':`",
        ),
    ],
)
def test_blames_the_line(write: Write, text: str, message: str) -> None:
    path = write("broken.py", text)
    with pytest.raises(SpecError) as caught:
        import_file(path, "broken.py")
    assert str(caught.value) == message
    assert "netloft_file_broken" not in sys.modules


def test_tells_a_missing_module_from_one_that_fails(write: Write) -> None:
    write("halfway.py", "import no_such_thing_at_all\n")
    with pytest.raises(SpecError, match="there is no Python module 'nowhere_at_all'"):
        import_module("nowhere_at_all.sub")
    with pytest.raises(SpecError, match="halfway cannot be imported: ModuleNotFoundError"):
        import_module("halfway")


def test_a_folder_is_not_a_file(tmp_path: Path) -> None:
    with pytest.raises(SpecError) as caught:
        import_file(tmp_path, "nets")
    assert caught.value.problem == "nets is a folder"
