from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from netloft.errors import InputError
from netloft.models.catalog import BUILTINS
from netloft.models.domain import domain_inputs, noise_inputs
from netloft.models.inputs import parse_input
from netloft.models.loaded import LoadedModel


class Net(nn.Module):
    def __init__(self, rows: int = 0) -> None:
        super().__init__()
        if rows:
            self.embedding = nn.Embedding(rows, 2)

    def forward(self, x: torch.Tensor, y: torch.Tensor | None = None) -> torch.Tensor:
        return x


def model(*shapes: str, domain: str = "", rows: int = 0) -> LoadedModel:
    inputs = tuple(parse_input(shape) for shape in shapes)
    return LoadedModel(module=Net(rows), name="net", spec="net", inputs=inputs, domain=domain)


def test_noise_has_names_shapes_and_types() -> None:
    noise = noise_inputs(model("y=1x5:int64", "1x3x4"), batch=7, seed=0)
    assert list(noise) == ["x", "y"]
    assert noise["x"].shape == (7, 3, 4)
    assert noise["y"].shape == (7, 5)
    assert noise["y"].dtype == torch.int64
    again = noise_inputs(model("y=1x5:int64", "1x3x4"), batch=7, seed=0)
    assert all(torch.equal(noise[name], again[name]) for name in noise)


@pytest.mark.parametrize("dtype", ["float16", "float64", "bool", "uint8"])
def test_noise_of_every_type(dtype: str) -> None:
    tensor = noise_inputs(model(f"1x100:{dtype}"), 2, 0)["x"]
    assert tensor.dtype == getattr(torch, dtype)
    assert bool((tensor[0] != tensor[1]).any())


def test_noise_that_no_machine_holds_is_an_input_error(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="input 'x' of 65536x1000000 has too many elements"):
        noise_inputs(model("1x1000000"), 65536, 0)

    def full(*args: object, **options: object) -> torch.Tensor:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr(torch, "randn", full)
    with pytest.raises(InputError, match="does not fit in this machine's memory"):
        noise_inputs(model("1x10"), 2, 0)


def test_integers_stay_inside_the_embedding() -> None:
    ids = noise_inputs(model("1x500:int64", rows=3), 2, 0)["x"]
    assert set(ids.flatten().tolist()) == {0, 1, 2}
    assert noise_inputs(model("1x500:int64", rows=1000), 2, 0)["x"].max() > 100


@pytest.mark.parametrize("name", ["alphago", "myresnet", "mnist", "acoustic"])
def test_built_ins_get_inputs_of_their_domain(name: str) -> None:
    row = BUILTINS[name]
    net = model(*row.inputs, domain=row.domain)
    found, again, other = (domain_inputs(net, 3, seed) for seed in (0, 0, 9))
    assert found is not None
    assert again is not None
    assert other is not None
    tensor = found[0]["x"]
    assert tensor.shape == (3, *parse_input(row.inputs[0]).shape[1:])
    assert tensor.dtype == torch.float32
    assert torch.equal(tensor, again[0]["x"])
    assert not torch.equal(tensor, other[0]["x"])
    assert (
        found[1]
        == {
            "go": "3 Go positions",
            "photo": "2 photographs, cropped and flipped into 3",
            "digit": "3 drawn digits",
            "speech": "3 windows of speech-like frames",
        }[row.domain]
    )


def test_digits_are_ink_on_nothing() -> None:
    found = domain_inputs(model("1x1x28x28", domain="digit"), 5, 0)
    assert found is not None
    digits = found[0]["x"]
    assert digits.min() == 0
    assert digits.max() > 0.9
    assert all(0.03 < float(digit.mean()) < 0.4 for digit in digits)


def test_speech_changes_slowly() -> None:
    found = domain_inputs(model("1x429", domain="speech"), 50, 0)
    assert found is not None
    frames = found[0]["x"].reshape(50, 11, 39)
    near = (frames[:, 0] * frames[:, 1]).mean()
    assert near > 0.7


@pytest.mark.parametrize(
    ("shapes", "domain"),
    [
        (("1x3x8x8",), ""),  # too small for a photograph
        (("1x7x64x64",), ""),
        (("1x128",), ""),
        (("1x3x64x64", "1x5"), ""),
        (("1x3x64x64:int64",), ""),
        (("1x64x64x5:uint8",), ""),
        (("1x429:uint8",), "speech"),
        (("1x3x19x19",), "go"),
        (("1x1x32x32",), "digit"),
        (("1x40",), "speech"),
    ],
)
def test_other_inputs_have_no_domain(shapes: tuple[str, ...], domain: str) -> None:
    assert domain_inputs(model(*shapes, domain=domain), 2, 0) is None


def test_unknown_pictures_are_photographs_of_the_right_type() -> None:
    found = domain_inputs(model("1x3x16x16:float64"), 2, 0)
    assert found is not None
    assert found[0]["x"].dtype == torch.float64
    assert found[1] == "2 photographs"


@pytest.mark.parametrize("domain", ["photo", "digit"])
@pytest.mark.parametrize("last", [True, False])
def test_bytes_are_the_pictures_that_numbers_are_made_of(domain: str, last: bool) -> None:
    channels, side = (3, 32) if domain == "photo" else (1, 28)
    shape = f"1x{side}x{side}x{channels}" if last else f"1x{channels}x{side}x{side}"
    found = domain_inputs(model(f"{shape}:uint8", domain=domain), 3, 4)
    plain = replace(
        model(f"1x{channels}x{side}x{side}", domain=domain),
        preprocess={"mean": (0.0,), "std": (1.0,)},
    )
    numbers = domain_inputs(plain, 3, 4)
    assert found is not None
    assert numbers is not None
    pixels, values = found[0]["x"], numbers[0]["x"]
    assert pixels.dtype == torch.uint8
    assert torch.equal(pixels, (values.permute(0, 2, 3, 1) if last else values) * 255)
    assert found[1] == numbers[1]


def test_bytes_are_noise_of_all_values_but_for_an_embedding() -> None:
    assert noise_inputs(model("1x500:uint8"), 2, 0)["x"].max() > 250
    assert noise_inputs(model("1x500:uint8", rows=5), 2, 0)["x"].max() == 4
