"""A file held against another file that should compute the same, whoever wrote the two."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import onnx
import torch

from netloft.against import Against, batch_of, named_as
from netloft.declared import declared_example, declared_inputs, described
from netloft.errors import InputError, NetloftError
from netloft.graph.graph import Graph
from netloft.onnx_graph import read_onnx
from netloft.parity.check import certify
from netloft.parity.inputs import EXTREME, Case, cases_of
from netloft.parity.taps import Tap
from netloft.parity.wide.file_reference import FileReference
from netloft.tracing.axes import lengths_of, other_lengths, stretched
from netloft.tracing.faithful import fresh_inputs

__all__ = ["compare_files", "why_unlike"]

Tensors = Mapping[str, torch.Tensor]


def compare_files(
    model: Path,
    other: Path,
    example_inputs: tuple[torch.Tensor, ...] | Tensors | None,
    providers: Sequence[str],
    *,
    threads: int | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> Against:
    """Hold a file against another, run in float64.

    Args:
        model: The file.
        other: What it should compute: an `.onnx` file that onnx.checker passes.
        example_inputs: Of the right shapes, in the file's order or by its names; made from what
            the files declare where they are left out.
        providers: Execution providers that start on this machine.
        threads: For one operation; None for the runtime's own choice.
        progress: Told which input is being compared.

    Raises:
        UsageError: The inputs and outputs of the files cannot be the same, or ONNX Runtime cannot
            load one of them.
        ParityError: The file fails on an input that the other takes.
        InputError: The other fails on a usual input.
    """
    own = read_onnx(other)
    header = onnx.load(str(model), load_external_data=False).graph
    graph, renamed = named_as(header, model, own, other.name)
    example = _example(header, model, other, example_inputs)
    names = [value.name for value in (*own.inputs, *own.outputs)]
    theirs = onnx.load(str(other), load_external_data=False).graph
    graph = dataclasses.replace(graph, batch=_batch(header, theirs, example))
    made: list[FileReference] = []

    def refer(_: object, graph: Graph, taps: Sequence[Tap]) -> FileReference:
        made.append(FileReference(other, names, graph, taps))
        return made[-1]

    graph, kept = _with_lengths(graph, header, theirs, example, functools.partial(refer, None))
    cases = _cases(graph, example)
    found, expected = certify(
        graph, graph.module, model, cases, providers, threads, progress=progress, reference=refer
    )
    told = [made[-1].told] if made[-1].told else []
    notes = (*renamed, *kept, f"inputs: {described(example)}", *told, *found.notes)
    reason = f"the layers of two files are not compared; `netloft diff {model} {other}`"
    return Against(
        model,
        graph,
        expected,
        dataclasses.replace(found, notes=notes),
        not_run=f"{reason} says what differs in them" if found.failed else "",
        is_file=True,
    )


def why_unlike(model: Path, other: Path) -> str:
    """Return why a file is not the same function as another, on the CPU; empty where it is."""
    try:
        found = compare_files(model, other, None, ["cpu"])
    except NetloftError as error:
        return error.problem
    failed = [row for row in found.parity.rows if row.status == "fail"]
    if not failed:
        return ""
    worst = max(failed, key=lambda row: row.ratio)
    return (
        f"output '{worst.output}' is {worst.ratio:.3g} times the noise floor off in float64, on "
        f"{worst.input} at batch {worst.batch}"
    )


def _example(
    header: onnx.GraphProto,
    model: Path,
    other: Path,
    given: tuple[torch.Tensor, ...] | Tensors | None,
) -> dict[str, torch.Tensor]:
    """Return example inputs by the file's names."""
    if given is None:
        return declared_example(model, other)
    names = [value.name for value in declared_inputs(header)]
    named = dict(given) if isinstance(given, Mapping) else dict(zip(names, given, strict=False))
    if set(named) != set(names) or len(given) != len(names):
        raise InputError(
            f"{len(given)} inputs are given, and {model.name} takes {', '.join(names)}",
            remedy="give each of them, in order or by name",
        )
    return {name: named[name] for name in names}


def _batch(header: onnx.GraphProto, theirs: onnx.GraphProto, example: Tensors) -> int | str:
    """Return the one batch size that both take; `dynamic` where every input leaves it open."""
    fixed = [size for size in (batch_of(header), batch_of(theirs)) if isinstance(size, int)]
    shapes = [v.type.tensor_type.shape.dim for g in (header, theirs) for v in declared_inputs(g)]
    if not fixed and all(not shape or not shape[0].dim_value for shape in shapes):
        return "dynamic"
    return (fixed or [len(next(t for t in example.values() if t.dim()))])[0]


def _with_lengths(
    graph: Graph,
    header: onnx.GraphProto,
    theirs: onnx.GraphProto,
    example: Tensors,
    refer: Callable[[Graph, Sequence[Tap]], FileReference],
) -> tuple[Graph, tuple[str, ...]]:
    """Return the graph with the other lengths that both files leave open and the second takes."""
    pairs = zip(declared_inputs(header), declared_inputs(theirs), strict=True)
    axes = {a.name: _open(a, b) for a, b in pairs}
    axes = {name: opened for name, opened in axes.items() if opened}
    if not axes:
        return graph, ()
    reference = refer(graph, ())

    def accepts(lengths: Mapping[str, int]) -> bool:
        try:
            reference.single(Case("", 0, stretched(example, axes, lengths)))
        except ValueError:
            return False
        return True

    lengths = lengths_of(axes, example)
    try:
        others = other_lengths(lengths, accepts)
    except InputError as error:
        return graph, (f"lengths other than those of the example: {error.problem}",)
    both = {symbol: (length, others[symbol]) for symbol, length in lengths.items()}
    return dataclasses.replace(graph, axes=axes, lengths=both), ()


def _open(value: onnx.ValueInfoProto, other: onnx.ValueInfoProto) -> dict[int, str]:
    dims = zip(value.type.tensor_type.shape.dim, other.type.tensor_type.shape.dim, strict=False)
    pairs = list(enumerate(dims))
    return {i: a.dim_param for i, (a, b) in pairs if i and a.dim_param and not b.dim_value}


def _cases(graph: Graph, example: Tensors) -> Iterator[Case]:
    """Make the inputs; first lengths that differ are no batch, and stay as they are."""
    if len({len(tensor) for tensor in example.values() if tensor.dim()}) <= 1:
        yield from cases_of(graph, example, 0)
        return
    batch = graph.batch if isinstance(graph.batch, int) else 1
    noise = fresh_inputs(example, None, 0)
    yield Case("noise", batch, noise)
    yield Case("example", batch, example)
    large = {n: t * EXTREME if t.dtype.is_floating_point else t for n, t in noise.items()}
    yield Case("extreme", batch, large, usual=False)
    yield Case("zeros", batch, {n: torch.zeros_like(t) for n, t in noise.items()}, usual=False)
