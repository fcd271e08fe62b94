"""PyTorch's own tables of operators and layers with sample arguments.

`torch.testing._internal` describes every operator and every layer with the arguments that PyTorch
tests it on: empty tensors, tensors without axes, negative axes, broadcasting and all options.
"""

from __future__ import annotations

import operator
import random
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol
from unittest import mock

import hypothesis
import torch
from tests.exporters.calls import Arguments, one_item, open_batch
from tests.exporters.judging import Outcome, judge
from torch import Tensor

from netloft.graph.ops import function_op, module_op
from netloft_exporters.onnx.lowering import LOWERINGS

__all__ = ["FORMS", "Entry", "Form", "entries", "outcomes"]

Form = Literal["function", "method", "in place", "batched"]
"""Ways to write a call; `batched` leaves the batch open and takes it from the sample itself."""

FORMS: tuple[Form, ...] = ("function", "method", "in place", "batched")

NOT_BY_ITEM = ("searchsorted",)
"""Operators whose arguments no other batch can be made of: a repeated sequence is not sorted."""

OPSETS: dict[Form, int] = {"function": 20, "method": 18, "in place": 20, "batched": 26}

Function = Callable[..., Any]

ABSOLUTE = {"sigmoid": 2.0**-23, "silu": 2.0**-20}
"""Absolute errors that ONNX Runtime's own kernel makes.

Its Sigmoid is right to an ulp of 1, not of the value: of 2e-4 it knows three digits less. In a
tensor with larger values, as networks have, that is below PyTorch's own error.
"""


class Entry(Protocol):
    """An operator or a layer of the tables."""

    @property
    def op(self) -> str:
        """Canonical name of the operation."""

    def calls(self, form: Form) -> list[tuple[Function, Arguments]]:
        """Return the sample calls in one way of writing them; none where there is no such way."""


def _tables() -> tuple[list[Any], list[Any]]:
    """Return PyTorch's tables; loading them must not change settings of this process."""
    profile = hypothesis.settings.get_current_profile_name()
    flags = mock.patch.object(torch.backends, "disable_global_flags")
    with flags, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from torch.testing._internal import common_methods_invocations, common_modules

    hypothesis.settings.load_profile(profile)
    return list(common_methods_invocations.op_db), list(common_modules.module_db)


def entries() -> dict[str, Entry]:
    """Return what a lowering covers, by the name of the table and its variant."""
    operators, layers = _tables()
    found: dict[str, Entry] = {
        f"{info.name} {info.variant_test_name}".strip(): Operator(info)
        for info in operators
        if torch.float32 in info.dtypes
        and not info.name.startswith(("masked.", "sparse."))  # other libraries of the same names
    }
    found |= {info.name: Layer(info) for info in layers if "Lazy" not in info.name}
    return {name: entry for name, entry in found.items() if entry.op in LOWERINGS}


@dataclass(frozen=True)
class Operator:
    """A row of the table of operators."""

    info: Any

    @property
    def op(self) -> str:
        """Canonical name of the operation."""
        name = getattr(self.info.op, "__name__", "")
        # the table wraps some methods, and renames some arguments, in a function without a name
        short = self.info.name.rpartition(".")[2]
        return function_op(short if name in ("<lambda>", "wrapper") else name)

    def calls(self, form: Form) -> list[tuple[Function, Arguments]]:
        """Return the sample calls in one way of writing them; none where there is no such way."""
        call = self._called(form)
        if call is None:
            return []
        samples = self.info.sample_inputs("cpu", torch.float32, requires_grad=False)
        return [
            (call, ((sample.input, *sample.args), sample.kwargs))
            for sample in samples
            if form != "in place" or not sample.broadcasts_input
        ]

    def _called(self, form: Form) -> Function | None:
        info = self.info
        if form in ("function", "batched"):
            function: Function = info.op
            # an unbound method of Tensor does not take fx's proxies; its operator does
            plain = getattr(info.op, "__name__", "").strip("_")
            return getattr(operator, plain, function) if info.name.startswith("__") else function
        variant = info.method_variant if form == "method" else info.inplace_variant
        name = getattr(variant, "__name__", "")
        if not name.isidentifier():
            return None
        return _method(name) if form == "method" else _in_place(name)


def _method(name: str) -> Function:
    return lambda x, *args, **kwargs: getattr(x, name)(*args, **kwargs)


def _in_place(name: str) -> Function:
    def call(x: Any, *args: Any, **kwargs: Any) -> Any:
        written = x.clone()
        alias = written
        getattr(written, name)(*args, **kwargs)
        return alias

    return call


@dataclass(frozen=True)
class Layer:
    """A row of the table of layers."""

    info: Any

    @property
    def op(self) -> str:
        """Canonical name of the operation."""
        return module_op(self.info.module_cls.__new__(self.info.module_cls))

    def calls(self, form: Form) -> list[tuple[Function, Arguments]]:
        """Return the sample calls; a layer is called in one way."""
        if form not in ("function", "batched"):
            return []
        samples = self.info.module_inputs_func(
            self.info, device="cpu", dtype=torch.float32, requires_grad=False, training=False
        )
        return [self._call(sample) for sample in samples]

    def _call(self, sample: Any) -> tuple[Function, Arguments]:
        made, given = sample.constructor_input, sample.forward_input
        layer = self.info.module_cls(*made.args, **made.kwargs)
        return layer, (given.args, given.kwargs)


def outcomes(
    entry: Entry,
    form: Form,
    most: int | None,
    change: Callable[[Tensor], Tensor] = lambda tensor: tensor,
) -> Iterator[Outcome]:
    """Judge an entry's samples in one way of writing them.

    Args:
        entry: The operator or layer.
        form: The way.
        most: Take at most so many samples, chosen by a seed.
        change: What is done to the inputs that the result is compared on.
    """
    # the table seeds before each sample; torch.manual_seed takes milliseconds over absent devices
    seed = torch.default_generator.manual_seed
    if form == "batched" and entry.op in NOT_BY_ITEM:
        return
    with mock.patch.object(torch, "manual_seed", seed), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.manual_seed(0)
        calls = entry.calls(form)
        if most is not None and len(calls) > most:
            calls = random.Random(0).sample(calls, most)
        for call, arguments in calls:
            made = (open_batch if form == "batched" else one_item)(call, arguments)
            if made is None:
                continue
            found = judge(
                made.module,
                made.example,
                made.batch,
                [{name: change(t) for name, t in case.items()} for case in made.cases],
                absolute=ABSOLUTE.get(entry.op, 0.0),
                opset=OPSETS[form],
            )
            yield replace(found, reason=f"{found.reason}: {made}")
