from __future__ import annotations

import pytest
import torch

from netloft.models.alphago import FILTERS, PolicyNet
from netloft.models.go import positions


@pytest.mark.parametrize("k", FILTERS)
def test_has_the_paper_s_parameters(k: int) -> None:
    expected = (5 * 5 * 48 * k + k) + 11 * (3 * 3 * k * k + k) + k + 361
    assert sum(p.numel() for p in PolicyNet(k).parameters()) == expected


def test_pads_to_23_then_21_and_ends_with_probabilities() -> None:
    net = PolicyNet(128).eval()
    seen: list[int] = []
    for conv in (net.conv1, *net.hidden, net.head):
        conv.register_forward_pre_hook(lambda _m, args: seen.append(args[0].shape[-1]))
    with torch.no_grad():
        out = net(positions(2, seed=0))
    assert seen == [23] + [21] * 11 + [19]
    assert out.shape == (2, 361)
    assert torch.allclose(out.sum(dim=1), torch.ones(2))
    assert net.head.bias is None


def test_padding_by_the_convolution_is_the_same_function() -> None:
    explicit = PolicyNet(128).eval()
    implicit = PolicyNet(128, explicit_pad=False).eval()
    implicit.load_state_dict(explicit.state_dict())
    with torch.no_grad():
        x = positions(1, seed=3)
        assert torch.allclose(explicit(x), implicit(x), atol=1e-7)


def test_every_point_has_a_bias_and_the_signal_arrives() -> None:
    torch.manual_seed(0)
    net = PolicyNet(128).eval()
    assert len(set(net.bias.tolist())) == 361
    with torch.no_grad():
        first, second = net(positions(2, seed=0)).log()
        bias_alone = torch.log_softmax(net.bias, dim=0)
    assert (first - second).abs().max() > 0.1
    assert (first - bias_alone).abs().max() > 0.1


def test_refuses_other_widths() -> None:
    with pytest.raises(ValueError, match="k is 100; it is one of 128, 192, 256, 384"):
        PolicyNet(100)
