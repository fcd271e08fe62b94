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
from typing import Any, Literal
from unittest import mock

import hypothesis
import torch
from tests.exporters.judging import Outcome, judge
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from netloft.graph.ops import function_op
from netloft_exporters.onnx.lowering import LOWERINGS

__all__ = ["FORMS", "Form", "operators", "outcomes"]

ABSOLUTE = {"sigmoid": 2.0**-23, "nn.functional.silu": 2.0**-20}
"""Absolute errors that ONNX Runtime's own kernel makes.

Its Sigmoid is right to an ulp of 1, not of the value: of 2e-4 it knows three digits less. In a
tensor with larger values, as networks have, that is below PyTorch's own error.
"""

Form = Literal["function", "method", "in place"]
FORMS: tuple[Form, ...] = ("function", "method", "in place")


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


class Call(nn.Module):
    """One call of an operator; its tensors are the inputs, all else is fixed."""

    def __init__(self, call: Callable[..., Any], tree: Any, leaves: list[Any]) -> None:
        super().__init__()
        self.call, self.tree, self.leaves = call, tree, leaves

    def forward(self, **tensors: Tensor) -> Any:
        """Take the batch axis of one off each tensor and call the operator."""
        given = iter(tensors.values())
        leaves = [next(given)[0] if leaf is _TENSOR else leaf for leaf in self.leaves]
        first, args, kwargs = pytree.tree_unflatten(leaves, self.tree)
        return self.call(first, *args, **kwargs)


class _Place:
    """Where a tensor stood."""

    def __deepcopy__(self, memo: object) -> _Place:
        return self

    def __repr__(self) -> str:
        return "tensor"


_TENSOR = _Place()


@dataclass
class Sample:
    """A network of one operator, and its inputs."""

    module: Call
    inputs: dict[str, Tensor]
    absolute: float

    def __str__(self) -> str:
        shapes = [
            f"{t.dtype}{list(t.shape[1:])}".removeprefix("torch.") for t in self.inputs.values()
        ]
        given = pytree.tree_unflatten(self.module.leaves, self.module.tree)
        return f"{', '.join(shapes)} in {given}"


def _called(op: Any, form: Form) -> Callable[..., Any] | None:
    if form == "function":
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
        tensors = [leaf for leaf in leaves if isinstance(leaf, Tensor)]
        places = [_TENSOR if isinstance(leaf, Tensor) else leaf for leaf in leaves]
        yield Sample(
            Call(call, tree, places).eval(),
            {f"x{i}": tensor.detach()[None] for i, tensor in enumerate(tensors)},
            ABSOLUTE.get(op.name, 0.0),
        )


def outcomes(op: Any, form: Form, most: int | None) -> Iterator[Outcome]:
    """Judge the samples of an operator in one way of writing it."""
    for sample in samples(op, form, most):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = judge(sample.module, sample.inputs, 1, [sample.inputs], sample.absolute)
        yield replace(found, reason=f"{found.reason}: {sample}")
