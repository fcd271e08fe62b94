"""Random networks as Python source: what a network may do in its forward, in any order.

A line is taken from the tables below, its blanks are filled, and it is run at once on real tensors;
a line that PyTorch refuses is dropped. So every network runs, whatever its lines do to each other's
memory: writes through views and aliases, operators in place, modules called twice, shared weights.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, TypeVar

import torch
from tests.exporters.judging import Outcome, judge
from torch import Tensor, nn

from netloft_exporters.onnx.direct_route import lower_directly
from netloft_exporters.onnx.lowered import Lowered

__all__ = ["Choose", "Program", "build", "shrunk", "verdict"]

T = TypeVar("T")
Choose = Callable[[Sequence[T]], T]
"""Takes one of several things: at random, or as hypothesis likes it."""

# Blanks: `a` is any tensor, `a4` one of four axes, `s` one shaped like the first, `v` and `w` are
# new names, `m` is a new module, `old` one that there is, `C` and `D` are the first tensor's second
# and last length, `{p|q}` is either. What stands before a `;` belongs to `__init__`.

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
{a}.squeeze_({1|-1})
{a}.unsqueeze_(1)
{a}.transpose_(1, 2)
torch.add({a}, {s}, out={s})
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

SHAPES = [(4, 6, 6), (2, 5, 7), (6, 4), (8,)]
"""Of the input, without the batch."""

BATCHES = (1, 3, 5)

MOST_ELEMENTS = 20_000
LARGEST = 1e4
"""A line whose values go beyond these is dropped."""

_VALUE = re.compile(r"x|v\d+")
_BLANK = re.compile(r"\{([^{}]*)\}")


@dataclass(frozen=True)
class Program:
    """A network as text.

    Attributes:
        shape: Of the one input, without the batch.
        lines: Each with its part of `__init__` in front, if it has one.
        outputs: Values that forward returns.
        form: `one`, `tuple` or `dict`.
    """

    shape: tuple[int, ...]
    lines: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ("x",)
    form: str = "one"

    def source(self) -> str:
        """Return the network as Python."""
        init, forward = self._parts()
        return (
            "import torch\nfrom torch import nn\nfrom torch.nn import functional as F\n"
            f"{HEAD}\n\nclass Net(nn.Module):\n    def __init__(self):\n"
            f"        super().__init__()\n{_indented(init)}\n"
            f"    def forward(self, x):\n{_indented(forward)}        return {self._result()}\n"
        )

    def _parts(self) -> tuple[list[str], list[str]]:
        parts = [part for line in self.lines for part in line.split("; ")]
        init = [part for part in parts if part.startswith("self.")]
        return init, [part for part in parts if not part.startswith("self.")]

    def _result(self) -> str:
        if self.form == "dict":
            return "{" + ", ".join(f'"{name}": {name}' for name in self.outputs) + "}"
        return f"({', '.join(self.outputs)},)" if self.form == "tuple" else self.outputs[0]

    def module(self) -> nn.Module:
        """Return the network in eval mode, its weights filled by a seed."""
        space: dict[str, Any] = {"__name__": "random_net"}
        exec(compile(self.source(), "random_net.py", "exec"), space)
        module: nn.Module = space["Net"]()
        return _filled(module.eval())

    def inputs(self, batch: int) -> dict[str, Tensor]:
        """Return an input of so many items."""
        generator = torch.Generator().manual_seed(batch)
        return {"x": torch.randn((batch, *self.shape), generator=generator)}

    def values(self) -> dict[str, Tensor] | None:
        """Run line by line on a batch of two; None where PyTorch refuses or numbers run away."""
        init, forward = self._parts()
        space = {**_names(), "self": nn.Module(), **self.inputs(2)}
        try:
            exec("\n".join(init), space)
            _filled(space["self"].eval())
            with torch.no_grad():
                exec("\n".join(forward), space)
            found = {name: space[name] for name in space if _VALUE.fullmatch(name)}
            sound = all(_is_sound(found[name]) for name in (*found, *self.outputs))
        except (
            RuntimeError,
            ValueError,
            IndexError,
            TypeError,
            AttributeError,
            KeyError,
            NameError,
        ):
            return None
        return found if sound else None


@cache
def _names() -> dict[str, Any]:
    names: dict[str, Any] = {"torch": torch, "nn": nn, "F": nn.functional}
    exec(HEAD, names)
    return names


def _indented(lines: Sequence[str]) -> str:
    return "".join(f"        {line}\n" for line in lines)


def _is_sound(value: Any) -> bool:
    return (
        isinstance(value, Tensor)
        and 0 < value.numel() <= MOST_ELEMENTS
        and bool((value.abs() <= LARGEST).all())
    )


def _filled(module: nn.Module) -> nn.Module:
    """Give weights and statistics values that show a mistake and keep numbers in range."""
    generator = torch.Generator().manual_seed(0)
    tensors = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    with torch.no_grad():
        for name, tensor in tensors.items():
            if not tensor.is_floating_point():
                continue
            noise = torch.randn(tensor.shape, generator=generator)
            if tensor.dim() > 1:
                noise *= (tensor.numel() / tensor.shape[0]) ** -0.5
            elif name.endswith("weight"):
                noise = 1 + 0.3 * noise
            elif name.endswith("running_var"):
                noise = 0.5 + noise.abs()
            tensor.copy_(noise)
    return module


def build(choose: Choose[Any], most: int = 16) -> Program:
    """Make a network of at most so many lines."""
    program = Program(choose(SHAPES))
    values = program.values() or {}
    for _ in range(choose(range(3, most + 1))):
        row = choose(KINDS[choose(list(KINDS))])
        line = _filled_line(row, program, values, choose)
        longer = replace(program, lines=(*program.lines, line))
        found = longer.values() if line else None
        if found:
            program, values = longer, found
    names = list(dict.fromkeys(choose(list(values)) for _ in range(choose(range(1, 6)))))
    names = [list(values)[-1], *names]
    return replace(program, outputs=tuple(names), form=choose(["one", "tuple", "dict"]))


def _filled_line(
    row: str, program: Program, values: Mapping[str, Tensor], choose: Choose[Any]
) -> str:
    """Fill the blanks of a row; empty where something that it wants is not there."""
    row = _BLANK.sub(lambda match: _alternative(match[1], choose), row)
    blanks = dict.fromkeys(_BLANK.findall(row))
    given: dict[str, str] = {}
    for blank in blanks:
        if blank in ("a", "a2", "a3", "a4"):
            fits = [n for n, v in values.items() if blank == "a" or v.dim() == int(blank[1])]
            if not fits:
                return ""
            given[blank] = choose([*fits, *fits[-3:]])
    first = values[next(iter(given.values()), "x")]
    alike = [n for n, v in values.items() if v.shape == first.shape]
    modules = re.findall(r"(self\.m\d+) =", "\n".join(program.lines))
    count = len(program.lines)
    if ("old" in blanks and not modules) or first.dim() < 2:
        return ""
    fillings: dict[str, Callable[[], str]] = {
        "s": lambda: choose([*alike, *alike[-3:]]),
        "C": lambda: str(first.shape[1]),
        "D": lambda: str(first.shape[-1]),
        "v": lambda: f"v{2 * count}",
        "w": lambda: f"v{2 * count + 1}",
        "m": lambda: f"self.m{count}",
        "old": lambda: choose(modules),
    }
    for blank in [blank for blank in blanks if blank not in given]:
        given[blank] = fillings[blank]()
    return _BLANK.sub(lambda match: given[match[1]], row)


def _alternative(blank: str, choose: Choose[Any]) -> str:
    if "|" not in blank:
        return f"{{{blank}}}"
    chosen: str = choose(blank.split("|"))
    return f"{{{chosen}}}" if chosen in ("a2", "a3", "C") else chosen


def verdict(program: Program, lower: Callable[..., Lowered] = lower_directly) -> Outcome:
    """Judge a network at several batch sizes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of PyTorch and ONNX Runtime, about odd networks
        cases = [program.inputs(batch) for batch in BATCHES]
        return judge(program.module(), program.inputs(2), "dynamic", cases, lower=lower)


def shrunk(program: Program, is_bad: Callable[[Program], bool]) -> Program:
    """Take away outputs and lines while the network stays bad."""
    while True:
        fewer = [replace(program, outputs=(name,), form="one") for name in program.outputs]
        fewer = fewer if len(program.outputs) > 1 else []
        count = len(program.lines)
        fewer += [
            replace(program, lines=program.lines[:i] + program.lines[i + 1 :])
            for i in reversed(range(count))
        ]
        smaller = next((p for p in fewer if p.values() and is_bad(p)), None)
        if smaller is None:
            return program
        program = smaller
