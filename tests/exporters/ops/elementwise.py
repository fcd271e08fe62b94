"""Arithmetic, comparisons, choices and the other operations on each element by itself."""

from __future__ import annotations

import torch
from tests.exporters.ops.row import IMAGE, Row
from torch import Tensor

__all__ = ["ROWS"]

FLAT = (1, 12)


def whole(x: Tensor) -> Tensor:
    """Integers around 0."""
    return (x * 10).long()


def near(x: Tensor) -> Tensor:
    """Numbers so small that `1 + x` loses them."""
    return x * 1e-9


NUMBERS = torch.tensor([-7.5, -2.0, -0.0, 0.0, 0.1, 3.0])
ODD = torch.tensor([float("nan"), float("inf"), float("-inf"), -0.0, 2.0, -3.0])

ROWS = [
    # division
    Row("floor division of floats", lambda x: x // 0.1 + x // -0.7),
    Row("floor division by a tensor", lambda x: x // (x.flip(1) * 0.3)),
    Row(
        "floor division by zero",
        lambda x: (x[:, :6] // (NUMBERS * 0) > 0, x[:, :6] // NUMBERS),
        FLAT,
    ),
    Row("floor division of integers", lambda x: whole(x) // 3 + whole(x) // -4),
    Row("floor division by eight", lambda x: whole(x) // 8),
    Row("floor division of integers by a tensor", lambda x: whole(x) // (whole(x.flip(1)) * 2 + 1)),
    Row("floor division of small integers", lambda x: whole(x).to(torch.int8) // 3),
    Row("floor division of bytes", lambda x: whole(x.abs()).byte() // 3),
    Row("div rounded down", lambda x: torch.div(x, 0.3, rounding_mode="floor")),
    Row("div cut", lambda x: torch.div(x, 0.3, rounding_mode="trunc")),
    Row("div of integers cut", lambda x: torch.div(whole(x), 4, rounding_mode="trunc")),
    Row("div of integers", lambda x: whole(x) / 4),
    Row("true_divide", lambda x: torch.true_divide(whole(x), 7)),
    Row("remainder", lambda x: x % 0.3 + torch.remainder(x, -0.7) + x % (x.flip(1) + 3)),
    Row("remainder of integers", lambda x: whole(x) % 3 + whole(x) % -4),
    Row("remainder of a number", lambda x: 5 % (x.abs() + 1)),
    Row("fmod", lambda x: torch.fmod(x, 0.3) + torch.fmod(x, -0.7)),
    Row("fmod of integers", lambda x: torch.fmod(whole(x), 3)),
    # rounding
    Row("round", lambda x: torch.round(x * 2) / 2 + x.floor() - x.ceil()),
    Row("round of halves", lambda x: torch.round(whole(x) / 2)),
    Row("round to decimals", lambda x: x.round(decimals=2) + x.round(decimals=-1)),
    Row("rounding of integers", lambda x: whole(x).floor() + whole(x).round() + whole(x).trunc()),
    Row("trunc, frac", lambda x: (x * 3).trunc() + (x * 3).frac() * 2 + torch.fix(x)),
    # powers
    Row("powers", lambda x: x**2 + x**3 + x**0.0 + (x.abs() + 1) ** 0.5 + (x.abs() + 1) ** -0.5),
    Row("powers below zero", lambda x: (x.abs() + 1) ** -1 + (x.abs() + 1) ** -2),
    Row("powers by a tensor", lambda x: (x.abs() + 1) ** x + torch.pow(2, x) + 3**x),
    Row("powers of integers", lambda x: whole(x) ** 3 + whole(x) ** 0 - whole(x).square()),
    Row("integers to a fraction", lambda x: whole(x.abs()) ** 0.5),
    Row("integers by a tensor", lambda x: 2 ** whole(x).abs(), IMAGE, "torch.onnx"),
    Row("float_power", lambda x: x.float_power(3)),
    Row(
        "square, rsqrt, exp2", lambda x: torch.square(x) + torch.rsqrt(x.abs() + 1) + torch.exp2(x)
    ),
    Row("hypot", lambda x: torch.hypot(x, x.flip(1)) + torch.hypot(x * 1e25, x)),
    Row("ldexp", lambda x: torch.ldexp(x, torch.tensor([3]))),
    # sums
    Row("rsub with alpha", lambda x: torch.rsub(x, 2, alpha=3)),
    Row("alpha of integers", lambda x: torch.add(whole(x), whole(x), alpha=3)),
    Row("addcmul, addcdiv", lambda x: x.addcmul(x, x, value=0.3).addcdiv(x, x.abs() + 1, value=-2)),
    Row("lerp", lambda x: torch.lerp(x, x * 2, 0.3) + x.lerp(x.flip(1), 0.8)),
    Row("lerp by a tensor", lambda x: torch.lerp(x, x.flip(1), x.sigmoid())),
    Row("sums of truths", lambda x: (x > 0) + (x < -0.5)),
    Row("negative bytes", lambda x: -whole(x).byte()),
    # logarithms and exponentials
    Row("log1p", lambda x: torch.log1p(x.abs()) + torch.log1p(-x.sigmoid())),
    Row("log1p of little", lambda x: torch.log1p(near(x))),
    Row("log1p of odd numbers", lambda x: torch.log1p(x[:, :6] * 0 + ODD), FLAT),
    Row("expm1", lambda x: torch.expm1(x)),
    Row("expm1 of little", lambda x: torch.expm1(near(x))),
    Row("log2, log10", lambda x: x.abs().log2() + x.abs().log10() + (x.abs() + 1).log()),
    Row("whole log2", lambda x: torch.exp2(whole(x)).log2().floor()),
    Row("logaddexp", lambda x: torch.logaddexp(x, x * 3) + torch.logaddexp2(x, x * -2)),
    Row(
        "logaddexp of infinities",
        lambda x: torch.logaddexp(x[:, :6] * 0 + ODD, ODD) + torch.logaddexp2(ODD, -ODD),
        FLAT,
    ),
    Row("logit", lambda x: torch.logit(x.clamp(0.1, 0.9)) + torch.special.logit(x, eps=0.1)),
    Row("xlogy", lambda x: torch.xlogy(x.round(), x.abs()) + torch.special.xlog1py(x, x.abs())),
    Row("entr, sinc", lambda x: torch.special.entr(x.abs()) + torch.sinc(x) + torch.sinc(x * 0)),
    Row("special names", lambda x: torch.special.expit(x) + torch.special.erf(x)),
    Row("erfc", lambda x: torch.erfc(x), IMAGE, "torch.onnx"),
    # angles
    Row("trigonometry", lambda x: x.sin() + x.cos() + x.atan()),
    Row("arcs", lambda x: x.clamp(-1, 1).asin() + x.clamp(-1, 1).acos() + x.clamp(-1, 1).tan()),
    Row("hyperbolic functions", lambda x: x.sinh() + x.cosh() + x.asinh()),
    Row("acosh, atanh", lambda x: (x.abs() + 1).acosh() + x.clamp(-0.9, 0.9).atanh()),
    Row("atan2", lambda x: torch.atan2(x, x.flip(1)) + torch.arctan2(x, x * 0)),
    Row("atan2 of odd numbers", lambda x: torch.atan2(x[:, :6] * 0 + ODD, ODD.roll(1)), FLAT),
    Row("atan2 of zeros", lambda x: torch.atan2(x[:, :6] * 0 + NUMBERS, NUMBERS.roll(1)), FLAT),
    Row("degrees", lambda x: torch.deg2rad(x) + torch.rad2deg(x)),
    # comparisons and truth
    Row("comparisons of integers", lambda x: (whole(x) > 2.5, whole(x) <= 3, whole(x) == 3)),
    Row("comparisons of truths", lambda x: ((x > 0) > (x < 1), (x > 0) == (x > 1))),
    Row("not equal", lambda x: (x != 0, whole(x).ne(3), torch.not_equal(x, x.flip(1)))),
    Row("the batch compared", lambda x: x > x.shape[0]),
    Row("isclose", lambda x: torch.isclose(x, x + 1e-6) | torch.isclose(x, x * 2, atol=0.5)),
    Row("questions", lambda x: (x.isnan(), x.isinf(), x.isfinite(), whole(x).isnan())),
    Row(
        "questions on odd numbers",
        lambda x: [f(x[:, :6] * 0 + ODD) for f in (torch.isnan, torch.isinf, torch.isfinite)],
        FLAT,
    ),
    Row("one infinity", lambda x: (torch.isposinf(x / 0), torch.isneginf(x / 0))),
    Row("signbit", lambda x: torch.signbit(x * 0.0)),
    Row("truth", lambda x: ((x > 0) & (x < 1)) | ~(x > -1) ^ (x > 2)),
    Row("truth of numbers", lambda x: torch.logical_and(x, whole(x)) | torch.logical_not(whole(x))),
    Row("logical xor, or", lambda x: torch.logical_xor(x, whole(x)) ^ torch.logical_or(x, x)),
    # bits
    Row("bits", lambda x: (whole(x) & 6) | (whole(x) ^ 3) | ~whole(x)),
    Row("bits of truths", lambda x: torch.bitwise_and(x > 0, x > 1) | torch.bitwise_not(x > 0)),
    Row("shifts", lambda x: (whole(x) << 3) + (whole(x) >> 2) + (whole(x).int() >> 31)),
    Row("shifts of bytes", lambda x: (whole(x).byte() << 7) + (whole(x).byte() >> 7)),
    # choices
    Row("where with numbers", lambda x: torch.where(x > 0, 1, 0) + torch.where(x > 0, x, 2)),
    Row("where as a method", lambda x: x.where(x > 0, -x) + (x > 0).where(x > 1, False)),
    Row("where of truths", lambda x: torch.where(x > 0, x > 1, x < -1)),
    Row("masked_fill", lambda x: x.masked_fill(x > 0, float("-inf")).masked_fill(x < -1, 3)),
    Row("masked_fill of integers", lambda x: whole(x).masked_fill(x > 0, -3)),
    Row("clamp from below", lambda x: x.clamp(min=0.3) + torch.clamp_max(x, 0.7) + x.clamp_min(-1)),
    Row("clamp of integers", lambda x: whole(x).clamp(-3, 4) + whole(x).clamp(-2.5, 3)),
    Row("clamp between tensors", lambda x: x.clamp(x.flip(1), x.abs()) + x.clip(max=x.flip(1))),
    Row("clamp with limits swapped", lambda x: x.clamp(1, -1)),
    Row("clamp of odd numbers", lambda x: (x[:, :6] * 0 + ODD).clamp(-1, 1), FLAT),
    Row("maximum of types", lambda x: torch.maximum(x, whole(x)) + torch.minimum(x, x.flip(1))),
    Row("max, min of two", lambda x: torch.max(x, x.flip(1)) - torch.min(x, x.flip(1))),
    Row("maximum of NaN", lambda x: torch.maximum(x[:, :6] * 0 + ODD, ODD.flip(0)), FLAT),
    Row("maximum of small integers", lambda x: torch.maximum(whole(x).short(), whole(-x).short())),
    Row(
        "fmax, fmin",
        lambda x: torch.fmax(x[:, :6] * 0 + ODD, x[:, 6:]) + torch.fmin(x[:, 6:], ODD),
        FLAT,
    ),
    Row("heaviside", lambda x: torch.heaviside(x.round(), torch.tensor(0.3))),
    Row("copysign", lambda x: torch.copysign(x, x.flip(1)) + torch.copysign(x, -2.0)),
    Row("copysign of zeros", lambda x: torch.copysign(x[:, :6], NUMBERS), FLAT),
    Row("sign", lambda x: x.sign() + whole(x).sign() + torch.sgn(x * 0)),
    Row("sign of odd numbers", lambda x: torch.sign(x[:, :6] * 0 + ODD), FLAT),
    Row("nan_to_num", lambda x: torch.nan_to_num(x[:, :6] * 0 + ODD).clamp(-9, 9), FLAT),
    Row("nan_to_num by numbers", lambda x: (x[:, :6] * 0 + ODD).nan_to_num(1, 2, -3), FLAT),
    Row(
        "nan_to_num by one number",
        lambda x: (x[:, :6] * 0 + ODD).nan_to_num(posinf=4).clamp(-9, 9),
        FLAT,
    ),
    # element types
    Row("casts", lambda x: (x.long(), x.int(), x.double(), x.half(), x.bool(), x.to(torch.int8))),
    Row("casts by type", lambda x: (x.type(torch.int32), whole(x).type_as(x), whole(x).to(x))),
    Row("casts of large numbers", lambda x: (x * 1000).byte() + (x * 100).long().byte()),
    Row("int8 that overflows", lambda x: whole(x).to(torch.int8) * 100),
    Row("aliases", lambda x: torch.absolute(x).negative() + torch.multiply(x, 2) + torch.arctan(x)),
    Row("swapped operators", lambda x: (2 - x) / (3 / (x.abs() + 1)) + (7 // (x.abs() + 1)) + 2**x),
    Row("in place", lambda x: whole(x).add_(3) + x.clone().mul_(2).clamp_(-1, 1)),
]
