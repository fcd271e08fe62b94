"""Recurrent layers and cells."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
import torch
from torch import nn

from netloft.graph.annotation import Dim, TensorInfo
from netloft_exporters.onnx.lowering.context import Context, Unsupported
from netloft_exporters.onnx.lowering.registry import lowering
from netloft_exporters.onnx.lowering.spatial import need

# torch stacks the gates of an LSTM as input, forget, cell, output and of a GRU as reset, update,
# new; ONNX as input, output, forget, cell and as update, reset, new.
_GATES = {"LSTM": [0, 3, 1, 2], "GRU": [1, 0, 2], "RNN": [0]}

_ACTIVATIONS = {"RNN_TANH": "Tanh", "RNN_RELU": "Relu"}

States = list[ir.Value]
"""Hidden state, and the cell state of an LSTM."""


class _Layers:
    """Write the ONNX operators of one recurrent module.

    Args:
        ctx: The graph under construction.
        module: Whose weights are read.
        kind: ONNX operator.
        activation: Of an RNN.
        hidden: Length of the hidden state.
    """

    def __init__(
        self, ctx: Context, module: nn.Module, kind: str, activation: str | None, hidden: int
    ) -> None:
        self._ctx, self._module, self._kind, self._hidden = ctx, module, kind, hidden
        self._activation = activation

    def run(
        self, sequence: ir.Value, states: States | None, suffixes: Sequence[str]
    ) -> tuple[ir.Value, States]:
        """Run one layer over a sequence, time first.

        Args:
            sequence: `(time, batch, features)`.
            states: Each `(directions, batch, hidden)`; None for zeros.
            suffixes: End of the weights' names, one a direction.

        Returns:
            `(time, directions, batch, hidden)`, and the last states.
        """
        biases = self._biases(suffixes)
        activations = [self._activation] * len(suffixes) if self._activation else None
        outputs = self._ctx.ops(
            self._kind,
            sequence,
            self._weights("weight_ih", suffixes),
            self._weights("weight_hh", suffixes),
            biases,
            None,
            *(states or []),
            outputs=3 if self._kind == "LSTM" else 2,
            hidden_size=self._hidden,
            direction="bidirectional" if len(suffixes) == 2 else "forward",
            activations=activations,
            linear_before_reset=1 if self._kind == "GRU" else None,
        )
        return outputs[0], list(outputs[1:])

    def _weights(self, name: str, suffixes: Sequence[str]) -> ir.Value:
        return self._stacked(name, suffixes, [self._ordered(name + end) for end in suffixes])

    def _biases(self, suffixes: Sequence[str]) -> ir.Value | None:
        if getattr(self._module, f"bias_ih{suffixes[0]}", None) is None:
            return None
        both = [
            np.concatenate([self._ordered(f"bias_{part}{end}") for part in ("ih", "hh")])
            for end in suffixes
        ]
        return self._stacked("bias", suffixes, both)

    def _ordered(self, name: str) -> npt.NDArray[Any]:
        tensor: torch.Tensor = getattr(self._module, name)
        gates = np.split(tensor.detach().numpy(), len(_GATES[self._kind]))
        return np.concatenate([gates[i] for i in _GATES[self._kind]])

    def _stacked(
        self, name: str, suffixes: Sequence[str], parts: list[npt.NDArray[Any]]
    ) -> ir.Value:
        full = f"{self._ctx.record.module}.{name}{suffixes[0]}"
        info = TensorInfo((len(parts), *parts[0].shape), str(parts[0].dtype))
        return self._ctx.derived(("stacked", full), full, lambda: np.stack(parts), info)


@lowering("lstm", "gru", "rnn")
def recurrent(
    ctx: Context,
    input: ir.Value,
    hx: ir.Value | Sequence[ir.Value] | None = None,
    *,
    module: nn.RNNBase,
) -> tuple[ir.Value, Any]:
    """torch.nn.LSTM, GRU and RNN to one LSTM, GRU or RNN a layer: hidden_size, direction.

    The gates are put into ONNX's order in the weights.
    """
    if module.proj_size:
        raise Unsupported("an LSTM with a projection (proj_size)")
    need(ctx, input, ("float32",))
    kind, directions = module.mode.partition("_")[0], 1 + module.bidirectional
    layers = _Layers(ctx, module, kind, _ACTIVATIONS.get(module.mode), module.hidden_size)
    value, lengths = _time_first(ctx, input, module)
    given = _states_by_layer(ctx, hx, module, directions, lengths[1])
    last: list[States] = []
    for layer in range(module.num_layers):
        suffixes = [f"_l{layer}", f"_l{layer}_reverse"][:directions]
        made, states = layers.run(value, given[layer], suffixes)
        last.append(states)
        info = TensorInfo((lengths[0], directions, lengths[1], module.hidden_size), "float32")
        final = layer == module.num_layers - 1
        value = _joined(ctx, ctx.know(made, info), final and module.batch_first, lengths)
    ended = [_end_state(ctx, parts, i) for i, parts in enumerate(zip(*last, strict=True))]
    return ctx.reshape(value, ctx.results[0].shape), tuple(ended) if kind == "LSTM" else ended[0]


def _time_first(
    ctx: Context, input: ir.Value, module: nn.RNNBase
) -> tuple[ir.Value, tuple[Dim, Dim]]:
    """Return a sequence as `(time, batch, features)`, with the lengths of time and batch."""
    shape = ctx.shape_of(input)
    if len(shape) == 2:
        return ctx.reshape(input, (shape[0], 1, shape[1])), (shape[0], 1)
    if not module.batch_first:
        return input, (shape[0], shape[1])
    return ctx.op("Transpose", input, perm=[1, 0, 2]), (shape[1], shape[0])


def _joined(ctx: Context, made: ir.Value, batch_first: bool, lengths: tuple[Dim, Dim]) -> ir.Value:
    """Put the directions side by side: `(time, batch, features)`, or the batch first."""
    info = ctx.info_of(made)
    time, directions, batch, hidden = info.shape
    unbatched = len(ctx.results[0].shape) == 2
    order = [2, 0, 1, 3] if batch_first and not unbatched else [0, 2, 1, 3]
    if directions == 1 and order[0] == 0:
        return ctx.reshape(made, (time, batch, hidden))
    turned = ctx.op("Transpose", made, perm=order)
    ctx.know(turned, TensorInfo(tuple(info.shape[axis] for axis in order), info.dtype))
    features = ctx.fixed([directions, hidden])
    lead = (batch, time) if order[0] == 2 else (time, batch)
    return ctx.reshape(turned, (*lead, features[0] * features[1]))


def _states_by_layer(
    ctx: Context, hx: Any, module: nn.RNNBase, directions: int, batch: Dim
) -> list[States | None]:
    layers = module.num_layers
    if hx is None:
        return [None] * layers
    states = [hx] if isinstance(hx, ir.Value) else list(hx)
    shape = (layers * directions, batch, module.hidden_size)
    states = [ctx.reshape(state, shape) for state in states]
    if layers == 1:
        return [states]
    sizes = ctx.ints([directions] * layers)
    parts = [ctx.ops("Split", state, sizes, outputs=layers, axis=0) for state in states]
    return [list(each) for each in zip(*parts, strict=True)]


def _end_state(ctx: Context, parts: Sequence[ir.Value], index: int) -> ir.Value:
    wanted = ctx.results[1 + index]
    value = parts[0] if len(parts) == 1 else ctx.op("Concat", *parts, axis=0)
    if len(wanted.shape) == 3:
        return value
    return ctx.op("Squeeze", value, ctx.ints([1]))


@lowering("lstm_cell", "gru_cell", "rnn_cell")
def cell(
    ctx: Context,
    input: ir.Value,
    hx: ir.Value | Sequence[ir.Value] | None = None,
    *,
    module: nn.RNNCellBase,
) -> Any:
    """torch.nn.LSTMCell, GRUCell and RNNCell to an LSTM, GRU or RNN over one step."""
    need(ctx, input, ("float32",))
    kind = type(module).__name__.removesuffix("Cell")
    activation = getattr(module, "nonlinearity", "").capitalize() or None
    shape = ctx.shape_of(input)
    batch = shape[0] if len(shape) == 2 else 1
    value = ctx.reshape(input, (1, batch, shape[-1]))
    states = None
    if hx is not None:
        given = [hx] if isinstance(hx, ir.Value) else hx
        states = [ctx.reshape(state, (1, batch, module.hidden_size)) for state in given]
    layers = _Layers(ctx, module, kind, activation, module.hidden_size)
    _, ended = layers.run(value, states, [""])
    for state in ended:
        ctx.know(state, TensorInfo((1, batch, module.hidden_size), "float32"))
    made = [ctx.reshape(state, ctx.results[0].shape) for state in ended]
    return tuple(made) if kind == "LSTM" else made[0]
