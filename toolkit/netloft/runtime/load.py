"""Load a bundle and run it, with every file checked first."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from netloft.errors import InputError, IntegrityError, ProviderError
from netloft.runtime.providers import PROVIDERS, start_session
from netloft.runtime.reasons import first_line
from netloft.runtime.tuning import MODEL, TunedRow, problem_of, row_for, rows_of

if TYPE_CHECKING:
    import onnxruntime as ort

__all__ = ["FORMAT", "Net", "Tensor", "check_files", "load", "read_manifest", "sha256_of"]

FORMAT = 1
_CHUNK = 1 << 20
_LARGEST_TOLERANCE = 0.1  # a scaled error; beyond it nothing would be checked
_AGAIN = "export the model again, or fetch the bundle again"

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
    """

    def __init__(
        self,
        manifest: Mapping[str, Any],
        session: ort.InferenceSession,
        provider: str,
        tuned: TunedRow | None = None,
    ) -> None:
        self.manifest, self.provider, self.tuned = manifest, provider, tuned
        self.name = str(manifest["name"])
        self.inputs = _tensors(manifest["inputs"])
        self.outputs = _tensors(manifest["outputs"])
        self.labels: tuple[str, ...] = tuple(map(str, manifest.get("labels", ())))
        self._session, self._file = session, tuned.file if tuned else MODEL
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
        for kind, declared, actual in (
            ("input", self.inputs, self._session.get_inputs()),
            ("output", self.outputs, self._session.get_outputs()),
        ):
            found = [(value.name, _element_type(value.type)) for value in actual]
            if found != [(tensor.name, tensor.dtype) for tensor in declared]:
                raise IntegrityError(
                    f"the {kind}s in manifest.json are not those of {self._file}", remedy=_AGAIN
                )

    def _checked(self, inputs: Mapping[str, npt.NDArray[Any]]) -> Arrays:
        wanted = [tensor.name for tensor in self.inputs]
        if set(inputs) != set(wanted):
            raise InputError(
                f"{self.name} takes the inputs {_quoted(wanted)}, and was given {_quoted(inputs)}",
                remedy="name every input, and no other",
            )
        lengths: dict[str, int] = {}
        return {t.name: _checked_array(t, inputs[t.name], lengths) for t in self.inputs}


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
        ProviderError: The provider does not start here.
    """
    folder = Path(path)
    manifest = read_manifest(folder)
    if verify:
        check_files(folder, manifest["files"])
    tuned = row_for(rows_of(manifest), provider, batch) if threads is None else None
    session = start_session(
        folder / (tuned.file if tuned else MODEL),
        provider,
        threads=tuned.threads if tuned else threads,
        spinning=tuned is None or tuned.spinning,
        resting=tuned is not None,
    )
    running = session.get_providers()[0]
    name = next(ours for ours, theirs in PROVIDERS.items() if theirs == running)
    return Net(manifest, session, name, tuned)


def read_manifest(folder: Path) -> dict[str, Any]:
    """Read `manifest.json` and check that what the runtime needs is in it.

    Raises:
        IntegrityError: There is none, or it is not a manifest.
    """
    file = folder / "manifest.json"
    if not os.path.isdir(folder):  # unlike Path.is_dir it bears a name that is too long
        raise IntegrityError(f"there is no bundle {folder}", remedy="name a bundle's folder")
    if file.is_symlink() or not file.is_file():
        raise IntegrityError(
            f"{folder} has no manifest.json", remedy="name a folder that netloft export wrote"
        )
    try:
        manifest = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise IntegrityError(f"manifest.json cannot be read: {error}", remedy=_AGAIN) from error
    problem = _manifest_problem(manifest)
    if problem:
        raise IntegrityError(f"manifest.json {problem}", remedy=_AGAIN)
    return dict(manifest)


def check_files(folder: Path, files: Mapping[str, Mapping[str, Any]]) -> None:
    """Compare a bundle's files with the manifest's list of them.

    Args:
        folder: The bundle.
        files: Size and SHA-256 by path, with `/` between folders.

    Raises:
        IntegrityError: One is missing, was changed, was added or is a link; it is named.
    """
    present = set(_files_below(folder))
    for name in sorted(present - set(files) - {"manifest.json"}):
        raise IntegrityError(f"{name} is not in the manifest", remedy="remove the file")
    for name in sorted(set(files) - present):
        raise IntegrityError(f"{name} is missing", remedy=_AGAIN)
    for name, facts in files.items():
        path = folder / name
        if path.stat().st_size != facts["bytes"] or sha256_of(path) != facts["sha256"]:
            raise IntegrityError(f"{name} was changed after the export", remedy=_AGAIN)


def _files_below(folder: Path) -> Iterator[str]:
    # os.walk lists a link to a folder among the folders and does not enter it
    for root, folders, names in os.walk(folder):
        for name in (*folders, *names):
            path = Path(root, name)
            relative = path.relative_to(folder).as_posix()
            if path.is_symlink():
                raise IntegrityError(f"{relative} is a link", remedy=_AGAIN)
            if name in names:
                yield relative


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, read in pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _manifest_problem(manifest: object) -> str:
    if not isinstance(manifest, dict):
        return "is not a JSON object"
    if manifest.get("format") != FORMAT:
        return f"has format {manifest.get('format')}, and this netloft reads {FORMAT}"
    kinds = {"name": str, "inputs": list, "outputs": list, "files": dict, "tolerances": dict}
    for key, kind in kinds.items():
        if not isinstance(manifest.get(key), kind):
            return f"has no '{key}'"
    if not all(map(_is_tensor, (*manifest["inputs"], *manifest["outputs"]))):
        return "describes an input or output in an unknown way"
    for name, tolerance in manifest["tolerances"].items():
        if not _is_tolerance(tolerance):
            return f"has the tolerance {tolerance!r} for '{name}', which is none"
    if not all(_is_file(name, facts) for name, facts in manifest["files"].items()):
        return "lists a file in an unknown way, or outside of the bundle"
    if MODEL not in manifest["files"]:
        return f"does not list {MODEL}"
    return problem_of(manifest.get("tuning", []), manifest["files"])


def _is_tensor(value: object) -> bool:
    return (
        isinstance(value, dict)
        and isinstance(value.get("name"), str)
        and isinstance(value.get("dtype"), str)
        and isinstance(value.get("shape"), list)
        and all(isinstance(length, int | str) for length in value["shape"])
    )


def _is_tolerance(value: object) -> bool:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    return 0 <= value <= _LARGEST_TOLERANCE  # which NaN is not


def _is_file(name: str, facts: object) -> bool:
    path = PurePosixPath(name)
    inside = not path.is_absolute() and ".." not in path.parts and path.as_posix() == name
    known = isinstance(facts, dict) and isinstance(facts.get("sha256"), str)
    return inside and known and isinstance(facts, dict) and isinstance(facts.get("bytes"), int)


def _tensors(values: Sequence[Mapping[str, Any]]) -> tuple[Tensor, ...]:
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
