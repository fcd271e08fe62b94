"""Read a file of weights without running anything in it and without trusting its sizes."""

from __future__ import annotations

import hashlib
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from netloft.errors import CheckpointError

__all__ = ["claims_too_much", "read_state_dict", "refusal_of", "sha256"]

EXPANSION = 16
"""A tensor may be this many times the size of its file: expanded scalars are, bombs are more."""
SLACK_BYTES = 2**20
_WRAPPERS = ("state_dict", "model", "model_state_dict")


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_state_dict(path: Path, budget_bytes: int) -> dict[str, torch.Tensor]:
    """Read tensors by name from a safetensors file or from one that torch.save wrote.

    Pickled code is refused, whatever the environment says of `weights_only`.

    Args:
        path: The file.
        budget_bytes: The largest file that is opened.

    Raises:
        CheckpointError: It cannot be read, holds code, or is not a dict of tensors.
    """
    _check_file(path, budget_bytes)
    found = _safetensors(path) if path.suffix.lower() == ".safetensors" else _pickled(path)
    state = _unwrap(found, path)
    _check_sizes(state, path)
    return state


def _check_file(path: Path, budget_bytes: int) -> None:
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist"
        raise CheckpointError(
            f"weights file {path} {what}",
            remedy="give a .safetensors file, or one that torch.save(module.state_dict()) wrote",
        )
    size = path.stat().st_size
    if size == 0:
        raise _corrupt(path, "it is empty")
    if size > budget_bytes:
        raise CheckpointError(
            f"weights file {path.name} has {size / 2**20:,.0f} MiB, and this model's weights are "
            f"at most {budget_bytes / 2**20:,.0f} MiB with all that a checkpoint may hold beside "
            "them",
            remedy="give the file that belongs to this model, with nothing but its state dict",
        )


def _corrupt(path: Path, why: str) -> CheckpointError:
    return CheckpointError(
        f"weights file {path.name} is damaged or not a weights file: {why}",
        remedy="fetch or write the file again; it is a .safetensors file, or one that "
        "torch.save(module.state_dict()) wrote",
    )


def _safetensors(path: Path) -> dict[str, torch.Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return dict(load_file(path, device="cpu"))
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise _corrupt(path, _first_line(error)) from error


def _pickled(path: Path) -> object:
    zipped = zipfile.is_zipfile(path)
    if zipped:
        _check_zip(path)
    try:
        # A mapped storage cannot grow, so a tensor that claims more than the file has is an error
        return torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
    except Exception as error:
        raise _unreadable(path, error) from error


def _check_zip(path: Path) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
                raise _corrupt(path, "its entries are compressed, which torch.save never does")
            if any(Path(entry.filename).name == "constants.pkl" for entry in archive.infolist()):
                raise CheckpointError(
                    f"weights file {path.name} is a TorchScript archive, which holds code",
                    remedy="save the weights alone: torch.save(module.state_dict(), file)",
                )
            damaged = archive.testzip()
    except (zipfile.BadZipFile, EOFError, OSError, NotImplementedError) as error:
        raise _corrupt(path, _first_line(error)) from error
    if damaged is not None:
        raise _corrupt(path, f"the checksum of {damaged} does not hold")


def _unreadable(path: Path, error: Exception) -> CheckpointError:
    blocked, said = refusal_of(error)
    if not blocked:
        return _corrupt(path, said or _first_line(error))
    return CheckpointError(
        f"weights file {path.name} holds Python code ({blocked}) and was refused; "
        "nothing in it was run",
        remedy="save the weights alone: torch.save(module.state_dict(), file), or a .safetensors "
        "file",
    )


def refusal_of(error: Exception) -> tuple[str, str]:
    """Return what a pickle asked torch's weights-only reader for, and what the reader says."""
    asked = re.search(r"GLOBAL ([\w.]+)", str(error))
    said = re.search(r"WeightsUnpickler error:\s*([^\n]+)", str(error))
    return asked.group(1) if asked else "", said.group(1) if said else ""


def claims_too_much(claimed: int, stored: int) -> bool:
    """Tell whether a tensor says that it has more bytes than a file of so many expands to."""
    return claimed > EXPANSION * stored + SLACK_BYTES


def _first_line(error: BaseException) -> str:
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0].split(". ")[0]


def _unwrap(found: object, path: Path) -> dict[str, torch.Tensor]:
    state: Any = found
    for wrapper in _WRAPPERS:
        if isinstance(state, Mapping) and isinstance(state.get(wrapper), Mapping):
            state = state[wrapper]
            break
    if not isinstance(state, Mapping):
        raise CheckpointError(
            f"weights file {path.name} holds a {type(state).__name__}, not a dict of tensors",
            remedy="save it with torch.save(module.state_dict(), file)",
        )
    others = [str(key) for key, value in state.items() if not isinstance(value, torch.Tensor)]
    if others or not state:
        what = f"'{others[0]}', which is no tensor" if others else "no tensors"
        raise CheckpointError(
            f"weights file {path.name} holds {what}",
            remedy="save it with torch.save(module.state_dict(), file), or wrap that dict as "
            "{'state_dict': …}",
        )
    return {str(key): value for key, value in state.items()}


def _check_sizes(state: Mapping[str, torch.Tensor], path: Path) -> None:
    """Refuse tensors that a small file expands to a size that nobody stored."""
    for name, tensor in state.items():
        size = tensor.numel() * tensor.element_size()
        if claims_too_much(size, path.stat().st_size):
            raise CheckpointError(
                f"weights file {path.name} of {path.stat().st_size:,} bytes claims that '{name}' "
                f"has {size:,} bytes",
                remedy="save the tensors whole: call .contiguous() on them before torch.save",
            )
