"""An archive of unknown origin, written anew from those of its parts that were checked.

torch never meets the file itself: neither its pickles, nor its zip (of which another reader could
make something else), nor what nobody asked for (compiled libraries, extra files, guards, metadata).
"""

from __future__ import annotations

import io
import json
import math
import re
from collections.abc import Iterator
from typing import Any

from torch._export.serde import schema
from torch.export.pt2_archive._package import PT2ArchiveWriter

from netloft.models.checkpoint import claims_too_much
from netloft.models.pt2.pickles import rewritten
from netloft.models.pt2.refusal import Harm, broken
from netloft.models.pt2.schema import check
from netloft.models.pt2.zipped import Archive

__all__ = ["cleaned", "has_conditions", "read_program"]

PROGRAM, SAMPLES = "models/model.json", "data/sample_inputs/model.pt"
_EQUAL = re.compile(r"L\['\w+'\]\.size\(\)\[[0-9]\] == L\['\w+'\]\.size\(\)\[[0-9]\]", re.ASCII)
_PAYLOADS = {
    "data/weights/": ("data/weights/model_weights_config.json", "data/weights/model.pt"),
    "data/constants/": ("data/constants/model_constants_config.json", "data/constants/model.pt"),
}


def read_program(archive: Archive) -> dict[str, Any]:
    """Return the JSON of the program, of which the version alone is checked.

    Raises:
        SpecError: It is not JSON, or of a version that this torch does not read.
    """
    program = _json(archive, PROGRAM)
    version = program.get("schema_version")
    major = version.get("major") if isinstance(version, dict) else None
    if major != schema.SCHEMA_VERSION[0]:
        raise broken(
            archive.name, f"its schema is version {str(major)[:20]}, and this PyTorch reads "
            f"{schema.SCHEMA_VERSION[0]}"
        )  # fmt: skip
    return program


def _json(archive: Archive, entry: str) -> dict[str, Any]:
    try:
        found = json.loads(archive.text(entry))
    except (ValueError, RecursionError) as error:
        raise broken(archive.name, f"{entry} is not JSON") from error
    if not isinstance(found, dict):
        raise broken(archive.name, f"{entry} is not an object")
    return found


def has_conditions(program: dict[str, Any]) -> bool:
    """Tell whether the guards of a program say more than which lengths are equal."""
    guards = program.get("guards_code") or []
    return not isinstance(guards, list) or any(not _EQUAL.fullmatch(str(g)) for g in guards)


def cleaned(archive: Archive, program: dict[str, Any]) -> io.BytesIO:
    """Check all that torch would read, and write it into an archive of its own.

    Args:
        archive: What was read.
        program: Of `read_program`; metadata and guards are taken out of it.

    Returns:
        The archive.

    Raises:
        Harm: Something in it could run code, or is not as torch writes it.
        SpecError: A part is missing or damaged.
    """
    compiled = [entry for entry in archive.entries if entry.startswith("data/aotinductor/")]
    if compiled:
        raise Harm(compiled[0], "is compiled code, which is run when it is loaded")
    _leave_out_what_is_not_needed(program)
    try:
        check(PROGRAM, program, schema.ExportedProgram)
    except RecursionError as error:
        raise Harm(PROGRAM, "is nested too deeply") from error
    parts = {PROGRAM: json.dumps(program).encode()}
    if SAMPLES not in archive.entries:
        raise broken(archive.name, f"it has no {SAMPLES}")
    parts[SAMPLES] = rewritten(SAMPLES, archive.entries[SAMPLES])
    for folder, (config, legacy) in _PAYLOADS.items():
        if legacy in archive.entries:
            parts[legacy] = rewritten(legacy, archive.entries[legacy])
        else:
            parts |= _payloads(archive, folder, config)
    buffer = io.BytesIO()
    with PT2ArchiveWriter(buffer) as writer:
        for entry, content in parts.items():
            writer.write_bytes(entry, content)
    buffer.seek(0)
    return buffer


def _leave_out_what_is_not_needed(program: dict[str, Any]) -> None:
    """Take out the metadata of nodes, which is for people, and the guards, which torch runs."""
    program.pop("guards_code", None)
    module = program.get("graph_module")
    if isinstance(module, dict):
        module["metadata"], module["treespec_namedtuple_fields"] = {}, {}
        for node in _nodes(module.get("graph")):
            node["metadata"] = {}


def _nodes(value: Any) -> Iterator[dict[str, Any]]:
    """Go through the nodes of a graph and of those nested in their arguments."""
    waiting = [value]
    while waiting:
        found = waiting.pop()
        if isinstance(found, list):
            waiting += found
        elif isinstance(found, dict):
            if "target" in found and "metadata" in found:
                yield found
            waiting += found.values()


def _payloads(archive: Archive, folder: str, config: str) -> dict[str, bytes]:
    """Return the tensors that a config lists, each held to the bytes that lie there for it."""
    listed = _json(archive, config)
    check(config, listed, schema.PayloadConfig)
    found: dict[str, bytes] = {}
    pickled = {meta["path_name"] for meta in listed["config"].values() if meta["use_pickle"]}
    for name, meta in listed["config"].items():
        entry = folder + meta["path_name"]
        if entry not in archive.entries:
            raise broken(archive.name, f"it has no {entry}, which holds '{name}'")
        content = archive.entries[entry]
        if meta["path_name"] in pickled:
            meta["use_pickle"] = True  # never raw bytes for what torch unpickles
            found[entry] = rewritten(entry, content)
        else:
            _check_size(archive, entry, meta["tensor_meta"])
            found[entry] = content
    # written last, so that a config is what was checked
    return {**found, config: json.dumps(listed).encode()}


def _check_size(archive: Archive, entry: str, meta: dict[str, Any] | None) -> None:
    if meta is None:
        raise Harm(entry, "has no shape")
    lengths = [size.get("as_int", -1) for size in (*meta["sizes"], *meta["strides"])]
    lengths.append(meta["storage_offset"].get("as_int", -1))
    if min(lengths) < 0 or len(meta["sizes"]) > 64:
        raise Harm(entry, "has a shape that is not made of whole numbers")
    # an element has a byte or more
    claimed = math.prod(size["as_int"] for size in meta["sizes"])
    if claims_too_much(claimed, len(archive.entries[entry])):
        raise Harm(entry, f"of {len(archive.entries[entry]):,} bytes claims a far larger tensor")
