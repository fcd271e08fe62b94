"""Speed, measured so that the numbers can be trusted: side by side, with n and intervals."""

from __future__ import annotations

from netloft.runtime.providers import NotRun
from netloft.speed.contestants import ONNXRUNTIME, Contestant
from netloft.speed.environment import Environment, describe_environment
from netloft.speed.measure import Plan, Samples
from netloft.speed.model import bench_model
from netloft.speed.rows import BenchResult, SpeedRow, TargetResult, TargetRow
from netloft.speed.targets import bench

__all__ = [
    "ONNXRUNTIME",
    "BenchResult",
    "Contestant",
    "Environment",
    "NotRun",
    "Plan",
    "Samples",
    "SpeedRow",
    "TargetResult",
    "TargetRow",
    "bench",
    "bench_model",
    "describe_environment",
]
