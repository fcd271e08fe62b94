"""MODEL spec to what builds the module: a built-in, torchvision, timm, or the user's own code."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

from netloft.errors import MissingError, SpecError
from netloft.models.catalog import BUILTINS, Builtin, closest, torchvision_names
from netloft.models.usercode import import_file, import_module
from netloft.models.vision import torchvision_models
from netloft.tracing.source import relative_file

__all__ = ["Target", "resolve"]

_LIST = "`netloft models` lists the names; a network of your own is path/to/file.py:Net"


@dataclass(frozen=True)
class Target:
    """What a MODEL spec names.

    Attributes:
        name: Short name, fit for a folder.
        spec: As the user wrote it, but never an absolute path.
        origin: `builtin`, `torchvision`, `timm` or `user`.
        make: What builds the module, or the module itself.
        builtin: The catalogue's row, for a built-in.
        arguments: Constructor arguments that the name stands for.
        weights: Where those come from that the module holds, where that is known.
    """

    name: str
    spec: str
    origin: str
    make: Callable[..., Any] | nn.Module
    builtin: Builtin | None = None
    arguments: Mapping[str, object] = field(default_factory=dict)
    weights: str = ""


def resolve(spec: str, *, trust: bool = False) -> Target:
    """Find what a MODEL spec names.

    Args:
        spec: A built-in name, `torchvision:NAME`, `timm:NAME`, `package.module:attribute` or
            `path/to/file.py:attribute`. These two import, and so run, that code. Or the path of
            a `.pt2` archive, which is checked first.
        trust: Load a `.pt2` archive unchecked, which runs any code that its maker put there.

    Raises:
        SpecError: It names nothing that can be loaded, or an archive that could run code.
        MissingError: timm is asked for and not installed.
    """
    left, colon, right = spec.rpartition(":")
    if spec.lower().endswith(".pt2"):
        return _archive(Path(spec).expanduser(), trust)
    if trust:
        raise SpecError(
            f"--trust is for a .pt2 archive, and '{spec}' is none",
            remedy="leave it out; a Python file or module is run as it is",
        )
    _refuse_files(spec)
    if colon and left in ("torchvision", "timm"):
        return _torchvision(right, spec) if left == "torchvision" else _timm(right, spec)
    if colon and left and right:
        return _attribute(left, right)
    if spec.rstrip(":").endswith(".py"):
        raise _no_attribute(spec.rstrip(":"))
    return _bare(spec)


def _bare(name: str) -> Target:
    if name in BUILTINS:
        row = BUILTINS[name]
        module, _, attribute = row.home.partition(":")
        make = getattr(import_module(module), attribute)
        return Target(name, name, "builtin", make, row, row.arguments)
    if re.fullmatch(r"\w+", name):
        return _torchvision(name, name)
    raise _unknown(name, (*BUILTINS, *torchvision_names()))


def _unknown(name: str, names: tuple[str, ...], where: str = "") -> SpecError:
    near = closest(name, names)
    meant = f"did you mean {' or '.join(near)}? " if near else ""
    return SpecError(f"there is no model '{name}'{where}", remedy=meant + _LIST)


def _torchvision(name: str, spec: str) -> Target:
    names = torchvision_names()
    if name not in names:
        if spec == name:
            raise _unknown(name, (*BUILTINS, *names))
        raise _unknown(name, names, " in torchvision")
    return Target(name, spec, "torchvision", torchvision_models().get_model_builder(name))


def _timm(name: str, spec: str) -> Target:
    try:
        import timm
    except ImportError as error:
        raise MissingError(
            f"'{spec}' needs the package timm, which is not installed",
            remedy="pip install 'netloft[timm]'",
        ) from error
    names = tuple(timm.list_models())
    if name.partition(".")[0] not in names:
        raise _unknown(name, names, " in timm")

    def make(**arguments: object) -> object:
        return timm.create_model(name, pretrained=False, **arguments)

    return Target(re.sub(r"[^\w.-]", "_", name), spec, "timm", make)


def _archive(path: Path, trust: bool) -> Target:
    from netloft.models.pt2 import load_archive

    module, held = load_archive(path, trust=trust)
    name = re.sub(r"[^\w.-]", "_", path.stem).strip("_.") or "net"
    return Target(name, relative_file(str(path.resolve())), "user", module, weights=held)


def _refuse_files(spec: str) -> None:
    suffix = Path(spec).suffix.lower()
    if suffix == ".onnx":
        raise SpecError(
            f"{Path(spec).name} is an ONNX file, and this needs the PyTorch network",
            remedy="`netloft verify` and `netloft bench` take .onnx files; "
            "here name the network, as path/to/file.py:Net",
        )
    if suffix in (".pt", ".pth", ".safetensors", ".ckpt", ".bin"):
        raise SpecError(
            f"{Path(spec).name} is a weights file, and weights alone are not a network",
            remedy=f"name the network and give the file: netloft … MODEL --weights {spec}",
        )


def _no_attribute(file: str) -> SpecError:
    path = Path(file)
    if not path.is_file():
        return SpecError(
            f"{file} does not exist", remedy="give the path of a Python file, as net.py:Net"
        )
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):  # import_file tells of the line once a class is named
        tree = ast.Module([], [])
    classes = [node.name for node in tree.body if isinstance(node, ast.ClassDef)]
    example = classes[-1] if classes else "Net"
    has = f"; it has {', '.join(classes)}" if classes else ""
    return SpecError(
        f"{file} names a file and no network in it{has}", remedy=f"write it as {file}:{example}"
    )


def _attribute(left: str, right: str) -> Target:
    if left.endswith(".py") or "/" in left or "\\" in left:
        module = import_file(Path(left).expanduser(), left)
        shown = relative_file(str(Path(left).expanduser().resolve()))
    else:
        if not re.fullmatch(r"\w+(\.\w+)*", left):
            raise SpecError(f"'{left}' is neither a Python file nor a module", remedy=_LIST)
        module, shown = import_module(left), left
    found = _look_up(module, right, left)
    return Target(_snake(right.rpartition(".")[2]), f"{shown}:{right}", "user", found)


def _look_up(module: ModuleType, attribute: str, left: str) -> Callable[..., Any] | nn.Module:
    found: Any = module
    for part in attribute.split("."):
        try:
            found = getattr(found, part)
        except AttributeError as error:
            raise _no_such_attribute(module, attribute, left) from error
    if isinstance(found, nn.Module):
        return found
    if isinstance(found, type) and not issubclass(found, nn.Module):
        raise SpecError(
            f"{left}:{attribute} is a class, but not a torch.nn.Module",
            remedy="name a class that derives from torch.nn.Module",
        )
    if not callable(found):
        raise SpecError(
            f"{left}:{attribute} has type {type(found).__name__}, and is not a network",
            remedy="name a torch.nn.Module, a class of one, or a function that returns one",
        )
    return found  # type: ignore[no-any-return]


def _no_such_attribute(module: ModuleType, attribute: str, left: str) -> SpecError:
    networks = [
        name
        for name, value in vars(module).items()
        if isinstance(value, nn.Module)
        or (isinstance(value, type) and issubclass(value, nn.Module) and value is not nn.Module)
    ]
    near = closest(attribute, networks) or tuple(networks[:5])
    remedy = f"it has {', '.join(near)}" if near else "it has no torch.nn.Module"
    return SpecError(f"{left} has no '{attribute}'", remedy=remedy)


def _snake(name: str) -> str:
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name)
    return spaced.lower().strip("_") or "net"
