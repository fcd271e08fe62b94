"""Speed, measured so that the numbers can be trusted: side by side, with n and intervals."""

from netloft.bench.contestants import ONNXRUNTIME, Contestant
from netloft.bench.environment import Environment, describe_environment
from netloft.bench.measure import Plan, Samples, measure
from netloft.bench.model import bench_model
from netloft.bench.rows import BenchResult, SpeedRow, TargetResult, TargetRow
from netloft.bench.targets import bench
from netloft.runtime.providers import NotRun

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
    "measure",
]
