"""The pickles inside of an archive: read as tensors and plain values alone, and written anew."""

from __future__ import annotations

import io
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch.utils import _pytree as pytree

from netloft.errors import first_line
from netloft.models.checkpoint import claims_too_much, refusal_of
from netloft.models.pt2.refusal import Harm

__all__ = ["rewritten"]


def rewritten(entry: str, data: bytes) -> bytes:
    """Return a pickle as torch.save writes what torch's weights-only reader found in it.

    torch.export.load falls back to a full unpickling where that reader fails, so it must never
    meet bytes that this has not been through.

    Args:
        entry: Its name, for the message.
        data: What the archive holds; nothing is left as it is.

    Raises:
        Harm: It asks for anything but tensors and plain values.
    """
    if not data:
        return data
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "nested.pt")
        path.write_bytes(data)
        _check_zip(entry, path)
        buffer = io.BytesIO()
        torch.save(_read(entry, path, len(data)), buffer)
    return buffer.getvalue()


def _check_zip(entry: str, path: Path) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            infos = archive.infolist()
            damaged = archive.testzip() if all(map(_is_stored, infos)) else infos[0].filename
    except (zipfile.BadZipFile, EOFError, OSError, NotImplementedError, ValueError) as error:
        raise _not_a_zip(entry, path) from error
    if damaged is not None:
        raise Harm(entry, f"is damaged or compressed at {damaged}")
    if any(Path(info.filename).name == "constants.pkl" for info in infos):
        raise Harm(entry, "is a TorchScript archive, which holds code")


def _not_a_zip(entry: str, path: Path) -> Harm:
    """A bare pickle, as torch wrote before 1.6: it is judged, and refused whatever it asks for."""
    try:
        torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # noqa: BLE001 - what the reader makes of a hostile file
        return _told(entry, error)
    return Harm(entry, "is not in the format that torch.save has written since PyTorch 1.6")


def _is_stored(info: zipfile.ZipInfo) -> bool:
    return info.compress_type == zipfile.ZIP_STORED and info.compress_size == info.file_size


def _read(entry: str, path: Path, size: int) -> Any:
    try:
        # A mapped storage cannot grow, so a tensor that claims more than the file has is an error
        found = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except Exception as error:
        raise _told(entry, error) from error
    for leaf in pytree.tree_leaves(found):
        if isinstance(leaf, torch.Tensor):
            claimed = leaf.numel() * leaf.element_size()
            if claims_too_much(claimed, size):
                raise Harm(entry, f"of {size:,} bytes claims a tensor of {claimed:,} bytes")
    return found


def _told(entry: str, error: Exception) -> Harm:
    asked, said = refusal_of(error)
    if asked:
        return Harm(entry, f"asks for {asked}")
    return Harm(entry, f"cannot be read as tensors: {said or first_line(error)}")
