"""What networks see in pictures: their best classes, and a map of what speaks for one of them.

The map comes out of the very ONNX file that `netloft export --with gradcam` writes, on ONNX
Runtime, held to the module on these pictures before it is shown.
"""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from netloft.errors import UsageError
from netloft.explain.gradcam import MAP
from netloft.explain.layers import scores_output
from netloft.explain.pixels import as_pixels
from netloft.explain.seen import Ranked, Seen
from netloft.models.given_data import given_data, picture_files
from netloft.models.loaded import LoadedModel
from netloft.models.mapping import with_map
from netloft.models.photographs import scale_of
from netloft.parity.check import check_parity, require_parity
from netloft.parity.inputs import Case, feeds_of
from netloft.runtime.providers import start_session
from netloft.tracing import trace

__all__ = ["Asked", "explain"]

Arrays = Mapping[str, npt.NDArray[np.float32]]


@dataclass(frozen=True)
class Asked:
    """What is to be explained, and how.

    Attributes:
        method: `gradcam` or `gradcam++`.
        layer: Path of the module whose values are weighed; empty for the last pictures.
        class_index: The class that the map is for; None for the best of each picture.
        top: How many classes to name.
        provider: What runs the file.
        threads: For one operation; None for the runtime's own choice.
        batch: `dynamic`, or 1 for a network that takes one picture alone.
        seed: Of the inputs that the gradient is proven on.
    """

    method: str = "gradcam"
    layer: str = ""
    class_index: int | None = None
    top: int = 5
    provider: str = "cpu"
    threads: int | None = None
    batch: str | int = "dynamic"
    seed: int = 0


def explain(
    models: Sequence[LoadedModel],
    images: Sequence[Path],
    asked: Asked | None = None,
    *,
    progress: Callable[[str], None] = lambda _: None,
) -> list[Seen]:
    """Return what each network saw in each picture, picture by picture.

    Args:
        models: Classifiers of pictures.
        images: Files, or folders of them.
        asked: How; by default Grad-CAM of the best class.
        progress: Told what is being done.

    Raises:
        UsageError: A network has no scores or no pictures, or a file is no picture.
        NoAdjointError: There is no gradient from the scores to the layer.
        ParityError: The exported file gives another answer than the module.
    """
    wanted = asked or Asked()
    images = [file for image in images for file in picture_files(image)]
    found: dict[Path, list[Seen]] = {image: [] for image in images}
    if not found or not models:
        raise UsageError("there is nothing to explain", remedy="name a MODEL and an --image")
    pictures = _told_apart([image.name for image in found], list(map(str, found)))
    names = _told_apart([model.name for model in models], [model.spec for model in models])
    for model, name in zip(models, names, strict=True):
        progress(f"explaining {name}")
        for image, seen in _seen_by(model, list(found), wanted):
            picture = pictures[list(found).index(image)]
            found[image].append(dataclasses.replace(seen, model=name, picture=picture))
    return [seen for each in found.values() for seen in each]


def _told_apart(names: Sequence[str], longer: Sequence[str]) -> list[str]:
    """Return names of which no two are the same: longer ones if these differ, or with a number."""
    chosen = [
        more if names.count(name) > 1 and longer.count(more) == 1 else name
        for name, more in zip(names, longer, strict=True)
    ]
    before = [chosen[:place].count(name) for place, name in enumerate(chosen)]
    return [f"{name} ({n + 1})" if n else name for name, n in zip(chosen, before, strict=True)]


def _seen_by(model: LoadedModel, images: Sequence[Path], asked: Asked) -> list[tuple[Path, Seen]]:
    """Let one network look at all pictures."""
    from netloft_exporters.onnx import write_onnx

    mapped = with_map(
        model,
        asked.method,
        layer=asked.layer,
        class_index=asked.class_index,
        batch=asked.batch,
        seed=asked.seed,
    )
    inputs = mapped.example(_items(asked.batch), asked.seed)
    graph = trace(mapped.module, inputs, asked.batch, name=model.name)
    given = {image: _given(image, mapped) for image in images}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "model.onnx")
        write_onnx(graph, mapped.module, inputs, file)
        cases = [Case(image.name, 1, tensors) for image, tensors in given.items()]
        providers = [asked.provider]
        require_parity(
            check_parity(graph, mapped.module, file, cases, providers, threads=asked.threads)
        )
        session = start_session(file, asked.provider, threads=asked.threads)
        names = [value.name for value in graph.outputs]
        answers = {
            image: dict(zip(names, session.run(names, feeds_of(graph, tensors)), strict=True))
            for image, tensors in given.items()
        }
    scores = scores_output(graph).name
    return [
        (image, _seen(mapped, image, given[image], answer, scores, asked))
        for image, answer in answers.items()
    ]


def _items(batch: str | int) -> int:
    return batch if isinstance(batch, int) else 2


def _given(image: Path, model: LoadedModel) -> Mapping[str, torch.Tensor]:
    ((tensors, _),) = given_data(image, model)
    return tensors


def _seen(
    model: LoadedModel,
    image: Path,
    given: Mapping[str, torch.Tensor],
    answer: Arrays,
    scores: str,
    asked: Asked,
) -> Seen:
    shares = _shares(answer[scores][0])
    order = np.argsort(-shares, kind="stable")[: asked.top]
    ranked = {int(index): _ranked(model, int(index), shares) for index in order}
    chosen = int(shares.argmax()) if asked.class_index is None else asked.class_index
    (tensor,) = given.values()
    return Seen(
        model=model.name,
        picture=image.name,
        pixels=_pixels(model, tensor[0]),
        top=tuple(ranked.values()),
        assigned=ranked.get(chosen) or _ranked(model, chosen, shares),
        map=np.asarray(answer[MAP][0], np.float32),
        method=asked.method,
        layer=str(model.map["layer"]),
        form=str(model.map["form"]),
        weights=model.weights,
    )


def _shares(scores: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Return probabilities; scores that are not negative and add up to 1 are some already."""
    wide = scores.astype(np.float64)
    if (wide >= 0).all() and abs(wide.sum() - 1) < 1e-4:
        return wide
    raised = np.exp(wide - wide.max())
    shares: npt.NDArray[np.float64] = raised / raised.sum()
    return shares


def _ranked(model: LoadedModel, index: int, shares: npt.NDArray[np.float64]) -> Ranked:
    label = model.labels[index] if index < len(model.labels) else ""
    return Ranked(index, label, float(shares[index]))


def _pixels(model: LoadedModel, item: torch.Tensor) -> npt.NDArray[np.uint8]:
    """Return a picture as the network saw it, without its normalisation."""
    if item.dtype is torch.uint8:
        planes = item.numpy()
        return np.ascontiguousarray(np.broadcast_to(planes, (*planes.shape[:2], 3)))
    scale = scale_of(model.preprocess, len(item))
    return as_pixels(item.float().numpy(), mean=scale["mean"], std=scale["std"])
