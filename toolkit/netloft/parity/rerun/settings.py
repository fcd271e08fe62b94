"""The settings of ONNX Runtime that may change what a file gives."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

__all__ = ["ALONE", "BASE", "PLAIN", "Setting", "settings_of"]

ALONE = "batch"
"""What is varied where the items of a batch are run one by one."""

PLAIN: Mapping[str, Any] = {"optimisation": "none"}
"""A session that runs the file as it is written."""


class Setting(NamedTuple):
    """A way to run a file.

    Attributes:
        varied: `optimisation`, `threads`, `repeat`, `batch` or `TF32`.
        name: How, in a word or two.
        session: What a new session is started with, for `start_session`; None where the session of
            the usual setting is run again.
        precision: Of the arithmetic.
        excuse: Why its rows are notes and no verdicts; empty where they are verdicts.
    """

    varied: str
    name: str
    session: Mapping[str, Any] | None = None
    precision: str = "the file's"
    excuse: str = ""


BASE = Setting("optimisation", "all", {})
"""What everybody gets who asks for nothing; the other settings are compared with it."""

_PRECISION = {
    "cpu": "the file's",
    "cuda": "the file's, TF32 off",
    "tensorrt": "the provider's choice",
    "openvino": "float32, forced",
}

_TF32 = Setting(
    "TF32",
    "on",
    {"use_tf32": True},
    "TensorFloat-32 factors",
    "other arithmetic was asked for; the tolerance is that of float32",
)


def settings_of(provider: str, threads: int) -> Iterator[Setting]:
    """Yield the settings to try on a provider, the usual one first.

    TensorRT and OpenVINO compile the graph themselves, whatever ONNX Runtime's optimiser is told.

    Args:
        provider: `cpu`, `cuda`, `tensorrt` or `openvino`.
        threads: For one operation, in the usual setting.
    """
    precision = _PRECISION[provider]
    yield BASE._replace(precision=precision)
    if provider in ("cpu", "cuda"):
        for level in ("extended", "basic"):
            yield Setting(BASE.varied, level, {"optimisation": level}, precision)
        yield Setting(BASE.varied, "none", PLAIN, precision)
    if provider == "cpu":
        other = 1 if threads > 1 else 2
        yield Setting("threads", f"{other} for {threads}", {"threads": other}, precision)
    if provider == "cuda":
        yield _TF32
    yield Setting("repeat", "same session", None, precision)
    yield Setting("repeat", "new session", {}, precision)
    yield Setting(ALONE, "each item alone", None, precision)
