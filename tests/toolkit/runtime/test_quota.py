"""What a container's quota leaves of the CPUs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from netloft.runtime import providers
from netloft.runtime.quota import Throttled, cores, cpu_quota, throttled, throttled_since


def tree(folder: Path, groups: str, files: dict[str, str]) -> tuple[Path, Path]:
    listed, mount = folder / "cgroup", folder / "mount"
    listed.write_text(groups)
    for name, content in files.items():
        (mount / name).parent.mkdir(parents=True, exist_ok=True)
        (mount / name).write_text(content)
    return listed, mount


@pytest.mark.parametrize(
    ("groups", "files", "expected"),
    [
        ("0::/\n", {"cpu.max": "200000 100000\n"}, 2.0),
        ("0::/\n", {"cpu.max": "max 100000\n"}, None),
        ("0::/a/b\n", {"a/cpu.max": "50000 100000\n", "a/b/cpu.max": "max 100000\n"}, 0.5),
        ("0::/a/b\n", {"a/cpu.max": "150000 50000\n", "a/b/cpu.max": "20000 10000\n"}, 2.0),
        ("0::/docker/12\n", {"cpu.max": "400000 100000\n"}, 4.0),  # seen from within
        ("0::/../b\n", {"cpu.max": "400000 100000\n"}, None),
        (
            "4:memory:/x\n3:cpu,cpuacct:/x\n",
            {
                "cpu,cpuacct/x/cpu.cfs_quota_us": "300000\n",
                "cpu,cpuacct/x/cpu.cfs_period_us": "100000\n",
            },
            3.0,
        ),
        (
            "3:cpu:/\n",
            {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"},
            None,
        ),
        ("0::/\n", {"cpu.max": "1 0\n"}, None),
        ("0::/\n", {"cpu.max": "\n"}, None),
        ("strange\n", {}, None),
        ("", {}, None),
    ],
)
def test_a_quota(tmp_path: Path, groups: str, files: dict[str, str], expected: float) -> None:
    assert cpu_quota(*tree(tmp_path, groups, files)) == expected


def test_cores_are_counted_once(tmp_path: Path) -> None:
    for cpu, siblings in enumerate(("0,2", "1,3", "0,2", "1,3")):
        (tmp_path / f"cpu{cpu}" / "topology").mkdir(parents=True)
        (tmp_path / f"cpu{cpu}" / "topology" / "thread_siblings_list").write_text(siblings)
    assert cores(tmp_path) == 2
    assert cores(tmp_path / "none") == os.cpu_count()


V2 = "usage_usec 9\nnr_periods {}\nnr_throttled {}\nthrottled_usec {}\nnr_bursts 0\n"
V1 = "nr_periods {}\nnr_throttled {}\nthrottled_time {}000\n"


@pytest.mark.parametrize(
    ("groups", "folder", "form"),
    [
        ("0::/a/b\n", "a", V2),
        ("0::/docker/12\n", ".", V2),
        ("3:cpu,cpuacct:/x\n", "cpu,cpuacct/x", V1),
    ],
)
def test_how_a_quota_held_the_threads_back(
    tmp_path: Path, groups: str, folder: str, form: str
) -> None:
    places = tree(tmp_path, groups, {f"{folder}/cpu.stat": form.format(100, 3, 250_000)})
    before = throttled(*places)
    assert list(before.values()) == [Throttled(100, 3, 0.25)]
    (tmp_path / "mount" / folder / "cpu.stat").write_text(form.format(140, 13, 1_750_000))
    assert throttled_since(before, *places) == Throttled(40, 10, 1.5)


def test_the_group_that_was_held_back_the_longest_counts(tmp_path: Path) -> None:
    files = {"a/cpu.stat": V2.format(1, 1, 1), "a/b/cpu.stat": V2.format(0, 0, 0)}
    places = tree(tmp_path, "0::/a/b\n", {**files, "cpu.stat": "usage_usec 9\n"})
    before = throttled(*places)
    assert len(before) == 2, "the outermost has no quota"
    (tmp_path / "mount" / "a" / "cpu.stat").write_text(V2.format(11, 6, 2_000_001))
    (tmp_path / "mount" / "a" / "b" / "cpu.stat").write_text(V2.format(10, 1, 1_000_000))
    assert throttled_since(before, *places) == Throttled(10, 5, 2.0)


@pytest.mark.parametrize("text", ["", "strange", "nr_throttled x\n", "nr_periods 3\n"])
def test_groups_that_do_not_say(tmp_path: Path, text: str) -> None:
    places = tree(tmp_path, "0::/a\n", {"a/cpu.stat": text})
    assert throttled(*places) == {}
    assert throttled_since({}, *places) is None


def test_a_system_without_groups(tmp_path: Path) -> None:
    assert cpu_quota(tmp_path / "none", tmp_path / "none") is None


@pytest.mark.parametrize(("cpus", "expected"), [(16, None), (12, 8), (8, 8), (2, 2), (1, 1)])
def test_a_session_has_no_more_threads_than_the_process_has_cpus(
    monkeypatch: pytest.MonkeyPatch, cpus: int, expected: int | None
) -> None:
    monkeypatch.setattr(providers, "cores", lambda: 8)
    monkeypatch.setattr(os, "cpu_count", lambda: 16)
    monkeypatch.setattr(providers, "process_cpus", lambda: cpus)
    assert providers.usual_threads() == expected
    for asked, given in ((None, expected or 0), (3, 3)):
        session = providers.start_session(providers.TINY_MODEL, threads=asked)
        assert session.get_session_options().intra_op_num_threads == given


@pytest.mark.parametrize(("quota", "expected"), [(None, 8), (2.0, 2), (1.5, 2), (0.1, 1), (64, 8)])
def test_a_process_has_what_its_quota_leaves(
    monkeypatch: pytest.MonkeyPatch, quota: float | None, expected: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    monkeypatch.setattr(providers, "cpu_quota", lambda: quota)
    assert providers.process_cpus() == expected
