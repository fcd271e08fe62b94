"""A second file in the place of a module: its own float32 run, and itself in float64."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper

from netloft.errors import first_line
from netloft.graph.graph import Graph, annotation
from netloft.onnx_graph import GIVES
from netloft.parity.flat import flat_header
from netloft.parity.inputs import Case
from netloft.parity.reference import ROUNDED_RUNS, Arrays, ReferenceRun, moved
from netloft.parity.taps import Tap, tapped_onnx
from netloft.parity.wide.double import MOST_BYTES, bytes_of_weights, doubled
from netloft.parity.wide.evaluator import evaluator
from netloft.parity.wide.operators import FAST
from netloft.runtime.capture import captured_output
from netloft.runtime.providers import start_session

__all__ = ["FileReference"]

_FLOATS = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE)

Run = Callable[[Mapping[str, np.ndarray]], list[np.ndarray]]


class FileReference:
    """Run a file as `netloft.parity.reference.Reference` runs a module.

    Its float32 run is that of ONNX Runtime on the CPU without the optimiser, which may be at fault.
    In float64 it is run by ONNX Runtime where that has the kernels, or else by ONNX's reference
    evaluator. Where neither can, `float64_missing` says why, and float32 is the reference.

    Attributes:
        name: Of the file, for messages.
        float64_missing: Why there is no float64 run; else empty.
        told: What gave the float64 results, in words.
    """

    def __init__(self, path: Path, names: Sequence[str], graph: Graph, taps: Sequence[Tap]) -> None:
        """Start it.

        Args:
            path: The file.
            names: Its inputs and outputs, in order.
            graph: Of the file, with inputs and outputs named as those that it is compared with.
            taps: Values to return besides the outputs.

        Raises:
            UsageError: ONNX Runtime cannot load the file.
        """
        self.name, self.float64_missing, self.told = path.name, "", ""
        self._path, self._graph = path, graph
        self._inputs = names[: len(graph.inputs)]
        self._outputs = list(names[len(graph.inputs) :])
        # what stands before a head may be an input here, of which there is nothing to compare
        inner = [tap for tap in taps if GIVES in graph.node(tap.node).meta]
        self._taps = [dataclasses.replace(tap, value=_value(graph, tap.node)) for tap in inner]
        self._header = flat_header(path)
        self._single = self._session(self._header, self._taps)
        self._double: Run | None = None

    def run(self, case: Case) -> ReferenceRun:
        """Run both."""
        single = self.single(case)
        double = self._wide(case) if not self.float64_missing else None
        return ReferenceRun(single, single if double is None else self._named(double))

    def single(self, case: Case) -> Arrays:
        """Run in float32 alone.

        Raises:
            ValueError: The file does not take such inputs.
        """
        return self._named(self._called(self._single, self._feeds(case.inputs)))

    def rounded_runs(self, case: Case) -> list[Arrays]:
        """Run in float32 on inputs, or weights, that differ by one rounding."""
        generator = torch.Generator().manual_seed(0)
        real = any(t.dtype.is_floating_point and bool(t.any()) for t in case.inputs.values())
        runs = []
        for _ in range(ROUNDED_RUNS):
            inputs = {name: moved(t, t.dtype, generator) for name, t in case.inputs.items()}
            run = self._single if real else self._moved(generator)
            if run is not None:
                runs.append(self._named(self._called(run, self._feeds(inputs))))
        return runs

    def summed_runs(self, case: Case) -> list[Arrays]:
        """Return none: how a runtime adds is its own affair."""
        return []

    def ranked(self, case: Case, node: str) -> tuple[np.ndarray, np.ndarray]:
        """Return what a node of the graph gives, in float32 and in float64."""
        if annotation(self._graph.node(node)).op == "input":
            index = [value.node for value in self._graph.inputs].index(node)
            given = list(self._feeds(case.inputs).values())[index]
            return given, given.astype(np.float64)
        tap = Tap("ranked", "", node, _value(self._graph, node), "float32")
        single = self._session(self._header, [tap])(self._feeds(case.inputs))[-1]
        if self.float64_missing:
            return single, single
        return single, _widened(self._path, [tap], self._feeds(case.inputs, wide=True)).values[-1]

    def _wide(self, case: Case) -> list[np.ndarray] | None:
        feeds = self._feeds(case.inputs, wide=True)
        try:
            if self._double is not None:
                return self._double(feeds)
            made = _widened(self._path, self._taps, feeds)
        except Exception as error:  # noqa: BLE001 - each evaluator has its own, and it is told
            self.float64_missing, self.told = first_line(error), ""
            return None
        self._double, self.told = made.run, made.told
        return made.values

    def _feeds(self, inputs: Mapping[str, torch.Tensor], *, wide: bool = False) -> Arrays:
        arrays = [np.asarray(t.numpy(), order="C") for t in inputs.values()]
        if wide:
            arrays = [a.astype(np.float64) if a.dtype.kind == "f" else a for a in arrays]
        return dict(zip(self._inputs, arrays, strict=True))

    def _called(self, run: Run, feeds: Arrays) -> list[np.ndarray]:
        try:
            return run(feeds)
        except Exception as error:  # ONNX Runtime has a dozen unrelated kinds
            raise ValueError(first_line(error)) from error

    def _named(self, values: Sequence[np.ndarray]) -> Arrays:
        names = [output.name for output in self._graph.outputs] + [t.name for t in self._taps]
        return dict(zip(names, map(np.asarray, values), strict=True))

    def _session(self, header: onnx.ModelProto, taps: Sequence[Tap]) -> Run:
        names = self._outputs + [tap.value for tap in taps]
        folder = self._path.absolute().parent
        data = tapped_onnx(header, [tap for tap in taps if tap.value not in self._outputs])
        started = start_session(data, optimisation="none", weights_in=folder)
        return lambda feeds: list(started.run(names, dict(feeds)))

    def _moved(self, generator: torch.Generator) -> Run | None:
        """Return the file with weights that differ by one rounding; None for a very large one."""
        if bytes_of_weights(self._header) > MOST_BYTES:
            return None
        model = onnx.ModelProto()
        model.CopyFrom(self._header)
        onnx.load_external_data_for_model(model, str(self._path.absolute().parent))
        for tensor in model.graph.initializer:
            if tensor.data_type in _FLOATS:
                weight = torch.from_numpy(numpy_helper.to_array(tensor).copy())
                changed = moved(weight, weight.dtype, generator).numpy()
                tensor.CopyFrom(numpy_helper.from_array(changed, tensor.name))
        return self._session(model, self._taps)


@dataclasses.dataclass(frozen=True)
class _Wide:
    """A file in float64: what runs it, what that is in words, and what it gave first."""

    run: Run
    told: str
    values: list[np.ndarray]


def _widened(path: Path, taps: Sequence[Tap], feeds: Arrays) -> _Wide:
    """Run a file in float64, by ONNX Runtime if that can.

    Raises:
        CheckError: The file cannot be written in float64.
        Exception: The evaluator does not know an operator; it has a dozen unrelated kinds.
    """
    made = doubled(path)
    names = [output.name for output in made.model.graph.output]
    for value in (tap.value for tap in taps if tap.value not in names):
        made.model.graph.output.append(
            helper.make_tensor_value_info(value, TensorProto.DOUBLE, None)
        )
    names += [tap.value for tap in taps]
    still = f"; in it {', '.join(made.narrow)} rounds to float32" if made.narrow else ""

    def by_evaluator(feeds: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        with np.errstate(all="ignore"):  # NaN and infinities are compared, and not warned about
            return list(slow.run(names, dict(feeds)))

    try:
        with captured_output():  # ONNX Runtime also prints why it fails
            session = start_session(made.model.SerializeToString(), optimisation="none")
            values = list(session.run(names, dict(feeds)))
    except Exception:  # noqa: BLE001 - no kernel for float64, or one in name alone, as LSTM's
        slow = evaluator(made.model, FAST)
        told = f"{path.name} was run in float64 by onnx.reference{still}"
        return _Wide(by_evaluator, told, by_evaluator(feeds))
    told = f"{path.name} was run in float64 by ONNX Runtime{still}"
    return _Wide(lambda feeds: list(session.run(names, dict(feeds))), told, values)


def _value(graph: Graph, node: str) -> str:
    """Return what a file calls the value that a node of its graph gives."""
    return str(graph.node(node).meta[GIVES])
