"""Errors a person can act on: what is wrong, at which node, from which line, what to do.

NetloftError
├── UsageError          exit code 2: the input or the command line is wrong
│   ├── SpecError       MODEL names nothing that can be loaded
│   ├── InputError      an input's shape, type or name does not fit the model
│   ├── CheckpointError a weights file cannot be read or does not fit
│   ├── TraceError      the module has no faithful graph
│   ├── ExportError     the graph cannot be written in the target's format
│   └── OutputError     the place to write to is not ours to write
├── CheckError          exit code 1: a check failed
│   ├── ParityError     the exported file computes another function
│   ├── IntegrityError  a bundle is incomplete or was changed
│   └── ServingError    a server does not answer, or not as the protocol says
└── MissingError        exit code 3: something asked for is missing on this machine
    ├── ProviderError   an execution provider does not start
    └── DownloadError   weights have to be fetched and cannot be
"""

from __future__ import annotations

__all__ = [
    "CheckError",
    "CheckpointError",
    "DownloadError",
    "ExportError",
    "InputError",
    "IntegrityError",
    "MissingError",
    "NetloftError",
    "OutputError",
    "ParityError",
    "ProviderError",
    "ServingError",
    "SpecError",
    "TraceError",
    "UsageError",
    "first_line",
]


class NetloftError(Exception):
    """Base of every error that is the model's, the caller's or the machine's to mend.

    Args:
        problem: One sentence, no trailing period.
        node: Name of the graph node, where there is one.
        module: Path of the module call, e.g. `layer1.0.conv1`.
        source: `file.py:line` of the user's code, and the line's text after two spaces.
        remedy: What to change, as an instruction.
    """

    exit_code = 1

    def __init__(
        self, problem: str, *, node: str = "", module: str = "", source: str = "", remedy: str = ""
    ) -> None:
        self.problem, self.node, self.module = problem, node, module
        self.source, self.remedy = source, remedy
        rows = {
            "node": f"%{node}" if node else "",
            "module": module,
            "source": source,
            "remedy": remedy,
        }
        super().__init__("\n".join([problem, *(f"  {k}: {v}" for k, v in rows.items() if v)]))


class UsageError(NetloftError):
    """The input or the command line is wrong."""

    exit_code = 2


class SpecError(UsageError):
    """A MODEL spec names nothing that can be loaded."""


class InputError(UsageError):
    """An input's shape, type or name does not fit the model."""


class CheckpointError(UsageError):
    """A weights file cannot be read, or does not fit the model."""


class TraceError(UsageError):
    """The module has no graph that computes what the module computes."""


class ExportError(UsageError):
    """The graph cannot be written in the target's format."""


class OutputError(UsageError):
    """The place to write to is not ours to write."""


class CheckError(NetloftError):
    """A check failed."""


class ParityError(CheckError):
    """The exported file computes another function than the module."""


class IntegrityError(CheckError):
    """A bundle is incomplete, or is not what its manifest says."""


class ServingError(CheckError):
    """A server does not answer, or not as the protocol and the model's manifest say."""


class MissingError(NetloftError):
    """Something asked for is missing on this machine."""

    exit_code = 3


class ProviderError(MissingError):
    """An execution provider that was asked for does not start here."""


class DownloadError(MissingError):
    """Weights have to be fetched and cannot be."""


def first_line(error: BaseException) -> str:
    """Return the first line of an error's text, or its kind where it has none."""
    return next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
