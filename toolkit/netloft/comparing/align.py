"""Which operation of one side is which of the other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Container, Hashable, Mapping, Sequence
from difflib import SequenceMatcher

from netloft.comparing.entry import Entry

__all__ = ["align"]

_Token = Callable[[Entry], Hashable]
_Shapes = Mapping[int, Hashable]

_LONGEST = 4000
"""Operations up to which order is looked at without regard to how often a token occurs."""


def align(
    a: Sequence[Entry],
    b: Sequence[Entry],
    weight_shapes: tuple[_Shapes, _Shapes],
    late: tuple[Container[int], Container[int]] = ((), ()),
) -> dict[int, int]:
    """Return the position in `b` of each operation of `a` that has one.

    First layers by their path, then all by their order: within their module, then by what they
    are wherever they hang, so that renamed modules are found, then by their operation alone.

    Args:
        a: One side.
        b: The other.
        weight_shapes: Shapes of each operation's weights, by its position, on either side.
        late: Operations that the other side most likely lacks: they get what the others leave,
            and only what gives the same in the same module.
    """
    all_of = a, b
    a = [entry for entry in a if entry.position not in late[0]]
    b = [entry for entry in b if entry.position not in late[1]]
    pairs: dict[int, int] = {}
    _by_key(a, b, pairs, lambda e: (e.path, e.op) if e.is_layer else None)
    _by_key(
        a, b, pairs, lambda e: (e.op, _nth(e, *all_of)) if e.op in ("input", "output") else None
    )
    shapes = {id(e): side.get(e.position) for es, side in zip(all_of, weight_shapes, strict=True)
              for e in es}  # fmt: skip

    def structure(entry: Entry) -> Hashable:
        told = tuple(sorted((k, repr(v)) for k, v in entry.attributes.items()))
        return entry.op, told, shapes[id(entry)], entry.shape

    tokens: list[_Token] = [
        lambda e: (e.path, structure(e)),
        lambda e: (e.path, e.op),
        structure,
        lambda e: (e.op, shapes[id(e)]),
        lambda e: e.op,
    ]
    for token in tokens:
        _by_order(a, b, pairs, token)
    _by_key(a, b, pairs, lambda e: e.path if e.is_layer else None)
    if any(late):
        _by_order(*all_of, pairs, lambda e: (e.path, e.op, e.shape))
    return pairs


def _nth(entry: Entry, *sides: Sequence[Entry]) -> int:
    side = next(s for s in sides if entry.position < len(s) and s[entry.position] is entry)
    return sum(other.op == entry.op for other in side[: entry.position])


def _free(entries: Sequence[Entry], taken: set[int]) -> list[Entry]:
    return [entry for entry in entries if entry.position not in taken]


def _by_key(a: Sequence[Entry], b: Sequence[Entry], pairs: dict[int, int], key: _Token) -> None:
    """Pair what has a key of its own on either side."""
    sides = []
    for entries, taken in ((a, set(pairs)), (b, set(pairs.values()))):
        keyed = [(key(e), e.position) for e in _free(entries, taken)]
        count = Counter(k for k, _ in keyed)
        sides.append({k: p for k, p in keyed if k is not None and count[k] == 1})
    pairs |= {position: sides[1][k] for k, position in sides[0].items() if k in sides[1]}


def _by_order(a: Sequence[Entry], b: Sequence[Entry], pairs: dict[int, int], token: _Token) -> None:
    """Pair equal tokens that stand in the same order between what is paired already."""
    taken = {there: here for here, there in pairs.items()}
    left: list[Hashable] = [
        ("pair", e.position) if e.position in pairs else ("free", token(e)) for e in a
    ]
    right: list[Hashable] = [
        ("pair", taken[e.position]) if e.position in taken else ("free", token(e)) for e in b
    ]
    matcher = SequenceMatcher(None, left, right, autojunk=len(a) > _LONGEST)
    for block in matcher.get_matching_blocks():
        for k in range(block.size):
            pairs[a[block.a + k].position] = b[block.b + k].position
