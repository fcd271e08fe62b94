from __future__ import annotations

import pytest
import torch
from torch import nn

from netloft.errors import InputError
from netloft.models.inputs import (
    bind_names,
    missing_inputs,
    parse_input,
    required_names,
    stated_inputs,
    stated_preprocess,
)
from netloft.models.loaded import InputSpec


class Two(nn.Module):
    def forward(
        self, image: torch.Tensor, mask: torch.Tensor, scale: torch.Tensor | None = None
    ) -> torch.Tensor:
        return image * mask


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("1x3x224x224", InputSpec("", (1, 3, 224, 224))),
        ("image=1x3", InputSpec("image", (1, 3))),
        ("ids=1x128:int64", InputSpec("ids", (1, 128), "int64")),
        ("1x128:long", InputSpec("", (1, 128), "int64")),
    ],
)
def test_reads_shapes(text: str, spec: InputSpec) -> None:
    assert parse_input(text) == spec


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "3,224",
            "--input '3,224' is not a shape\n"
            "  remedy: write it as 1x3x224x224, image=1x3x224x224 or 1x128:int64, batch first",
        ),
        ("1x0", "--input '1x0' has a length of 0\n  remedy: give lengths of 1 or more"),
        *(
            (
                f"1x3:{dtype}",
                f"'{dtype}' is not an element type of inputs\n  remedy: use one of "
                "float16, float32, float64, int8, int16, int32, int64, uint8, bool",
            )
            for dtype in ("cat", "quint8", "complex64", "bfloat16", "uint16")
        ),
        *(
            (
                text,
                f"--input '{text}' has more than 2,147,483,648 elements in one item\n"
                "  remedy: give a smaller shape",
            )
            for text in ("1x99999999999999999999", "1x9999999x9999999", f"1x{'9' * 5000}")
        ),
    ],
)
def test_refuses_other_texts(text: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_input(text)
    assert str(caught.value) == message


def test_unnamed_inputs_take_the_free_names_in_order() -> None:
    given = [InputSpec("", (1, 2)), InputSpec("image", (1, 3))]
    assert bind_names(Two(), given) == (InputSpec("image", (1, 3)), InputSpec("mask", (1, 2)))
    assert required_names(Two()) == ("image", "mask")


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (
            [InputSpec("picture", (1, 2))],
            "Two.forward has no argument 'picture'\n  remedy: it takes 'image', 'mask', 'scale'",
        ),
        (
            [InputSpec("mask", (1, 2)), InputSpec("mask", (1, 2))],
            "input 'mask' is given twice\n  remedy: give each input once",
        ),
        (
            [InputSpec("", (1, 2))] * 4,
            "Two.forward takes 'image', 'mask', 'scale', and 4 inputs are given\n"
            "  remedy: give one --input for each argument, or wrap the network in a module whose "
            "forward names them",
        ),
    ],
)
def test_refuses_inputs_that_forward_does_not_take(inputs: list[InputSpec], message: str) -> None:
    with pytest.raises(InputError) as caught:
        bind_names(Two(), inputs)
    assert str(caught.value) == message


def test_keyword_arguments_take_any_name() -> None:
    class Any(nn.Module):
        def forward(self, x: torch.Tensor, **rest: torch.Tensor) -> torch.Tensor:
            return x

    assert [s.name for s in bind_names(Any(), [InputSpec("y", (1,)), InputSpec("", (1,))])] == [
        "x",
        "y",
    ]


def test_says_which_inputs_are_missing() -> None:
    assert str(missing_inputs(Two(), "net.py:Two")) == (
        "'net.py:Two' does not say what its inputs are, so it needs --input\n"
        "  remedy: give the shape of 'image', 'mask', batch first, as "
        "--input image=1x3x224x224 --input mask=1x3x224x224"
    )


def test_a_module_may_state_its_inputs() -> None:
    net = Two()
    assert stated_inputs(net) == ()
    assert stated_preprocess(net) == {}
    net.netloft_inputs = ("1x3x8x8", "mask=1x1x8x8")  # type: ignore[assignment]
    net.netloft_preprocess = {"mean": (0.5,)}  # type: ignore[assignment]
    assert [spec.shape for spec in stated_inputs(net)] == [(1, 3, 8, 8), (1, 1, 8, 8)]
    assert stated_preprocess(net) == {"mean": (0.5,)}


def test_refuses_statements_of_another_form() -> None:
    net = Two()
    net.netloft_inputs = 3  # type: ignore[assignment]
    net.netloft_preprocess = {"average": 1}  # type: ignore[assignment]
    with pytest.raises(InputError, match=r"Two\.netloft_inputs is a int"):
        stated_inputs(net)
    with pytest.raises(InputError, match="is not a dict of resize, crop, mean, std, interp"):
        stated_preprocess(net)


@pytest.mark.parametrize(
    ("key", "value"),
    [("resize", "big"), ("mean", 0.5), ("std", (1.0, 0.0, 1.0)), ("interpolation", "best")],
)
def test_refuses_preprocessing_of_other_values(key: str, value: object) -> None:
    net = Two()
    net.netloft_preprocess = {key: value}  # type: ignore[assignment]
    with pytest.raises(InputError) as caught:
        stated_preprocess(net)
    assert str(caught.value) == (
        f"Two.netloft_preprocess has {key} = {value!r}\n"
        "  remedy: resize and crop are pixels, mean and std are numbers for each channel, "
        "std above 0, and interpolation is nearest, bilinear or bicubic"
    )
