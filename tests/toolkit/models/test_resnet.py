from __future__ import annotations

import pytest
import torch
from torch import nn

from netloft.models.resnet import BasicBlock, Bottleneck, MyResNet, build

LISTING = """\
MyResNet(
  (conv1): Conv2d(3, 64, kernel_size=(7, 7), stride=(2, 2), padding=(3, 3), bias=False)
  (maxpool): MaxPool2d(kernel_size=3, stride=2, padding=1, dilation=1, ceil_mode=False)
  (layer1): Sequential(
    (0): BasicBlock(
      (conv1): Conv2d(64, 64, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1))
      (bn1): BatchNorm2d(64, eps=1e-05, momentum=0.1, affine=True, track_running_stats=True)
      (relu): ReLU(inplace=True)
      (conv2): Conv2d(64, 64, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1))
      (bn2): BatchNorm2d(64, eps=1e-05, momentum=0.1, affine=True, track_running_stats=True)
    )
  )
  (layer2): Sequential(
    (0): BasicBlock(
      (conv1): Conv2d(64, 128, kernel_size=(3, 3), stride=(2, 2), padding=(1, 1))
      (bn1): BatchNorm2d(128, eps=1e-05, momentum=0.1, affine=True, track_running_stats=True)
      (relu): ReLU(inplace=True)
      (conv2): Conv2d(128, 128, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1))
      (bn2): BatchNorm2d(128, eps=1e-05, momentum=0.1, affine=True, track_running_stats=True)
      (downsample): Sequential(
        (0): Conv2d(64, 128, kernel_size=(1, 1), stride=(2, 2), bias=False)
        (1): BatchNorm2d(128, eps=1e-05, momentum=0.1, affine=True, track_running_stats=True)
      )
    )
  )
  (avgpool): AdaptiveAvgPool2d(output_size=(1, 1))
  (fc): Linear(in_features=128, out_features=2, bias=True)
  (linear): Linear(in_features=128, out_features=2, bias=True)
)"""


def parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize("verbose", [False, True])
def test_prints_as_the_lecture_does(verbose: bool) -> None:
    assert str(MyResNet(BasicBlock, [1, 1], verbose=verbose)) == LISTING


def test_stages_have_the_lecture_s_shapes() -> None:
    model = MyResNet(BasicBlock, [1, 1]).eval()
    shapes: dict[str, tuple[int, ...]] = {}
    for name, child in model.named_children():
        child.register_forward_hook(
            lambda _m, _i, out, name=name: shapes.__setitem__(name, tuple(out.shape))
        )
    with torch.no_grad():
        model(torch.zeros(1, 3, 224, 224))
    assert shapes == {
        "conv1": (1, 64, 112, 112),
        "maxpool": (1, 64, 56, 56),
        "layer1": (1, 64, 56, 56),
        "layer2": (1, 128, 28, 28),
        "avgpool": (1, 128, 1, 1),
        "fc": (1, 2),
    }


def test_verbose_prints_the_addends(capsys: pytest.CaptureFixture[str]) -> None:
    quiet, loud = build(), build(verbose=True)
    x = torch.zeros(1, 3, 224, 224)
    with torch.no_grad():
        quiet(x)
        assert capsys.readouterr().out == ""
        loud(x)
    assert capsys.readouterr().out == (
        "out=  torch.Size([1, 64, 56, 56]) residual=  torch.Size([1, 64, 56, 56])\n"
        "out=  torch.Size([1, 128, 28, 28]) residual=  torch.Size([1, 128, 28, 28])\n"
    )


def test_counts_used_and_dead_parameters() -> None:
    model = build()
    dead = parameters(model.linear)
    assert (parameters(model) - dead, dead) == (314_178, 258)


@pytest.mark.parametrize(("layers", "width"), [((1, 1), 512), ((2, 2), 512), ((3, 1), 512)])
def test_bottleneck_widens_four_times(layers: tuple[int, int], width: int) -> None:
    model = MyResNet(Bottleneck, layers, num_classes=3).eval()
    assert model.fc.in_features == width
    assert len(model.layer1) == layers[0]
    with torch.no_grad():
        assert model(torch.zeros(2, 3, 64, 64)).shape == (2, 3)


def test_identity_shortcut_has_no_projection() -> None:
    assert BasicBlock(64, 64).downsample is None
    assert Bottleneck(64, 64).downsample is not None
    assert Bottleneck(256, 64).downsample is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"block": "wide"}, "block is 'wide'; it is 'basic' or 'bottleneck'"),
        ({"layers": [1]}, "layers is [1]; it is two numbers of 1 or more, as [1, 1]"),
        ({"layers": [1, 0]}, "layers is [1, 0]; it is two numbers of 1 or more, as [1, 1]"),
        ({"layers": 3}, "layers is 3; it is two numbers of 1 or more, as [1, 1]"),
    ],
)
def test_refuses_what_it_cannot_build(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match="it is") as caught:
        build(**arguments)  # type: ignore[arg-type]
    assert str(caught.value) == message
