"""torchvision, imported without PyTorch's compiler.

One of its operators reads one function of `torch._dynamo`, for a case that is as good as never met,
and that package takes longer to import than all else of torchvision together: nine tenths.
"""

from __future__ import annotations

import importlib
import sys
import threading
from types import ModuleType
from typing import Any

__all__ = ["torchvision_models"]

_UTILS = "torch._dynamo.utils"
_one_at_a_time = threading.RLock()


class _NotYet(ModuleType):
    """Stands for the compiler's module while torchvision is imported, and becomes it if need be."""

    def __getattr__(self, name: str) -> Any:
        """Return what the module has, which is imported now; who looks at every module gets none.

        Raises:
            AttributeError: It is asked where it comes from.
        """
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(_real(), name)

    @staticmethod
    def is_compile_supported(device_type: str) -> bool:
        """Tell whether there is a compiler for a type of device."""
        return bool(_real().is_compile_supported(device_type))


def torchvision_models() -> ModuleType:
    """Return `torchvision.models`."""
    with _one_at_a_time:
        if "torchvision" not in sys.modules and _UTILS not in sys.modules:
            sys.modules[_UTILS] = _NotYet(_UTILS)
        try:
            return importlib.import_module("torchvision.models")
        finally:
            _forget()


def _real() -> ModuleType:
    _forget()
    return importlib.import_module(_UTILS)


def _forget() -> None:
    if isinstance(sys.modules.get(_UTILS), _NotYet):
        sys.modules.pop(_UTILS, None)
