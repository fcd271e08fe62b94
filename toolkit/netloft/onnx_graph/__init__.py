"""An ONNX file in, an annotated graph out: to draw, to print and to compare, not to run."""

from __future__ import annotations

import heapq
import os
from collections.abc import Sequence
from pathlib import Path

import onnx

from netloft.errors import InputError
from netloft.graph.annotation import ModuleCall
from netloft.graph.graph import Graph
from netloft.graph.module import make_module
from netloft.onnx_graph.arithmetic import small_constants
from netloft.onnx_graph.build import GIVES, WEIGHTS, Builder, Read
from netloft.onnx_graph.calls import place
from netloft.onnx_graph.constants import Sorted, sort_values
from netloft.onnx_graph.flatten import flatten
from netloft.onnx_graph.load import is_onnx, load_structure
from netloft.onnx_graph.operands import Node
from netloft.onnx_graph.operators import Meaning, meaning_of
from netloft.onnx_graph.scopes import root_class
from netloft.onnx_graph.step import Step, cleaned, refusal
from netloft.onnx_graph.values import Values, infer

__all__ = ["GIVES", "WEIGHTS", "is_onnx", "read_onnx"]


def read_onnx(path: str | os.PathLike[str], *, name: str = "") -> Graph:
    """Read any ONNX file as a graph.

    The hierarchy is taken from what the exporter left: netloft's and torch.onnx's metadata, node
    names with slashes, functions of the file. Weights are not read, and none that lie beside the
    file is looked for; the graph knows their sizes. It raises UsageError where it is run.

    Args:
        path: The file.
        name: Short name of the model; that in the file, or the file's own, by default.

    Returns:
        The graph; its operations, families and hyper-parameters are named as those of a traced
        module are. Its `capture` says that it was read from a file.

    Raises:
        InputError: It is no ONNX file, is cut off or too large, or its nodes do not fit together.
    """
    file = Path(path)
    model = load_structure(file)
    steps = _ordered(flatten(model), model)
    known = small_constants(model, steps)
    values = infer(model, steps, known)
    found = sort_values(model, steps, values, known)
    meanings = _meanings(steps, found, values)
    title = name or _name(model, file)
    root = cleaned(root_class(model.graph.node), 80) or title
    scopes = {i: step.scope for i, step in enumerate(steps) if i not in found.hidden}
    quiet = [i for i, (op, kind, _) in enumerate(meanings) if kind in _QUIET or op == "bias"]
    builder = Builder(Read(model, steps, values, found, meanings, place(scopes, quiet), root))
    return _graph(builder, title, file)


_QUIET = ("identity", "shape", "pad")
"""Families of what stands beside a layer's own operation inside of the layer."""


def _name(model: onnx.ModelProto, file: Path) -> str:
    """Return what netloft called the model, or else the file's name."""
    own = model.graph.name if model.producer_name == "netloft" else ""
    return cleaned(own or file.stem, 80) or "model"


def _graph(builder: Builder, name: str, file: Path) -> Graph:
    read = builder.read
    inputs = builder.inputs()
    builder.steps()
    outputs = builder.outputs()
    module = make_module(builder.root, builder.graph, "OnnxFile")
    calls = dict.fromkeys(call for place in read.places.values() for call in place.calls)
    sets = ", ".join(f"{e.domain or 'ai.onnx'} {e.version}" for e in read.model.opset_import)
    note = f"; {read.values.note}" if read.values.note else ""
    return Graph(
        module=module,
        name=name,
        class_name=read.root,
        inputs=inputs,
        outputs=outputs,
        batch=read.values.batch,
        modules=(ModuleCall("", read.root), *calls),
        unused_parameters=builder.unused(),
        capture=f"ONNX file, operator sets {cleaned(sets)}{note}",
        file=file,
    )


def _meanings(steps: Sequence[Step], found: Sorted, values: Values) -> list[Meaning]:
    """Name what each node does; a bias behind its matrix product is told as a part of it."""
    readers: dict[str, int] = {}
    for name in (name for step in steps for name in (*step.reads, *step.captured)):
        readers[name] = readers.get(name, 0) + 1
    products: set[str] = set()
    meanings: list[Meaning] = []
    for step in steps:
        meaning = meaning_of(Node(step, found.constants, values))
        if meaning[0] == "add" and _is_bias(step, products, found):
            meaning = ("bias", "identity", {})
        if meaning[0] == "linear" and len(step.gives) == 1 and readers.get(step.gives[0]) == 1:
            products.add(step.gives[0])
        meanings.append(meaning)
    return meanings


def _is_bias(step: Step, products: set[str], found: Sorted) -> bool:
    if len(step.reads) != 2:
        return False
    constants = [found.constants[name] for name in step.reads if name in found.constants]
    vector = len(constants) == 1 and constants[0].shape is not None and len(constants[0].shape) == 1
    return vector and any(name in products for name in step.reads)


def _ordered(steps: Sequence[Step], model: onnx.ModelProto) -> list[Step]:
    """Return the nodes so that each comes after what it reads; a file may have them otherwise.

    Raises:
        InputError: Nodes read each other in a circle, or two of them give the same value.
    """
    maker: dict[str, int] = {}
    known = {value.name for value in (*model.graph.input, *model.graph.initializer)}
    for position, step in enumerate(steps):
        for name in filter(None, step.gives):
            if name in maker or name in known:
                raise refusal(
                    f"two nodes give the value '{cleaned(name)}'", step, "give each its own name"
                )
            maker[name] = position
    known |= {tensor.values.name for tensor in model.graph.sparse_initializer}
    _check_reads(steps, maker, known, model)
    before = [{maker[n] for n in (*s.reads, *s.captured) if n in maker} for s in steps]
    after: list[list[int]] = [[] for _ in steps]
    for position, makers in enumerate(before):
        for first in makers:
            after[first].append(position)
    ready = [position for position, makers in enumerate(before) if not makers]
    order = []
    while ready:
        position = heapq.heappop(ready)
        order.append(position)
        for reader in after[position]:
            before[reader].discard(position)
            if not before[reader]:
                heapq.heappush(ready, reader)
    if len(order) < len(steps):
        caught = next(i for i, makers in enumerate(before) if makers)
        raise refusal("nodes read each other in a circle", steps[caught], "cut the circle")
    return [steps[position] for position in order]


def _check_reads(
    steps: Sequence[Step], maker: dict[str, int], known: set[str], model: onnx.ModelProto
) -> None:
    for step in steps:
        for name in (*step.reads, *step.captured):
            if name and name not in maker and name not in known:
                raise refusal(
                    f"a node reads '{cleaned(name)}', which nothing gives",
                    step,
                    "check the file with netloft verify, or write it again",
                )
    for output in model.graph.output:
        if output.name not in maker and output.name not in known:
            raise InputError(
                f"nothing gives the output '{cleaned(output.name)}'", remedy="write the file again"
            )
