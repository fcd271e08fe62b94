"""What a tuned row is for, beside the machine that is here."""

from __future__ import annotations

from netloft.runtime.tuning import SavedFile, TunedRow, machine

__all__ = ["foreign_machine", "is_for_here", "place_of"]

_MACHINE = "{}, {} CPUs, ONNX Runtime {}"


def is_for_here(row: TunedRow) -> bool:
    """Tell whether what a row saved may run here."""
    return row.machine == machine(row.provider) and row.starts is not None


def place_of(row: TunedRow) -> str:
    """Return what a row is for."""
    return f"{_MACHINE.format(*row.machine)} on {row.provider}"


def foreign_machine(row: TunedRow) -> str:
    """Say what a saved file is for, where that is not this machine."""
    saved: SavedFile | None = row.saved
    assert saved is not None
    here = machine(row.provider)
    if row.machine == here:
        return f"it is for processors with {saved.instructions}, which these are not"
    told = [_MACHINE.format(*where) for where in (row.machine, here)]
    return f"it is for {told[0]}, and this is {told[1]}"
