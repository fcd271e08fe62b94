"""What a reader needs of an operation beside its title: stride, groups, heads, axes."""

from __future__ import annotations

import operator
from collections.abc import Mapping

from torch import fx

from netloft.graph import Annotation, annotation
from netloft_diagrams.words import channels_of, kernel_text, list_text, rank_of, size_text

__all__ = ["remarks", "shrinks"]

_AXIS = frozenset(
    (
        *("mean", "sum", "prod", "std", "var", "norm", "amax", "amin", "max", "min", "argmax"),
        *("argmin", "cumsum", "cumprod", "logsumexp", "sort", "argsort", "stack", "gather"),
        *("flip", "select", "index_select", "unbind"),
    )
)
"""Operations along one axis or some."""

_COMPARED = {"gt": ">", "lt": "<", "ge": "\N{GREATER-THAN OR EQUAL TO}",
             "le": "\N{LESS-THAN OR EQUAL TO}", "eq": "=", "ne": "\N{NOT EQUAL TO}"}  # fmt: skip


def remarks(node: fx.Node) -> list[str]:
    """Return what else a reader needs of the operation that names a box."""
    record = annotation(node)
    attributes = record.attributes
    if record.family == "conv":
        return _conv(record)
    if record.family == "pool" and not record.op.startswith("adaptive"):
        return _pool(attributes)
    if record.family == "attention" and "num_heads" in attributes:
        heads = attributes["num_heads"]
        return [f"{heads} heads" if isinstance(heads, int) else "heads"]
    if record.family == "recurrent":
        layers = attributes.get("num_layers", 1)
        both = ["both ways"] if attributes.get("bidirectional") else []
        return ([f"{layers} layers"] if layers != 1 else []) + both
    held = attributes.get("holds")
    if isinstance(held, tuple):
        return [str(row) for row in held]
    if "domain" in attributes:
        return [str(attributes["domain"])]
    return [] if record.family == "activation" and record.op != "pow" else _arguments(node, record)


def _pool(attributes: Mapping[str, object]) -> list[str]:
    found = []
    if attributes.get("kernel_size") and attributes.get("stride") not in (None, ()):
        found.append(f"stride {size_text(attributes['stride'])}")
    if attributes.get("padding") not in (None, ()) and size_text(attributes["padding"]) != "0":
        found.append(f"pad {size_text(attributes['padding'])}")
    return found


def _arguments(node: fx.Node, record: Annotation) -> list[str]:
    """Say what a function is given beside values of the graph."""
    found = record.attributes
    first = found.get("dim", found.get("arg1"))
    match record.op:
        case "getitem" if node.target is operator.getitem:
            return _index(node.args[1])
        case "interpolate":
            return [str(found["mode"])] if found.get("mode") else []
        case "pow" if isinstance(found.get("arg1"), int | float):
            return [f"exponent {found['arg1']:.4g}"]
        case "topk" if isinstance(found.get("arg1", found.get("k")), int):
            return [f"the largest {found.get('arg1', found.get('k'))}"]
        case "permute":
            order = first if isinstance(first, tuple | list) else _numbered(found)
            return [f"axes {list_text(order)}"] if order else []
        case "transpose" | "swapaxes":
            pair = [found[name] for name in ("dim0", "dim1") if name in found] or _numbered(found)
            return [f"axes {list_text(pair)}"] if pair else []
    if record.op in _COMPARED:
        other = found.get("b", found.get("arg1"))
        return [f"{_COMPARED[record.op]} {other:.4g}"] if isinstance(other, int | float) else []
    if record.op in _AXIS and first is not None and _is_axis(first):
        return [f"axis {list_text(first)}"]
    return []


def _is_axis(value: object) -> bool:
    values = value if isinstance(value, tuple | list) else (value,)
    return all(type(each) is int for each in values)


def _numbered(attributes: Mapping[str, object]) -> list[object]:
    """Return `0, 2, 3, 1` of `x.permute(0, 2, 3, 1)`."""
    return [value for name, value in attributes.items() if name.startswith("arg")]


def _index(index: object) -> list[str]:
    """Return `[:, 0]`; of tensors and lengths that are worked out, only that there is one."""
    items = index if isinstance(index, tuple) else (index,)
    return [f"[{', '.join(map(_item, items))}]"]


def _item(item: object) -> str:
    if isinstance(item, slice):
        ends = ("" if end is None else _item(end) for end in (item.start, item.stop))
        return ":".join(ends) + (f":{_item(item.step)}" if item.step not in (None, 1) else "")
    if item is Ellipsis:
        return "\N{HORIZONTAL ELLIPSIS}"
    return str(item) if item is None or isinstance(item, bool | int) else "\N{MIDDLE DOT}"


def _conv(record: Annotation) -> list[str]:
    attributes = record.attributes
    found = []
    for name in ("stride", "dilation"):
        value = attributes.get(name)
        if value is not None and size_text(value) != "1":
            found.append(f"{name} {size_text(value)}")
    groups, (before, _) = attributes.get("groups"), channels_of(record)
    if isinstance(groups, int) and groups not in (1, before):
        found.append(f"groups {groups}")
    padding = attributes.get("padding")
    if _unusual_padding(record, padding):
        found.append(f"pad {size_text(padding)}")
    return found


def shrinks(record: Annotation) -> bool:
    """Tell a convolution whose windows overlap and are not padded: it gives less than it takes."""
    attributes = record.attributes
    if record.family != "conv" or record.op.startswith("conv_transpose"):
        return False
    padding = attributes.get("padding", 0)
    rank = rank_of(record)
    kernel = kernel_text(attributes, rank).split("×")
    stride = attributes.get("stride", 1)
    strides = stride if isinstance(stride, tuple | list) else (stride,) * rank
    bare = padding == "valid" or (padding != "same" and size_text(padding) == "0")
    return bare and any(k.isdigit() and int(k) > s for k, s in zip(kernel, strides, strict=False))


def _unusual_padding(record: Annotation, padding: object) -> bool:
    """A padding that neither keeps the size nor is zero is worth a word."""
    kernel = kernel_text(record.attributes, rank_of(record)).split("×")
    dilation = record.attributes.get("dilation")
    if not isinstance(padding, tuple | list) or not all(kernel) or size_text(dilation) != "1":
        return False
    return any(padding) and [str(2 * p + 1) for p in padding] != kernel
