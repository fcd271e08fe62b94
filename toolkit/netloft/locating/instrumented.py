"""The file with its inner values as outputs, whole, and cut apart so that nothing is inherited."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from netloft.runtime.providers import start_session

__all__ = ["run_cut", "run_watched"]

Arrays = Mapping[str, npt.NDArray[Any]]

_TRUE = "netloft_true:"
"""What stands before the name of a value that is given from outside."""


def run_watched(
    header: onnx.ModelProto, folder: Path, feeds: Arrays, like: Arrays, **session: Any
) -> dict[str, npt.NDArray[Any]]:
    """Run a file and return some of its inner values.

    Args:
        header: The file's structure.
        folder: Where its weights lie.
        feeds: Its inputs.
        like: Arrays of the types of the values to return, by the values' names.
        session: More for `start_session`.
    """
    return _run(_with_outputs(header, like), folder, feeds, list(like), session)


def run_cut(
    header: onnx.ModelProto, folder: Path, feeds: Arrays, true: Arrays, **session: Any
) -> dict[str, npt.NDArray[Any]]:
    """Run each part of a file on true inputs, all in one session.

    Given:
        x -> Conv -> a -> Relu -> b

    Result:
        x -> Conv -> a, true a -> Relu -> b: an error in `b` is the Relu's own.

    Args:
        header: The file's structure.
        folder: Where its weights lie.
        feeds: Its inputs.
        true: What each value to return should be, by name; those that read it are given this.
        session: More for `start_session`.
    """
    model = _with_outputs(header, true)
    held = set(_captured(model.graph.node))
    apart = [name for name in true if name not in held]
    names = {name: _TRUE + name for name in apart}
    for node in model.graph.node:
        for index, name in enumerate(node.input):
            node.input[index] = names.get(name, name)
    read = {name for node in model.graph.node for name in node.input}
    given = {names[name]: true[name] for name in apart if names[name] in read}
    for name, array in given.items():
        element = onnx.helper.np_dtype_to_tensor_dtype(array.dtype)
        model.graph.input.append(onnx.helper.make_tensor_value_info(name, element, array.shape))
    needed = {i.name for i in model.graph.input} & read
    own = {name: array for name, array in feeds.items() if name in needed}
    return _run(model, folder, {**own, **given}, list(true), session)


def _with_outputs(header: onnx.ModelProto, like: Arrays) -> onnx.ModelProto:
    model = onnx.ModelProto()
    model.CopyFrom(header)
    own = {output.name for output in model.graph.output}
    for name, array in like.items():
        if name not in own:
            element = onnx.helper.np_dtype_to_tensor_dtype(array.dtype)
            model.graph.output.append(onnx.helper.make_tensor_value_info(name, element, None))
    return model


def _captured(nodes: Sequence[onnx.NodeProto]) -> Iterator[str]:
    """Yield what graphs inside of nodes read, from wherever."""
    for node in nodes:
        for attribute in node.attribute:
            for graph in (attribute.g, *attribute.graphs):
                yield from (name for inner in graph.node for name in inner.input)
                yield from (output.name for output in graph.output)
                yield from _captured(graph.node)


def _run(
    model: onnx.ModelProto,
    folder: Path,
    feeds: Arrays,
    names: list[str],
    session: Mapping[str, Any],
) -> dict[str, npt.NDArray[Any]]:
    started = start_session(model.SerializeToString(), weights_in=folder.absolute(), **session)
    given = {name: np.asarray(array, order="C") for name, array in feeds.items()}
    return dict(zip(names, started.run(names, given), strict=True))
