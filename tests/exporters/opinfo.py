"""PyTorch's own table of operators and sample arguments, each sample as a small network.

`torch.testing._internal` describes every operator with the arguments that PyTorch tests it on:
empty tensors, tensors without axes, negative axes, broadcasting and all their options. A sample
becomes a network whose inputs are the sample's tensors, each with a batch axis of one in front.
"""

from __future__ import annotations

import operator
import random
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal
from unittest import mock

import hypothesis
import torch
from tests.exporters.judging import Outcome, judge
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from netloft.graph.ops import function_op
from netloft.tracing.shapes import resized
from netloft_exporters.onnx.lowering import LOWERINGS

__all__ = ["Form", "operators", "outcomes"]

ABSOLUTE = {"sigmoid": 2.0**-23, "nn.functional.silu": 2.0**-20}
"""Absolute errors that ONNX Runtime's own kernel makes.

Its Sigmoid is right to an ulp of 1, not of the value: of 2e-4 it knows three digits less. In a
tensor with larger values, as networks have, that is below PyTorch's own error.
"""

Form = Literal["function", "method", "in place", "batched"]
"""Ways to write a call; `batched` leaves the batch open and takes it from the sample itself."""

OPSETS: dict[Form, int] = {"function": 20, "method": 18, "in place": 20, "batched": 26}

BATCHES = (1, 3, 5)


def op_db() -> list[Any]:
    """Return PyTorch's table; loading it must not change settings of this process."""
    profile = hypothesis.settings.get_current_profile_name()
    flags = mock.patch.object(torch.backends, "disable_global_flags")
    with flags, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from torch.testing._internal import common_methods_invocations

    hypothesis.settings.load_profile(profile)
    return list(common_methods_invocations.op_db)


def operators() -> dict[str, Any]:
    """Return the operators that a lowering covers, by the name of the table and its variant."""
    return {
        f"{op.name} {op.variant_test_name}".strip(): op
        for op in op_db()
        if _canonical(op) in LOWERINGS
        and torch.float32 in op.dtypes
        and not op.name.startswith(("masked.", "sparse."))  # other libraries of the same names
    }


def _canonical(op: Any) -> str:
    name = getattr(op.op, "__name__", "")
    # the table wraps some methods, and renames some arguments, in a function without a name
    return function_op(op.name.rpartition(".")[2] if name in ("<lambda>", "wrapper") else name)


@dataclass(frozen=True)
class _Place:
    """Where a tensor stood among the arguments, and what stands there in the network."""

    kind: Literal["item", "batch", "weight"]
    name: str = ""

    def __repr__(self) -> str:
        return f"<{self.kind}>"


class Call(nn.Module):
    """One call of an operator; tensors are inputs or weights, all else is fixed."""

    def __init__(self, call: Callable[..., Any], tree: Any, leaves: list[Any]) -> None:
        super().__init__()
        self.call, self.tree, self.leaves = call, tree, leaves

    def forward(self, **tensors: Tensor) -> Any:
        """Call the operator; an item is an input whose batch axis of one is taken off."""
        leaves = list(self.leaves)
        for index, place in enumerate(leaves):
            if isinstance(place, _Place):
                known = getattr(self, place.name) if place.kind == "weight" else tensors[place.name]
                leaves[index] = known[0] if place.kind == "item" else known
        first, args, kwargs = pytree.tree_unflatten(leaves, self.tree)
        return self.call(first, *args, **kwargs)


@dataclass
class Sample:
    """A network of one operator, what it is traced with and what it is compared on."""

    module: Call
    example: dict[str, Tensor]
    batch: str | int
    cases: list[dict[str, Tensor]]

    def __str__(self) -> str:
        tensors = {**self.example, **dict(self.module.named_buffers())}
        shapes = [f"{t.dtype}{list(t.shape)}".removeprefix("torch.") for t in tensors.values()]
        given = pytree.tree_unflatten(self.module.leaves, self.module.tree)
        return f"{', '.join(shapes)} in {given}"


def _called(op: Any, form: Form) -> Callable[..., Any] | None:
    if form in ("function", "batched"):
        function: Callable[..., Any] = op.op
        # an unbound method of Tensor does not take fx's proxies; its operator does
        plain = getattr(op.op, "__name__", "").strip("_")
        return getattr(operator, plain, function) if op.name.startswith("__") else function
    variant = op.method_variant if form == "method" else op.inplace_variant
    if not getattr(variant, "__name__", "").isidentifier():
        return None
    name = variant.__name__
    if form == "method":
        return lambda x, *args, **kwargs: getattr(x, name)(*args, **kwargs)

    def in_place(x: Any, *args: Any, **kwargs: Any) -> Any:
        written = x.clone()
        alias = written
        getattr(written, name)(*args, **kwargs)
        return alias

    return in_place


def samples(op: Any, form: Form, most: int | None) -> Iterator[Sample]:
    """Yield the samples of an operator, at most so many, chosen and filled by a seed."""
    call = _called(op, form)
    if call is None:
        return
    # the table seeds before each sample; torch.manual_seed takes milliseconds over absent devices
    seed = torch.default_generator.manual_seed
    with mock.patch.object(torch, "manual_seed", seed):
        torch.manual_seed(0)
        found = list(op.sample_inputs("cpu", torch.float32, requires_grad=False))
    if most is not None and len(found) > most:
        found = random.Random(0).sample(found, most)
    for sample in found:
        if form == "in place" and sample.broadcasts_input:
            continue
        leaves, tree = pytree.tree_flatten((sample.input, sample.args, sample.kwargs))
        made = (_batched if form == "batched" else _unbatched)(call, tree, leaves)
        if made is not None:
            yield made


def _unbatched(call: Callable[..., Any], tree: Any, leaves: list[Any]) -> Sample:
    """Make every tensor an input with a batch axis of one in front."""
    inputs: dict[str, Tensor] = {}
    places = list(leaves)
    for index, leaf in enumerate(leaves):
        if isinstance(leaf, Tensor):
            name = f"x{len(inputs)}"
            inputs[name] = leaf.detach()[None]
            places[index] = _Place("item", name)
    return Sample(Call(call, tree, places).eval(), inputs, 1, [inputs])


def _batched(call: Callable[..., Any], tree: Any, leaves: list[Any]) -> Sample | None:
    """Take the first tensor's own first axis for the batch, if the call allows other batches.

    Tensors of the same first length share the batch; the others are weights.
    """
    if not isinstance(leaves[0], Tensor) or not leaves[0].dim() or not len(leaves[0]):
        return None
    inputs: dict[str, Tensor] = {}
    module = Call(call, tree, list(leaves)).eval()
    for index, leaf in enumerate(leaves):
        if not isinstance(leaf, Tensor):
            continue
        shares = leaf.dim() and len(leaf) == len(leaves[0])
        place = _Place("batch" if shares else "weight", f"{'x' if shares else 'w'}{index}")
        module.leaves[index] = place
        if shares:
            inputs[place.name] = leaf.detach()
        else:
            module.register_buffer(place.name, leaf.detach())
    cases = [case for case in map(partial(_sized, inputs), BATCHES) if _runs(module, case)]
    return Sample(module, inputs, "dynamic", cases) if len(cases) == len(BATCHES) else None


def _sized(inputs: dict[str, Tensor], batch: int) -> dict[str, Tensor]:
    """Return inputs of another batch; a little noise makes repeated rows differ."""
    generator = torch.Generator().manual_seed(batch)
    made = {name: resized(tensor, batch) for name, tensor in inputs.items()}
    for name, tensor in made.items():
        if tensor.is_floating_point():
            made[name] = tensor * (1 + 0.1 * torch.rand(tensor.shape, generator=generator))
    return made


def _runs(module: Call, inputs: dict[str, Tensor]) -> bool:
    try:
        module(**{name: tensor.clone() for name, tensor in inputs.items()})
    except (RuntimeError, ValueError, IndexError, TypeError):
        return False
    return True


def outcomes(op: Any, form: Form, most: int | None) -> Iterator[Outcome]:
    """Judge the samples of an operator in one way of writing it."""
    for sample in samples(op, form, most):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = judge(
                sample.module,
                sample.example,
                sample.batch,
                sample.cases,
                absolute=ABSOLUTE.get(op.name, 0.0),
                opset=OPSETS[form],
            )
        yield replace(found, reason=f"{found.reason}: {sample}")
