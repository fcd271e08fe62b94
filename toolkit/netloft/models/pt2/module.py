"""A program of torch.export as a module whose forward is written in torch's public functions."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import fx
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind, OutputKind
from torch.export.graph_signature import InputSpec as GivenSpec
from torch.utils._sympy.numbers import int_oo

from netloft.errors import SpecError
from netloft.models.loaded import InputSpec
from netloft.tracing.declared import DECLARED, Declared
from netloft.tracing.program import CaptureError, ProgramReader

__all__ = ["as_module", "class_of"]

_AGAIN = "call .eval() on the network, and then torch.export.export and torch.export.save again"
_WRITES = {
    OutputKind.BUFFER_MUTATION: "keeps state between calls: it writes into",
    OutputKind.USER_INPUT_MUTATION: "writes into its input",
}
_TRAINS = {"batch_norm": "training", "dropout": "train", "feature_dropout": "train",
           "alpha_dropout": "train", "feature_alpha_dropout": "train", "instance_norm": "",
           "native_dropout": "train", "native_batch_norm": "training", "rrelu": "training",
           "_native_batch_norm_legit": "training"}  # fmt: skip
"""Operators of layers that do something else in training, and the argument that tells."""


def class_of(program: Mapping[str, Any]) -> str:
    """Return the class of the network that a program was exported from, as its JSON tells it."""
    try:
        nodes = program["graph_module"]["graph"]["nodes"]
        stacks = [node["metadata"]["nn_module_stack"] for node in nodes if node["metadata"]]
        found = re.match(r"[^,;]*,,([\w.]{1,200})(;|$)", stacks[0], re.ASCII)
        name = found.group(1).rpartition(".")[2] if found else ""
    except (KeyError, IndexError, TypeError):
        name = ""
    return name if name.isidentifier() else "Exported"


def as_module(
    program: ExportedProgram, name: str, class_name: str, *, conditions: bool
) -> fx.GraphModule:
    """Return the program as a module in eval mode, with what it says of its inputs.

    Args:
        program: As torch.export loaded it.
        name: The file's name, for messages.
        class_name: What the module's class is called.
        conditions: Guards were left out, so that it holds for the example's lengths alone.

    Raises:
        SpecError: It trains, keeps state between calls, or takes something other than tensors.
    """
    _check_outputs(program, name)
    _check_evaluates(program, name)
    _check_state(program, name)
    given = _given(program, name)
    flat = program.module(check_guards=False)
    assert isinstance(flat, fx.GraphModule)
    try:
        graph = ProgramReader(flat, flat, program, tuple(given)).read()
    except CaptureError as error:
        raise SpecError(
            f"the program in {name} cannot be read: {error}",
            remedy="name the network that it was exported from, as path/to/file.py:Net",
        ) from error
    module = fx.GraphModule(flat, graph, class_name)
    for child in module.modules():
        child.training = False  # those of a program refuse .eval()
    module.meta[DECLARED] = _declared(program, given, conditions=conditions)
    module.netloft_inputs = tuple(  # type: ignore[assignment]
        InputSpec(key, _lengths(value), str(value.dtype).removeprefix("torch."))
        for key, value in given.items()
    )
    return module


def _check_outputs(program: ExportedProgram, name: str) -> None:
    for spec in program.graph_signature.output_specs:
        if spec.kind in _WRITES:
            raise SpecError(
                f"the program in {name} {_WRITES[spec.kind]} '{spec.target}'", remedy=_AGAIN
            )
        if spec.kind is not OutputKind.USER_OUTPUT:
            raise SpecError(f"the program in {name} is one of training", remedy=_AGAIN)


def _check_evaluates(program: ExportedProgram, name: str) -> None:
    for node in program.graph.nodes:
        schema = getattr(node.target, "_schema", None)
        operator = schema.name.rpartition(":")[2] if schema else ""
        flag = _TRAINS.get(operator)
        if schema is None or not flag:
            continue
        place = [argument.name for argument in schema.arguments].index(flag)
        told = node.args[place] if place < len(node.args) else node.kwargs.get(flag)
        if told is True:
            raise SpecError(
                f"the program in {name} was exported in training mode ({operator})", remedy=_AGAIN
            )


def _check_state(program: ExportedProgram, name: str) -> None:
    """Refuse writes into weights and buffers; torch.export leaves them in the graph as they are."""
    specs = program.graph_signature.input_specs
    held = {s.arg.name: s.target for s in specs if s.kind is not InputKind.USER_INPUT}
    for node in program.graph.nodes:
        schema = getattr(node.target, "_schema", None)
        for argument, value in zip(schema.arguments if schema else (), node.args, strict=False):
            written = argument.alias_info is not None and argument.alias_info.is_write
            if written and isinstance(value, fx.Node) and value.name in held:
                raise SpecError(
                    f"the program in {name} keeps state between calls: it writes into "
                    f"'{held[value.name]}'",
                    remedy=_AGAIN,
                )


def _given(program: ExportedProgram, name: str) -> dict[str, torch.Tensor]:
    """Return the inputs by name, as tensors without data."""
    specs = [s for s in program.graph_signature.input_specs if s.kind is InputKind.USER_INPUT]
    values = {n.name: n.meta.get("val") for n in program.graph.nodes if n.op == "placeholder"}
    arguments, named = program.call_spec.in_spec.children()
    flat = all(child.is_leaf() for child in (*arguments.children(), *named.children()))
    odd = _not_a_tensor(specs, values)
    if not flat or odd or not specs:
        what = f"'{odd}', which is not a tensor" if odd else "tensors in lists or dicts, or none"
        raise SpecError(
            f"the program in {name} takes {what}",
            remedy="export a module whose forward takes each tensor as an argument of its own",
        )
    return {spec.arg.name: values[spec.arg.name] for spec in specs}


def _not_a_tensor(specs: Iterable[GivenSpec], values: Mapping[str, object]) -> str:
    for spec in specs:
        if not isinstance(values.get(spec.arg.name), torch.Tensor):
            return spec.arg.name or "a constant"
    return ""


def _declared(
    program: ExportedProgram, given: Mapping[str, torch.Tensor], *, conditions: bool
) -> Declared:
    batches = {str(value.shape[0]): value.shape[0] for value in given.values() if value.dim()}
    shapes = {key: tuple(map(_fixed, value.shape[1:])) for key, value in given.items()}
    least, most, why = 1, None, ""
    for length in batches.values():
        own_least, own_most = _range(program, length)
        least = max(least, own_least)
        most = own_most if most is None else min(most, own_most or most)
    if conditions and most != least:
        most = least = max(least, _hint(next(iter(batches.values()), 1)))
        why = "the program has conditions on its lengths"
        shapes = {key: tuple(map(_hint, value.shape[1:])) for key, value in given.items()}
    return Declared((least, most), shapes, why)


def _range(program: ExportedProgram, length: Any) -> tuple[int, int | None]:
    if isinstance(length, int):
        return length, length
    expression = length.node.expr
    bounds = program.range_constraints.get(expression)
    if not expression.is_Symbol or bounds is None:  # of 2*n it is not known for which n
        return _hint(length), _hint(length)
    most = None if bounds.upper in (int_oo, float("inf")) else int(bounds.upper)
    return max(1, int(bounds.lower)), most


def _fixed(length: Any) -> int | None:
    return length if isinstance(length, int) else None


def _hint(length: Any) -> int:
    """Return the length that an open one had in the example."""
    if isinstance(length, int):
        return length
    return int(length.node.hint) if length.node.has_hint() else 2


def _lengths(value: torch.Tensor) -> tuple[int, ...]:
    """Return the shape of one item."""
    return (1, *map(_hint, value.shape[1:])) if value.dim() else ()
