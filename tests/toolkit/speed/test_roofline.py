"""The work of kernels, from what ONNX Runtime notes of them, and the least time it can take."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from netloft.errors import MissingError
from netloft.speed.caches import cache_bytes, free_bytes
from netloft.speed.counting import NOTHING, FromFile
from netloft.speed.peak import Peak, array_bytes, measure_peak
from netloft.speed.roofline import BYTES_ALONE, Limit, Work, limit_of, total, work_of


def facts(reads: list[Any], gives: list[Any], sizes: tuple[int, int, int]) -> dict[str, Any]:
    """Return a run as ONNX Runtime notes it: sizes of activations, weights and result."""
    activation, weight, result = map(str, sizes)
    return {
        "input_type_shape": reads,
        "output_type_shape": gives,
        "activation_size": activation,
        "parameter_size": weight,
        "output_size": result,
    }


CONVOLUTION = facts(
    [{"float": [2, 3, 224, 224]}, {"float": [64, 3, 7, 7]}, {"float": [64]}],
    [{"float": [2, 64, 112, 112]}],
    (1204224, 37888, 6422528),
)
PRODUCT = facts(
    [{"float": [2, 512]}, {"float": [1000]}], [{"float": [2, 1000]}], (4096, 4000, 8000)
)
WHOLE = facts([{"float": [2, 8]}, {"float": [8, 4]}], [{"float": [2, 4]}], (64, 128, 32))
POOL = facts([{"float": [2, 64, 112, 112]}], [{"float": [2, 64, 56, 56]}], (6422528, 0, 1605632))
TURNED = facts(
    [{"float": [512, 8]}, {"float": [512, 4]}], [{"float": [8, 4]}], (16384, 8192, 128)
)  # transA
BATCHES = facts(
    [{"float": [3, 5, 7]}, {"float": [3, 7, 2]}], [{"float": [3, 5, 2]}], (420, 168, 120)
)
HALF = facts([{"float16": [2, 8]}, {"float16": [8, 4]}], [{"float16": [2, 4]}], (32, 64, 16))
QUANTISED = facts([{"uint8": [1, 3, 8, 8]}], [{"uint8": [1, 4, 8, 8]}], (192, 108, 256))


@pytest.mark.parametrize(
    ("kernel", "run", "work"),
    [
        ("Conv", CONVOLUTION, Work(2 * 64 * 112 * 112 * 3 * 49, 1204224 + 37888 + 6422528)),
        ("Gemm", PRODUCT, Work(2 * 1000 * 512, 4096 + 4000 + 8000 + 512 * 1000 * 4)),  # packed
        ("MatMul", WHOLE, Work(2 * 4 * 8, 64 + 128 + 32)),
        ("Gemm", TURNED, Work(8 * 4 * 512, 16384 + 8192 + 128)),
        ("MatMul", BATCHES, Work(3 * 5 * 2 * 7, 420 + 168 + 120)),
        (
            "MatMul",
            facts(
                [{"float": [6, 6]}, {"float": [3, 6, 2]}], [{"float": [3, 6, 2]}], (144, 144, 144)
            ),
            Work(None, 432),
        ),  # repeated
        (
            "Gemm",
            facts([{"float": [2, 512]}, {"float": [1, 9]}], [{"float": [2, 9]}], (4096, 36, 72)),
            Work(None, 4204),
        ),  # a bias
        ("MatMul", HALF, Work(2 * 4 * 8, 32 + 64 + 16, "float16")),
        ("LSTM", WHOLE, Work(None, 64 + 128 + 32)),  # no sequence
        ("MaxPool", POOL, Work(0, 6422528 + 1605632)),
        ("QLinearConv", QUANTISED, Work(None, 192 + 108 + 256)),  # its weight was packed
        ("NonMaxSuppression", POOL, Work(None, 6422528 + 1605632)),
        ("Shape", {}, Work(0, 0)),
    ],
)
def test_work_of_a_kernel(kernel: str, run: dict[str, Any], work: Work) -> None:
    assert work_of(kernel, run) == work


SCALARS: list[Any] = [{"float": []}, {"uint8": []}, {"float": []}, {"int8": []}, {"float": []}]
KNOWN = FromFile(weight=(4, 3, 3, 3))
ENDS: list[Any] = [{"float": [5, 2, 2, 16]}, {"float": [2, 2, 16]}]


@pytest.mark.parametrize(
    ("kernel", "run", "known", "work"),
    [
        ("QLinearConv", QUANTISED, KNOWN, Work(4 * 64 * 27, 192 + 108 + 256 + 108, "int8")),
        (
            "ConvInteger",
            facts([{"uint8": [1, 3, 8, 8]}, {"int8": [4, 3, 3, 3]}], [{"int32": [1, 4, 6, 6]}],
                  (192, 108, 576)),
            NOTHING,
            Work(4 * 36 * 27, 192 + 108 + 576, "int8"),
        ),
        (
            "ConvTranspose",  # each element of the input meets 16 filters of 2 x 2
            facts([{"float": [1, 8, 10, 10]}], [{"float": [1, 16, 20, 20]}], (3200, 0, 25600)),
            FromFile(weight=(8, 16, 2, 2)),
            Work(800 * 16 * 4, 3200 + 25600 + 8 * 16 * 4 * 4),
        ),
        (
            "QGemm",
            facts([{"uint8": [4, 32]}, *SCALARS], [{"uint8": [4, 16]}], (128, 15, 64)),
            NOTHING,
            Work(4 * 16 * 32, 128 + 15 + 64 + 32 * 16, "int8"),
        ),
        (
            "DynamicQuantizeMatMul",  # gives float32, and multiplies bytes
            facts([{"float": [4, 32]}, {"float": []}], [{"float": [4, 16]}], (512, 5, 256)),
            NOTHING,
            Work(4 * 16 * 32, 512 + 5 + 256 + 32 * 16, "int8"),
        ),
        (
            "Einsum",
            facts([{"float": [2, 8, 10]}, {"float": [4, 8]}], [{"float": [2, 4, 10]}], (8, 8, 8)),
            FromFile(equation="b c h, oc -> boh"),
            Work(2 * 8 * 10 * 4, 24),
        ),
        (
            "Einsum",
            facts([{"float": [2, 3, 5, 7]}, {"float": [1, 7, 4]}], [{"float": [2, 3, 5, 4]}],
                  (8, 8, 8)),
            FromFile(equation="...ij,...jk->...ik"),
            Work(2 * 3 * 5 * 7 * 4, 24),
        ),
        ("Einsum", WHOLE, FromFile(equation="ab,bc,cd->ad"), Work(None, 64 + 128 + 32)),
        (
            "LSTM",  # five steps of two items, both ways, four gates of 8 + 16 inputs
            facts([{"float": [5, 2, 8]}, {"float": [2, 128]}], ENDS, (320, 1024, 1536)),
            NOTHING,
            Work(5 * 2 * 2 * 64 * 24, 320 + 1024 + 1536 + 2 * 64 * 24 * 4),
        ),
        (
            "RNN",  # its weights are not packed
            facts([{"float": [5, 2, 8]}, {"float": [1, 16, 8]}, {"float": [1, 16, 16]}],
                  [{"float": [1, 2, 16]}], (320, 1536, 128)),
            NOTHING,
            Work(5 * 2 * 16 * 24, 320 + 1536 + 128),
        ),
        (
            "MultiHeadAttention",
            facts([{"float": [2, 5, 32]}, *[{"float": [2, 7, 32]}] * 2], [{"float": [2, 5, 32]}],
                  (4864, 0, 1280)),
            NOTHING,
            Work(2 * (2 * 5 * 7 * 32), 4864 + 1280),
        ),
        (
            "Attention",  # of ONNX Runtime itself, with the projections
            facts([{"float": [2, 5, 32]}, {"float": [96]}], [{"float": [2, 5, 32]}],
                  (1280, 384, 1280)),
            NOTHING,
            Work(2 * 5 * 32 * 96 + 2 * (2 * 5 * 5 * 32), 1280 + 384 + 1280 + 32 * 96 * 4),
        ),
    ],
)  # fmt: skip
def test_work_whose_weights_were_packed(
    kernel: str, run: dict[str, Any], known: FromFile, work: Work
) -> None:
    assert work_of(kernel, run, known) == work


def test_the_limit_is_the_slower_of_both() -> None:
    peak = Peak(threads=1, gflops=100, gbs=10)
    assert limit_of(Work(50_000_000, 1000), peak) == Limit(1.0, "multiply-adds")
    assert limit_of(Work(1, 10_000_000), peak) == Limit(1.0, "bytes")
    assert limit_of(Work(None, 5), peak) is None


def test_of_other_types_the_bytes_alone_are_a_limit() -> None:
    peak = Peak(threads=1, gflops=100, gbs=10)
    work = Work(50_000_000_000, 10_000_000, "int8")
    assert limit_of(work, peak) == Limit(1.0, BYTES_ALONE)


def test_the_sum_of_works() -> None:
    assert total([Work(1, 2), Work(3, 4)]) == Work(4, 6)
    assert total([Work(1, 2), Work(None, 4)]) == Work(None, 6)


MIB = 1 << 20


@pytest.mark.parametrize(
    ("threads", "cached", "free", "together"),
    [
        (1, 8 * MIB, None, 192 * MIB),
        (2, 32 * MIB, None, 384 * MIB),
        (64, 32 * MIB, None, 1024 * MIB),
        (64, 768 * MIB, None, 3072 * MIB),  # two sockets of an EPYC
        (1, 480 * MIB, None, 1920 * MIB),
        (1, 480 * MIB, 1000 * MIB, 500 * MIB),
        (8, 1 << 40, None, 8192 * MIB),
        (4, 0, None, 768 * MIB),
    ],
)
def test_arrays_do_not_stay_in_the_caches(
    threads: int, cached: int, free: int | None, together: int
) -> None:
    found = array_bytes(threads, cached, free)
    assert found * 3 * threads == pytest.approx(together, rel=1e-3)


def test_caches_and_memory_are_those_of_the_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for cpu, shared in enumerate(("0-1", "0-1", "2-3", "2-3")):
        for level, size in (("1", "48K"), ("3", "32M")):
            place = tmp_path / f"cpu{cpu}" / "cache" / f"index{level}"
            place.mkdir(parents=True)
            for name, text in (("level", level), ("size", size), ("shared_cpu_list", shared)):
                (place / name).write_text(f"{text}\n")
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1, 2}, raising=False)
    assert cache_bytes(tmp_path) == 64 * MIB
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {1}, raising=False)
    assert cache_bytes(tmp_path) == 32 * MIB
    assert cache_bytes(tmp_path / "none") == 0
    (tmp_path / "meminfo").write_text("MemTotal:  4096 kB\nMemAvailable:   2048 kB\n")
    assert free_bytes(tmp_path / "meminfo", tmp_path) == 2 * MIB
    (tmp_path / "memory.current").write_text("1000\n")
    (tmp_path / "memory.max").write_text("max\n")
    assert free_bytes(tmp_path / "meminfo", tmp_path) == 2 * MIB
    (tmp_path / "memory.max").write_text("5000\n")
    assert free_bytes(tmp_path / "meminfo", tmp_path) == 4000
    assert free_bytes(tmp_path / "none", tmp_path / "none") is None


def test_the_peak_is_one_of_a_processor() -> None:
    peak = measure_peak(1)
    assert peak.threads == 1
    assert 2 < peak.gflops < 2000, "10^9 operations per second of one core"
    assert 0.3 < peak.gbs < 2000, "10^9 bytes per second of one core"


def test_without_a_compiler_there_is_no_peak(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("CC", "")
    with pytest.raises(MissingError, match="needs a C compiler"):
        measure_peak(1)
