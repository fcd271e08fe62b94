"""Give a network a second output: where its picture speaks for a class."""

from __future__ import annotations

import dataclasses

from netloft.errors import UsageError
from netloft.explain.gradcam import MAP, GradCam, Plan, plan_map, prove_map
from netloft.graph.graph import Graph
from netloft.models.build import one_thread
from netloft.models.loaded import LoadedModel
from netloft.models.pipeline import Pipeline
from netloft.tracing import trace

__all__ = ["plan_of", "with_map"]


def plan_of(
    model: LoadedModel,
    method: str = "gradcam",
    *,
    layer: str = "",
    class_index: int | None = None,
    batch: str | int = "dynamic",
    seed: int = 0,
) -> Plan:
    """Say what a map of a model is of, and prove its gradient; see `with_map` for the arguments."""
    inputs = model.example(batch if isinstance(batch, int) else 2, seed)
    graph = trace(model.module, inputs, batch, name=model.name)
    path = _within(model, graph, layer)
    plan = plan_map(graph, method, layer=path, class_index=class_index)
    with one_thread():
        prove_map(plan, inputs)
    return plan


def _within(model: LoadedModel, graph: Graph, layer: str) -> str:
    """Return a path of the network as the graph has it: a pipeline calls it `network`."""
    known = any(layer in (call.path, str(call)) for call in graph.modules)
    if known or layer[:1] in ("", "%") or not isinstance(model.module, Pipeline):
        return layer
    return f"network.{layer}"


def with_map(
    model: LoadedModel,
    method: str = "gradcam",
    *,
    layer: str = "",
    class_index: int | None = None,
    batch: str | int = "dynamic",
    seed: int = 0,
) -> LoadedModel:
    """Return a model whose module gives a map of its picture beside what it gave.

    Args:
        model: What was loaded; it is not changed.
        method: `gradcam` or `gradcam++`.
        layer: Path of the module whose values are weighed, as the network has it, with or without
            what stands around it; by default the last pictures.
        class_index: The class that is explained; None for the best of each picture.
        batch: `dynamic`, or the one size that the network takes.
        seed: Of the inputs that the gradient is proven on.

    Raises:
        UsageError: The network has no scores or no pictures, or there is no such layer or class.
        NoAdjointError: There is no gradient from the scores to the layer.
        CheckError: The gradient is not autograd's.
    """
    if model.map:
        raise UsageError(f"{model.name} gives a map already")
    options = {"layer": layer, "class_index": class_index, "batch": batch, "seed": seed}
    plan = plan_of(model, method, **options)  # type: ignore[arg-type]
    named = type(plan.graph.class_name, (GradCam,), {})  # a drawing tells the network's own class
    (spec,) = model.inputs
    told: dict[str, object] = {"output": MAP, "method": method, "layer": plan.layer_name}
    told |= {"form": plan.form, "class": "best" if class_index is None else class_index}
    return dataclasses.replace(
        model,
        module=named(plan).eval(),
        inputs=(dataclasses.replace(spec, name="x"),),
        map=told,
    )
