"""The Open Inference Protocol, version 2: what servers and clients call element types.

Source: https://kserve.github.io/website/docs/concepts/architecture/data-plane/v2-protocol, "Tensor
Data Types". Triton's `config.pbtxt` has the same names behind `TYPE_`.
"""

from __future__ import annotations

from netloft.errors import ExportError

__all__ = ["DATATYPES", "datatype_of"]

DATATYPES = {
    "bool": "BOOL",
    "uint8": "UINT8",
    "uint16": "UINT16",
    "uint32": "UINT32",
    "uint64": "UINT64",
    "int8": "INT8",
    "int16": "INT16",
    "int32": "INT32",
    "int64": "INT64",
    "float16": "FP16",
    "float32": "FP32",
    "float64": "FP64",
}
"""NumPy's names, and the protocol's."""


def datatype_of(dtype: str) -> str:
    """Return the protocol's name of an element type.

    Raises:
        ExportError: It has none.
    """
    if dtype not in DATATYPES:
        raise ExportError(
            f"the Open Inference Protocol has no element type {dtype}",
            remedy="export the network with inputs and outputs of float32",
        )
    return DATATYPES[dtype]
