"""The process that `trial.try_out` starts: reads what is asked, and writes what a file did."""

from __future__ import annotations

import contextlib
import io
import json
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

from netloft.errors import IntegrityError, NetloftError
from netloft.runtime.providers import PROVIDERS, process_cpus, start_session
from netloft.runtime.reasons import NVIDIA, first_line
from netloft.runtime.trial import GIB

__all__ = ["main"]

_OUT_OF_MEMORY = ("bad_alloc", "allocate memory", "BFCArena", "Failed to allocate")


def main() -> None:
    """Answer one request on standard input."""
    _get_ready()
    # NumPy seeks in what it takes for a file, and a pipe cannot
    source, target = io.BytesIO(sys.stdin.buffer.read()), io.BytesIO()
    asked = json.loads(source.readline())
    model = Path(asked["model"])
    try:
        feeds = _feeds(source, asked["feeds"])
        _limit(asked["limits"], asked["provider"], model)
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


def _limit(limits: Mapping[str, Any], provider: str, model: Path) -> None:
    """Let the system hold this process to its limits, where it can."""
    try:
        import resource
    except ImportError:  # Windows has none: the clock alone is held
        return
    seconds = int(limits["seconds"] * process_cpus()) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    reserved = Path("/proc/self/statm")
    if provider in NVIDIA or not reserved.exists():
        return
    start = int(reserved.read_text().split()[0]) * resource.getpagesize()
    own = sum(path.stat().st_size for path in model.parent.glob(f"{model.name}*"))
    most = start + limits["memory"] + 3 * own
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


def _tried(
    model: Path, asked: Mapping[str, Any], feeds: dict[str, Any] | None
) -> tuple[dict[str, Any], list[Any]]:
    checked = _checked(model)
    how = {"threads": asked["threads"]}
    try:
        if feeds is None:
            start_session(model, asked["provider"], **how)
            return {"outputs": [], "ran_on": {}, "elsewhere": [], "checked": checked}, []
        session = start_session(model, asked["provider"], profile_to=Path("profile"), **how)
        arrays = [np.asarray(array) for array in session.run(asked["outputs"], feeds)]
    except NetloftError as error:
        _raise_if_memory(error, model, asked["limits"])
        raise
    except Exception as error:  # ONNX Runtime has a dozen unrelated kinds
        _raise_if_memory(error, model, asked["limits"])
        raise IntegrityError(
            f"the model does not run on its test vectors on {asked['provider']}: "
            f"{first_line(error)}"
        ) from error
    ran_on, elsewhere = _placed(Path(session.end_profiling()), PROVIDERS[asked["provider"]])
    facts = {"outputs": asked["outputs"], "ran_on": ran_on, "elsewhere": elsewhere}
    return {**facts, "checked": checked}, arrays


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
