"""`--weights`: a file of one's own, or what torchvision publishes."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from http.client import HTTPException
from pathlib import Path
from typing import Any

import torch
from torch import nn

from netloft.errors import CheckpointError, DownloadError
from netloft.models.catalog import closest
from netloft.models.checkpoint import read_state_dict, sha256
from netloft.models.spec import Target
from netloft.models.vision import torchvision_models

__all__ = ["fetch", "load_file", "published"]

_log = logging.getLogger(__name__)

BUDGET_TIMES = 8
"""A checkpoint may hold optimiser state (twice the weights) in double precision, and then some."""
BUDGET_FLOOR_BYTES = 2**30


def published(target: Target, weights: str) -> Any | None:
    """Return the torchvision weights that `--weights` names, or None where it is a file.

    Raises:
        CheckpointError: It is neither a file nor a name that this model has.
    """
    if Path(weights).exists() or re.search(r"[./\\]", weights):
        return None
    names: Sequence[str] = ()
    if target.origin == "torchvision":
        family = torchvision_models().get_model_weights(target.name)
        names = [member.name for member in family]
        if weights in (*names, "DEFAULT") and names:
            return family[weights]
    raise _no_such_weights(target, weights, names)


def _no_such_weights(target: Target, weights: str, names: Sequence[str]) -> CheckpointError:
    if names:
        near = closest(weights, names)
        has = f"it has DEFAULT, {', '.join(names)}"
        remedy = (f"did you mean {near[0]}? " if near else "") + has + ", or give a file"
    else:
        remedy = "no weights are published for it: give a .safetensors or state-dict file"
    return CheckpointError(
        f"'{weights}' is neither a file nor the name of weights for {target.spec}", remedy=remedy
    )


def fetch(weights: Any, target: Target) -> str:
    """Put published weights into torch's cache and check that no code is in them.

    torchvision's own loader unpickles the cached file without `weights_only`; after this it finds
    a file there that holds tensors alone.

    Returns:
        A sentence for the report.

    Raises:
        DownloadError: They are not in the cache and cannot be fetched.
        CheckpointError: The cached file is damaged or holds code.
    """
    url = str(weights.url)
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    cached = folder / url.rpartition("/")[2]
    if not cached.is_file():
        _download(url, cached, target)
    size = float(weights.meta.get("_file_size") or 0)  # in MB
    read_state_dict(cached, max(int(2 * size * 10**6), BUDGET_FLOOR_BYTES))
    return f"torchvision {weights}, sha256 {sha256(cached)[:16]}"


def _download(url: str, cached: Path, target: Target) -> None:
    digest = re.search(r"-([a-f0-9]{8,})\.", cached.name)
    try:
        cached.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(
            url, str(cached), hash_prefix=digest.group(1) if digest else None, progress=False
        )
    except (OSError, HTTPException, RuntimeError) as error:  # URLError is an OSError
        reason = getattr(error, "reason", None) or error
        raise DownloadError(
            f"the weights of {target.spec} are not on this machine and cannot be fetched: {reason}",
            remedy=f"fetch {url} where there is a network, then give it as --weights "
            f"{cached.name} or put it in {cached.parent}",
        ) from error


def load_file(module: nn.Module, path: Path) -> str:
    """Load a file of weights into a module: every tensor, and nothing but.

    Args:
        module: Left as it was when this raises.
        path: A .safetensors file, or what torch.save wrote; a `module.` before every name (from
            DataParallel) is dropped.

    Returns:
        A sentence for the report; it says so if some weights are NaN or infinite.

    Raises:
        CheckpointError: The file cannot be read, holds code, or does not fit the module.
    """
    expected = module.state_dict()
    own = sum(t.numel() * t.element_size() for t in expected.values())
    state = read_state_dict(path, max(BUDGET_TIMES * own, BUDGET_FLOOR_BYTES))
    state = _without_prefix(state, expected)
    _check_fit(module, state, expected, path)
    try:
        module.load_state_dict(state, strict=True)
    except RuntimeError as error:  # a module's own loading hook
        raise CheckpointError(
            f"weights file {path.name} does not fit {type(module).__name__}: "
            + " ".join(str(error).split()),
            remedy="give the file that belongs to this model",
        ) from error
    return f"{path.name}, sha256 {sha256(path)[:16]}" + _not_finite(state)


def _without_prefix(
    state: dict[str, torch.Tensor], expected: Mapping[str, torch.Tensor]
) -> dict[str, torch.Tensor]:
    prefix = "module."
    wrapped = all(name.startswith(prefix) for name in state)
    if wrapped and not all(name.startswith(prefix) for name in expected):
        return {name.removeprefix(prefix): tensor for name, tensor in state.items()}
    return state


def _check_fit(
    module: nn.Module,
    state: Mapping[str, torch.Tensor],
    expected: Mapping[str, torch.Tensor],
    path: Path,
) -> None:
    # PyTorch counted no batches before 0.4.1, and eval mode does not read the count
    missing = [n for n in expected if n not in state and not n.endswith("num_batches_tracked")]
    unexpected = [name for name in state if name not in expected]
    wrong = [
        f"'{name}' is {_shape(state[name])} and has to be {_shape(tensor)}"
        for name, tensor in expected.items()
        if name in state and _shape(state[name]) != _shape(tensor)
    ]
    problems = []
    if missing:
        problems.append(f"it lacks {_some(missing)}")
    if unexpected:
        problems.append(f"it has {_some(unexpected)}, which the model has not")
    if wrong:
        rest = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        problems.append("; ".join(wrong[:3]) + rest)
    if problems:
        raise CheckpointError(
            f"weights file {path.name} does not fit {type(module).__name__}: {'; '.join(problems)}",
            remedy="give the file that belongs to this model, or its constructor arguments with "
            "--arg NAME=VALUE",
        )


def _some(names: Sequence[str]) -> str:
    first = ", ".join(f"'{name}'" for name in names[:3])
    return f"{first} and {len(names) - 3} more" if len(names) > 3 else first


def _shape(tensor: torch.Tensor) -> str:
    shape = "x".join(map(str, tensor.shape)) or "a scalar"
    kind = "complex " if tensor.is_complex() else ""
    return kind + shape


def _not_finite(state: Mapping[str, torch.Tensor]) -> str:
    bad = [
        name
        for name, tensor in state.items()
        if tensor.dtype.is_floating_point and not bool(torch.isfinite(tensor.float()).all())
    ]
    if not bad:
        return ""
    holds = "tensor holds" if len(bad) == 1 else "tensors hold"
    sentence = f"{len(bad)} {holds} NaN or infinity: {_some(bad)}"
    _log.warning("weights: %s", sentence)
    return f"; {sentence}"
