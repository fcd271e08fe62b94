"""What a random network may do in its forward: lines with blanks.

`{a}` is any tensor, `{a4}` one of four axes, `{s}` one shaped like the first, `{v}` and `{w}` are
new names, `{m}` is a new module, `{old}` one that there is, `{C}` and `{D}` are the first tensor's
second and last length, `{p|q}` is either. What stands before a `;` belongs to `__init__`.
"""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["HEAD", "KINDS"]

MODULES = """
{m} = nn.Conv2d({C}, {2|4|6}, {1|3|2}, {1|2}, {1|0}, bias={True|False}); {v} = {m}({a4})
{m} = nn.Conv2d({C}, {C}, 3, padding={1|'same'}, groups={C}); {v} = {m}({a4})
{m} = nn.Conv2d({C}, {C}, 3, padding=1, padding_mode='{zeros|reflect|circular}'); {v} = {m}({a4})
{m} = nn.Conv2d({C}, 4, 3, dilation=(2, 1), padding=(2, 0)); {v} = {m}({a4})
{m} = nn.ConvTranspose2d({C}, {2|3}, 3, {1|2}, 1); {v} = {m}({a4})
{m} = nn.Conv1d({C}, {2|4}, 3, padding=1); {v} = {m}({a3})
{m} = nn.BatchNorm2d({C}, affine={True|False}); {v} = {m}({a4})
{m} = nn.BatchNorm1d({C}); {v} = {m}({a3|a2})
{m} = nn.GroupNorm({1|2}, {C}); {v} = {m}({a})
{m} = nn.InstanceNorm2d({C}, affine={True|False}); {v} = {m}({a4})
{m} = nn.LayerNorm({D}); {v} = {m}({a})
{m} = nn.Linear({D}, {3|5}); {v} = {m}({a})
{m} = nn.PReLU({C|1}); {v} = {m}({a})
{m} = nn.MaxPool2d({2|3}, {1|2}, {0|1}, ceil_mode={False|True}); {v} = {m}({a4})
{m} = nn.AvgPool2d({2|3}, {1|2}, {0|1}, count_include_pad={True|False}); {v} = {m}({a4})
{m} = nn.AdaptiveAvgPool2d({1|2}); {v} = {m}({a4})
{m} = nn.Flatten({1|2}); {v} = {m}({a})
{m} = nn.Upsample(scale_factor=2, mode='{nearest|bilinear}'); {v} = {m}({a4})
{m} = nn.Sequential(nn.BatchNorm2d({C}), nn.ReLU({True|False}), nn.Conv2d({C}, {C}, 1)); \
{v} = {m}({a4})
{m} = nn.Sequential(nn.Conv2d({C}, {C}, 1), nn.ReLU(True)); {v} = {a4} + {m}({a4})
{m} = Residual({C}); {v} = {m}({a4})
{m} = Excitation({C}); {v} = {m}({a4})
{m} = nn.Conv2d({C}, {C}, 1); {v} = {m}({m}({a4}))
{m} = nn.Conv2d({C}, {C}, 1); {v} = F.conv2d({a4}, {m}.weight) + {m}({a4})
{m} = Twice({C}); {v} = {m}({a4})
{m} = nn.Identity(); {v} = {m}({a})
{m} = nn.Dropout({0.5|0.1}, inplace={True|False}); {v} = {m}({a})
{m} = nn.{ReLU|ReLU6|LeakyReLU|ELU|SiLU|Hardtanh|Hardswish|Hardsigmoid}(inplace={True|False}); \
{v} = {m}({a})
{m} = nn.{GELU|Sigmoid|Tanh|Softplus|Softsign}(); {v} = {m}({a})
{m} = nn.{ReLU|SiLU}(); {m}.register_forward_hook(lambda m, i, o: o * 0.5); {v} = {m}({a})
{m} = nn.Identity(); {m}.register_forward_hook(lambda m, i, o: o.mul_(0.5)); {v} = {m}({a})
{m} = nn.Conv2d({C}, {C}, 1); {m}.register_forward_pre_hook(lambda m, i: (i[0] + 1,)); \
{v} = {m}({a4})
{v} = {old}({a})
{v} = {old}({a4})
"""

VIEWS = """
{v} = {a}
{v} = {a}.flatten({1|2})
{v} = torch.flatten({a}, 1)
{v} = {a}.view({a}.size(0), -1)
{v} = {a}.view({a}.shape[0], {C}, -1)
{v} = {a}.reshape(-1, {D})
{v} = {a}.view({a}.shape[0] * {C}, -1)
{v} = {a}.transpose(1, {2|-1})
{v} = {a4}.permute(0, {2, 3, 1|3, 1, 2|1, 3, 2})
{v} = {a}.unsqueeze({1|-1})
{v} = {a}.squeeze({1|-1})
{v} = {a}[:, :{1|2}]
{v} = {a}[:, {0|-1}]
{v} = {a}[:, 1:]
{v} = {a}[..., ::2]
{v} = {a}[:, None]
{v} = {a}.narrow(1, {0|1}, {1|2})
{v} = {a}.select(1, {0|-1})
{v} = {a}.chunk(2, 1)[{0|1}]
{v}, {w} = {a}.chunk(2, 1)
{v} = {a}.split({1|2}, 1)[{0|1}]
{v} = {a}.unbind(1)[{0|1}]
{v} = {a}.detach()
{v} = {a}.float()
{v} = {a}.to(torch.float32)
{v} = {a}.contiguous()
{v} = {a}.view_as({s})
{v} = {a}.unflatten(1, (-1, {1|2}))
{v} = {a4}[:, :1].expand(-1, {C}, -1, -1)
{v} = {a}.expand_as({s})
{v} = {a}.movedim(1, -1)
{v} = {a}.clone()
"""

IN_PLACE = """
{a} += {s}
{a} += {0.5|1}
{a} -= {s}
{a} *= {0.5|-1}
{a} *= {s}.sigmoid()
{a} /= {2|4}
{a} *= {a}.shape[1]
{a}.add_({s})
{a}.add_({s}, alpha=0.5)
{a}.sub_({s})
{a}.mul_({0.5|2})
{a}.mul_({s}.tanh())
{a}.copy_({s})
{a}.zero_()
{a}.fill_({0.5|1})
{a}.relu_()
{a}.clamp_({-1|-0.5}, {1|0.5})
{a}.clamp_(min=0)
{a}.sigmoid_()
{a}.tanh_()
{a}.neg_()
{a}.abs_()
{a}.masked_fill_({s} > 100, 1.0)
{v} = {a}.relu_()
{v} = {a}.add_({s})
{v} = F.relu({a}, inplace=True)
{v} = F.leaky_relu({a}, 0.1, inplace=True)
{v} = torch.relu_({a})
{v} = F.hardtanh({a}, -1.0, 1.0, True)
{v} = F.dropout({a}, 0.5, self.training, True)
{a}.{squeeze_(1)|squeeze_(-1)|unsqueeze_(1)|transpose_(1, 2)}
torch.{add|mul}({a}, {s}, out={s})
"""

WRITES = """
{a}[:, {0|-1}] = {0.5|0}
{a}[:, :{1|2}] = {0.5|1}
{a}[:, :1] = {s}[:, 1:2]
{a}[:, 0] = {s}[:, -1]
{a}[:, 1:] = {s}[:, 1:] * 2
{a}[..., ::2] = {s}[..., ::2]
{a}[..., 0] = {a}[..., -1]
{a}[:] = {s}
{a}[:, :1] += {s}[:, :1]
{a}[:, :1] += 1
{a}[:, 0] *= 2
{a}[..., 1:] -= {s}[..., 1:]
{a}[:, :1].mul_(0.5)
{a}[:, 1:].relu_()
{a}[..., 0].add_(1)
F.relu_({a}[:, :2])
F.relu({a}[:, :1], inplace=True)
{a}.narrow(1, 0, 1).fill_(1)
{a}.select(1, 0).zero_()
{a}.select(-1, -1).copy_({s}.select(-1, 0))
{a}.flatten(1).add_(1)
{a}.view({a}.shape[0], -1)[:, :2] = 0
{a}.transpose(1, -1).mul_(0.5)
{a}.chunk(2, 1)[0].neg_()
{a}.unbind(1)[-1].add_({s}.unbind(1)[0])
{a}[0] += 1
{a}[:1] *= 2
{a}[{s} > 100] = 1.0
{a}[:, [0, 1]] = 0.5
{v} = torch.zeros_like({a}); {v}[:, :1] = {s}[:, :1]
{v} = torch.zeros({a}.shape[0], {C}); {v} += 1
{v} = {a}.new_zeros({a}.shape); {v}[..., 1:] = {s}[..., 1:]
{v} = torch.empty_like({a}); {v}.copy_({s})
"""

VALUES = """
{v} = {a} + {s}
{v} = {a} - {s} * 0.5
{v} = {a} * {s}.sigmoid()
{v} = torch.add({a}, {s}, alpha=0.5)
{v} = torch.maximum({a}, {s})
{v} = torch.cat([{a}, {s}], {1|-1})
{v} = torch.cat(({a}, {a}), {1|-1})
{v} = torch.stack([{a}, {s}], 1)
{v} = torch.lerp({a}, {s}, 0.25)
{v} = {a} / {a}.shape[{1|-1}]
{v} = {a} * {a}.size({1|-1}) ** -0.5
{v} = F.{relu|elu|silu|gelu|tanh|softplus}({a})
{v} = torch.{relu|sigmoid|tanh|abs|neg|sin|cos}({a})
{v} = {a}.{relu|sigmoid|tanh|square|abs|neg}()
{v} = {a}.softmax({1|-1})
{v} = F.log_softmax({a}, dim={1|-1})
{v} = {a}.clamp({-1|0}, {1|0.5})
{v} = torch.where({a} > 100, {a}, {s})
{v} = {a}.mean({1|-1}, keepdim={True|False})
{v} = {a4}.mean((2, 3))
{v} = {a}.sum(-1)
{v} = {a}.amax({1|-1}, keepdim={True|False})
{v} = F.max_pool2d({a4}, {2|3}, {1|2})
{v} = F.avg_pool2d({a4}, 2, ceil_mode={False|True})
{v} = F.adaptive_avg_pool2d({a4}, 1)
{v} = F.interpolate({a4}, scale_factor=2, mode='nearest')
{v} = F.pad({a}, (1, {0|2}), value={0.0|1.0})
{v} = F.layer_norm({a}, {a}.shape[-1:])
{v} = F.normalize({a}, dim=1)
{v} = {a3} @ {a3}.transpose(1, 2)
{v} = torch.matmul({a4}, {a4}.transpose(-2, -1))
{v} = {a4}.repeat(1, 2, 1, {1|2})
{v} = {a}.flip(1)
{v} = torch.ones_like({a}) * {s}
{v} = {a} + torch.arange({D})
"""

KINDS: dict[str, Sequence[str]] = {
    kind: table.strip().splitlines()
    for kind, table in {
        "module": MODULES,
        "value": VALUES,
        "in place": IN_PLACE,
        "write": WRITES,
        "view": VIEWS,
    }.items()
}

HEAD = """
class Residual(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.conv, self.bn = nn.Conv2d(c, c, 3, padding=1, bias=False), nn.BatchNorm2d(c)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x):
        out = self.relu(self.bn(self.conv(x)))
        out += x
        return self.relu(out)


class Excitation(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.fc = nn.Linear(c, c)

    def forward(self, x):
        b, c = x.shape[:2]
        return x.mul_(self.fc(x.mean((2, 3))).sigmoid_().view(b, c, 1, 1))


class Twice(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.a, self.b = nn.Conv2d(c, c, 3, padding=1), nn.Conv2d(c, c, 3, padding=1)
        self.b.weight = self.a.weight
        self.one, self.two = nn.BatchNorm2d(c), nn.BatchNorm2d(c)

    def forward(self, x):
        return self.one(self.a(x)) + self.two(self.a(x)) + self.b(x)
"""
