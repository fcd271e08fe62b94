"""The names of the classes that a network tells apart."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from netloft.errors import InputError
from netloft.models.vision import torchvision_models

__all__ = ["read_labels"]

_REMEDY = "write one name a line, in the order of the classes"


def read_labels(labels: str | Path | Sequence[str]) -> tuple[str, ...]:
    """Return the names of classes, in order.

    Args:
        labels: A text file (UTF-8) with one name a line; the names themselves; or `imagenet` for
            the thousand classes of torchvision's weights, where no file is called so.

    Raises:
        InputError: The file cannot be read, or a name is empty.
    """
    if isinstance(labels, str | Path):
        named = str(labels) == "imagenet" and not Path(labels).exists()
        return _imagenet() if named else _from_file(Path(labels))
    names = tuple(labels)
    wrong = [name for name in names if not isinstance(name, str) or not name.strip()]
    if wrong or not names:
        what = f"{wrong[0]!r} among the labels" if wrong else "no label"
        raise InputError(f"there is {what}", remedy="give one name for each class")
    return names


def _imagenet() -> tuple[str, ...]:
    return tuple(torchvision_models().ResNet18_Weights.IMAGENET1K_V1.meta["categories"])


def _from_file(path: Path) -> tuple[str, ...]:
    try:
        lines = path.expanduser().read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise InputError(f"labels file {path.name} cannot be read: {reason}", remedy=_REMEDY) from (
            error
        )
    names = [line.strip() for line in lines]
    while names and not names[-1]:
        names.pop()
    if "" in names or not names:
        what = f"an empty line, {names.index('') + 1}" if names else "no line"
        raise InputError(f"labels file {path.name} has {what}", remedy=_REMEDY)
    return tuple(names)
