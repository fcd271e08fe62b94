"""Run bundles: NumPy and ONNX Runtime, and neither torch nor the onnx package.

>>> from netloft.runtime import load
>>> net = load("out/net")
>>> y = net.run({"input": x})["output"]
"""

from netloft.runtime.load import Net, Tensor, load
from netloft.runtime.providers import NotRun, ProbeResult, available, probe, start_session

__all__ = [
    "Net",
    "NotRun",
    "ProbeResult",
    "Tensor",
    "available",
    "load",
    "probe",
    "start_session",
]
