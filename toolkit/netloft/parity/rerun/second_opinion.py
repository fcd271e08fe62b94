"""A file run by another implementation than ONNX Runtime, on the same inputs; needs no torch.

Where ONNX Runtime and the module differ, one of them may be at fault; a third that shares no code
with either says which. `reference` is ONNX's own evaluator, in NumPy: slow, and in the types of the
file. `openvino` is Intel's, told to compute in float32: on CPUs that have bfloat16 its default
rounds to that.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import onnx
import onnx.inliner

from netloft.errors import MissingError, UsageError
from netloft.parity.rerun.known import Arrays, Known
from netloft.parity.wide.evaluator import evaluator
from netloft.runtime.reasons import first_line

__all__ = ["OPINIONS", "Opinion", "ask", "require", "verdict_of"]


@dataclass(frozen=True)
class Opinion:
    """What another implementation gives.

    Attributes:
        rows: As those of the certificate, with its name in the place of a provider.
        told: What it is, and in which precision it computed.
        verdict: What it says together with ONNX Runtime; empty where all agree.
    """

    rows: tuple[Mapping[str, Any], ...]
    told: str
    verdict: str


class _Other(Protocol):
    """Another implementation, which holds a file."""

    told: str

    def chosen(self, known: Known) -> list[int]:
        """Return the runs that it is asked for."""

    def run(self, feeds: Arrays, values: Mapping[str, str]) -> Arrays:
        """Return values of the file by the names of the rows."""


class _Reference:
    """ONNX's reference evaluator."""

    def __init__(self, known: Known) -> None:
        model = _whole(known)
        for value in known.extra.values():
            model.graph.output.append(onnx.ValueInfoProto(name=value))
        self._evaluator = evaluator(model)
        self.told = f"onnx.reference {onnx.__version__}: NumPy, in the types of the file"

    def chosen(self, known: Known) -> list[int]:
        usual = [i for i, usual in enumerate(known.usual) if usual]
        least = min((known.batch(i) or 0 for i in usual), default=0)
        return [i for i in usual if (known.batch(i) or 0) == least]

    def run(self, feeds: Arrays, values: Mapping[str, str]) -> Arrays:
        with np.errstate(all="ignore"):  # NaN and infinities are compared, and not warned about
            given = self._evaluator.run(list(values.values()), dict(feeds))
        return dict(zip(values, map(np.asarray, given), strict=True))


class _OpenVino:
    """OpenVINO on the CPU, in float32."""

    def __init__(self, known: Known) -> None:
        import openvino

        core = openvino.Core()
        header = onnx.load(str(known.path), load_external_data=False)
        source = _whole(known).SerializeToString() if header.functions else str(known.path)
        model = core.read_model(source)
        if known.extra:
            model.add_outputs(list(known.extra.values()))
        self._net = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        found = self._net.get_property("INFERENCE_PRECISION_HINT").to_string()
        usual = core.get_property("CPU", "INFERENCE_PRECISION_HINT").to_string()
        if found != "f32":
            raise RuntimeError(f"it computes in {found}, though f32 was asked for")
        version = str(openvino.__version__).partition("-")[0]
        self.told = (
            f"OpenVINO {version}: computes in {found}, as asked; its default here is {usual}"
        )

    def chosen(self, known: Known) -> list[int]:
        return list(range(len(known.feeds)))

    def run(self, feeds: Arrays, values: Mapping[str, str]) -> Arrays:
        given = self._net(dict(feeds))
        return {name: np.array(given[self._net.output(v)]) for name, v in values.items()}


OPINIONS: Mapping[str, Callable[[Known], _Other]] = {
    "reference": _Reference,
    "openvino": _OpenVino,
}
"""Other implementations, by the name that they are asked for with."""


def require(names: Sequence[str]) -> None:
    """Check that other implementations are here, before anything is run.

    Raises:
        UsageError: There is none of this name.
        MissingError: Its package is not installed.
    """
    for name in names:
        if name not in OPINIONS:
            raise UsageError(
                f"there is no second opinion '{name}'", remedy=f"use one of {', '.join(OPINIONS)}"
            )
        if name == "openvino" and importlib.util.find_spec("openvino") is None:
            raise MissingError(
                "a second opinion of openvino needs the package openvino, which is not here",
                remedy="pip install 'netloft[openvino]', or pip install openvino",
            )


def ask(
    known: Known,
    name: str,
    rows: Sequence[Mapping[str, Any]],
    progress: Callable[[str], None] = lambda _: None,
) -> Opinion:
    """Let another implementation run a file, and hold what it gives against what is known.

    Args:
        known: The file, its inputs and what it should give.
        name: `reference` or `openvino`.
        rows: What ONNX Runtime's results came to.
        progress: Told which inputs are run.

    Raises:
        MissingError: The implementation does not know all of what is in the file.
    """
    try:
        other = OPINIONS[name](known)
    except Exception as error:  # each implementation has its own kinds
        raise _cannot(name, "load", error) from error
    values = {output: output for output in known.outputs} | dict(known.extra)
    made: list[Mapping[str, Any]] = []
    for index in other.chosen(known):
        progress(f"{name}: inputs {index + 1} of {len(known.feeds)}")
        try:
            given = other.run(known.feeds[index], values)
        except Exception as error:
            raise _cannot(name, "run", error) from error
        made += known.rows(index, name, given)
    return Opinion(tuple(made), other.told, verdict_of(name, made, rows))


def _cannot(name: str, what: str, error: Exception) -> MissingError:
    return MissingError(
        f"{name} cannot {what} this file: {first_line(error)}",
        remedy=f"leave --second-opinion {name} out, or ask another one",
    )


def _whole(known: Known) -> onnx.ModelProto:
    """Return the file with its weights, and with the nodes of its functions where they are called.

    The values before a saturating head have to be in the main graph to be looked at.
    """
    model = onnx.load(str(known.path))
    return onnx.inliner.inline_local_functions(model) if model.functions else model


def verdict_of(
    name: str, others: Sequence[Mapping[str, Any]], rows: Sequence[Mapping[str, Any]]
) -> str:
    """Say whose fault a failure is, on the inputs that both ran."""
    seen = set(_inputs(others))
    theirs, ours = _failing(others), _failing(rows) & seen
    if ours & theirs:
        return f"ONNX Runtime and {name} both fail, so that the file is at fault"
    if ours:
        return f"{name} passes where ONNX Runtime fails, so that ONNX Runtime is at fault"
    if theirs:
        return (
            f"{name} fails where ONNX Runtime passes: {name} is at fault, or the file leaves open "
            "what each fills in its own way"
        )
    return ""


def _failing(rows: Sequence[Mapping[str, Any]]) -> set[tuple[str, int, str]]:
    """Return where rows fail; an undecided one says nothing of whoever gave it."""
    return {
        where for row, where in zip(rows, _inputs(rows), strict=True) if row["status"] == "fail"
    }


def _inputs(rows: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, int, str]]:
    return ((row["input"], row["batch"], row["output"]) for row in rows)
