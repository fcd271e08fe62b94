"""Rewrites of a finished file that pay on some machines and not on others.

Each gives the same function from other operations. None is applied by habit: `netloft bench --tune`
measures them where the file is to run (`docs/bench.md`). They need no torch.
"""

from __future__ import annotations

from netloft.rewrites.site import Kind, Site, alone, sites_of
from netloft.rewrites.winograd import winograd

__all__ = ["Kind", "Site", "alone", "sites_of", "winograd"]
