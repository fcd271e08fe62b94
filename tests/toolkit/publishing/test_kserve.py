"""KServe's layout: the bundle whole, its predictor, and an InferenceService of plain names."""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import sys
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from tests.toolkit.publishing.bundles import files_of, make_bundle

from netloft.bundle.vectors import read_vectors
from netloft.errors import IntegrityError
from netloft.publishing import publish
from netloft.publishing.kserve import _service


class InferOutput:
    def __init__(self, name: str, shape: list[int], datatype: str) -> None:
        self.name, self.shape, self.datatype = name, shape, datatype
        self.data: Any = None

    def set_data_from_numpy(self, array: npt.NDArray[Any], binary_data: bool) -> None:
        self.data = array.tobytes() if binary_data else array.ravel().tolist()


class InferInput:
    def __init__(self, name: str, array: npt.NDArray[Any]) -> None:
        self.name, self.array = name, array

    def as_numpy(self) -> npt.NDArray[Any]:
        return self.array


class Model:
    def __init__(self, name: str) -> None:
        self.name, self.ready = name, False


class InvalidInputError(ValueError):
    pass


@pytest.fixture
def kserve(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stand in for the names of kserve that the predictor uses."""
    module: Any = ModuleType("kserve")
    module.InferOutput, module.Model, module.ModelServer = InferOutput, Model, object
    module.InferResponse = SimpleNamespace
    module.model_server = SimpleNamespace(parser=argparse.ArgumentParser(add_help=False))
    errors: Any = ModuleType("kserve.errors")
    errors.InvalidInput = InvalidInputError
    monkeypatch.setitem(sys.modules, "kserve", module)
    monkeypatch.setitem(sys.modules, "kserve.errors", errors)


def predictor(folder: Path) -> Any:
    spec = importlib.util.spec_from_file_location("server", folder / "server.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Bundle("net", "cpu")


@pytest.fixture
def published(tmp_path: Path) -> Path:
    return publish(make_bundle(tmp_path / "b"), "kserve", tmp_path / "out").path


def awaited(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run it in a thread: this one may be in the loop of a browser."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, coroutine).result()


def asked(
    array: npt.NDArray[Any], name: str = "input", *, is_binary: bool = True
) -> SimpleNamespace:
    return SimpleNamespace(inputs=[InferInput(name, array)], id="7", use_binary_outputs=is_binary,
                           request_outputs=None)  # fmt: skip


def test_the_bundle_is_there_whole(published: Path, tmp_path: Path) -> None:
    assert files_of(published / "model") == files_of(tmp_path / "b")


@pytest.mark.usefixtures("kserve")
@pytest.mark.parametrize("is_binary", [True, False])
def test_the_predictor_gives_what_the_bundle_gives(
    published: Path, is_binary: bool, tmp_path: Path
) -> None:
    model = predictor(published)
    assert model.ready
    x = read_vectors(tmp_path / "b" / "test_data_set_0", "input")["input"]
    y = read_vectors(tmp_path / "b" / "test_data_set_0", "output")["scores"]
    answer = awaited(model.predict(asked(x, is_binary=is_binary)))
    (output,) = answer.infer_outputs
    assert (answer.model_name, answer.response_id) == ("net", "7")
    assert (output.name, output.datatype, output.shape) == ("scores", "FP32", list(y.shape))
    found = np.frombuffer(output.data, np.float32) if is_binary else output.data
    assert isinstance(found, np.ndarray), "a list has an object for each element"
    assert np.allclose(found.reshape(y.shape), y, atol=1e-6)
    described = {"name": "input", "datatype": "FP32", "shape": [-1, 3, 8, 8]}
    assert model.get_input_types() == [described]


@pytest.mark.usefixtures("kserve")
@pytest.mark.parametrize("name", ["input", "other"])
def test_a_wrong_request_is_the_clients_fault(published: Path, name: str) -> None:
    with pytest.raises(InvalidInputError, match="input"):
        awaited(predictor(published).predict(asked(np.zeros((1, 2), np.float32), name)))
    with pytest.raises(InvalidInputError, match="version 2"):
        awaited(predictor(published).predict({"instances": []}))


@pytest.mark.usefixtures("kserve")
def test_a_model_that_was_changed_is_not_served(published: Path) -> None:
    (published / "model" / "model.onnx").write_bytes(b"another")
    with pytest.raises(IntegrityError):
        predictor(published)


def test_the_service_is_yaml_and_names_image_and_provider(published: Path) -> None:
    yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")
    service = yaml.safe_load((published / "inferenceservice.yaml").read_text())
    (container,) = service["spec"]["predictor"]["containers"]
    assert service["kind"] == "InferenceService"
    assert service["metadata"]["name"] == "tiny"
    assert container["args"] == ["--model_name=tiny", "--provider=cpu"]
    assert "resources" not in container
    assert container["image"].startswith("registry.example/tiny:")


def test_a_gpu_is_asked_for_where_the_provider_needs_one(tmp_path: Path) -> None:
    folder = publish(make_bundle(tmp_path / "b"), "kserve", tmp_path / "o", provider="cuda").path
    assert 'nvidia.com/gpu: "1"' in (folder / "inferenceservice.yaml").read_text()
    assert "onnxruntime-gpu" in (folder / "requirements.txt").read_text()


@pytest.mark.parametrize(
    ("name", "service"),
    [("ResNet_18.v2", "resnet-18-v2"), ("1net", "model-1net"), ("a" * 100, "a" * 40),
     ("a__", "a"), ("0", "model-0")],
)  # fmt: skip
def test_the_services_name_is_one_that_kubernetes_allows(name: str, service: str) -> None:
    assert _service(name) == service
