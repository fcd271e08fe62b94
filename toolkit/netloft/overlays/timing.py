"""Where time goes: each node timed in PyTorch, next to runs of the whole that nothing watches."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import torch
from torch import fx

from netloft.errors import CheckError
from netloft.graph.graph import Graph
from netloft.overlays.overlay import Inputs, Overlay, threads_told
from netloft.speed.adding_up import TRIES, adds_up, percent
from netloft.speed.stats import median
from netloft.tracing.faithful import silent

__all__ = ["TimedInterpreter", "times"]

SECONDS, FEWEST, MOST = 2.0, 7, 60
"""How long to measure, and in how many rounds at least and at most."""


class TimedInterpreter(fx.Interpreter):
    """Run a graph and keep the seconds of every call, without those of the interpreter itself."""

    def __init__(self, module: fx.GraphModule, clock: Callable[[], float]) -> None:
        super().__init__(module)
        self._clock = clock
        self._last = 0.0
        self.seconds: dict[str, list[float]] = defaultdict(list)

    def run_node(self, n: fx.Node) -> Any:
        """Run a node and keep what its call took."""
        self._last = 0.0
        result = super().run_node(n)
        if n.op.startswith("call_"):
            self.seconds[n.name].append(self._last)
        return result

    def _timed(self, call: Callable[..., Any], *given: Any) -> Any:
        start = self._clock()
        result = call(*given)
        self._last = self._clock() - start
        return result

    def call_module(self, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call a module."""
        module = self.fetch_attr(target)
        return self._timed(lambda: module(*args, **kwargs))

    def call_function(self, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call a function."""
        return self._timed(super().call_function, target, args, kwargs)

    def call_method(self, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call a method."""
        return self._timed(super().call_method, target, args, kwargs)


def times(
    graph: Graph, inputs: Inputs | None, clock: Callable[[], float] = time.perf_counter
) -> Overlay:
    """Measure each node in eager PyTorch on the CPU.

    Rounds of the whole graph, run as it is, alternate with rounds in which every call is timed; of
    both the median counts.

    Args:
        graph: What to run.
        inputs: By name of `forward`'s argument.
        clock: Seconds; tests bring their own.

    Raises:
        CheckError: The nodes do not add up to the whole within `SHARE`.
    """
    assert inputs is not None
    values, whole = dict[str, float](), 0.0
    for _ in range(TRIES):
        values, whole = _measured(graph.module, inputs, clock)
        if adds_up(values.values(), whole):
            break
    else:
        raise CheckError(
            f"the operations took {percent(values.values(), whole)} % of the time of the whole "
            "network, which is too far from all of it to say where time goes",
            remedy="draw again when the machine is quiet",
        )
    batch = next((t.shape[0] for t in inputs.values() if t.dim()), 1)
    title = (
        f"time in eager PyTorch {torch.__version__.partition('+')[0]} on the CPU, "
        f"batch {batch}, {threads_told(torch.get_num_threads())}, median"
    )
    share = percent(values.values(), whole)
    note = f"operations add up to {share} % of {whole * 1e3:.3g} ms for the whole"
    return Overlay("time", title, "s", "sum", values, sum(values.values()), notes=(note,))


def _measured(
    module: fx.GraphModule, inputs: Inputs, clock: Callable[[], float]
) -> tuple[dict[str, float], float]:
    interpreter = TimedInterpreter(module, clock)
    whole = list[float]()
    with torch.inference_mode(), silent():
        for _ in range(2):  # the first runs bring memory and kernels
            module(*_fresh(inputs))
            interpreter.run(*_fresh(inputs))
        interpreter.seconds.clear()
        start = clock()
        while len(whole) < FEWEST or (len(whole) < MOST and clock() - start < SECONDS):
            given = _fresh(inputs)
            before = clock()
            module(*given)
            whole.append(clock() - before)
            interpreter.run(*_fresh(inputs))
    return {name: median(found) for name, found in interpreter.seconds.items()}, median(whole)


def _fresh(inputs: Inputs) -> list[Any]:
    """A network may write into its inputs."""
    return [tensor.clone() for tensor in inputs.values()]
