from __future__ import annotations

from pathlib import Path

import pytest

from netloft.errors import MissingError, SpecError
from netloft.models.spec import resolve

LIST = "`netloft models` lists the names; a network of your own is path/to/file.py:Net"


@pytest.mark.parametrize(
    ("spec", "origin", "name"),
    [
        ("alphago", "builtin", "alphago"),
        ("acoustic-5x2k", "builtin", "acoustic-5x2k"),
        ("resnet18", "torchvision", "resnet18"),
        ("torchvision:alexnet", "torchvision", "alexnet"),
        ("torch.nn:Linear", "user", "linear"),
        ("torch:nn.ReLU6", "user", "re_lu6"),
    ],
)
def test_finds(spec: str, origin: str, name: str) -> None:
    target = resolve(spec)
    assert (target.origin, target.name, target.spec) == (origin, name, spec)


def test_the_spec_of_a_file_is_never_absolute(net_file: Path) -> None:
    for written in ("net.py:Net", f"{net_file}:Net", f"./{net_file.name}:Net"):
        target = resolve(written)
        assert (target.spec, target.name) == ("net.py:Net", "net")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (
            "resnet19",
            "there is no model 'resnet19'\n"
            f"  remedy: did you mean resnet18 or resnet152 or resnet101? {LIST}",
        ),
        ("alpago", f"there is no model 'alpago'\n  remedy: did you mean alphago? {LIST}"),
        ("", f"there is no model ''\n  remedy: {LIST}"),
        (
            "torchvision:vgg17",
            "there is no model 'vgg17' in torchvision\n"
            f"  remedy: did you mean vgg19 or vgg16 or vgg13? {LIST}",
        ),
        (
            "nix.py:Net",
            "nix.py does not exist\n  remedy: give the path of a Python file, as net.py:Net",
        ),
        (
            "net.py",
            "net.py names a file and no network in it; it has Net, Plain\n"
            "  remedy: write it as net.py:Plain",
        ),
        ("net.py:Nett", "net.py has no 'Nett'\n  remedy: it has Net"),
        ("net.py:zzz", "net.py has no 'zzz'\n  remedy: it has Net, built"),
        (
            "net.py:Plain",
            "net.py:Plain is a class, but not a torch.nn.Module\n"
            "  remedy: name a class that derives from torch.nn.Module",
        ),
        (
            "net.py:answer",
            "net.py:answer has type int, and is not a network\n"
            "  remedy: name a torch.nn.Module, a class of one, or a function that returns one",
        ),
        ("no such:Net", f"'no such' is neither a Python file nor a module\n  remedy: {LIST}"),
        (
            "x.pt2",
            "x.pt2 does not exist\n  remedy: give the path of a file that torch.export.save wrote",
        ),
        (
            "x.onnx",
            "x.onnx is an ONNX file, and this needs the PyTorch network\n"
            "  remedy: `netloft verify` and `netloft bench` take .onnx files; "
            "here name the network, as path/to/file.py:Net",
        ),
        (
            "x.pth",
            "x.pth is a weights file, and weights alone are not a network\n"
            "  remedy: name the network and give the file: netloft … MODEL --weights x.pth",
        ),
    ],
)
def test_refuses(net_file: Path, spec: str, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        resolve(spec)
    assert str(caught.value) == message


def test_says_how_to_get_timm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "timm", None)
    with pytest.raises(MissingError) as caught:
        resolve("timm:resnet18")
    assert caught.value.exit_code == 3
    assert str(caught.value) == (
        "'timm:resnet18' needs the package timm, which is not installed\n"
        "  remedy: pip install 'netloft[timm]'"
    )
