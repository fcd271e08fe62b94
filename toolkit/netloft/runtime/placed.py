"""Whether a provider that started runs anything of a file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netloft.errors import ProviderError
from netloft.runtime.providers import PROVIDERS, NotRun, start_session

if TYPE_CHECKING:
    import onnxruntime as ort

__all__ = ["check_taken", "placed_session", "taking"]


def placed_session(
    model: Path | bytes, provider: str, *, called: Path | None = None, **options: Any
) -> ort.InferenceSession:
    """Start a session in which the provider that was asked for runs something.

    Args:
        model: An `.onnx` file, or its bytes.
        provider: Where it runs.
        called: The file for the message, where that is not the model.
        options: More of `start_session`.

    Raises:
        ProviderError: The provider does not start, or runs none of the file's operations.
        UsageError: There is no such model, or ONNX Runtime cannot load it.
    """
    session = start_session(model, provider, **options)
    check_taken(session, provider, called or model)
    return session


def check_taken(session: ort.InferenceSession, provider: str, model: Path | bytes) -> None:
    """See that a provider took one operation of a file at least.

    ONNX Runtime starts a provider that has none of a file's operators, and the CPU runs them all.
    Its versions before 1.24 do not say so; there nothing is checked.

    Args:
        session: From `start_session`, which asks for the record.
        provider: Its provider.
        model: The file, for the message.

    Raises:
        ProviderError: It took none.
    """
    if provider == "cpu" or not hasattr(session, "get_provider_graph_assignment_info"):
        return
    taken = session.get_provider_graph_assignment_info()
    others = {part.ep_name for part in taken}
    if taken and PROVIDERS[provider] not in others:
        what = model.name if isinstance(model, Path) else "the model"
        raise ProviderError(
            f"provider '{provider}' starts, and runs no operation of {what}: all run on "
            f"{', '.join(sorted(others))}",
            remedy="name the provider that does run it with --provider",
        )


def taking(model: Path, providers: Sequence[str]) -> tuple[tuple[str, ...], tuple[NotRun, ...]]:
    """Return the providers that run something of a file, and the others with the reason."""
    left = dict[str, str]()
    for provider in (name for name in providers if name != "cpu"):
        try:
            placed_session(model, provider)
        except ProviderError as error:
            left[provider] = error.problem
    running = tuple(name for name in providers if name not in left)
    return running, tuple(NotRun(f"provider {name}", reason) for name, reason in left.items())
