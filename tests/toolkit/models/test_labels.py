"""Names of classes."""

from __future__ import annotations

from pathlib import Path

import pytest

from netloft.errors import InputError
from netloft.models.labels import read_labels


def test_a_file_has_one_name_a_line(tmp_path: Path) -> None:
    file = tmp_path / "labels.txt"
    file.write_bytes("\ufefftench, Tinca tinca\r\n  größter \nœuf\n\n".encode())
    assert read_labels(file) == ("tench, Tinca tinca", "größter", "œuf")
    assert read_labels(str(file)) == read_labels(file)


def test_names_may_be_given() -> None:
    assert read_labels(["cat", "dog"]) == ("cat", "dog")


def test_imagenet_is_a_word_unless_a_file_is_called_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names = read_labels("imagenet")
    assert (len(names), names[0], names[-1]) == (1000, "tench", "toilet tissue")
    (tmp_path / "imagenet").write_text("a\nb\n")
    assert read_labels("imagenet") == ("a", "b")


@pytest.mark.parametrize(
    ("contents", "problem"),
    [
        (b"a\n\nb\n", "labels file labels.txt has an empty line, 2"),
        (b"\n", "labels file labels.txt has no line"),
        (b"\xff\xfe", "labels file labels.txt cannot be read: it is not UTF-8 text"),
        (None, "labels file labels.txt cannot be read: No such file or directory"),
    ],
)
def test_another_file_is_refused(tmp_path: Path, contents: bytes | None, problem: str) -> None:
    file = tmp_path / "labels.txt"
    if contents is not None:
        file.write_bytes(contents)
    with pytest.raises(InputError) as caught:
        read_labels(file)
    assert caught.value.problem == problem


@pytest.mark.parametrize(
    ("names", "problem"),
    [([], "there is no label"), (["a", " "], "there is ' ' among the labels")],
)
def test_other_names_are_refused(names: list[str], problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        read_labels(names)
