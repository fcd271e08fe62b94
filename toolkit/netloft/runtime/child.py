"""The process that `trial.try_out` starts: reads what is asked, and writes what a file did."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from netloft.errors import IntegrityError, NetloftError
from netloft.runtime.providers import PROVIDERS, process_cpus, start_session
from netloft.runtime.reasons import NVIDIA, first_line
from netloft.runtime.scan import scan
from netloft.runtime.trial import GIB

if TYPE_CHECKING:
    import onnxruntime as ort

__all__ = ["main"]

_OUT_OF_MEMORY = ("bad_alloc", "allocate memory", "BFCArena", "Failed to allocate")
_OF_A_THREAD = 24 << 20  # its stack, and what the allocator sets apart for it


def main() -> None:
    """Answer one request on standard input."""
    _get_ready()
    # NumPy seeks in what it takes for a file, and a pipe cannot
    source, target = io.BytesIO(sys.stdin.buffer.read()), io.BytesIO()
    asked = json.loads(source.readline())
    model = Path(asked["model"])
    try:
        feeds = _feeds(source, asked["feeds"])
        facts, arrays = _tried(model, asked, feeds)
    except MemoryError:
        facts, arrays = _told(_too_much(model, asked["limits"])), []
    except NetloftError as error:
        facts, arrays = _told(error), []
    target.write(json.dumps(facts).encode() + b"\n")
    for array in arrays:
        np.lib.format.write_array(target, array, allow_pickle=False)
    sys.stdout.buffer.write(target.getbuffer())


def _get_ready() -> None:
    """Load the libraries before anything is asked: what they take is not the file's either."""
    import onnxruntime  # noqa: F401

    with contextlib.suppress(ImportError):
        import netloft.structure  # noqa: F401


def _feeds(source: IO[bytes], names: list[str] | None) -> dict[str, Any] | None:
    if names is None:
        return None
    return {name: np.lib.format.read_array(source, allow_pickle=False) for name in names}


def _told(error: NetloftError) -> dict[str, str]:
    return {"error": type(error).__name__, "problem": error.problem, "remedy": error.remedy}


def _too_much(model: Path, limits: Mapping[str, Any]) -> IntegrityError:
    return IntegrityError(
        f"{model.name} was stopped: it asks for more than {limits['memory'] / GIB:.3g} GiB of "
        "memory",
        remedy="allow more with --max-memory if you know where it comes from",
    )


def _tried(
    model: Path, asked: Mapping[str, Any], feeds: dict[str, Any] | None
) -> tuple[dict[str, Any], list[Any]]:
    held = _limit(asked, model.stat().st_size)
    found = scan(model)
    if held:
        _limit(asked, model.stat().st_size + found.outside_bytes)
    facts: dict[str, Any] = {"outputs": [], "ran_on": {}, "elsewhere": [], "memory_held": held}
    facts |= {"scan": dataclasses.asdict(found), "checked": _checked(model), "declared": {}}
    if not asked["start"]:
        return facts, []
    try:
        facts, arrays = _run(model, asked, feeds, facts)
    except NetloftError as error:
        _raise_if_memory(error, model, asked["limits"])
        raise
    except Exception as error:  # ONNX Runtime has a dozen unrelated kinds
        _raise_if_memory(error, model, asked["limits"])
        raise IntegrityError(
            f"the model does not run on its test vectors on {asked['provider']}: "
            f"{first_line(error)}"
        ) from error
    return facts, arrays


def _limit(asked: Mapping[str, Any], size: int) -> bool:
    """Let the system hold this process to its limits; return whether memory is held too.

    Args:
        asked: The request.
        size: Bytes of the file, which may be in memory thrice.
    """
    try:
        import resource
    except ImportError:  # Windows has none: the clock alone is held
        return False
    limits, threads = asked["limits"], asked["threads"] or process_cpus()
    seconds = int(limits["seconds"] * process_cpus()) + 1
    # at the softer limit SIGXCPU ends it, which tells why; at the harder one SIGKILL
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 5))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    reserved = Path("/proc/self/statm")
    if asked["provider"] in NVIDIA or not reserved.exists():
        return False
    start = int(reserved.read_text().split()[0]) * resource.getpagesize()
    most = start + limits["memory"] + 3 * size + threads * _OF_A_THREAD
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    most = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(resource.RLIMIT_AS, (most, hard))
    return True


def _run(
    model: Path, asked: Mapping[str, Any], feeds: dict[str, Any] | None, facts: dict[str, Any]
) -> tuple[dict[str, Any], list[Any]]:
    """Start the file, and run it where there are inputs."""
    how: dict[str, Any] = {"threads": asked["threads"], **asked["options"]}
    if feeds is not None:
        how["profile_to"] = Path("profile")
    session = start_session(model, asked["provider"], **how)
    facts |= {"declared": _declared(session)}
    if feeds is None:
        return facts, []
    names = list(asked["outputs"])
    arrays = [np.asarray(array) for array in session.run(names, feeds)]
    for (name, shape), array in zip(asked["outputs"].items(), arrays, strict=True):
        if list(array.shape) != shape:  # told here: what is too large is not sent
            raise IntegrityError(
                f"output '{name}' has shape {list(array.shape)}, and its test vector {shape}"
            )
    ran_on, elsewhere = _placed(Path(session.end_profiling()), PROVIDERS[asked["provider"]])
    return facts | {"outputs": names, "ran_on": ran_on, "elsewhere": elsewhere}, arrays


def _declared(session: ort.InferenceSession) -> dict[str, list[tuple[str, str]]]:
    ends = {"inputs": session.get_inputs(), "outputs": session.get_outputs()}
    return {kind: [(value.name, value.type) for value in values] for kind, values in ends.items()}


def _raise_if_memory(error: Exception, model: Path, limits: Mapping[str, Any]) -> None:
    if any(sign in str(error) for sign in _OUT_OF_MEMORY):
        raise _too_much(model, limits) from error


def _checked(model: Path) -> bool | None:
    try:
        from netloft.structure import check_structure
    except ImportError:
        return None
    check_structure(model)
    return True


def _placed(profile: Path, wanted: str) -> tuple[dict[str, int], list[str]]:
    """Return how many nodes each provider ran, and operators of those that another one ran."""
    nodes = {
        (event["name"], event["args"]["op_name"], event["args"]["provider"])
        for event in json.loads(profile.read_text(encoding="utf-8"))
        if event.get("cat") == "Node" and "provider" in event.get("args", {})
    }
    ran_on = Counter(provider for _, _, provider in nodes)
    elsewhere = sorted({op for _, op, provider in nodes if provider != wanted})
    return dict(ran_on), elsewhere


if __name__ == "__main__":
    main()
