"""Speed, measured so that the numbers can be trusted: side by side, with n and intervals."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

from netloft.bench.contestants import ONNXRUNTIME, Contestant
from netloft.bench.environment import Environment, describe_environment
from netloft.bench.measure import Plan, Samples
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
]


class _CallableModule(ModuleType):
    """`netloft.bench` is a function to users, and this module once something in it is imported."""

    def __call__(self, *targets: Any, **options: Any) -> TargetResult:
        return bench(*targets, **options)


sys.modules[__name__].__class__ = _CallableModule
