"""The model repository: what Triton reads in config.pbtxt, and the Python backend's model."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from tests.toolkit.publishing.bundles import (
    BATCH,
    CLASSES,
    SHAPE,
    make_bundle,
    make_pairs_bundle,
    seal,
    tuned_row,
)

from netloft.bundle.vectors import read_vectors
from netloft.errors import UsageError
from netloft.publishing import publish
from netloft.publishing.pbtxt import Word, to_pbtxt

HOSTILE = ('in"put\\\n', "sco\"res' }\x01é")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("bundles") / "tiny")


def parsed(folder: Path) -> Any:
    """Return a configuration as Triton's own schema reads it; a field it lacks is an error."""
    pytest.importorskip("tritonclient.grpc", reason="tritonclient is not installed")
    from google.protobuf import text_format
    from tritonclient.grpc.model_config_pb2 import ModelConfig

    return text_format.Parse((folder / "config.pbtxt").read_text(encoding="utf-8"), ModelConfig())


def test_the_configuration_is_one_that_triton_reads(bundle: Path, tmp_path: Path) -> None:
    config = parsed(publish(bundle, "triton", tmp_path, "net").path)
    assert (config.name, config.platform) == ("net", "onnxruntime_onnx")
    assert config.max_batch_size == 8
    assert config.HasField("dynamic_batching")
    ((given,), (wanted,)) = config.input, config.output
    assert (given.name, given.data_type, tuple(given.dims)) == ("input", 11, SHAPE)  # TYPE_FP32
    assert (wanted.name, tuple(wanted.dims), wanted.label_filename) == ("scores", (CLASSES,), "")
    assert [(group.count, group.kind) for group in config.instance_group] == [(1, 2)]  # KIND_CPU
    assert config.parameters["execution_mode"].string_value == "0"
    assert "intra_op_thread_count" not in config.parameters


def test_the_warmup_data_are_the_first_item_of_the_vectors(bundle: Path, tmp_path: Path) -> None:
    folder = publish(bundle, "triton", tmp_path).path
    config = parsed(folder)
    assert [sample.batch_size for sample in config.model_warmup] == [1, 8]
    for sample in config.model_warmup:
        value = sample.inputs["input"]
        assert tuple(value.dims) == SHAPE
        data = (folder / "warmup" / value.input_data_file).read_bytes()
        x = read_vectors(bundle / "test_data_set_0", "input")["input"]
        assert np.array_equal(np.frombuffer(data, np.float32).reshape(SHAPE), x[0])


def test_a_fixed_batch_is_part_of_the_shape(tmp_path: Path) -> None:
    fixed = make_bundle(tmp_path / "b", batch=4)
    folder = publish(fixed, "triton", tmp_path / "out").path
    config = parsed(folder)
    assert config.max_batch_size == 0
    assert not config.HasField("dynamic_batching")
    assert tuple(config.input[0].dims) == (4, *SHAPE)
    (sample,) = config.model_warmup
    assert sample.batch_size == 1
    assert tuple(sample.inputs["input"].dims) == (4, *SHAPE)
    assert (folder / "warmup" / "input_0").stat().st_size == 4 * 4 * int(np.prod(SHAPE))


def test_items_that_are_held_against_each_other_are_not_mixed_with_others(tmp_path: Path) -> None:
    pairs = make_pairs_bundle(tmp_path / "b")
    config = parsed(publish(pairs, "triton", tmp_path / "out").path)
    assert config.max_batch_size == 0
    assert not config.HasField("dynamic_batching")
    assert tuple(config.output[0].dims) == (-1, -1)
    assert tuple(config.model_warmup[0].inputs["input"].dims) == (BATCH, 4)


@pytest.mark.parametrize(
    ("provider", "kind", "accelerators"),
    [("cpu", 2, []), ("cuda", 1, ["cuda"]), ("tensorrt", 1, ["tensorrt", "cuda"])],
)
def test_the_provider_chooses_where_it_runs(
    bundle: Path, provider: str, kind: int, accelerators: list[str], tmp_path: Path
) -> None:
    config = parsed(publish(bundle, "triton", tmp_path, provider=provider).path)
    assert config.instance_group[0].kind == kind
    wanted = config.optimization.execution_accelerators
    assert not wanted.cpu_execution_accelerator
    assert [each.name for each in wanted.gpu_execution_accelerator] == accelerators
    if accelerators:
        assert dict(wanted.gpu_execution_accelerator[-1].parameters) == {"use_tf32": "0"}


def test_openvino_is_for_the_python_backend_alone(bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no option that keeps OpenVINO in float32"):
        publish(bundle, "triton", tmp_path, provider="openvino")
    assert os.listdir(tmp_path) == []
    folder = publish(bundle, "triton", tmp_path, provider="openvino", backend="python").path
    assert parsed(folder).instance_group[0].kind == 2  # KIND_CPU
    assert '"precision": "FP32"' in (folder / "1" / "model.py").read_text()


@pytest.mark.parametrize("kind", ["fixed", "pairs"])
def test_a_largest_batch_is_refused_where_none_are_formed(kind: str, tmp_path: Path) -> None:
    folder = tmp_path / "b"
    other = make_bundle(folder, batch=4) if kind == "fixed" else make_pairs_bundle(folder)
    with pytest.raises(UsageError, match="--max-batch means nothing here"):
        publish(other, "triton", tmp_path / "out", max_batch=8)
    assert not (tmp_path / "out").exists()


def test_names_from_the_model_stay_inside_their_quotes(tmp_path: Path) -> None:
    hostile = make_bundle(tmp_path / "b", names=HOSTILE)
    config = parsed(publish(hostile, "triton", tmp_path / "out").path)
    assert (config.input[0].name, config.output[0].name) == HOSTILE
    assert list(config.model_warmup[0].inputs) == [HOSTILE[0]]


def test_labels_are_for_the_output_that_has_as_many_classes(tmp_path: Path) -> None:
    labels = ("cat", "two\nlines", "é", "d", "e")
    labelled = make_bundle(tmp_path / "b", labels=labels)
    folder = publish(labelled, "triton", tmp_path / "out").path
    assert parsed(folder).output[0].label_filename == "labels.txt"
    text = (folder / "labels.txt").read_text(encoding="utf-8")
    assert text.splitlines() == ["cat", "two lines", "é", "d", "e"]
    other = make_bundle(tmp_path / "c", labels=labels[:4])
    folder = publish(other, "triton", tmp_path / "out", "other").path
    assert not (folder / "labels.txt").exists()


def test_tuned_options_are_the_backends_parameters(tmp_path: Path) -> None:
    tuned = make_bundle(tmp_path / "b", tuning=[tuned_row()])
    found = publish(tuned, "triton", tmp_path / "out")
    parameters = parsed(found.path).parameters
    assert parameters["intra_op_thread_count"].string_value == "3"
    assert found.record["tuned"]["cpu"] == "some processor"
    assert not parsed(found.path).optimization.graph.level
    assert "enable_mem_arena" not in parameters


@pytest.mark.parametrize("backend", ["onnxruntime", "python"])
def test_the_level_of_optimisation_and_the_arena_are_handed_on(
    tmp_path: Path, backend: str
) -> None:
    tuned = make_bundle(tmp_path / "b", tuning=[tuned_row(optimisation="extended", arena=False)])
    config = parsed(publish(tuned, "triton", tmp_path / "out", backend=backend).path)
    assert config.parameters["enable_mem_arena"].string_value == "0"
    own = config.optimization.graph.level == 1
    assert own == (backend == "onnxruntime")
    assert ("graph_optimization" in config.parameters) != own


@pytest.mark.parametrize(
    "rows",
    [
        [tuned_row(), tuned_row(cpu="another")],
        [tuned_row(file="variants/0123456789ab.onnx")],
        [tuned_row(provider="cuda")],
        [tuned_row(provider="cuda", threads=None, options={"use_tf32": "1"})],
        [tuned_row(threads=None, spinning=True), tuned_row(batch=8)],
    ],
    ids=[
        "two machines",
        "another file",
        "another provider",
        "CUDA's options",
        "a larger batch",
    ],
)
def test_options_of_something_else_are_left_out(rows: list[dict[str, Any]], tmp_path: Path) -> None:
    folder = tmp_path / "b"
    make_bundle(folder)
    if rows[0]["file"] != "model.onnx":
        (folder / "variants").mkdir()
        (folder / rows[0]["file"]).write_bytes((folder / "model.onnx").read_bytes())
    seal(folder, "dynamic", ("input", "scores"), (), tuning=rows)
    provider = "cuda" if "options" in rows[0] else "cpu"
    found = publish(folder, "triton", tmp_path / "out", provider=provider)
    assert found.record["tuned"] is None
    assert "intra_op_thread_count" not in (found.path / "config.pbtxt").read_text()


def test_pbtxt_escapes_what_would_end_a_string() -> None:
    text = to_pbtxt({"a": 'x"\\\n\x7f9', "b": [1, 2], "c": {"d": Word("KIND_CPU")}})
    assert text == 'a: "x\\"\\\\\\012\\1779"\nb: 1\nb: 2\nc {\n  d: KIND_CPU\n}\n'


class Tensor:
    def __init__(self, name: str, array: Any) -> None:
        self.name, self.array = name, array

    def as_numpy(self) -> Any:
        return self.array


class Response:
    def __init__(self, output_tensors: list[Tensor], error: Exception | None = None) -> None:
        self.found = {tensor.name: tensor.array for tensor in output_tensors}
        self.error = error


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Stand in for what Triton's Python backend gives a model."""
    module: Any = ModuleType("triton_python_backend_utils")
    module.Tensor, module.InferenceResponse, module.TritonError = Tensor, Response, RuntimeError
    module.get_input_tensor_by_name = lambda request, name: Tensor(name, request[name])
    monkeypatch.setitem(sys.modules, "triton_python_backend_utils", module)
    return module


def started(folder: Path) -> Any:
    """Load `model.py` as Triton does."""
    from google.protobuf import json_format

    spec = importlib.util.spec_from_file_location("triton_model", folder / "1" / "model.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    model = module.TritonPythonModel()
    config = json_format.MessageToDict(parsed(folder), preserving_proto_field_name=True)
    config.setdefault("max_batch_size", 0)
    model.initialize({"model_config": json.dumps(config), "model_instance_device_id": "0"})
    return model


@pytest.mark.usefixtures("backend")
def test_the_python_backends_model_gives_the_same(bundle: Path, tmp_path: Path) -> None:
    folder = publish(bundle, "triton", tmp_path, backend="python").path
    assert parsed(folder).backend == "python"
    model = started(folder)
    x = read_vectors(bundle / "test_data_set_0", "input")["input"]
    y = read_vectors(bundle / "test_data_set_0", "output")["scores"]
    together = model.execute([{"input": x[:1]}, {"input": x[1:]}])
    found = np.concatenate([response.found["scores"] for response in together])
    assert np.allclose(found, y, atol=1e-6)
    assert [len(response.found["scores"]) for response in together] == [1, 2]


@pytest.mark.usefixtures("backend")
def test_the_python_backends_session_is_as_tuned(tmp_path: Path) -> None:
    tuned = make_bundle(tmp_path / "b", tuning=[tuned_row(optimisation="extended", arena=False)])
    model = started(publish(tuned, "triton", tmp_path / "out", backend="python").path)
    options = model.session.get_session_options()
    assert options.graph_optimization_level.name == "ORT_ENABLE_EXTENDED"
    assert (options.enable_cpu_mem_arena, options.intra_op_num_threads) == (False, 3)


@pytest.mark.usefixtures("backend")
def test_one_wrong_request_does_not_fail_the_others(bundle: Path, tmp_path: Path) -> None:
    model = started(publish(bundle, "triton", tmp_path, backend="python").path)
    x = read_vectors(bundle / "test_data_set_0", "input")["input"]
    good, bad = model.execute([{"input": x}, {"input": x.astype(np.float64)}])
    assert good.error is None
    assert good.found["scores"].shape == (len(x), CLASSES)
    assert "float" in str(bad.error)


@pytest.mark.usefixtures("backend")
def test_the_python_backend_does_not_go_on_with_the_cpu(bundle: Path, tmp_path: Path) -> None:
    import onnxruntime

    if "OpenVINOExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("OpenVINO is here, and would start")
    folder = publish(bundle, "triton", tmp_path, backend="python", provider="openvino").path
    with (
        pytest.warns(UserWarning, match="OpenVINO"),
        pytest.raises(RuntimeError, match="does not start here"),
    ):
        started(folder)


@pytest.mark.usefixtures("backend")
def test_cuda_runs_what_tensorrt_leaves(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import onnxruntime

    asked: list[tuple[str, dict[str, str]]] = []

    class Session:
        def __init__(self, *_: Any, providers: Any) -> None:
            asked.extend(providers)

        def get_providers(self) -> list[str]:
            return [*(name for name, _ in asked), "CPUExecutionProvider"]

    monkeypatch.setattr(onnxruntime, "InferenceSession", Session)
    started(publish(bundle, "triton", tmp_path, backend="python", provider="tensorrt").path)
    assert asked == [
        ("TensorrtExecutionProvider", {"device_id": "0"}),
        ("CUDAExecutionProvider", {"device_id": "0", "use_tf32": "0"}),
    ]
