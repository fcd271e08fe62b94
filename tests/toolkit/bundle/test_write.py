"""A bundle appears whole or not at all, and nothing else is harmed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from netloft.bundle import check_target, staged_bundle, write_file
from netloft.errors import OutputError


def make_bundle(folder: Path, text: str = "old") -> None:
    folder.mkdir()
    (folder / "manifest.json").write_text('{"netloft": "0"}')
    (folder / "model.onnx").write_text(text)


def test_a_bundle_appears_when_all_went_well(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "er" / "net"
    with staged_bundle(target) as folder:
        (folder / "manifest.json").write_text("{}")
        assert not target.exists()
    assert [p.name for p in target.iterdir()] == ["manifest.json"]
    assert [p.name for p in target.parent.iterdir()] == ["net"]


def test_nothing_is_left_when_the_work_fails(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), staged_bundle(tmp_path / "deep" / "net") as folder:
        (folder / "model.onnx").write_text("half")
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def test_a_bundle_is_replaced_whole(tmp_path: Path) -> None:
    make_bundle(tmp_path / "net")
    with staged_bundle(tmp_path / "net") as folder:
        (folder / "manifest.json").write_text('{"netloft": "1"}')
    assert [p.name for p in (tmp_path / "net").iterdir()] == ["manifest.json"]
    assert [p.name for p in tmp_path.iterdir()] == ["net"]


def test_a_good_bundle_survives_a_failed_replacement(tmp_path: Path) -> None:
    make_bundle(tmp_path / "net")
    with pytest.raises(KeyboardInterrupt), staged_bundle(tmp_path / "net") as folder:
        (folder / "model.onnx").write_text("new")
        raise KeyboardInterrupt
    assert (tmp_path / "net" / "model.onnx").read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["net"]


def test_a_folder_that_is_no_bundle_is_left_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / "thesis.tex").write_text("years of work")
    with pytest.raises(OutputError) as caught:
        check_target(tmp_path / "net")
    assert "is not a netloft bundle; it was left as it was" in str(caught.value)
    assert caught.value.exit_code == 2
    assert (tmp_path / "net" / "thesis.tex").read_text() == "years of work"


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    make_bundle(tmp_path / "elsewhere")
    (tmp_path / "net").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OutputError, match="is a link"):
        check_target(tmp_path / "net")


def test_a_place_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError):
        check_target(tmp_path / "file" / "net")


@pytest.mark.skipif(not Path("/proc/version").exists(), reason="needs /proc, which is read-only")
def test_a_read_only_place_is_refused() -> None:
    with pytest.raises(OutputError, match="cannot be written"):
        check_target(Path("/proc/net-loft"))


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    write_file(tmp_path / "a.svg", b"<svg/>")
    assert (tmp_path / "a.svg").read_bytes() == b"<svg/>"
    with pytest.raises(OutputError):
        write_file(tmp_path / "none" / "a.svg", b"<svg/>")
    assert os.listdir(tmp_path) == ["a.svg"]
