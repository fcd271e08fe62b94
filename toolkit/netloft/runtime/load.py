"""Load a bundle and run it, with every file checked first."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from netloft.errors import InputError, IntegrityError, ProviderError
from netloft.runtime.huge_pages import HugePages
from netloft.runtime.integrity import check_files
from netloft.runtime.manifest import AGAIN, read_manifest, steady
from netloft.runtime.placed import placed_session
from netloft.runtime.providers import PROVIDERS
from netloft.runtime.reasons import first_line
from netloft.runtime.tuning import MODEL, TunedRow, row_for, rows_of, started_with

if TYPE_CHECKING:
    import onnxruntime as ort

__all__ = ["Net", "Tensor", "check_declared", "load", "tensors_of"]

# ONNX Runtime's names of element types, where they are not NumPy's.
_ELEMENT_TYPES = {"float": "float32", "double": "float64"}

Arrays = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Tensor:
    """An input or output of a bundle.

    Attributes:
        name: In the file.
        dtype: Such as `float32`.
        shape: Lengths in order; a symbolic one is text such as `batch`.
    """

    name: str
    dtype: str
    shape: tuple[int | str, ...]

    def __str__(self) -> str:
        return f"{self.name} {self.dtype}[{', '.join(map(str, self.shape))}]"


class Net:
    """A bundle that runs on a provider.

    Attributes:
        name: Short name of the model.
        provider: The provider that runs, such as `cpu`.
        inputs: What `run` takes, in order.
        outputs: What `run` returns, in order.
        labels: Names of the classes in order; empty where they are not known.
        manifest: The contents of `manifest.json`.
        tuned: The file and session options that were measured to be best here; None where none
            were.
        file: What runs, by its name in the bundle.
    """

    def __init__(
        self,
        manifest: Mapping[str, Any],
        session: ort.InferenceSession,
        provider: str,
        tuned: TunedRow | None = None,
        file: str = MODEL,
        pages: HugePages | None = None,
    ) -> None:
        self.manifest, self.provider, self.tuned, self.file = manifest, provider, tuned, file
        self.name = str(manifest["name"])
        self.inputs = tensors_of(manifest["inputs"])
        self.outputs = tensors_of(manifest["outputs"])
        self.labels: tuple[str, ...] = tuple(map(str, manifest.get("labels", ())))
        self._session, self._pages = session, pages or HugePages(wanted=False)
        self._check_session()

    def __repr__(self) -> str:
        takes = ", ".join(map(str, self.inputs))
        gives = ", ".join(map(str, self.outputs))
        return f"<Net {self.name} on {self.provider}: {takes} -> {gives}>"

    def run(self, inputs: Mapping[str, npt.NDArray[Any]]) -> Arrays:
        """Run the network.

        Args:
            inputs: An array for each input, by name; shapes and element types as `inputs` says.

        Returns:
            An array for each output, by name.

        Raises:
            InputError: A name, shape or element type does not fit.
            ProviderError: The provider fails while it runs, for instance for want of memory.
        """
        feeds = self._checked(inputs)
        names = [output.name for output in self.outputs]
        try:
            with self._pages.around(feeds):
                values = self._session.run(names, feeds)
        except Exception as error:  # ONNX Runtime has a dozen unrelated kinds
            if type(error).__name__ == "InvalidArgument":  # a shape that only the file knows about
                raise InputError(
                    f"{self.name} refuses these inputs: {first_line(error)}"
                ) from error
            raise ProviderError(
                f"{self.name} fails on {self.provider}: {first_line(error)}",
                remedy="try a smaller batch, or provider='cpu'",
            ) from error
        return dict(zip(names, values, strict=True))

    def _check_session(self) -> None:
        """The manifest describes the file, or one of them was not written by netloft."""
        ends = {"inputs": self._session.get_inputs(), "outputs": self._session.get_outputs()}
        found = {kind: [(v.name, v.type) for v in values] for kind, values in ends.items()}
        check_declared(self.manifest, found, self.file)

    def _checked(self, inputs: Mapping[str, npt.NDArray[Any]]) -> Arrays:
        wanted = [tensor.name for tensor in self.inputs]
        if set(inputs) != set(wanted):
            raise InputError(
                f"{self.name} takes the inputs {_quoted(wanted)}, and was given {_quoted(inputs)}",
                remedy="name every input, and no other",
            )
        lengths: dict[str, int] = {}
        return {t.name: _checked_array(t, inputs[t.name], lengths) for t in self.inputs}


def check_declared(
    manifest: Mapping[str, Any], found: Mapping[str, Sequence[tuple[str, str]]], file: str
) -> None:
    """See that a file's inputs and outputs are those of the manifest.

    Args:
        manifest: Of the bundle.
        found: Names and types of `inputs` and `outputs`, in ONNX Runtime's words.
        file: Name of the file, for the message.

    Raises:
        IntegrityError: They are not.
    """
    for kind, values in found.items():
        actual = [(name, _element_type(text)) for name, text in values]
        if actual != [(tensor["name"], tensor["dtype"]) for tensor in manifest[kind]]:
            raise IntegrityError(
                f"the {kind} in manifest.json are not those of {file}", remedy=AGAIN
            )


def load(
    path: str | os.PathLike[str],
    *,
    provider: str = "cpu",
    threads: int | None = None,
    batch: int = 1,
    verify: bool = True,
) -> Net:
    """Load a bundle: check it, and start the provider that was asked for.

    Args:
        path: The bundle's folder.
        provider: `cpu`, `cuda`, `tensorrt` or `openvino`; it runs or the call fails.
        threads: For one operation; by default what was found to be best on this kind of machine
            (`netloft bench --tune`), with the file that was, and else ONNX Runtime's own choice.
        batch: Items that most runs will have: which of the rows that were found is taken.
        verify: Compare every file with its SHA-256 in the manifest.

    Raises:
        IntegrityError: A file is missing, was changed, was added or is a link.
        ProviderError: The provider does not start here, or runs none of the file's operations.
    """
    folder = Path(path)
    return steady(folder, lambda: _loaded(folder, provider, threads, batch, verify=verify))


def _loaded(folder: Path, provider: str, threads: int | None, batch: int, *, verify: bool) -> Net:
    manifest = read_manifest(folder)
    if verify:
        check_files(folder, manifest["files"])
    tuned = row_for(rows_of(manifest), provider, batch) if threads is None else None
    pages = HugePages(wanted=tuned is not None and tuned.huge_pages is not None)
    file, options = started_with(tuned)
    options |= {"threads": threads} if threads is not None else {}
    with pages.watching():
        session = placed_session(folder / file, provider, **options)
    running = session.get_providers()[0]
    name = next(ours for ours, theirs in PROVIDERS.items() if theirs == running)
    return Net(manifest, session, name, tuned, file, pages)


def tensors_of(values: Sequence[Mapping[str, Any]]) -> tuple[Tensor, ...]:
    """Return the `inputs` or `outputs` of a manifest that was checked."""
    return tuple(Tensor(v["name"], v["dtype"], tuple(v["shape"])) for v in values)


def _element_type(onnx_type: str) -> str:
    name = onnx_type.removeprefix("tensor(").removesuffix(")")
    return _ELEMENT_TYPES.get(name, name)


def _checked_array(
    tensor: Tensor, value: npt.NDArray[Any], lengths: dict[str, int]
) -> npt.NDArray[Any]:
    array = np.asarray(value)
    if array.dtype.name != tensor.dtype:
        raise InputError(
            f"input '{tensor.name}' is {array.dtype.name}, and the model takes {tensor.dtype}",
            remedy=f"convert it with .astype('{tensor.dtype}')",
        )
    fits = array.ndim == len(tensor.shape) and all(
        _fits(wanted, actual, lengths)
        for wanted, actual in zip(tensor.shape, array.shape, strict=True)
    )
    if not fits:
        wanted = ", ".join(map(str, tensor.shape))
        known = ", ".join(f"{name} = {length}" for name, length in lengths.items())
        raise InputError(
            f"input '{tensor.name}' has shape {list(array.shape)}, and the model takes [{wanted}]"
            + (f" where {known}" if known else ""),
            remedy="give the axes in this order, with the batch first",
        )
    return np.asarray(array, order="C")  # ascontiguousarray makes a scalar a vector


def _fits(wanted: int | str, actual: int, lengths: dict[str, int]) -> bool:
    """A name is one length in all inputs; an expression of it is ONNX Runtime's to check."""
    if isinstance(wanted, int):
        return wanted == actual
    return lengths.setdefault(wanted, actual) == actual if wanted.isidentifier() else True


def _quoted(names: Mapping[str, Any] | Sequence[str]) -> str:
    return ", ".join(f"'{name}'" for name in names) or "none"
