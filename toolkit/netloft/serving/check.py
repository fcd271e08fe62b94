"""Is a served model the one in a bundle: the same tensors, the same results, and how fast."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from netloft.batching import items_are_apart
from netloft.bundle.vectors import read_vectors
from netloft.defaults import JSON_FORMAT
from netloft.errors import ServingError, UsageError
from netloft.parity.rerun.known import Known, known_alone
from netloft.parity.vectors import check_names
from netloft.protocol import DATATYPES
from netloft.runtime.integrity import check_files
from netloft.runtime.manifest import read_manifest
from netloft.serving.client import (
    Address,
    Answer,
    Arrays,
    Client,
    SlowServerError,
    connect,
    parse_url,
)
from netloft.serving.load import CONCURRENCY, LoadRow, measure_load

__all__ = ["Served", "verify_served"]

_TEXT = 32
"""Bytes that a number takes as JSON, more than float64 with its comma."""

_AROUND = 1 << 20
"""Bytes of an answer around its tensors: names, shapes, and what a server adds."""


@dataclass(frozen=True)
class Served:
    """What a verification of a served model found.

    Attributes:
        status: `pass` or `fail`.
        url: Of the server.
        model: Its name there.
        checks: What was checked besides parity, in order.
        parity: One row for each output; keys as in `report.json`, `provider` is `http` or `grpc`.
        load: One row for each number of clients.
        notes: What a reader has to know.
    """

    status: str
    url: str
    model: str
    checks: tuple[str, ...]
    parity: tuple[Mapping[str, Any], ...]
    load: tuple[LoadRow, ...]
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the fields and the format, ready for JSON."""
        return {"format": JSON_FORMAT, **dataclasses.asdict(self)}


def verify_served(
    bundle: str | Path,
    url: str,
    model: str | None = None,
    *,
    timeout_s: float = 30.0,
    seconds: float = 2.0,
    progress: Callable[[str], None] = lambda _: None,
) -> Served:
    """Hold a served model to the test vectors of its bundle, and measure it under load.

    Args:
        bundle: Its folder; every file is compared with the manifest first.
        url: Of the server: `http://127.0.0.1:8000`, or `grpc://127.0.0.1:8001`.
        model: Its name there; the bundle's by default.
        timeout_s: Of one request, with its answer.
        seconds: Of load for each number of clients; 0 for none.
        progress: Told what is being done.

    Raises:
        UsageError: There is no such bundle, or the address is none.
        IntegrityError: The bundle is damaged.
        MissingError: tritonclient is not installed.
        ServingError: The server does not answer, or not as the protocol and the manifest say.
    """
    folder, address = Path(bundle), parse_url(url)
    if not folder.is_dir():
        raise UsageError(f"there is no bundle {folder}", remedy="name a bundle's folder")
    manifest = read_manifest(folder)
    check_files(folder, manifest["files"])
    work = _Work(folder, manifest, address, model or str(manifest["name"]), timeout_s)
    progress("parity")
    parity, notes = work.parity()
    load = []
    if seconds and all(row["status"] == "pass" for row in parity):
        for concurrency in CONCURRENCY:
            progress(f"load: {concurrency} at once")
            load.append(measure_load(work.asking, concurrency, work.load_batch, seconds))
            if not load[-1].requests:
                break  # nothing is answered, and more clients would wait for the same
    failed = any(row["status"] != "pass" for row in parity)
    failed = failed or any(row.errors or row.wrong for row in load)
    checks = (f"{len(manifest['files'])} files are what the manifest says", *work.checks)
    return Served("fail" if failed else "pass", url, work.model, checks, tuple(parity),
                  tuple(load), tuple(notes))  # fmt: skip


class _Work:
    """A bundle and the server that is held to it.

    Attributes:
        manifest: Of the bundle.
        address: Of the server.
        model: Its name there.
        known: What the model should give.
        inputs: Of the test vectors.
        wanted: Outputs of the test vectors.
        is_open: Items are apart, so that they may be asked for one by one.
        checks: What was checked.
    """

    def __init__(
        self,
        folder: Path,
        manifest: Mapping[str, Any],
        address: Address,
        model: str,
        timeout_s: float,
    ) -> None:
        self.manifest, self.address, self.model = manifest, address, model
        self.known: Known = known_alone(folder, manifest)
        self.inputs: Arrays = self.known.feeds[0]
        self.wanted = read_vectors(folder / "test_data_set_0", "output")
        check_names(manifest, self.inputs, self.wanted)
        self.is_open = items_are_apart(manifest)
        self.checks: list[str] = []
        largest = sum(array.size for array in self.wanted.values()) * _TEXT + _AROUND
        self._connect: Callable[[], Client] = functools.partial(
            connect, address, model, timeout_s, largest
        )

    @property
    def items(self) -> int:
        """Items in the test vectors, where they are apart."""
        return len(next(iter(self.wanted.values()))) if self.is_open else 1

    @property
    def load_batch(self) -> int:
        """Items in a request under load: one, as most clients ask; else the whole vectors."""
        return 1 if self.is_open else (self.known.batch(0) or 1)

    def parity(self) -> tuple[list[dict[str, Any]], list[str]]:
        """Ask for the test vectors."""
        client = self._connect()
        try:
            notes = self._check_tensors(client)
            found, more = self._asked(client)
        finally:
            client.close()
        by = "grpc" if self.address.is_grpc else "http"
        return self.known.rows(0, by, found), notes + more

    def asking(self, index: int) -> tuple[Client, Any, Callable[[Answer], bool]]:
        """Return a client for the load, each with an item of its own; see `measure_load`."""
        client, item = self._connect(), index % self.items
        request = client.request(self._part(item), list(self.wanted))
        return client, request, functools.partial(self._is_right, client, item)

    def _asked(self, client: Client) -> tuple[dict[str, npt.NDArray[Any]], list[str]]:
        """Ask for all vectors at once, or item by item where the server takes no such batch."""
        names = list(self.wanted)
        try:
            answer = client.send(client.request(self.inputs, names))
        except ServingError as error:
            if not self.is_open or self.items == 1 or isinstance(error, SlowServerError):
                raise
            parts = [client.send(client.request(self._part(i), names)) for i in range(self.items)]
            found = [self._read(client, part, 1) for part in parts]
            joined = {name: np.concatenate([each[name] for each in found]) for name in names}
            return joined, [f"asked item by item, since of {self.items} at once {error.problem}"]
        return self._read(client, answer, None), []

    def _read(
        self, client: Client, answer: Answer, items: int | None
    ) -> dict[str, npt.NDArray[Any]]:
        """Return the tensors of an answer, whose names, types and shapes are as they should be."""
        found = client.read(answer, list(self.wanted))
        for name, wanted in self.wanted.items():
            shape = wanted.shape if items is None else (items, *wanted.shape[1:])
            if name not in found:
                raise ServingError(f"the answer has no output '{name}'")
            if found[name].dtype != wanted.dtype:
                raise ServingError(
                    f"output '{name}' is {found[name].dtype}, and its test vector {wanted.dtype}"
                )
            if found[name].shape != shape:
                raise ServingError(
                    f"output '{name}' has shape {list(found[name].shape)}, and its test vector "
                    f"{list(shape)}"
                )
        return found

    def _part(self, item: int) -> Arrays:
        if not self.is_open:
            return self.inputs
        return {name: array[item : item + 1] for name, array in self.inputs.items()}

    def _is_right(self, client: Client, item: int, answer: Answer) -> bool:
        """Judge one item in its place among the others: errors are told by the largest of all."""
        try:
            found = self._read(client, answer, 1 if self.is_open else None)
        except ServingError:
            return False
        if self.is_open:
            whole = {name: array.copy() for name, array in self.wanted.items()}
            for name, array in found.items():
                whole[name][item : item + 1] = array
            found = whole
        return all(row["status"] == "pass" for row in self.known.rows(0, "", found))

    def _check_tensors(self, client: Client) -> list[str]:
        """Compare what the server says that it takes and gives with the manifest."""
        told = {kind: client.tensors(kind) for kind in ("inputs", "outputs")}
        if not any(told.values()):
            return ["the server does not say what the model takes and gives"]
        for kind, tensors in told.items():
            unlike = next(_unlike(self.manifest[kind], tensors), "")
            if unlike:
                raise ServingError(
                    f"the server's model is another one: {unlike}",
                    remedy="publish this bundle, or name the served model with --model",
                )
        self.checks.append("the server's model has the inputs and outputs of the manifest")
        return []


def _unlike(
    declared: Sequence[Mapping[str, Any]], told: Sequence[Mapping[str, Any]]
) -> Iterator[str]:
    """Return what differs, in words."""
    by_name = {tensor["name"]: tensor for tensor in told}
    for tensor in declared:
        name, shape = tensor["name"], tensor["shape"]
        if name not in by_name:
            yield f"it has no '{name}'"
            continue
        other = by_name[name]
        if other["datatype"] != DATATYPES.get(tensor["dtype"]):
            yield f"'{name}' is {other['datatype']} there, and {tensor['dtype']} in the manifest"
        pairs = zip(shape, other["shape"], strict=False)
        known = [(a, b) for a, b in pairs if isinstance(a, int) and b >= 0]
        if len(shape) != len(other["shape"]) or any(a != b for a, b in known):
            yield f"'{name}' has shape {other['shape']} there, and {shape} in the manifest"
