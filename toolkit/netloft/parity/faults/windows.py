"""Faults in the windows of convolutions and pools."""

from __future__ import annotations

from random import Random

from onnx import NodeProto

from netloft.parity.faults.draft import Draft, Planted, attribute, set_attribute

__all__ = ["ceil_flipped", "dilated", "pad_counted", "pad_moved", "pool_exchanged", "stride_halved"]

_OTHER_POOL = {
    "MaxPool": "AveragePool", "AveragePool": "MaxPool", "GlobalAveragePool": "GlobalMaxPool",
    "GlobalMaxPool": "GlobalAveragePool", "ReduceMean": "ReduceMax", "ReduceMax": "ReduceMean",
}  # fmt: skip
_DROPPED = {"MaxPool": ("storage_order", "dilations"), "AveragePool": ("count_include_pad",)}


def pad_moved(draft: Draft, random: Random) -> Planted:
    """Take a row of padding from the end of an axis, and put it at its start."""
    for node in draft.nodes(random, "Conv", "MaxPool", "AveragePool"):
        pads = list(attribute(node, "pads", []))
        half = len(pads) // 2
        axes = [axis for axis in range(half) if pads[axis + half] > 0]
        if axes:
            axis = random.choice(axes)
            pads[axis] += 1
            pads[axis + half] -= 1
            if node.op_type == "Conv" or max(pads) < min(attribute(node, "kernel_shape")):
                set_attribute(node, "pads", pads)
                return node, f"pads are {pads}: a row of axis {axis} moved to its start"
    return None


def dilated(draft: Draft, random: Random) -> Planted:
    """Spread a kernel of three or five over twice the distance, padded for the same shape."""
    for node in draft.nodes(random, "Conv"):
        weight = draft.shape(node.input[1])
        kernel = [int(length or 0) for length in (weight or ())[2:]]
        plain = all(d == 1 for d in attribute(node, "dilations", [1] * len(kernel)))
        if not kernel or max(kernel) == 1 or not plain or any(k % 2 == 0 for k in kernel):
            continue
        pads = list(attribute(node, "pads", [0] * 2 * len(kernel)))
        wider = [pad + (k - 1) // 2 for pad, k in zip(pads, kernel * 2, strict=True)]
        set_attribute(node, "pads", wider)
        set_attribute(node, "dilations", [2 if k > 1 else 1 for k in kernel])
        return node, "dilation 2 in place of 1, with wider pads"
    return None


def stride_halved(draft: Draft, random: Random) -> Planted:
    """Halve a stride of two, of a convolution whose result is only averaged."""
    for node in draft.nodes(random, "Conv", "MaxPool", "AveragePool"):
        strides = list(attribute(node, "strides", []))
        shape = draft.shape(node.input[0])
        tiny = shape is None or any(isinstance(n, int) and n < 2 for n in shape[2:])
        if strides and max(strides) > 1 and not tiny and _only_averaged(draft, node):
            set_attribute(node, "strides", [1] * len(strides))
            return node, f"stride 1 in place of {max(strides)}"
    return None


def _only_averaged(draft: Draft, node: NodeProto) -> bool:
    """Tell whether no other length than what a global pool takes away depends on a node's."""
    wanted = [node.output[0]]
    outputs = {output.name for output in draft.graph.output}
    while wanted:
        name = wanted.pop()
        if name in outputs:
            return False
        for user in draft.users(name):
            if user.op_type in ("GlobalAveragePool", "GlobalMaxPool", "ReduceMean"):
                continue
            if user.op_type not in ("Conv", "Relu", "Clip", "BatchNormalization", "MaxPool"):
                return False
            wanted += user.output[:1]
    return True


def pool_exchanged(draft: Draft, random: Random) -> Planted:
    """Take the largest where the mean is taken, or the other way round."""
    for node in draft.nodes(random, *_OTHER_POOL):
        if not _pools_one(draft, node) and len(node.output) == 1:
            before = node.op_type
            kept = [a for a in node.attribute if a.name not in _DROPPED.get(before, ())]
            del node.attribute[:]
            node.attribute.extend(kept)
            node.op_type = _OTHER_POOL[before]
            return node, f"{before} exchanged for {node.op_type}"
    return None


def _pools_one(draft: Draft, node: NodeProto) -> bool:
    """Tell whether each window holds one element, so that every pool is the same."""
    kernel = attribute(node, "kernel_shape")
    if kernel is not None:
        return bool(max(kernel) == 1)
    taken, made = draft.shape(node.input[0]), draft.shape(node.output[0])
    if taken is None or made is None:
        return True
    return not node.op_type.startswith("Reduce") and set(taken[2:]) == {1}


def pad_counted(draft: Draft, random: Random) -> Planted:
    """Count the padding of an average, or no longer."""
    for node in draft.nodes(random, "AveragePool"):
        if any(attribute(node, "pads", [])):
            counted = int(attribute(node, "count_include_pad", 0))
            set_attribute(node, "count_include_pad", 1 - counted)
            return node, f"count_include_pad {1 - counted} in place of {counted}"
    return None


def ceil_flipped(draft: Draft, random: Random) -> Planted:
    """Round the length of a pool's result the other way, where that is another length."""
    for node in draft.nodes(random, "MaxPool", "AveragePool"):
        shape, kernel = draft.shape(node.input[0]), attribute(node, "kernel_shape")
        rank = len(kernel)
        strides, pads = (
            attribute(node, "strides", [1] * rank),
            attribute(node, "pads", [0] * 2 * rank),
        )
        lengths = (shape or ())[2:]
        left = [
            (length + pads[i] + pads[i + rank] - kernel[i]) % strides[i]
            for i, length in enumerate(lengths)
            if isinstance(length, int)
        ]
        # a last window that would start in the padding is left out, so that nothing changes
        if any(
            rest > 0 and rest + kernel[i] > strides[i] + pads[i + rank]
            for i, rest in enumerate(left)
        ):
            ceil = int(attribute(node, "ceil_mode", 0))
            set_attribute(node, "ceil_mode", 1 - ceil)
            return node, f"ceil_mode {1 - ceil} in place of {ceil}"
    return None
