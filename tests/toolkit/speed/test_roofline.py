"""The work of kernels, from what ONNX Runtime notes of them, and the least time it can take."""

from __future__ import annotations

from typing import Any

import pytest

from netloft.errors import MissingError
from netloft.speed.peak import Peak, measure_peak
from netloft.speed.roofline import Work, limit_ms, total, work_of


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
        ("MatMul", HALF, Work(None, 32 + 64 + 16)),  # its peak is another one
        ("ConvTranspose", CONVOLUTION, Work(None, 1204224 + 37888 + 6422528)),
        ("LSTM", WHOLE, Work(None, 64 + 128 + 32)),
        ("MaxPool", POOL, Work(0, 6422528 + 1605632)),
        ("QLinearConv", QUANTISED, Work(None, 192 + 108 + 256)),
        ("Shape", {}, Work(0, 0)),
    ],
)
def test_work_of_a_kernel(kernel: str, run: dict[str, Any], work: Work) -> None:
    assert work_of(kernel, run) == work


def test_the_limit_is_the_slower_of_both() -> None:
    peak = Peak(threads=1, gflops=100, gbs=10)
    assert limit_ms(Work(50_000_000, 1000), peak) == pytest.approx(1.0)  # computes
    assert limit_ms(Work(1, 10_000_000), peak) == pytest.approx(1.0)  # moves
    assert limit_ms(Work(None, 5), peak) is None


def test_the_sum_of_works() -> None:
    assert total([Work(1, 2), Work(3, 4)]) == Work(4, 6)
    assert total([Work(1, 2), Work(None, 4)]) == Work(None, 6)


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
