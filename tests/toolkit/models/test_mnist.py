from __future__ import annotations

import torch

from netloft.models.mnist import MnistNet


def test_second_filters_give_11_by_11() -> None:
    net = MnistNet().eval()
    shapes: list[tuple[int, ...]] = []
    for layer in (net.conv1, net.pool1, net.conv2, net.pool2, net.fc1):
        layer.register_forward_hook(lambda _m, _i, out: shapes.append(tuple(out.shape)))
    with torch.no_grad():
        assert net(torch.zeros(1, 1, 28, 28)).shape == (1, 10)
    assert shapes == [(1, 25, 26, 26), (1, 25, 13, 13), (1, 50, 11, 11), (1, 50, 5, 5), (1, 100)]
