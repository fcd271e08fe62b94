"""MyResNet, the small residual network that the lecture builds from scratch.

Source: He, Zhang, Ren and Sun, "Deep residual learning for image recognition", CVPR 2016; the
lecture's MyResNet keeps two stages, has biases in its 3x3 convolutions, and holds a second
classifier `linear` that its forward never calls.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

__all__ = ["BasicBlock", "Bottleneck", "MyResNet", "build"]


def conv3x3(in_planes: int, out_planes: int, stride: int = 1) -> nn.Conv2d:
    """Return a 3x3 convolution with a bias that keeps the size at stride 1."""
    return nn.Conv2d(in_planes, out_planes, kernel_size=3, stride=stride, padding=1)


def _shortcut(inplanes: int, outplanes: int, stride: int) -> nn.Sequential | None:
    """Return a 1x1 projection where the block changes the shape, else None: the identity."""
    if stride == 1 and inplanes == outplanes:
        return None
    return nn.Sequential(
        nn.Conv2d(inplanes, outplanes, kernel_size=1, stride=stride, bias=False),
        nn.BatchNorm2d(outplanes),
    )


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut around them.

    Args:
        inplanes: Channels in.
        planes: Channels out.
        stride: Of the first convolution and of the shortcut.
        downsample: Shortcut; made where the shape changes.
        verbose: Print the shapes of the two addends, as the lecture does.
    """

    expansion = 1

    def __init__(
        self,
        inplanes: int,
        planes: int,
        stride: int = 1,
        downsample: nn.Module | None = None,
        verbose: bool = False,
    ) -> None:
        super().__init__()
        self.conv1 = conv3x3(inplanes, planes, stride)
        self.bn1 = nn.BatchNorm2d(planes)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = conv3x3(planes, planes)
        self.bn2 = nn.BatchNorm2d(planes)
        self.downsample = downsample or _shortcut(inplanes, planes * self.expansion, stride)
        self.stride = stride
        self.verbose = verbose

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (batch, inplanes, height, width) to (batch, planes, height/stride, width/stride)."""
        residual = x
        out: torch.Tensor = self.conv1(x)
        out = self.bn1(out)
        out = self.relu(out)
        out = self.conv2(out)
        out = self.bn2(out)
        if self.downsample is not None:
            residual = self.downsample(x)
        if self.verbose:
            print("out= ", out.shape, "residual= ", residual.shape)
        out += residual
        out = self.relu(out)
        return out


class Bottleneck(nn.Module):
    """A 1x1, a 3x3 and a widening 1x1 convolution, and a shortcut around them.

    Args:
        inplanes: Channels in.
        planes: Channels inside; four times as many come out.
        stride: Of the 3x3 convolution and of the shortcut.
        downsample: Shortcut; made where the shape changes.
        verbose: Print the shapes of the two addends.
    """

    expansion = 4

    def __init__(
        self,
        inplanes: int,
        planes: int,
        stride: int = 1,
        downsample: nn.Module | None = None,
        verbose: bool = False,
    ) -> None:
        super().__init__()
        outplanes = planes * self.expansion
        self.conv1 = nn.Conv2d(inplanes, planes, kernel_size=1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = conv3x3(planes, planes, stride)
        self.bn2 = nn.BatchNorm2d(planes)
        self.conv3 = nn.Conv2d(planes, outplanes, kernel_size=1, bias=False)
        self.bn3 = nn.BatchNorm2d(outplanes)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = downsample or _shortcut(inplanes, outplanes, stride)
        self.stride = stride
        self.verbose = verbose

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (batch, inplanes, height, width) to (batch, 4 planes, ...), as BasicBlock does."""
        residual = x
        out: torch.Tensor = self.relu(self.bn1(self.conv1(x)))
        out = self.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        if self.downsample is not None:
            residual = self.downsample(x)
        if self.verbose:
            print("out= ", out.shape, "residual= ", residual.shape)
        out += residual
        out = self.relu(out)
        return out


class MyResNet(nn.Module):
    """The lecture's network: a 7x7 stem and two stages of residual blocks.

    Args:
        block: `BasicBlock` or `Bottleneck`.
        layers: Blocks in each of the two stages.
        num_classes: Logits out.
        verbose: Have each block print the shapes of its two addends.
    """

    def __init__(
        self,
        block: type[BasicBlock] | type[Bottleneck],
        layers: Sequence[int],
        num_classes: int = 2,
        *,
        verbose: bool = False,
    ) -> None:
        super().__init__()
        self.inplanes = 64
        self.dilation = 1
        self.verbose = verbose
        self.conv1 = nn.Conv2d(3, self.inplanes, kernel_size=7, stride=2, padding=3, bias=False)
        self.maxpool = nn.MaxPool2d(kernel_size=3, stride=2, padding=1)
        self.layer1 = self._make_layer(block, 64, layers[0])
        self.layer2 = self._make_layer(block, 128, layers[1], stride=2)
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(128 * block.expansion, num_classes)
        self.linear = nn.Linear(128 * block.expansion, num_classes)

    def _make_layer(
        self, block: type[BasicBlock] | type[Bottleneck], planes: int, blocks: int, stride: int = 1
    ) -> nn.Sequential:
        layers = [block(self.inplanes, planes, stride, verbose=self.verbose)]
        self.inplanes = planes * block.expansion
        layers += [block(self.inplanes, planes, verbose=self.verbose) for _ in range(1, blocks)]
        return nn.Sequential(*layers)

    def __repr__(self) -> str:
        """Return the lecture's listing; later versions of PyTorch add BatchNorm's bias to it."""
        return super().__repr__().replace("affine=True, bias=True", "affine=True")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map photographs (batch, 3, height, width) to logits (batch, num_classes)."""
        x = self.conv1(x)
        x = self.maxpool(x)
        x = self.layer1(x)
        x = self.layer2(x)
        x = self.avgpool(x)
        x = torch.flatten(x, 1)
        x = self.fc(x)
        return x


def build(
    block: str = "basic",
    layers: Sequence[int] = (1, 1),
    num_classes: int = 2,
    verbose: bool = False,
) -> MyResNet:
    """Build MyResNet from arguments that a command line can give.

    Args:
        block: `basic` or `bottleneck`.
        layers: Blocks in each of the two stages.
        num_classes: Logits out.
        verbose: Have each block print the shapes of its two addends.

    Raises:
        ValueError: There is no such block, or `layers` is not two numbers of 1 or more.
    """
    blocks: dict[str, type[BasicBlock] | type[Bottleneck]] = {
        "basic": BasicBlock,
        "bottleneck": Bottleneck,
    }
    if block not in blocks:
        raise ValueError(f"block is {block!r}; it is 'basic' or 'bottleneck'")
    two = isinstance(layers, list | tuple) and len(layers) == 2
    if not two or not all(isinstance(n, int) and n >= 1 for n in layers):
        raise ValueError(f"layers is {layers}; it is two numbers of 1 or more, as [1, 1]")
    return MyResNet(blocks[block], list(layers), num_classes, verbose=verbose)
