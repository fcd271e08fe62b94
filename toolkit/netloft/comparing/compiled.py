"""What netloft's passes take away of a traced graph before they let it be written to a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch

from netloft.comparing.entry import Entry
from netloft.graph.graph import Graph
from netloft.passes import DEFAULT, NotFunctionalError, run_passes

__all__ = ["FOLDED", "WORDS", "Taken", "taken_away"]

FOLDED = "fold_constants"

WORDS: Mapping[str, str] = {
    "remove_dead": "reaches no output",
    "remove_identity": "does nothing when a network is evaluated",
    FOLDED: "worked out beforehand",
    "merge_moves": "merged with the one beside it",
    "merge_common": "the same as another, which stands for both",
}
"""What is told of an operation, by the pass; norms and paddings are compared by value elsewhere."""


@dataclass(frozen=True)
class Taken:
    """What is not in the compiled graph.

    Attributes:
        by: The pass that took an operation away, by its position.
        folded: What was worked out in their place, by the name that it has in the file.
    """

    by: Mapping[int, str] = field(default_factory=dict)
    folded: Mapping[str, torch.Tensor] = field(default_factory=dict)

    def is_folded(self, position: int) -> bool:
        """Tell whether an operation on weights alone was worked out."""
        return self.by.get(position) == FOLDED


def taken_away(graph: Graph, entries: Sequence[Entry]) -> Taken:
    """Run the passes that take operations away, and tell which went.

    Args:
        graph: As it was traced.
        entries: Its operations.
    """
    try:
        passed = run_passes(graph, [each for each in DEFAULT if each.__name__ in WORDS])
    except NotFunctionalError:
        return Taken()  # such a graph goes another way, without passes
    by = {
        entry.position: passed.removed[entry.node[0]]
        for entry in entries
        if all(name in passed.removed for name in entry.node)
    }
    known = dict(graph.module.named_parameters()) | dict(graph.module.named_buffers())
    made = dict(passed.graph.module.named_parameters()) | dict(passed.graph.module.named_buffers())
    read = {str(n.target) for n, _ in passed.graph if n.op == "get_attr"}
    folded = {name: made[name] for name in read if name in made and name not in known}
    return Taken({at: name for at, name in by.items() if name in WORDS}, folded)
