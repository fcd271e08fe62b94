"""What an exporter writes out as several operations, or as another one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from netloft.comparing.entry import Entry
from netloft.comparing.side import Side

__all__ = ["WRITTEN_OUT", "parts_of", "written_as"]

_MOVES = "reshape permute expand slice split cat identity to parameter"
_SUMS = "add sub mul div sqrt pow reciprocal neg abs sum mean max maximum minimum clamp norm where"

WRITTEN_OUT: Mapping[str, frozenset[str]] = {
    op: frozenset(f"{_MOVES} {parts}".split())
    for ops, parts in (
        ("multihead_attention scaled_dot_product_attention",
         f"linear matmul softmax scaled_dot_product_attention isnan eq and or not {_SUMS}"),
        ("transformer_encoder_layer transformer_decoder_layer transformer transformer_encoder "
         "transformer_decoder shifted_window_attention shifted_window_attention_v2",
         "linear matmul softmax layer_norm relu gelu erf scaled_dot_product_attention roll isnan "
         f"eq and or not {_SUMS}"),
        ("lstm gru rnn lstm_cell gru_cell rnn_cell",
         f"lstm gru rnn linear matmul sigmoid tanh relu {_SUMS}"),
        ("flip roll stack hstack vstack narrow unbind repeat repeat_interleave tile masked_fill "
         "tril triu fold unfold channel_shuffle meshgrid", "flip gather trilu where mul"),
        ("setitem index_put masked_scatter slice_scatter", "where mul add scatter ScatterND"),
        ("einsum bilinear tensordot", f"einsum matmul linear {_SUMS}"),
        ("slice", "gather where scatter ScatterND"), ("sort argsort topk", "topk neg"),
        ("clamp", "maximum minimum where"),
        ("glu", "sigmoid mul"), ("pow rsqrt square", _SUMS),
        ("std var norm normalize cosine_similarity logsumexp max min",
         f"exp log topk argmax argmin {_SUMS}"),
        ("addcmul addcdiv lerp rsub floordiv addmm baddbmm", f"matmul linear floor {_SUMS}"),
        ("adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d adaptive_max_pool1d "
         "adaptive_max_pool2d adaptive_max_pool3d",
         "avg_pool1d avg_pool2d avg_pool3d max_pool1d max_pool2d max_pool3d matmul linear "
         f"{_SUMS}"),
        ("local_response_norm", f"avg_pool1d avg_pool2d avg_pool3d pad {_SUMS}"),
        ("layer_norm group_norm instance_norm rms_norm batch_norm",
         f"layer_norm group_norm instance_norm rms_norm batch_norm {_SUMS}"),
        ("gelu silu mish softmin hardswish hardsigmoid log_sigmoid logsigmoid tanhshrink "
         "softshrink hardshrink threshold",
         f"sigmoid softmax erf tanh exp log softplus gt lt ge le {_SUMS}"),
        ("interpolate pixel_shuffle pixel_unshuffle grid_sample", f"matmul linear {_SUMS}"),
    )
    for op in ops.split()
}  # fmt: skip
"""Operations, spelled alike, by what they may be written out as."""


def written_as(entry: Entry) -> frozenset[str]:
    """Return what an operation may be written out as; nothing for one that never is."""
    named = entry.arguments.named if entry.arguments is not None else {}
    for op, name, plain, parts in _WITH_ARGUMENT:
        if entry.op.startswith(op) and named.get(name) not in (None, *plain):
            return frozenset((entry.op, *parts.split()))
    return WRITTEN_OUT.get(entry.op, frozenset())


_WITH_ARGUMENT: tuple[tuple[str, str, tuple[object, ...], str], ...] = (
    ("add", "alpha", (), "mul"),
    ("sub", "alpha", (), "mul"),
    ("div", "rounding_mode", (), "mod sub round lt to floor trunc where neg abs sign mul"),
    ("softplus", "beta", (1,), "mul div"),
    ("conv", "padding_mode", ("zeros",), "pad"),
    ("avg_pool", "ceil_mode", (False,), "mul parameter pad"),
)
"""Operations that are written out where an argument is not one of some."""


def parts_of(
    entry: Entry, here: Side, pairs: Mapping[int, int], new: Sequence[Entry]
) -> list[Entry]:
    """Return what an operation was written out as on the other side.

    That is what stands there alone, is known to be what such an operation is written out as, and
    is of the same module; or stands between what comes before and behind the operation.

    Args:
        entry: The operation.
        here: Its side.
        pairs: What is the same on the other side.
        new: What the other side alone has.
    """
    allowed = [e for e in new if e.op in written_as(entry)]
    if entry.is_layer and entry.path:
        inside = f"{entry.path}."
        own = [e for e in allowed if e.path == entry.path or e.path.startswith(inside)]
        if own:  # with the numbers that they read, which stand right before them
            inside_of = {id(e) for e in own}
            span = range(own[0].position - 1, own[-1].position)
            return [
                e
                for e in allowed
                if id(e) in inside_of or (e.op == "parameter" and e.position in span)
            ]
    known = pairs.keys() - {entry.position}
    before = _around(
        entry, {e.position: [r.position for r in e.reads] for e in here.entries}, known
    )
    readers: dict[int, list[int]] = {}
    for reader in here.entries:
        for read in reader.reads:
            readers.setdefault(read.position, []).append(reader.position)
            if read.written >= 0:
                readers.setdefault(read.written, []).append(reader.position)
    behind = _around(entry, readers, known)
    first = max((pairs[p] for p in before), default=-1)
    last = min((pairs[p] for p in behind), default=-1)
    return [e for e in allowed if first < e.position < last]


def _around(entry: Entry, ways: Mapping[int, Sequence[int]], known: set[int]) -> set[int]:
    """Return the nearest that the other side has too, along the ways from an operation."""
    found: set[int] = set()
    seen: set[int] = set()
    waiting = list(ways.get(entry.position, ()))
    while waiting:
        position = waiting.pop()
        if position in known:
            found.add(position)
        elif position not in seen:
            seen.add(position)
            waiting += ways.get(position, ())
    return found
