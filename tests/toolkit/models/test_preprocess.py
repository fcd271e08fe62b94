from __future__ import annotations

import pytest
from torch import nn
from torchvision.models import VisionTransformer, ViT_B_16_Weights

from netloft.errors import InputError
from netloft.models.preprocess import from_timm, from_torchvision

ANY = nn.Identity()


def vision_transformer(side: int) -> nn.Module:
    return VisionTransformer(side, 16, num_layers=1, num_heads=2, hidden_dim=4, mlp_dim=4)


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("resnet18", (1, 3, 224, 224)),
        ("inception_v3", (1, 3, 299, 299)),
        ("efficientnet_b4", (1, 3, 380, 380)),
        ("fcn_resnet50", (1, 3, 520, 520)),
        ("r3d_18", (1, 3, 16, 112, 112)),
        ("s3d", (1, 3, 16, 224, 224)),
        ("quantized_resnet18", (1, 3, 224, 224)),
    ],
)
def test_torchvision_says_the_shape(name: str, shape: tuple[int, ...]) -> None:
    (spec,), preprocess = from_torchvision(name, ANY, None, True)
    assert spec.shape == shape
    assert len(preprocess["mean"]) == len(preprocess["std"]) == 3  # type: ignore[arg-type]


def test_given_weights_say_the_shape() -> None:
    weights = ViT_B_16_Weights.IMAGENET1K_SWAG_E2E_V1
    (spec,), preprocess = from_torchvision("vit_b_16", vision_transformer(384), weights, True)
    assert spec.shape == (1, 3, 384, 384)
    assert preprocess["interpolation"] == "bicubic"


@pytest.mark.parametrize(
    ("name", "side", "resize"),
    [("vit_h_14", 224, 224), ("vit_b_16", 224, 256), ("vit_b_16", 64, 73)],
)
def test_a_vision_transformer_takes_one_size(name: str, side: int, resize: int) -> None:
    """Its weights, if any were asked for, may have been trained on another."""
    (spec,), preprocess = from_torchvision(name, vision_transformer(side), None, True)
    assert spec.shape == (1, 3, side, side)
    assert (preprocess["crop"], preprocess["resize"]) == (side, resize)


def test_optical_flow_takes_two_pictures() -> None:
    specs, _ = from_torchvision("raft_small", ANY, None, True)
    assert [spec.name for spec in specs] == ["image1", "image2"]


def test_detection_takes_no_tensor() -> None:
    with pytest.raises(InputError) as caught:
        from_torchvision("ssd300_vgg16", ANY, None, True)
    assert str(caught.value) == (
        "'ssd300_vgg16' takes a list of pictures of any sizes, and a graph's inputs are tensors\n"
        "  remedy: wrap the network in a module of your own whose forward takes one tensor"
    )
    assert from_torchvision("ssd300_vgg16", ANY, None, False) == ((), {})


def test_timm_says_the_shape() -> None:
    net = nn.Identity()
    net.pretrained_cfg = {  # type: ignore[assignment]
        "input_size": (3, 256, 256),
        "crop_pct": 0.95,
        "mean": (0.5, 0.5, 0.5),
        "interpolation": "bicubic",
    }
    (spec,), preprocess = from_timm(net)
    assert spec.shape == (1, 3, 256, 256)
    assert preprocess == {
        "crop": 256,
        "resize": 269,
        "mean": (0.5, 0.5, 0.5),
        "interpolation": "bicubic",
    }
