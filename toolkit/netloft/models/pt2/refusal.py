"""What is told of an archive that is broken, and of one that could do harm."""

from __future__ import annotations

from netloft.errors import SpecError

__all__ = ["Harm", "broken", "harmful"]


class Harm(Exception):  # noqa: N818 - it is turned into a SpecError that names the file
    """Something in an archive that could run code, or that this cannot judge.

    Args:
        where: The entry, and the field in it.
        why: What is wrong with it.
    """

    def __init__(self, where: str, why: str) -> None:
        super().__init__(f"{where} {why}")


def broken(name: str, why: str) -> SpecError:
    """Return the error for a file that torch.export.save did not write, or that was damaged."""
    return SpecError(
        f"{name} is damaged or not an archive of torch.export.save: {why}",
        remedy="write it again: torch.export.save(torch.export.export(net.eval(), inputs), "
        "'net.pt2')",
    )


def harmful(name: str, harm: Harm) -> SpecError:
    """Return the error for a file that could run code; nothing in it was run."""
    return SpecError(
        f"{name} is refused, and nothing in it was run: {harm}",
        remedy="if you know who made it and would run their code, give --trust; otherwise name "
        "the network that it was exported from, as path/to/file.py:Net",
    )
