"""A clone is what `copy.deepcopy` gives."""

from __future__ import annotations

import copy
from typing import Any

import torch
import torchvision
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from netloft.tracing.clone import clone


class Knotted(nn.Module):
    """A module with a list, a tied weight, a module twice, and a dictionary under two names."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3)
        self.again = self.conv
        self.tied = nn.Linear(3, 3)
        self.tied.weight = nn.Parameter(torch.randn(3, 3))
        self.other = nn.Linear(3, 3)
        self.other.weight = self.tied.weight
        self.register_buffer("count", torch.zeros(2))
        self.seen: list[Any] = [1, [2, 3]]
        self.table = {"a": self.seen, "b": {}}
        self.same_table = self.table
        self.normed = parametrizations.weight_norm(nn.Linear(3, 3))

    def forward(self, x: Tensor) -> Tensor:
        return self.normed(self.other(self.tied(self.again(self.conv(x)))))


class Counting(nn.Module):
    """A class that copies itself."""

    def __init__(self, copies: int = 0) -> None:
        super().__init__()
        self.copies = copies

    def __deepcopy__(self, memo: dict[int, Any]) -> Counting:
        return Counting(self.copies + 1)


def test_nothing_is_shared_and_what_is_one_thing_stays_one() -> None:
    net = Knotted().eval()
    made = clone(net, {})
    assert isinstance(made, Knotted)
    assert made.conv is made.again
    assert made.conv is not net.conv
    assert made.other.weight is made.tied.weight
    assert made.table is made.same_table
    assert made.table["a"] is made.seen
    assert made.seen == net.seen
    assert made.seen[1] is not net.seen[1]
    own = {id(tensor) for tensor in (*net.parameters(), *net.buffers())}
    assert not own & {id(tensor) for tensor in (*made.parameters(), *made.buffers())}
    assert not made.training
    x = torch.randn(2, 3, 7, 7)
    torch.testing.assert_close(made(x), net(x), rtol=0, atol=0)


def test_what_is_in_the_memo_is_shared() -> None:
    net = Knotted().eval()
    made = clone(net, {id(p): p for p in net.parameters()})
    assert isinstance(made, Knotted)
    pairs = zip(made.parameters(), net.parameters(), strict=True)
    assert all(mine is theirs for mine, theirs in pairs)
    made.register_forward_hook(lambda module, args, output: output)
    made.conv.register_forward_hook(lambda module, args, output: output)
    assert not net._forward_hooks
    assert not net.conv._forward_hooks


def test_a_class_that_copies_itself_does_so() -> None:
    made = clone(nn.Sequential(Counting()), {})
    assert isinstance(made, nn.Sequential)
    assert made[0].copies == 1


def test_a_real_network_has_the_same_state_as_a_deep_copy() -> None:
    net = torchvision.models.shufflenet_v2_x0_5().eval()
    made, expected = clone(net, {}), copy.deepcopy(net)
    assert str(made) == str(expected)
    theirs = dict(expected.named_modules())
    for path, module in made.named_modules():
        assert vars(module).keys() == vars(theirs[path]).keys()
    for name, tensor in made.state_dict().items():
        assert torch.equal(tensor, expected.state_dict()[name])


class Sharing(nn.Module):
    """Buffers and a plain tensor of one memory."""

    def __init__(self) -> None:
        super().__init__()
        whole = torch.arange(12.0).reshape(3, 4)
        self.register_buffer("whole", whole)
        self.register_buffer("turned", whole.t()[1:])
        self.register_buffer("none", None)
        self.register_buffer("flags", torch.tensor([True, False]))
        self.plain = whole[1]


def test_what_shares_memory_does_so_again() -> None:
    net = Sharing()
    made = clone(net, {})
    assert isinstance(made, Sharing)
    held, own = {**dict(made.named_buffers()), "plain": made.plain}, dict(net.named_buffers())
    own["plain"] = net.plain
    for name, tensor in held.items():
        assert torch.equal(tensor, own[name])
        assert (tensor.stride(), tensor.storage_offset()) == (
            own[name].stride(),
            own[name].storage_offset(),
        )
    made.plain.fill_(-1)
    assert torch.equal(net.plain, torch.arange(4.0, 8.0))
    assert made.get_buffer("whole")[1].tolist() == [-1] * 4
    assert made.get_buffer("turned")[:, 1].tolist() == [-1] * 3
