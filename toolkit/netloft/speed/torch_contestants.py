"""PyTorch as a contestant: eager and compiled, on the CPU and on CUDA."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterator, Mapping

import torch
from torch import nn

from netloft.speed.contestants import Contestant, cpp_compiler
from netloft.tracing.clone import detached_copy

__all__ = [
    "CHANNELS_LAST",
    "COMPILED",
    "EAGER",
    "forget_compiled",
    "no_device_reason",
    "not_compilable",
    "torch_channels_last",
    "torch_compiled",
    "torch_eager",
    "torch_settings",
]

EAGER = "PyTorch eager"
COMPILED = "torch.compile"
CHANNELS_LAST = "PyTorch eager, channels last"

_PICTURES = 4  # axes of a batch of them

Inputs = Mapping[str, torch.Tensor]


def torch_eager(
    module: nn.Module, inputs: Inputs, *, device: str, batch: int, threads: int, target: str = ""
) -> Contestant:
    """Return the module itself as a contestant, in inference mode.

    Args:
        module: In eval mode; a copy runs.
        inputs: By parameter of `forward`.
        device: `cpu` or `cuda`.
        batch: Items in the inputs.
        threads: What `torch_settings` set.
        target: What the module is, where several are measured.
    """
    run = _run(_on(module, device), inputs, device)
    return Contestant(EAGER, device, batch, threads, run, target)


def torch_channels_last(
    module: nn.Module, inputs: Inputs, *, device: str, batch: int, threads: int, target: str = ""
) -> Contestant:
    """Return the module with the channels of its weights and inputs last in memory."""
    last = torch.channels_last
    moved = copy.deepcopy(module).to(device, memory_format=last)  # type: ignore[call-overload]
    turned = {
        name: tensor.contiguous(memory_format=last) if tensor.dim() == _PICTURES else tensor
        for name, tensor in inputs.items()
    }
    run = _run(moved, turned, device)
    return Contestant(CHANNELS_LAST, device, batch, threads, run, target)


def torch_compiled(
    module: nn.Module, inputs: Inputs, *, device: str, batch: int, threads: int, target: str = ""
) -> Contestant:
    """Return the module compiled for these shapes; its first run compiles, and may fail."""
    compiled = torch.compile(_on(module, device), dynamic=False)
    run = _run(compiled, inputs, device)
    return Contestant(COMPILED, device, batch, threads, run, target, compiles=True)


def not_compilable() -> str:
    """Return why `torch.compile` cannot work here at all; empty where it may."""
    return "" if cpp_compiler() else "no C++ compiler is on PATH, and CXX names none"


def no_device_reason(device: str) -> str:
    """Return why torch cannot use a device; empty where it can."""
    if device == "cpu" or torch.cuda.is_available():
        return ""
    if torch.version.cuda is None:
        return f"PyTorch {torch.__version__} is built without CUDA"
    return f"PyTorch {torch.__version__} finds no GPU"


@contextlib.contextmanager
def torch_settings(threads: int) -> Iterator[None]:
    """Set torch's threads, and keep TF32 out of cuDNN, where it is on by default, and cuBLAS."""
    convolutions, products = torch.backends.cudnn, torch.backends.cuda.matmul
    before = torch.get_num_threads()
    tf32 = convolutions.allow_tf32, products.allow_tf32
    torch.set_num_threads(threads)
    convolutions.allow_tf32 = products.allow_tf32 = False
    try:
        yield
    finally:
        convolutions.allow_tf32, products.allow_tf32 = tf32
        torch.set_num_threads(before)


def forget_compiled() -> None:
    """Drop what was compiled: after eight shapes torch goes on uncompiled without a word."""
    torch.compiler.reset()


def _on(module: nn.Module, device: str) -> nn.Module:
    # A copy, because a tensor that a forward pass keeps in inference mode cannot be trained later.
    return detached_copy(module) if device == "cpu" else copy.deepcopy(module).to(device)


def _run(module: Callable[..., object], inputs: Inputs, device: str) -> Callable[[], object]:
    given = {name: tensor.to(device) for name, tensor in inputs.items()}

    def run() -> None:
        with torch.inference_mode():
            module(**given)
        if device == "cuda":
            torch.cuda.synchronize()

    return run
