"""Numbers that several parts share; importing them costs nothing."""

from __future__ import annotations

__all__ = [
    "BATCHES",
    "CLASS",
    "DEFAULT_OPSET",
    "INLINE_LIMIT",
    "JSON_FORMAT",
    "LABELS",
    "LEAST_BUDGET",
    "MAP",
    "MAP_METHODS",
    "MAX_BATCH",
    "MAX_ELEMENTS",
    "MAX_THREADS",
    "MODULE",
    "OPSETS",
    "PRECISIONS",
    "PREPROCESS",
    "SCOPE",
    "SOURCE",
    "TRIAL_GIB",
    "TRIAL_SECONDS",
]

DEFAULT_OPSET = 20
"""What torch.onnx writes by default, and every ONNX Runtime since 1.17 reads."""

OPSETS = range(18, 27)
"""Operator sets that torch.onnx writes and ONNX Runtime supports officially."""

BATCHES = (1, 8)
"""Batch sizes that are measured where none is named."""

PRECISIONS = ("fp32", "fp16", "int8")
"""Element types of weights and arithmetic."""

INLINE_LIMIT = 1_900_000_000
"""Bytes of weights up to which one file holds all; protobuf ends at 2 GiB."""

LABELS, MAP, PREPROCESS = "netloft.labels", "netloft.map", "netloft.preprocess"
"""Keys of an ONNX file's metadata; their values are JSON."""

MODULE, CLASS, SOURCE = "netloft.module", "netloft.class", "netloft.source"
"""Keys of the metadata that each node of an ONNX file carries."""

SCOPE = "netloft.scope"
"""Key of the module calls around a node, outermost first: JSON, pairs of call and class."""

MAP_METHODS = ("gradcam", "gradcam++")
"""How a map of what speaks for a class is made."""

MAX_BATCH = 65_536
"""The largest fixed batch size: beyond it a number is a slip, and costs the machine its memory."""

MAX_THREADS = 256
"""The most threads for one operation, for the same reason."""

MAX_ELEMENTS = 2**31
"""The most elements of one input: 8 GiB in float32."""

JSON_FORMAT = 1
"""Version of what `--json` prints, and of report.json: `docs/schema` says what it holds."""

LEAST_BUDGET = 32
"""Evaluations below which a search for the worst input hardly gets beyond where it starts."""

TRIAL_GIB, TRIAL_SECONDS = 8.0, 120.0
"""What a file may use that is tried out: memory beyond thrice its size, and time on the clock."""
