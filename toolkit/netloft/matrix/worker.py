"""What a worker process does before its first cell; nothing here may load NumPy or torch."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading

__all__ = ["BLAS_THREADS", "prepare"]

BLAS_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
"""What the libraries of linear algebra read when they are loaded, and never again."""


def prepare(threads: int) -> None:
    """Get a new process ready.

    Args:
        threads: For one operation.
    """
    os.environ |= dict.fromkeys(BLAS_THREADS, str(threads))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends us
    os.dup2(2, 1)  # standard output is the parent's, for data
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """End when the parent is gone, however it went: nobody else would end this process."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
