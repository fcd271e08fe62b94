"""Keep the exporters and optimisers of others from talking to our user."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator

from netloft.tracing.faithful import silent

__all__ = ["quiet"]


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Hold back progress, warnings and logs; errors are raised anyway."""
    previous = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), silent(), contextlib.redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(previous)
