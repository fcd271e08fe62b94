"""Proof that the graph computes what the module computes, before anything else uses it.

The module and its graph are run on fresh inputs at several batch sizes. When they disagree, or
the module disagrees with itself, every torch function of both runs is fingerprinted and the first
one that differs is named with its line.
"""

from __future__ import annotations

import contextlib
import inspect
import io
import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from types import MappingProxyType
from typing import Any

import torch
from torch import fx, nn
from torch.overrides import TorchFunctionMode, resolve_name

from netloft.errors import TraceError, first_line
from netloft.graph.annotation import Source
from netloft.tracing.axes import Axes, lengths_of, other_lengths, stretched
from netloft.tracing.clone import sharing_copy
from netloft.tracing.guard import changed_weight, plain_state, random_state
from netloft.tracing.source import current_source, describe, raised_at, relative_file

__all__ = [
    "UnfaithfulError",
    "accepts",
    "check_faithful",
    "flatten_outputs",
    "fresh_inputs",
    "silent",
]

BATCHES = (1, 2, 5)
_LOOKS = 5
ROUNDING = 1e-6
"""Scaled difference put down to rounding; a dropped cast to bfloat16 makes 4e-3."""


class UnfaithfulError(TraceError):
    """The graph is at fault and not the module: it runs otherwise than the module does."""


@contextlib.contextmanager
def silent() -> Iterator[None]:
    """Keep a module's prints off standard output, which is for data."""
    with contextlib.redirect_stdout(io.StringIO()):
        yield


def fresh_inputs(
    example: Mapping[str, torch.Tensor], batch: int | None, seed: int
) -> dict[str, torch.Tensor]:
    """Return inputs like the example, with new values and `batch` items (None: as many)."""
    generator = torch.Generator().manual_seed(seed)
    return {name: _fresh(tensor, batch, generator) for name, tensor in example.items()}


def _fresh(tensor: torch.Tensor, batch: int | None, generator: torch.Generator) -> torch.Tensor:
    shape = list(tensor.shape)
    if batch is not None and shape:
        shape[0] = batch
    if tensor.dtype.is_floating_point:
        return torch.randn(shape, generator=generator).to(tensor.dtype)
    if tensor.dtype is torch.bool:
        return torch.rand(shape, generator=generator) > 0.5
    high = int(tensor.max()) + 1 if tensor.numel() else 1
    low = min(int(tensor.min()), 0) if tensor.numel() else 0
    return torch.randint(low, max(high, low + 1), shape, generator=generator).to(tensor.dtype)


def flatten_outputs(result: Any, name: str = "output") -> dict[str, torch.Tensor]:
    """Return the tensors of a module's result by name; dict keys are kept."""
    flat: dict[str, torch.Tensor] = {}
    _flatten_into(flat, result, "")
    if len(flat) == 1 and "" in flat:
        return {name: flat[""]}
    return {(key if key and not key[0].isdigit() else f"{name}_{key}"): flat[key] for key in flat}


def _flatten_into(flat: dict[str, torch.Tensor], result: Any, prefix: str) -> None:
    if isinstance(result, torch.Tensor):
        flat[prefix] = result
        return
    items: Sequence[tuple[str, Any]] = ()
    if isinstance(result, Mapping):
        items = [(str(key), item) for key, item in result.items()]
    elif hasattr(result, "_asdict"):
        items = list(result._asdict().items())
    elif isinstance(result, tuple | list):
        items = [(str(i), item) for i, item in enumerate(result)]
    for key, item in items:
        _flatten_into(flat, item, f"{prefix}_{key}" if prefix else key)


@dataclass
class _Step:
    function: str
    print: tuple[Any, ...]
    source: Source | None
    drew: bool


class _Steps(TorchFunctionMode):
    """Write down a fingerprint of what each torch function gives, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.steps: list[_Step] = []
        self._state = random_state()

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        tensors = [t for t in _leaves(result) if t.numel()]
        with torch._C.DisableTorchFunction():
            state = random_state()
        if tensors or state != self._state:
            prints = tuple(_fingerprint(t) for t in tensors)
            name = resolve_name(func) or getattr(func, "__name__", "")
            self.steps.append(_Step(name, prints, current_source(), state != self._state))
        self._state = state
        return result


def _leaves(result: Any) -> list[torch.Tensor]:
    if isinstance(result, torch.Tensor):
        return [result]
    if isinstance(result, tuple | list):
        return [tensor for item in result for tensor in _leaves(item)]
    return []


def _fingerprint(tensor: torch.Tensor) -> tuple[tuple[int, ...], float, float]:
    with torch._C.DisableTorchFunction():
        values = tensor.detach().double()
        return tuple(tensor.shape), float(values.sum()), float(values.abs().sum())


@contextlib.contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Run user code quietly, without gradients, on a generator of its own."""
    with torch.random.fork_rng(devices=[]), torch.no_grad(), silent():
        torch.manual_seed(seed)
        yield


def _run(call: Callable[..., Any], inputs: Mapping[str, torch.Tensor], seed: int) -> Any:
    arguments = {name: tensor.clone() for name, tensor in inputs.items()}
    with _seeded(seed):
        return call(**arguments)


def _steps(call: Callable[..., Any], inputs: Mapping[str, torch.Tensor], seed: int) -> list[_Step]:
    recorder = _Steps()
    with recorder:
        _run(call, inputs, seed)
    return recorder.steps


def _same(first: Any, second: Any) -> bool:
    a, b = flatten_outputs(first), flatten_outputs(second)
    return a.keys() == b.keys() and all(_equal(a[key], b[key]) for key in a)


def _equal(a: torch.Tensor, b: torch.Tensor) -> bool:
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    if torch.equal(a, b) or not a.numel():
        return True
    if not a.dtype.is_floating_point:
        return False
    finite = torch.isfinite(a)
    if not torch.equal(finite, torch.isfinite(b)):
        return False
    x, y = a[finite].double(), b[finite].double()
    scale = float(x.abs().max()) if x.numel() else 0.0
    return bool(((x - y).abs() <= ROUNDING * scale).all()) and torch.equal(
        a[~finite].nan_to_num(), b[~finite].nan_to_num()
    )


def check_faithful(
    original: nn.Module,
    traced: nn.Module,
    graph: fx.GraphModule,
    example: Mapping[str, torch.Tensor],
    batch: str | int,
    axes: Axes = MappingProxyType({}),
) -> dict[str, int]:
    """Run module and graph side by side, and refuse the graph where they differ.

    Args:
        original: The network; only copies of it are run.
        traced: The copy that was traced, whose weights the graph holds.
        graph: What was traced from it.
        example: Example inputs by name.
        batch: `dynamic`, or the one size to check.
        axes: Other open axes.

    Returns:
        Another length of each of them that was checked too, by name.

    Raises:
        TraceError: They differ, or the module is random, keeps state between calls or writes to
            its own weights.
    """
    _refuse_changed_weights(original, traced)
    module = sharing_copy(original, traced)
    sizes: tuple[int | None, ...] = BATCHES if batch == "dynamic" else (None,)
    others = other_lengths(lengths_of(axes, example), lambda n: accepts(module, example, axes, n))
    variants = [example, stretched(example, axes, others)] if others else [example]
    for seed, (variant, size) in enumerate(product(variants, sizes)):
        inputs = fresh_inputs(variant, size, seed)
        expected = _module_result(module, inputs, size)
        if seed == 0:
            _check_repeatable(module, inputs, expected)
        _refuse_changed_weights(original, module)
        actual = _graph_result(graph, inputs, size)
        if not _same(expected, actual):
            _refuse_difference(module, graph, inputs, size)
    return others


def accepts(
    module: nn.Module, example: Mapping[str, torch.Tensor], axes: Axes, lengths: Mapping[str, int]
) -> bool:
    """Tell whether a module runs on the example with other lengths of its open axes."""
    try:
        _run(module, fresh_inputs(stretched(example, axes, lengths), None, 0), seed=0)
    except Exception:  # noqa: BLE001 - whatever it is, the network does not take such lengths
        return False
    return True


def _refuse_changed_weights(original: nn.Module, used: nn.Module) -> None:
    changed = changed_weight(original, used)
    if changed:
        raise TraceError(
            f"the forward pass changes the state '{changed}', which an exported file would not",
            module=changed.rpartition(".")[0],
            remedy="keep forward free of state: make the state an input and an output",
        )


def _module_result(module: nn.Module, inputs: Mapping[str, torch.Tensor], size: int | None) -> Any:
    before = plain_state(module)
    result, drew = watched_run(module, inputs, size)
    if drew and not (drew <= {"random", "numpy"} and _others_draw(module, inputs, size)):
        _refuse_random(module, inputs)
    after = plain_state(module)
    changed = [name for name, value in after.items() if before.get(name, value) != value]
    if changed:
        raise TraceError(
            f"the module keeps state between calls: forward changes '{changed[0]}'",
            module=changed[0].rpartition(".")[0],
            source=describe(_assignment(module, changed[0])),
            remedy="keep forward free of state: make the state an input and an output",
        )
    return result


def _others_draw(module: nn.Module, inputs: Mapping[str, torch.Tensor], size: int | None) -> bool:
    """Tell whether it was another thread that drew: a cluster's worker waits for random times.

    All threads of a process share Python's generator and NumPy's. A module that draws does so
    each time.
    """
    if threading.active_count() == 1:
        return False
    return any(not watched_run(module, inputs, size)[1] for _ in range(_LOOKS))


def watched_run(
    module: nn.Module, inputs: Mapping[str, torch.Tensor], size: int | None
) -> tuple[Any, set[str]]:
    """Run a module; tell which random generators moved meanwhile, whether that was used or not.

    Raises:
        TraceError: It fails on these inputs.
    """
    arguments = {name: tensor.clone() for name, tensor in inputs.items()}
    with _seeded(0):
        before = random_state()
        try:
            result = module(**arguments)
            after = random_state()
            return result, {name for name in before if after[name] != before[name]}
        except (Exception, SystemExit) as error:
            shapes = ", ".join(f"{n} {list(t.shape)}" for n, t in inputs.items())
            remedy = "give the right --input"
            if size is not None:
                remedy += ", or a fixed --batch N if the network is for one size only"
            raise TraceError(
                f"{type(module).__name__} fails on {shapes}: {first_line(error)}",
                source=describe(raised_at(error)),
                remedy=remedy,
            ) from error


def _assignment(module: nn.Module, name: str) -> Source | None:
    """Find the line of a module's forward that assigns to an attribute."""
    path, _, attribute = name.rpartition(".")
    function = type(module.get_submodule(path)).forward
    try:
        lines, start = inspect.getsourcelines(function)
    except (OSError, TypeError):  # there is no source to read
        return None
    pattern = re.compile(rf"self\.{re.escape(attribute)}\s*[-+*/|&]*=")
    found = (i for i, line in enumerate(lines) if pattern.search(line))
    index = next(found, None)
    if index is None:
        return None
    filename = inspect.getsourcefile(function) or ""
    return Source(relative_file(filename), start + index, lines[index].strip())


def _refuse_random(module: nn.Module, inputs: Mapping[str, torch.Tensor]) -> None:
    step = next((step for step in _steps(module, inputs, 0) if step.drew), None)
    raise TraceError(
        "the module is random: it draws random numbers in eval mode",
        node=step.function if step else "",
        source=describe(step.source) if step else "",
        remedy="pass training=self.training to F.dropout, and the noise as an input",
    )


def _graph_result(
    graph: fx.GraphModule, inputs: Mapping[str, torch.Tensor], size: int | None
) -> Any:
    try:
        return _run(graph, inputs, seed=0)
    except Exception as error:
        raise UnfaithfulError(
            f"the module runs at batch {size} and its graph does not: {first_line(error)}",
            remedy="write sizes in terms of x.shape, or export with a fixed --batch N",
        ) from error


def _check_repeatable(module: nn.Module, inputs: Mapping[str, torch.Tensor], expected: Any) -> None:
    if _same(expected, _run(module, inputs, seed=0)):
        return
    step = _first_difference(_steps(module, inputs, 0), _steps(module, inputs, 0))
    raise TraceError(
        "the module gives another result on its second call: it keeps state between calls",
        node=step.function if step else "",
        source=describe(step.source) if step else "",
        remedy="keep forward free of state: make the state an input and an output",
    )


def _refuse_difference(
    module: nn.Module,
    graph: fx.GraphModule,
    inputs: Mapping[str, torch.Tensor],
    size: int | None,
) -> None:
    step = _first_difference(_steps(module, inputs, 0), _steps(graph, inputs, 0))
    where = "" if size is None else f" at batch {size}"
    raise UnfaithfulError(
        f"the graph computes another result than the module{where}",
        node=step.function if step else "",
        source=describe(step.source) if step else "",
        remedy="this line behaves in a way a graph cannot hold (a random constant, an autocast "
        "region, a value kept from an earlier call); move it out of forward",
    )


def _first_difference(first: list[_Step], second: list[_Step]) -> _Step | None:
    for a, b in zip(first, second, strict=False):
        if a.print != b.print:
            return a
    return first[len(second)] if len(first) > len(second) else None
