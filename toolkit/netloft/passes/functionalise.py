"""Turn writes in place into values, and let every later reader of the memory see them.

Given:
    %h = conv(%x)
    %v = h[:, :2]
    %y = relu_(%v)
    %s = add(%h, %y)

Result:
    %h = conv(%x)
    %v = h[:, :2]
    %y = relu(%v)
    %setitem = setitem(%h, [:, :2], %y)
    %s = add(%setitem, %y)

Leaves alone:
    Nothing: a write that cannot be turned into a value raises `NotFunctionalError`.

What shares memory with what is not guessed from names: the run without data tells it, tensor by
tensor. A node that was written to is *stale* for its views until one of them is read; then the view
is taken anew, or the piece that was written through a view is put back into the whole.
"""

from __future__ import annotations

import copy
import operator
from collections import Counter, defaultdict
from typing import Any

import torch
from torch import fx

from netloft.graph.annotation import TensorInfo
from netloft.graph.cost import at_batch, tensors
from netloft.graph.graph import annotation
from netloft.graph.ops import op_of, writes
from netloft.passes.edit import Edit, NotFunctionalError, called, info_of
from netloft.passes.pure import pure_call, setitem
from netloft.passes.views import gives_parts, put_back, repeats_elements

__all__ = ["functionalise"]

_CLOSED = {operator.add, operator.sub, operator.mul, operator.truediv}
"""Operators that give the floating type of their operands, where these have one."""

_UNKNOWN = -1
"""Version of a node that has to be taken anew once its memory was written to."""


def functionalise(edit: Edit) -> None:
    """Leave no write in place; see the module's own text.

    Raises:
        NotFunctionalError: A write cannot be expressed as a value.
    """
    nodes = list(edit.fx.nodes)
    writers = {node for node in nodes if _writes(edit, node)}
    if writers:
        _Functionaliser(edit, writers).run(nodes)


def _writes(edit: Edit, node: fx.Node) -> bool:
    if node.op == "call_module":
        return bool(getattr(edit.module_of(node), "inplace", False))
    return writes(node, edit.root)


class _Functionaliser:
    """Walk a graph in order.

    `_value` is the node that holds now what a node of the old graph held; `_seen` is the version of
    its memory that this is right for; `_pending` names the view through which a part of a node was
    written since. `_operand` is what a view was taken of, which one part of a split shares with the
    split itself, and `_taken_from` the node that held that at the time. `_made_at` holds the
    versions at which a node of more than one memory was made: no later write can be followed.
    """

    def __init__(self, edit: Edit, writers: set[fx.Node]) -> None:
        self._edit, self._writers = edit, writers
        self._value: dict[fx.Node, fx.Node] = {}
        self._seen: dict[fx.Node, int] = {}
        self._made_at: dict[fx.Node, list[int]] = {}
        self._version: Counter[int] = Counter()
        self._parent: dict[fx.Node, fx.Node] = {}
        self._operand: dict[fx.Node, fx.Node] = {}
        self._taken_from: dict[fx.Node, fx.Node] = {}
        self._pending: dict[fx.Node, fx.Node] = {}
        self._results: set[fx.Node] = set()
        self._origin: dict[int, fx.Node] = {}
        self._writer: dict[int, fx.Node] = {}
        self._told: defaultdict[fx.Node, list[str]] = defaultdict(list)

    def run(self, nodes: list[fx.Node]) -> None:
        """Rewrite every node, then say what was done."""
        for node in nodes:
            if self._writes_itself(node):
                self._edit.erase(node)
                continue
            operands = node.all_input_nodes
            target = node.kwargs.get("out") or (operands[0] if operands else None)
            self._read_operands(node)
            if node in self._writers:
                self._write(node, target)
            else:
                self._remember(node, operands)
        for writer, told in self._told.items():
            alone = ["nothing else reads what it wrote to"] if len(told) == 1 else []
            self._edit.note(writer, "; ".join(dict.fromkeys([*told, *alone])))

    def _read_operands(self, node: fx.Node) -> None:
        homes = (home for operand in node.all_input_nodes for home in annotation(operand).memory)
        if not any(map(self._version.get, homes)):
            return
        # what gives numbers reads shapes, which no write changes
        if node in self._writers or tensors(annotation(node).value):
            node.args = fx.map_arg(node.args, lambda n: self._told_read(n, node))
            node.kwargs = fx.map_arg(node.kwargs, lambda n: self._told_read(n, node))

    def _remember(self, node: fx.Node, operands: list[fx.Node]) -> None:
        """Note what a node is a view of."""
        homes = annotation(node).memory
        if len(set(homes)) != 1:
            self._made_at[node] = self._versions(node)
            return
        self._seen[node] = self._version[homes[0]]
        operand = next((n for n in operands if homes[0] in annotation(n).memory), None)
        if operand is None:
            self._remember_origin(node, homes[0])
            return
        self._operand[node] = operand
        self._taken_from[node] = self._value.get(operand, operand)
        if not gives_parts(operand):
            self._parent[node] = operand
        elif operand in self._parent:
            self._parent[node] = self._parent[operand]

    def _remember_origin(self, node: fx.Node, home: int) -> None:
        """Note which node has a memory first; a weight may be read, and so be there, twice."""
        first = self._origin.setdefault(home, node)
        if first is node:
            return
        self._seen[node] = _UNKNOWN
        if self._edit.tensor_of(node) is self._edit.tensor_of(first) is not None:
            self._parent[node] = first
            self._results.add(node)

    def _versions(self, node: fx.Node) -> list[int]:
        return [self._version[home] for home in annotation(node).memory]

    # reading

    def _told_read(self, node: fx.Node, reader: fx.Node) -> fx.Node:
        value = self._read(node, reader)
        if value is not node:
            home = annotation(node).memory[0]
            self._tell(home, f"{_who(reader)} reads %{value.name} in place of %{node.name}")
        return value

    def _read(self, node: fx.Node, reader: fx.Node) -> fx.Node:
        """Return the node that holds what `node` holds when `reader` reads it."""
        homes = set(annotation(node).memory)
        if not any(self._version[home] for home in homes):
            return node
        if len(homes) > 1:
            if self._made_at.get(node) == self._versions(node):
                return node
            raise NotFunctionalError(
                f"a write may reach %{node.name}, which shares memory with more than one tensor"
            )
        (home,) = homes
        if self._seen.get(node) != self._version[home]:
            self._renew(node, reader, home)
        elif node in self._pending:
            self._put_together(node, reader, home)
        return self._value.get(node, node)

    def _put_together(self, node: fx.Node, reader: fx.Node, home: int) -> None:
        """Put the piece that was written through a view back into the whole."""
        view = self._pending.pop(node)
        piece, base = self._read(view, reader), self._value.get(node, node)
        if view in self._results:  # the very tensor, not a part of it
            self._value[node] = piece
            return
        self._value[node] = put_back(self._edit, view, base, piece, reader)
        self._tell(home, f"%{node.name} was written through the view %{view.name}")

    def _renew(self, node: fx.Node, reader: fx.Node, home: int) -> None:
        """Take a view anew from what its operand holds now."""
        if node not in self._parent:
            raise NotFunctionalError(f"%{node.name} shares memory in a way that cannot be followed")
        base = self._read(self._parent[node], reader)
        if node in self._results:
            self._value[node] = base
        else:
            self._value[node] = self._taken_again(node, base, reader)
            self._tell(home, f"the view %{node.name} is taken anew")
        self._seen[node] = self._version[home]
        self._pending.pop(node, None)

    def _taken_again(self, node: fx.Node, base: fx.Node, reader: fx.Node) -> fx.Node:
        operand, source = self._operand[node], self._taken_from[node]
        # a part of a split: split again
        new = self._taken_again(operand, base, reader) if gives_parts(operand) else base
        return self._edit.copy(node, reader, lambda n: new if n is source else n)

    # writing

    def _writes_itself(self, node: fx.Node) -> bool:
        """Tell whether this is the end of `x[i] += 1`: Python's `x[i] = x[i]`, of one memory."""
        if node.target is not operator.setitem:
            return False
        target, index, view = node.args
        while isinstance(view, fx.Node) and view in self._results:
            view = self._parent[view]
        if not isinstance(view, fx.Node) or self._operand.get(view) is not target:
            return False
        return annotation(view).op == "getitem" and bool(view.args[1] == index)

    def _write(self, node: fx.Node, target: object) -> None:
        homes = set(annotation(target).memory) if isinstance(target, fx.Node) else set()
        if not isinstance(target, fx.Node) or len(homes) != 1:
            raise NotFunctionalError(f"%{node.name} writes to what is not one tensor")
        if "out" in node.kwargs and annotation(node).value != info_of(target):
            raise NotFunctionalError(f"%{node.name} changes the shape of its out= argument")
        self._require_single_elements(node, target)
        (home,) = homes
        self._writer[home] = node
        self._told[node].append(f"{annotation(node).op} in place became a value")
        self._make_pure(node, target)
        self._version[home] += 1
        self._results.add(node)
        # what is written to again and again is still the one tensor: no chain of a thousand views
        self._parent[node] = self._parent[target] if target in self._results else target
        self._operand[node] = target
        self._seen[node] = self._version[home]
        self._assign(target, node, home)

    def _require_single_elements(self, node: fx.Node, target: fx.Node) -> None:
        """Refuse a write through a view of which several elements may be one."""
        view: fx.Node | None = target
        while view is not None:
            operand = self._operand.get(view)
            if operand is not None and repeats_elements(view, operand):
                raise NotFunctionalError(
                    f"%{node.name} writes through %{view.name} ({annotation(view).op}), of which "
                    "several elements may be one in memory"
                )
            view = operand

    def _assign(self, target: fx.Node, value: fx.Node, home: int) -> None:
        """Let a node hold a new value, and what it is a view of learn of it."""
        self._value[target] = value
        self._pending.pop(target, None)
        self._seen[target] = self._version[home]
        while target in self._parent:
            parent = self._parent[target]
            self._pending[parent] = target
            self._seen[parent] = self._version[home]
            target = parent

    def _make_pure(self, node: fx.Node, target: fx.Node) -> None:
        """Turn the call into one that gives the value."""
        self._edit.changes += 1
        record, wanted = annotation(node), info_of(target)
        kept = {name: value for name, value in record.attributes.items() if name != "inplace"}
        self._edit.set(node, attributes=kept, value=wanted)
        if node.op == "call_module":
            module = copy.copy(self._edit.module_of(node))
            setattr(module, "inplace", False)  # noqa: B010 - a module's own attribute
            self._edit.put_module(node, module, shared=True)  # all of its calls write
            return
        call = pure_call(node)
        node.op, node.target, node.args, node.kwargs = call.op, call.target, call.args, call.kwargs
        self._edit.set(node, op=op_of(node, self._edit.root))
        if call.target is not setitem and wanted is not None:
            self._keep_type(node, wanted)

    def _keep_type(self, node: fx.Node, wanted: TensorInfo) -> None:
        """A write keeps the element type of what is written to; a value may be promoted."""
        given = _of_one_type(node) or _given(node)
        if given is None or given == (wanted.dtype, len(wanted.shape)):
            return
        if given[1] != len(wanted.shape):
            raise NotFunctionalError(f"%{node.name} changes the shape of what it writes to")
        raw = self._edit.copy(node, node, lambda n: n)
        self._edit.set(raw, value=TensorInfo(wanted.shape, given[0]), memory=())
        node.op, node.target, node.kwargs = "call_method", "to", {}
        node.args = (raw, getattr(torch, wanted.dtype))
        self._edit.set(node, op="to", family="identity", attributes={}, macs=0)

    def _tell(self, home: int, text: str) -> None:
        if home in self._writer:
            self._told[self._writer[home]].append(text)


def _who(reader: fx.Node) -> str:
    return "the output" if reader.op == "output" else f"%{reader.name}"


def _of_one_type(node: fx.Node) -> tuple[str, int] | None:
    """Return element type and rank of a sum, product … of tensors of one floating type and numbers.

    None for any other call. Run without data it is a Python program that imports PyTorch's
    compiler: most of a second.
    """
    if node.target not in _CLOSED:
        return None
    tensors = [operand for operand in node.args if type(operand) not in (int, float)]
    infos = [info_of(operand) if isinstance(operand, fx.Node) else None for operand in tensors]
    known = [info for info in infos if info is not None]
    dtypes = {info.dtype for info in known}
    if len(known) < len(infos) or len(dtypes) != 1:
        return None
    (dtype,) = dtypes
    is_floating = getattr(torch, dtype).is_floating_point
    return (dtype, max(len(info.shape) for info in known)) if is_floating else None


def _given(node: fx.Node) -> tuple[str, int] | None:
    """Return element type and rank that a call gives, run without data; None if it does not run."""

    def empty(operand: fx.Node) -> Any:
        info = info_of(operand)
        if info is None:
            plain = annotation(operand).plain
            return _at_seven((plain,))[0] if isinstance(plain, str) else plain
        return torch.empty(_at_seven(info.shape), dtype=getattr(torch, info.dtype), device="meta")

    try:
        made = called(node, empty)
    except Exception:  # noqa: BLE001 - no kernel without data
        return None
    return str(made.dtype).removeprefix("torch."), made.dim()


def _at_seven(shape: tuple[Any, ...]) -> tuple[int, ...]:
    return at_batch(shape, 7, defaultdict(lambda: 7))
