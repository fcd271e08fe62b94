"""Whether the process is the command's own, and what it may do then."""

from __future__ import annotations

import contextlib
from contextlib import AbstractContextManager

import click

from netloft.garbage import kept_for_good

__all__ = ["OWN", "imports_kept"]

OWN = object()
"""What click is given as its object where the process is the command's own."""


def imports_kept() -> AbstractContextManager[None]:
    """Return what is active while modules are imported; in another's process nothing is.

    What a network is made of is let go in circles, and is not for this.
    """
    context = click.get_current_context(silent=True)
    is_own = context is not None and context.obj is OWN
    return kept_for_good() if is_own else contextlib.nullcontext()
