"""The page of speed tells what is alike from what rounds more."""

from __future__ import annotations

from benchmarks.performance_report import report
from benchmarks.timing import Row

FACTS: Row = {
    "net": "mnist", "threads": 1, "cpu": "a processor", "peak": 100.0, "batch": 1, "macs": 10**6,
    "precision": "fp32", "complaints": [], "sqnr_db": None,
}  # fmt: skip


def row(contestant: str, computes_in: str, ratio: float, verdict: str) -> Row:
    times = {"p50_ms": ratio, "ratio": ratio, "low": ratio, "high": ratio, "verdict": verdict}
    return {**FACTS, "contestant": contestant, "computes_in": computes_in, **times}


def test_what_computes_in_16_bits_in_parts_is_not_alike() -> None:
    for computes_in in ("bf16", "bf16, f32", "f32, f16"):
        rows = [row("netloft", "f32", 1, ""), row("OpenVINO", computes_in, 0.5, "faster")]
        page = "\n".join(report(rows))
        assert "as fast as can be told, on 0 of 1\nrows; of what is alike, on 1." in page
        assert f"0.500, in {computes_in}." in page
    rows[1]["computes_in"] = "f32"
    assert "as can be told, on 0 of 1\nrows; of what is alike, on 0." in "\n".join(report(rows))
