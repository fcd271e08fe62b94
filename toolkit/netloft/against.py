"""A file held against the module that it should compute, whoever wrote it."""

from __future__ import annotations

import dataclasses
import inspect
import itertools
import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import onnx
import torch
from torch import nn

from netloft.declared import declared_inputs
from netloft.errors import CheckError, UsageError, first_line
from netloft.graph.graph import Graph, Value
from netloft.locating import Located, locate
from netloft.locating.failing import telling
from netloft.parity.check import ParityResult, certify
from netloft.parity.compare import Comparison
from netloft.parity.expected import Expected
from netloft.parity.faults.mutant import Mutant
from netloft.parity.faults.mutate import Check, Mutation, mutate
from netloft.parity.faults.outputs import outputs_check, runs_of
from netloft.parity.flat import flat_header
from netloft.parity.inputs import Case, DomainInputs, cases_of
from netloft.parity.stressing.plan import plan_stress
from netloft.parity.stressing.stress import QUICK, stressed
from netloft.parity.taps import find_taps
from netloft.tracing import trace
from netloft.tracing.tracer import bind_inputs

__all__ = [
    "Against",
    "batch_of",
    "compare",
    "layers_check",
    "located",
    "named_as",
    "planted_against",
]


@dataclasses.dataclass(frozen=True)
class Against:
    """What a comparison with a module found.

    Attributes:
        model: The file.
        graph: Of the module, with the file's names.
        expected: What the module gives.
        parity: The rows of the outputs.
        located: The layers; None where they were not asked for and all is well.
        not_run: Why the layers were not compared, where they should have been; else empty.
        is_file: It was compared with another file, whose layers are not looked at.
        left: What it was not stressed with, as `what` and `reason`.
        by_task: It is judged by signal to noise, and its outputs were not compared.
    """

    model: Path
    graph: Graph
    expected: Expected
    parity: ParityResult
    located: Located | None = None
    not_run: str = ""
    is_file: bool = False
    left: tuple[Mapping[str, str], ...] = ()
    by_task: bool = False

    def with_rows(self, rows: Sequence[Comparison]) -> Against:
        """Return the same with more rows of the outputs."""
        parity = dataclasses.replace(self.parity, rows=(*self.parity.rows, *rows))
        return dataclasses.replace(self, parity=parity)


def compare(
    model: Path,
    module: nn.Module,
    example_inputs: tuple[torch.Tensor, ...] | Mapping[str, torch.Tensor] | None,
    providers: Sequence[str],
    *,
    threads: int | None = None,
    layers: bool = False,
    data: Callable[[str | int], Iterable[Case]] = lambda _: (),
    domain: DomainInputs | None = None,
    stress: bool = False,
    by_task: bool = False,
    progress: Callable[[str], None] = lambda _: None,
) -> Against:
    """Hold a file against a module; where an output fails, its layers too.

    Args:
        model: The `.onnx` file.
        module: In eval mode.
        example_inputs: Of the right shapes.
        providers: Execution providers that start on this machine.
        threads: For one operation; None for the runtime's own choice.
        layers: Compare the layers even if all outputs pass.
        data: Gives inputs of the user's own for a file's batch size.
        domain: Gives inputs of what the module is for; without it the examples count as such.
        stress: Take the whole stress set, and not the quick one.
        by_task: Judge nothing here: rounding to 8 bits is no error that a noise floor measures.
        progress: Told which input is being compared.

    Raises:
        UsageError: Inputs are missing, or those of the file are not those of the module.
        ParityError: The file fails on an input that the module takes.
    """
    if example_inputs is None:
        raise UsageError(
            "a module to verify against needs example inputs",
            remedy="give example_inputs=(tensor, …), batch first",
        )
    declared = onnx.load(str(model), load_external_data=False).graph
    graph = trace(module, example_inputs, batch_of(declared), dynamic=_open_axes(declared, module))
    graph, renamed = named_as(declared, model, graph)
    inputs = bind_inputs(module, example_inputs)
    plan, left = plan_stress(graph, inputs, model, providers, threads) if stress else (QUICK, ())
    others = itertools.chain(cases_of(graph, inputs, 0, domain), data(graph.batch))
    cases = stressed(others, graph, 0, plan)
    if by_task:
        taps = find_taps(graph, flat_header(model))
        expected = Expected(graph, module, others, taps, progress=progress)
        return Against(model, graph, expected, ParityResult((), {}, renamed), by_task=True)
    found, expected = certify(graph, module, model, cases, providers, threads, progress=progress)
    found = dataclasses.replace(found, notes=(*renamed, *found.notes))
    held = Against(model, graph, expected, found, left=left)
    return located(held, providers, threads) if layers or found.failed else held


def located(held: Against, providers: Sequence[str], threads: int | None) -> Against:
    """Look at the layers, on the inputs that show most.

    Args:
        held: What the comparison found.
        providers: That the file ran on.
        threads: For one operation; None for the runtime's own choice.
    """
    case, provider = telling(held.expected, held.parity, providers)
    try:
        found = locate(held.graph, held.model, case.inputs, provider=provider, threads=threads)
    except (CheckError, UsageError) as reason:
        return dataclasses.replace(held, not_run=str(reason))
    return dataclasses.replace(held, located=found)


def planted_against(held: Against, provider: str, threads: int | None, **how: Any) -> Mutation:
    """Plant faults in copies of a file that passes, and see what finds them.

    First the outputs are asked, as `compare` does, and what they miss is shown to the layers.

    Args:
        held: What the comparison found.
        provider: What is to run the copies.
        threads: For one operation; None for the runtime's own choice.
        how: More for `netloft.parity.faults.mutate.mutate`.
    """
    with tempfile.TemporaryDirectory(prefix="netloft-") as folder:
        checks = {"outputs": outputs_check(held.expected, provider)}
        if not held.is_file:
            checks["layers"] = layers_check(held, Path(folder), provider, threads)
        run = runs_of(held.expected, held.model, provider, threads)
        return mutate(held.model, checks, run, **how)


def layers_check(held: Against, folder: Path, provider: str, threads: int | None) -> Check:
    """Return the check of `--layers`; its copies lie beside copies of the weights."""
    for path in (held.model, held.model.with_name(f"{held.model.name}.data")):
        if path.is_file():
            shutil.copy(path, folder)
    case, _ = telling(held.expected, held.parity, (provider,))
    file = folder / f"planted-{held.model.name}"

    def check(mutant: Mutant) -> str | None:
        file.write_bytes(mutant.model.SerializeToString())
        try:
            found = locate(held.graph, file, case.inputs, provider=provider, threads=threads)
        except UsageError as error:  # that it cannot be run is what is found
            return first_line(error)
        return found.first or None

    return check


def batch_of(graph: onnx.GraphProto) -> int | str:
    """Return the batch size of a file: the first length of the first input that has one."""
    shapes = (value.type.tensor_type.shape.dim for value in declared_inputs(graph))
    first = next((shape[0] for shape in shapes if shape), None)
    return (first.dim_value if first is not None else 0) or "dynamic"


def _open_axes(graph: onnx.GraphProto, module: nn.Module) -> dict[str, dict[int, str]]:
    """Return the axes beside the batch that a file leaves open, by the module's own names."""
    names = list(inspect.signature(module.forward).parameters)
    found: dict[str, dict[int, str]] = {}
    for value, name in zip(declared_inputs(graph), names, strict=False):
        dims = enumerate(value.type.tensor_type.shape.dim)
        opened = {axis: dim.dim_param for axis, dim in dims if axis and dim.dim_param}
        if opened:
            found[name] = opened
    return found


def named_as(
    declared: onnx.GraphProto, model: Path, graph: Graph, whose: str = "the module"
) -> tuple[Graph, tuple[str, ...]]:
    """Call inputs and outputs as a file does, which another exporter may have written.

    Names that are the same belong together; others go by their place, and are told.

    Args:
        declared: The file's graph.
        model: The file.
        graph: Of what it is compared with.
        whose: What that is, in words.

    Raises:
        UsageError: The file's inputs and outputs cannot be those of the graph.
    """
    file = _declared(declared_inputs(declared)), _declared(declared.output)
    ours = tuple(
        [(value.name, tuple(value.info.shape)) for value in values]
        for values in (graph.inputs, graph.outputs)
    )
    if not all(map(_belong_together, file, ours)):
        called = graph.file.name if graph.file else graph.class_name
        raise UsageError(
            f"{model.name} is {_signature(*file)}, and {called} is {_signature(*ours)}",
            remedy="name the module that the file was exported from, and its --input shapes",
        )
    inputs, outputs = map(_renamed, (graph.inputs, graph.outputs), file)
    notes = tuple(
        f"'{theirs}' of the file is taken for '{mine}' of {whose}, by its place"
        for sides in zip(file, ours, strict=True)
        for (theirs, _), (mine, _) in zip(*sides, strict=True)
        if theirs != mine
    )
    return dataclasses.replace(graph, inputs=inputs, outputs=outputs), notes


def _renamed(ours: Sequence[Value], theirs: Sequence[_Described]) -> tuple[Value, ...]:
    pairs = zip(ours, theirs, strict=True)
    return tuple(dataclasses.replace(value, name=name) for value, (name, _) in pairs)


def _belong_together(theirs: Sequence[_Described], ours: Sequence[_Described]) -> bool:
    if len(theirs) != len(ours) or not all(map(_alike, theirs, ours)):
        return False
    names, own = [name for name, _ in theirs], [name for name, _ in ours]
    return names == own or set(names) != set(own)  # the same in another order are not guessed at


_Described = tuple[str, tuple[int | str, ...]]


def _declared(values: Sequence[onnx.ValueInfoProto]) -> list[_Described]:
    shapes = [(value.name, value.type.tensor_type.shape.dim) for value in values]
    return [
        (name, tuple(length.dim_value or length.dim_param or "?" for length in shape))
        for name, shape in shapes
    ]


def _alike(first: _Described, second: _Described) -> bool:
    return len(first[1]) == len(second[1]) and all(
        a == b or isinstance(a, str) or isinstance(b, str)
        for a, b in zip(first[1], second[1], strict=True)
    )


def _signature(inputs: Sequence[_Described], outputs: Sequence[_Described]) -> str:
    sides = (
        ", ".join(f"{name}[{', '.join(map(str, shape))}]" for name, shape in values)
        for values in (inputs, outputs)
    )
    return " -> ".join(sides)
