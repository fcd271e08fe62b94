"""Drop what no output depends on.

Given:
    %a = relu(%x)
    %b = size(%x)
    output(%a)

Result:
    %a = relu(%x)
    output(%a)

Leaves alone:
    Inputs: a file has the inputs that its module has.
"""

from __future__ import annotations

from netloft.passes.edit import Edit

__all__ = ["remove_dead"]


def remove_dead(edit: Edit) -> None:
    """Drop nodes that nothing reads; the modules that only they called go with them."""
    for node in reversed(list(edit.fx.nodes)):
        if node.op not in ("placeholder", "output") and not node.users:
            edit.erase(node)
