"""Recurrent layers and cells."""

from __future__ import annotations

from typing import Any

from tests.exporters.ops.row import Row
from torch import Tensor, nn

__all__ = ["ROWS"]

SEQUENCE = (1, 7, 5)
KINDS: tuple[Any, ...] = (nn.LSTM, nn.GRU, nn.RNN)


class Started(nn.Module):
    """A recurrent layer that starts from a state."""

    def __init__(self, cls: Any, **options: Any) -> None:
        super().__init__()
        self.layer = cls(5, 5, batch_first=True, **options)
        self.states = self.layer.num_layers * (1 + self.layer.bidirectional)

    def forward(self, x: Tensor) -> Any:
        h = x[:, : self.states].transpose(0, 1).contiguous()
        return self.layer(x, (h, h * 2) if isinstance(self.layer, nn.LSTM) else h)


class Stepped(nn.Module):
    """A cell that goes over a sequence step by step."""

    def __init__(self, cls: Any, **options: Any) -> None:
        super().__init__()
        self.cell = cls(5, 4, **options)

    def forward(self, x: Tensor) -> Any:
        state = self.cell(x[:, 0])
        for step in range(1, 4):
            state = self.cell(x[:, step], state)
        return state


class WithoutBatch(nn.Module):
    """A layer that takes one sequence."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Any:
        return self.layer(x.sum(0))


class Last(nn.Module):
    """What comes out at the end alone."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(5, 4, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        _, (hidden, _) = self.lstm(x)
        return hidden[-1]


OPTIONS: dict[str, dict[str, Any]] = {
    "": {},
    " two layers": {"num_layers": 2, "dropout": 0.3},
    " both ways": {"bidirectional": True},
    " both ways, two layers, no bias": {"bidirectional": True, "num_layers": 2, "bias": False},
}

ROWS = [
    *(
        Row(
            f"{cls.__name__}{name}{' batch first' * first}",
            cls(5, 4, batch_first=first, **given),
            SEQUENCE,
        )
        for cls in KINDS
        for name, given in OPTIONS.items()
        for first in (False, True)
    ),
    Row("RNN of relu", nn.RNN(5, 4, nonlinearity="relu", bidirectional=True), SEQUENCE),
    *(
        Row(f"{cls.__name__}{name} from a state", Started(cls, **OPTIONS[name]), SEQUENCE)
        for cls in KINDS
        for name in ("", " both ways, two layers, no bias")
    ),
    *(
        Row(f"{cls.__name__} without a batch", WithoutBatch(cls(5, 4, num_layers=2)), SEQUENCE)
        for cls in KINDS
    ),
    Row(
        "GRU without a batch, both ways",
        WithoutBatch(nn.GRU(5, 4, bidirectional=True, batch_first=True)),
        SEQUENCE,
    ),
    Row("the last state of an LSTM", Last(), SEQUENCE),
    *(
        Row(f"{cls.__name__}", Stepped(cls), SEQUENCE)
        for cls in (nn.LSTMCell, nn.GRUCell, nn.RNNCell)
    ),
    Row("RNNCell of relu", Stepped(nn.RNNCell, nonlinearity="relu", bias=False), SEQUENCE),
]
