"""A bundle appears whole or not at all, and nothing else is harmed."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from netloft.bundle import check_target, staged_bundle, write, write_file
from netloft.bundle.kind import FolderKind, check_ours
from netloft.errors import OutputError

MANIFEST = '{"netloft": "0", "format": 1, "files": {"model.onnx": {}}}'


def make_bundle(folder: Path, text: str = "old") -> None:
    folder.mkdir()
    (folder / "manifest.json").write_text(MANIFEST)
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


@pytest.mark.parametrize("nameless", [True, False])
def test_asking_whether_a_place_can_be_written_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nameless: bool
) -> None:
    def killed(path: Path, *_: object) -> None:
        raise KeyboardInterrupt

    if not nameless:
        monkeypatch.setattr(write, "_nameless", lambda _: False)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "rmdir", killed)
        with contextlib.suppress(KeyboardInterrupt):
            check_target(tmp_path / "net")
    assert bool(os.listdir(tmp_path)) != nameless
    with staged_bundle(tmp_path / "net") as folder:  # the next one sweeps
        (folder / "manifest.json").write_text(MANIFEST)
    assert os.listdir(tmp_path) == ["net"]


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    write_file(tmp_path / "a.svg", b"<svg/>")
    assert (tmp_path / "a.svg").read_bytes() == b"<svg/>"
    with pytest.raises(OutputError):
        write_file(tmp_path / "none" / "a.svg", b"<svg/>")
    assert os.listdir(tmp_path) == ["a.svg"]


def test_a_users_file_in_a_bundle_keeps_it_from_being_replaced(tmp_path: Path) -> None:
    make_bundle(tmp_path / "net")
    (tmp_path / "net" / "notes").mkdir()
    (tmp_path / "net" / "notes" / "mine.txt").write_text("mine")
    with pytest.raises(OutputError, match="holds notes, which is no part of the bundle"):
        check_target(tmp_path / "net")
    assert (tmp_path / "net" / "notes" / "mine.txt").read_text() == "mine"


@pytest.mark.parametrize("key", ["netloft", "format", "files"])
def test_a_folder_with_another_manifest_is_no_bundle(tmp_path: Path, key: str) -> None:
    make_bundle(tmp_path / "net")
    (tmp_path / "net" / "manifest.json").write_text(MANIFEST.replace(key, "other"))
    with pytest.raises(OutputError, match="is not a netloft bundle"):
        check_target(tmp_path / "net")


def _no_exchange(first: Path, second: Path) -> bool:
    return False


@pytest.fixture(params=["exchange", "two renames"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace a bundle in one step, and in two where there is no such step."""
    if request.param == "two renames":
        monkeypatch.setattr(write, "exchange", _no_exchange)


@pytest.mark.usefixtures("way")
def test_a_bundle_is_replaced_in_either_way(tmp_path: Path) -> None:
    make_bundle(tmp_path / "net")
    with staged_bundle(tmp_path / "net") as folder:
        (folder / "model.onnx").write_text("new")
    assert (tmp_path / "net" / "model.onnx").read_text() == "new"
    assert os.listdir(tmp_path) == ["net"]


@pytest.mark.usefixtures("way")
def test_what_came_while_the_work_was_done_is_kept(tmp_path: Path) -> None:
    make_bundle(tmp_path / "net")
    with (
        pytest.raises(OutputError, match="is not a netloft bundle"),
        staged_bundle(tmp_path / "net") as folder,
    ):
        (folder / "model.onnx").write_text("new")
        shutil.rmtree(tmp_path / "net")
        (tmp_path / "net").mkdir()
        (tmp_path / "net" / "thesis.tex").write_text("years of work")
    assert (tmp_path / "net" / "thesis.tex").read_text() == "years of work"
    assert os.listdir(tmp_path) == ["net"]


@pytest.mark.usefixtures("way")
def test_what_came_at_the_last_moment_is_put_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check, calls = check_ours, []

    def late(folder: Path, target: Path, kind: FolderKind) -> None:
        calls.append(folder)
        check(folder, target, kind)
        if len(calls) == 2:  # the first check is check_target's, the second just before replacing
            (tmp_path / "net" / "thesis.tex").write_text("years of work")

    make_bundle(tmp_path / "net")
    monkeypatch.setattr(write, "check_ours", late)
    with (
        pytest.raises(OutputError, match=r"holds thesis\.tex"),
        staged_bundle(tmp_path / "net") as folder,
    ):
        (folder / "model.onnx").write_text("new")
    assert (tmp_path / "net" / "thesis.tex").read_text() == "years of work"
    assert (tmp_path / "net" / "model.onnx").read_text() == "old"
    assert os.listdir(tmp_path) == ["net"]


@pytest.mark.usefixtures("way")
def test_control_c_between_the_renames_keeps_the_old_bundle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check, calls = check_ours, []

    def interrupted(folder: Path, target: Path, kind: FolderKind) -> None:
        calls.append(folder)
        if len(calls) == 3:
            raise KeyboardInterrupt
        check(folder, target, kind)

    make_bundle(tmp_path / "net")
    monkeypatch.setattr(write, "check_ours", interrupted)
    with pytest.raises(KeyboardInterrupt), staged_bundle(tmp_path / "net") as folder:
        (folder / "model.onnx").write_text("new")
    assert len(calls) == 3
    assert (tmp_path / "net" / "model.onnx").read_text() == "old"
    assert os.listdir(tmp_path) == ["net"]


def test_the_second_of_two_exports_is_told(tmp_path: Path) -> None:
    with staged_bundle(tmp_path / "net") as folder:
        (folder / "model.onnx").write_text("first")
        with (
            pytest.raises(OutputError, match="another process is writing"),
            staged_bundle(tmp_path / "sub" / ".." / "net"),
        ):
            pass
        with staged_bundle(tmp_path / "other") as other:
            (other / "model.onnx").write_text("beside it")
    assert (tmp_path / "net" / "model.onnx").read_text() == "first"
    assert sorted(os.listdir(tmp_path)) == ["net", "other"]


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL")
def test_what_a_killed_export_left_is_swept(tmp_path: Path) -> None:
    code = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from netloft.bundle import staged_bundle\n"
        "with staged_bundle(Path(sys.argv[1])) as folder:\n"
        "    print(folder, flush=True)\n"
        "    time.sleep(60)\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "net")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as killed:
        assert killed.stdout is not None
        left = Path(killed.stdout.readline().strip())
        with pytest.raises(OutputError, match="another process"), staged_bundle(tmp_path / "net"):
            pass
        killed.send_signal(signal.SIGKILL)
    assert left.is_dir()
    (tmp_path / ".net.mine").mkdir()
    with staged_bundle(tmp_path / "net"):
        pass
    assert sorted(os.listdir(tmp_path)) == [".net.mine", "net"]


def test_a_bundle_that_was_moved_aside_when_the_export_was_killed_comes_back(
    tmp_path: Path,
) -> None:
    make_bundle(tmp_path / ".net.netloft-old")
    with pytest.raises(ZeroDivisionError), staged_bundle(tmp_path / "net"):
        raise ZeroDivisionError
    assert (tmp_path / "net" / "model.onnx").read_text() == "old"


def test_a_long_name_is_refused_and_a_fairly_long_one_is_not(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="File name too long") as caught:
        check_target(tmp_path / ("n" * 300))
    assert caught.value.exit_code == 2
    with staged_bundle(tmp_path / ("n" * 250)):
        pass
    assert os.listdir(tmp_path) == ["n" * 250]


def test_a_parent_that_cannot_be_made_is_an_output_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mkdir = Path.mkdir

    def full(path: Path, *args: object, **options: object) -> None:
        if path.name == "er":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        mkdir(path, *args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Path, "mkdir", full)
    with (
        pytest.raises(OutputError, match="No space left"),
        staged_bundle(tmp_path / "deep" / "er" / "net"),
    ):
        pass
    assert os.listdir(tmp_path) == []


def test_an_old_bundle_that_cannot_be_removed_is_no_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_bundle(tmp_path / "net")
    monkeypatch.setattr(write, "exchange", _no_exchange)
    monkeypatch.setattr(shutil, "rmtree", lambda *args, **options: None)
    with staged_bundle(tmp_path / "net") as folder:
        (folder / "model.onnx").write_text("new")
    assert (tmp_path / "net" / "model.onnx").read_text() == "new"
