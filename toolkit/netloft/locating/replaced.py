"""Operations that a file has in the place of others: one for one, or several for one."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence

from netloft.comparing import Change, Difference
from netloft.comparing.entry import Entry

__all__ = ["ends_of", "with_replaced"]


def ends_of(found: Difference) -> dict[int, Entry]:
    """Return, for each operation that a file writes out as several, the one that gives its result.

    That is the one whose result is read by what reads the operation's.
    """
    pairs = _pairs(found)
    gone = [c.a for c in found.changes if c.kind == "removed" and c.a and c.reason]
    new = [c.b for c in found.changes if c.kind == "added" and c.b and c.reason]
    here = _by_readers(gone, [c.a for c in found.changes if c.a], pairs)
    there = _by_readers(new, [c.b for c in found.changes if c.b], {p: p for p in pairs.values()})
    return {
        here[readers].position: there[readers]
        for readers in here
        if readers in there and here[readers].shape == there[readers].shape
    }


def _pairs(found: Difference) -> dict[int, int]:
    return {c.a.position: c.b.position for c in found.changes if c.a and c.b}


def _readers(entries: Iterable[Entry]) -> dict[int, set[int]]:
    readers: dict[int, set[int]] = {}
    for entry in entries:
        for read in entry.reads:
            readers.setdefault(read.position, set()).add(entry.position)
    return readers


def _by_readers(
    free: Sequence[Entry], entries: Sequence[Entry], known: Mapping[int, int]
) -> dict[Hashable, Entry]:
    """Return operations by what reads them, where all of that is known and nothing else is so."""
    readers = _readers(entries)
    found: dict[Hashable, list[Entry]] = {}
    for entry in free:
        of = readers.get(entry.position, set())
        if of and all(at in known for at in of):
            found.setdefault(tuple(sorted(known[at] for at in of)), []).append(entry)
    return {key: alike[0] for key, alike in found.items() if len(alike) == 1}


def with_replaced(found: Difference) -> Difference:
    """Make one change of an operation that is gone and another in its place.

    Given:
        sigmoid removed, tanh added; both read `conv`, and `fc` alone reads them

    Result:
        sigmoid changed: operation sigmoid → tanh

    Only what has no known reason is looked at: what an exporter writes out stays as it is.
    """
    pairs = _pairs(found) | {at: end.position for at, end in ends_of(found).items()}
    gone = [c.a for c in found.unexplained if c.kind == "removed" and c.a]
    new = [c.b for c in found.unexplained if c.kind == "added" and c.b]
    if not gone or not new:
        return found
    here = _places(gone, [c.a for c in found.changes if c.a], pairs)
    there = _places(new, [c.b for c in found.changes if c.b], {p: p for p in pairs.values()})
    instead = {here[place].position: there[place] for place in here if place in there}
    return dataclasses.replace(found, changes=tuple(_merged(found.changes, instead)))


def _merged(changes: Iterable[Change], instead: Mapping[int, Entry]) -> Iterator[Change]:
    taken = {entry.position for entry in instead.values()}
    for change in changes:
        if change.kind == "added" and change.b and change.b.position in taken:
            continue
        if change.kind == "removed" and change.a and change.a.position in instead:
            other = instead[change.a.position]
            yield Change("changed", change.a, other, (("operation", change.a.op, other.op),))
        else:
            yield change


def _places(
    free: Sequence[Entry], entries: Sequence[Entry], known: Mapping[int, int]
) -> dict[Hashable, Entry]:
    """Return operations by what they read and are read by, where all of that is known."""
    found: dict[Hashable, Entry] = {}
    for readers, entry in _by_readers(free, entries, known).items():
        reads = [read.position for read in entry.reads]
        if reads and all(at in known for at in reads):
            found[(*sorted(known[at] for at in reads), readers)] = entry
    return found
