"""Grad-CAM in an exported file beside PyTorch's autograd and the package `grad-cam`.

    pip install grad-cam     (not a dependency; its opencv-python can be opencv-python-headless)
    python -m benchmarks.maps run benchmarks/maps.jsonl [NAME …] [--threads 1 2] [--parity]
    python -m benchmarks.maps_report benchmarks/maps.jsonl > docs/maps.md

Parity: the map of netloft's file in ONNX Runtime, on photographs and on noise, against hooks and
autograd in PyTorch, in float64 and in float32, and against grad-cam, for the same layer and the
classes that the file chose. Where those are not the classes of the float64 run, the float64 scores
tell how much worse they are: random networks have classes that are equal to rounding.

Speed: scores and map from ONNX Runtime, hooks and autograd, and grad-cam, all in turns in one run,
with a process of its own for each network and number of threads, which has as many processors.
`run` measures what the file does not hold yet.
"""

from __future__ import annotations

import argparse
import copy
import importlib
import json
import os
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from benchmarks.timing import Row, add_rows, rows_of, timed
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - what everybody calls it

from netloft.defaults import MAP_METHODS
from netloft.models import load_model
from netloft.models.domain import domain_inputs
from netloft.models.loaded import LoadedModel
from netloft.models.mapping import with_map
from netloft.parity.compare import measure as compare
from netloft.parity.policy import DEFAULT_POLICY
from netloft.parity.reference import ROUNDED_RUNS, moved
from netloft.runtime.devices import cpu_model
from netloft.speed.contestants import timed_session
from netloft.speed.measure import Plan, measure
from netloft.speed.torch_contestants import torch_settings
from netloft_exporters import to_onnx

HOOKED = {
    "resnet18": "layer4",
    "alexnet": "features.11",
    "vgg16": "features.29",
    "vgg16_bn": "features.42",
    "myresnet": "layer2.0",
    "mobilenet_v2": "features.18",
    "densenet121": "relu",
}
"""Module whose result is netloft's layer. A residual block calls its ReLU twice, and grad-cam would
take the first call: the block around it gives what the last call gives."""

BATCHES = (1, 4)
PLAN = Plan(width=0.02, patience=15.0)
NETLOFT, SCORES, PACKAGE = "netloft", "scores alone", "grad-cam"
HOOKS, RECIPE = "autograd to the layer", "hooks and backward()"

Array = npt.NDArray[Any]


class HookableDenseNet(nn.Module):
    """torchvision's DenseNet with its last ReLU, there a function, as a module that takes hooks."""

    def __init__(self, net: Any) -> None:
        super().__init__()
        self.features, self.relu, self.classifier = net.features, nn.ReLU(), net.classifier

    def forward(self, x: Tensor) -> Any:
        """Map pictures to scores."""
        return self.classifier(self.relu(self.features(x)).mean((2, 3)))


@dataclass(frozen=True)
class Explained:
    """What hooks and autograd find, and the maps that follow."""

    scores: Tensor
    pictures: Tensor
    gradient: Tensor
    size: tuple[int, ...]

    def map(self, method: str) -> Array:
        """Return (batch, height, width)."""
        weights = _mean_weights if method == "gradcam" else _plus_plus_weights
        factors = weights(self.pictures.flatten(2), self.gradient.flatten(2))[..., None, None]
        raw = (factors * self.pictures).sum(1, keepdim=True).relu()
        sized = F.interpolate(_scaled(raw), size=self.size, mode="bilinear", align_corners=False)
        found: Array = _scaled(sized)[:, 0].numpy()
        return found


def _mean_weights(pictures: Tensor, gradient: Tensor) -> Tensor:
    return gradient.mean(2)


def _plus_plus_weights(pictures: Tensor, gradient: Tensor) -> Tensor:
    square = gradient**2
    total = pictures.sum(2, keepdim=True)
    return (square / (2 * square + total * gradient**3 + 1e-6) * gradient.relu()).sum(2)


def _scaled(map: Tensor) -> Tensor:
    map = map - map.amin((2, 3), keepdim=True)
    return map / (map.amax((2, 3), keepdim=True) + 1e-7)


class Hooks:
    """A network with a hook, as quick as it goes: gradients behind the layer alone.

    Args:
        net: Left as it is; a copy gets the hook.
        path: Of the module that gives the pictures.
        dtype: What the copy computes in.
    """

    def __init__(self, net: nn.Module, path: str, dtype: torch.dtype = torch.float32) -> None:
        self._net = copy.deepcopy(net).to(dtype).requires_grad_(False)
        self._seen: list[Tensor] = []
        self._net.get_submodule(path).register_forward_hook(self._keep)

    def _keep(self, module: nn.Module, given: object, made: Tensor) -> Tensor:
        self._seen.append(made.detach().requires_grad_())
        return self._seen[-1]

    def __call__(self, x: Tensor, classes: Tensor | None = None) -> Explained:
        """Run forwards and backwards; the best class of each picture where none are given."""
        self._seen.clear()
        with torch.enable_grad():
            scores = self._net(x)
            chosen = scores.argmax(1) if classes is None else classes
            (gradient,) = torch.autograd.grad(scores.gather(1, chosen[:, None]).sum(), self._seen)
        size = tuple(x.shape[2:])
        return Explained(scores.detach(), self._seen[0].detach(), gradient, size)


class Recipe:
    """Grad-CAM as tutorials have it: a hook forwards, a hook backwards, and `backward()`.

    Args:
        net: Left as it is; a copy gets the hooks.
        path: Of the module that gives the pictures.
    """

    def __init__(self, net: nn.Module, path: str) -> None:
        self._net = copy.deepcopy(net)
        self._seen: dict[str, Tensor] = {}
        layer = self._net.get_submodule(path)
        if isinstance(layer, nn.ReLU):  # PyTorch refuses to hook one that writes in place
            layer.inplace = False
        layer.register_forward_hook(lambda _, __, made: self._keep("pictures", made))
        layer.register_full_backward_hook(lambda _, __, made: self._keep("gradient", *made))

    def _keep(self, what: str, made: Any) -> None:
        self._seen[what] = made.detach()

    def __call__(self, x: Tensor) -> Explained:
        """Run forwards and backwards, for the best class of each picture."""
        with torch.enable_grad():
            scores = self._net(x)
            self._net.zero_grad()
            scores.gather(1, scores.argmax(1)[:, None]).sum().backward()
        return Explained(scores.detach(), **self._seen, size=tuple(x.shape[2:]))


def grad_cam() -> Any:
    """Return the package, or end with what to do."""
    try:
        return importlib.import_module("pytorch_grad_cam")
    except ImportError as error:
        sys.exit(f"benchmarks/maps.py compares with grad-cam ({error}): pip install grad-cam")


def hookable(name: str, net: nn.Module) -> nn.Module:
    """Return the same function with a module that gives netloft's layer."""
    return HookableDenseNet(net) if name == "densenet121" else net


def run(file: Path, names: Sequence[str], threads: Sequence[int], *, parity_alone: bool) -> None:
    """Measure what is missing, each in a process of its own."""
    done = {(row["net"], row.get("threads", 0)) for row in rows_of(file)}
    for name in names or HOOKED:
        for count in (0,) if parity_alone else (0, *threads):
            if (name, count) not in done:
                what = f"{count} threads" if count else "parity"
                arguments = ["one", name, "--threads", str(count)]
                add_rows(file, "benchmarks.maps", arguments, f"{name}, {what}")


def parity(name: str) -> Iterator[Row]:
    """Compare one network's maps, on one thread."""
    grad_cam()
    model = load_model(name)
    net, size = hookable(name, model.module), model.inputs[0].shape[1:]
    hooks = [Hooks(net, HOOKED[name], dtype) for dtype in (torch.float32, torch.float64)]
    with tempfile.TemporaryDirectory() as folder, torch_settings(1):
        for method in MAP_METHODS:
            mapped = with_map(model, method)
            path = to_onnx(mapped.module, mapped.example(), Path(folder, "map.onnx"), prove=False)
            session = timed_session(path, "cpu", 1)
            known = {"net": name, "method": method, "layer": mapped.map["layer"]}
            known["form"] = mapped.map["form"]
            for batch in BATCHES:
                for kind, x in _inputs(model, batch, size):
                    feeds = {session.get_inputs()[0].name: x.numpy()}
                    scores, map = session.run(["output", "map"], feeds)
                    chosen = torch.from_numpy(scores.argmax(1))
                    found = _packaged(name, net, x, chosen, method)
                    told = {**known, "batch": batch, "input": kind}
                    yield told | _judged(map, found, x, chosen, hooks, method)


def _inputs(model: LoadedModel, batch: int, size: tuple[int, ...]) -> Iterator[tuple[str, Tensor]]:
    real = domain_inputs(model, batch, 0)
    assert real is not None
    (x,) = real[0].values()
    yield "photographs", x
    yield "noise", torch.randn(batch, *size, generator=torch.Generator().manual_seed(batch))


def _packaged(name: str, net: nn.Module, x: Tensor, chosen: Tensor, method: str) -> Array:
    """Return grad-cam's map."""
    package = grad_cam()
    target = importlib.import_module("pytorch_grad_cam.utils.model_targets").ClassifierOutputTarget
    made = package.GradCAM if method == "gradcam" else package.GradCAMPlusPlus
    with made(model=net, target_layers=[net.get_submodule(HOOKED[name])]) as cam:
        found: Array = cam(input_tensor=x, targets=[target(int(index)) for index in chosen])
    return found


def _judged(
    map: Array, packaged: Array, x: Tensor, chosen: Tensor, hooks: Sequence[Hooks], method: str
) -> Row:
    """Hold a file's map to autograd's in float64, whose float32 error is the noise floor."""
    single, wide = hooks[0](x, chosen), hooks[1](x.double(), chosen)
    reference, eager = wide.map(method), single.map(method)
    own, error = (compare(found, reference).scaled for found in (eager, map))
    floor = DEFAULT_POLICY.floor(own, [own])
    distance = float(np.abs(map - packaged).max())
    again = DEFAULT_POLICY.status(max(error, distance), floor) != "pass"
    if again:  # float32 may have been near by luck: inputs one rounding away tell how much
        generator = torch.Generator().manual_seed(0)
        near = [moved(x, x.dtype, generator) for _ in range(ROUNDED_RUNS)]
        owns = [compare(hooks[0](one, chosen).map(method), reference).scaled for one in near]
        floor = max(floor, *owns)
    best = wide.scores.gather(1, chosen[:, None])[:, 0]
    short = (wide.scores.amax(1) - best) / wide.scores.abs().amax()
    return {
        "status": DEFAULT_POLICY.status(error, floor),
        "error": error,
        "floor": floor,
        "ratio": error / floor,
        "again": again,
        "to_hooks": float(np.abs(map - eager).max()),
        "to_package": distance,
        "package_error": compare(packaged, reference).scaled,
        "package_status": DEFAULT_POLICY.status(distance, floor),
        "other_classes": int((wide.scores.argmax(1) != chosen).sum()),
        "short_by": float(short.max()),
        "empty": int((reference.max((1, 2)) == 0).sum()),
    }


def speed(name: str, threads: int) -> Iterator[Row]:
    """Time scores and map of one network."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    if len(os.sched_getaffinity(0)) < threads:
        sys.exit(f"{threads} threads need as many processors")
    model = load_model(name)
    known = {"net": name, "threads": threads, "cpu": cpu_model()}
    with tempfile.TemporaryDirectory() as folder, torch_settings(threads):
        importlib.import_module("cv2").setNumThreads(threads)
        mapped = with_map(model)
        paths = []
        for what, each in (("map", mapped), ("scores", model)):
            path = Path(folder, f"{what}.onnx")
            paths.append(to_onnx(each.module, each.example(), path, prove=False))
        for batch in BATCHES:
            real = domain_inputs(model, batch, 0)
            assert real is not None
            (x,) = real[0].values()
            contestants = _contestants(name, model.module, paths, x, threads)
            samples = measure(list(contestants.values()), PLAN)
            for what, taken in zip(contestants, samples, strict=True):
                yield {**known, "batch": batch, "contestant": what, **timed(taken, samples[0])}


def _contestants(
    name: str, module: nn.Module, paths: Sequence[Path], x: Tensor, threads: int
) -> dict[str, Callable[[], object]]:
    """Return what takes turns, netloft's own file first."""
    net = hookable(name, copy.deepcopy(module))
    cam = grad_cam().GradCAM(model=net, target_layers=[net.get_submodule(HOOKED[name])])
    hooks = Hooks(hookable(name, module), HOOKED[name])
    recipe = Recipe(hookable(name, module), HOOKED[name])
    sessions = [timed_session(path, "cpu", threads) for path in paths]
    feeds = [{session.get_inputs()[0].name: x.numpy()} for session in sessions]
    return {
        NETLOFT: lambda: sessions[0].run(None, feeds[0]),
        SCORES: lambda: sessions[1].run(None, feeds[1]),
        HOOKS: lambda: hooks(x).map("gradcam"),
        RECIPE: lambda: recipe(x).map("gradcam"),
        PACKAGE: lambda: cam(input_tensor=x, targets=None),
    }


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("what", choices=["run", "one"])
    parser.add_argument("file", help="JSON lines, which are added to")
    parser.add_argument("names", nargs="*", help=f"of {', '.join(HOOKED)}; all by default")
    parser.add_argument("--threads", type=int, nargs="+", default=[1], help="of the timing: 1, 2")
    parser.add_argument("--parity", action="store_true", help="leave the timing out")
    asked = parser.parse_args()
    grad_cam()  # its absence is said before anything is run
    if asked.what == "run":
        run(Path(asked.file), asked.names, asked.threads, parity_alone=asked.parity)
        return
    warnings.simplefilter("ignore")
    (count,) = asked.threads
    for row in speed(asked.file, count) if count else parity(asked.file):
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
