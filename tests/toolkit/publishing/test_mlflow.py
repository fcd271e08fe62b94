"""MLflow's layout, read back by YAML, and by MLflow where it is installed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from tests.toolkit.publishing.bundles import CLASSES, SHAPE, make_bundle, tuned_row

from netloft.bundle.vectors import read_vectors
from netloft.publishing import publish

HOSTILE = ('in\'put: {"a"}\n- x', "sc😀re\x85\u2028#")


def mlmodel(folder: Path) -> Any:
    yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")
    return yaml.safe_load((folder / "MLmodel").read_text(encoding="utf-8"))


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return make_bundle(tmp_path / "tiny")


def test_the_flavours_name_the_file_and_the_provider(bundle: Path, tmp_path: Path) -> None:
    folder = publish(bundle, "mlflow", tmp_path / "out").path
    facts = mlmodel(folder)
    onnx, python = facts["flavors"]["onnx"], facts["flavors"]["python_function"]
    assert (folder / onnx["data"]).read_bytes() == (bundle / "model.onnx").read_bytes()
    assert onnx["providers"] == ["CPUExecutionProvider"]
    assert onnx["onnx_session_options"]["execution_mode"] == "sequential"
    assert python["loader_module"] == "mlflow.onnx"
    for kind in ("conda", "virtualenv"):
        assert (folder / python["env"][kind]).is_file()
    assert facts["metadata"]["netloft"]["name"] == "tiny"
    assert not {"model_uuid", "run_id", "utc_time_created"} & facts.keys()


def test_the_signature_is_of_tensors_with_an_open_batch(bundle: Path, tmp_path: Path) -> None:
    signature = mlmodel(publish(bundle, "mlflow", tmp_path / "out").path)["signature"]
    (given,), (wanted,) = json.loads(signature["inputs"]), json.loads(signature["outputs"])
    assert given["tensor-spec"] == {"dtype": "float32", "shape": [-1, *SHAPE]}
    assert wanted == {
        "name": "scores",
        "type": "tensor",
        "tensor-spec": {"dtype": "float32", "shape": [-1, CLASSES]},
    }


def test_the_example_is_the_first_item_exactly(bundle: Path, tmp_path: Path) -> None:
    folder = publish(bundle, "mlflow", tmp_path / "out").path
    example = json.loads((folder / "input_example.json").read_text())["inputs"]["input"]
    x = read_vectors(bundle / "test_data_set_0", "input")["input"]
    assert np.array_equal(np.asarray(example, np.float32), x[:1])


def test_names_from_the_model_come_back_as_they_are(tmp_path: Path) -> None:
    labels = (*HOSTILE, "\x7f", "null", "- a")
    hostile = make_bundle(tmp_path / "b", names=HOSTILE, labels=labels)
    facts = mlmodel(publish(hostile, "mlflow", tmp_path / "out").path)
    assert json.loads(facts["signature"]["inputs"])[0]["name"] == HOSTILE[0]
    assert json.loads(facts["signature"]["outputs"])[0]["name"] == HOSTILE[1]
    assert tuple(facts["metadata"]["labels"]) == labels


def test_tuned_options_are_those_that_mlflow_hands_on(tmp_path: Path) -> None:
    tuned = make_bundle(tmp_path / "b", tuning=[tuned_row()])
    found = publish(tuned, "mlflow", tmp_path / "out")
    assert found.record["tuned"]["threads"] == 3
    facts = mlmodel(found.path)
    options = facts["flavors"]["onnx"]["onnx_session_options"]
    assert options["intra_op_num_threads"] == 3
    assert options["extra_session_config"] == {"session.intra_op.allow_spinning": "0"}
    assert "graph_optimization_level" not in options


def test_a_row_of_its_own_choice_of_threads_has_no_number_of_them(tmp_path: Path) -> None:
    row = tuned_row(threads=None, spinning=True, optimisation="extended")
    tuned = make_bundle(tmp_path / "b", tuning=[row])
    facts = mlmodel(publish(tuned, "mlflow", tmp_path / "out").path)
    options = facts["flavors"]["onnx"]["onnx_session_options"]
    assert "intra_op_num_threads" not in options
    assert options["graph_optimization_level"] == 2


def test_the_level_of_optimisation_is_handed_on(tmp_path: Path) -> None:
    tuned = make_bundle(tmp_path / "b", tuning=[tuned_row(optimisation="extended", arena=False)])
    facts = mlmodel(publish(tuned, "mlflow", tmp_path / "out").path)
    level = facts["flavors"]["onnx"]["onnx_session_options"]["graph_optimization_level"]
    assert onnxruntime.GraphOptimizationLevel(level).name == "ORT_ENABLE_EXTENDED"


@pytest.mark.integration
def test_mlflow_loads_it_and_gives_the_same(bundle: Path, tmp_path: Path) -> None:
    mlflow = pytest.importorskip("mlflow", reason="MLflow is not installed")
    folder = publish(bundle, "mlflow", tmp_path / "out").path
    loaded = mlflow.pyfunc.load_model(str(folder))
    x = read_vectors(bundle / "test_data_set_0", "input")["input"]
    y = read_vectors(bundle / "test_data_set_0", "output")["scores"]
    assert np.allclose(loaded.predict({"input": x})["scores"], y, atol=1e-6)
    example = mlflow.models.Model.load(str(folder)).load_input_example(str(folder))
    assert np.array_equal(np.asarray(example["input"], np.float32), x[:1])
