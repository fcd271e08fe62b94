"""One page to explore a network: modules open and close in the figure itself.

Each frame is planned once, at export, as columns and lanes; the page only adds up sizes.
"""

from __future__ import annotations

from netloft_diagrams.explorer.page import explorer

__all__ = ["explorer"]
