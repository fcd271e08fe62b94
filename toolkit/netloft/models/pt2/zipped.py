"""A .pt2 file as bytes by entry, within a budget; nothing is unpickled here."""

from __future__ import annotations

import io
import re
import sys
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from netloft.errors import SpecError, first_line
from netloft.models.pt2.refusal import broken

__all__ = ["Archive", "read_archive"]

MAX_BYTES = 8 * 2**30
"""The largest file that is read, whole: what is checked is what is used."""
MAX_ENTRIES = 100_000
MAX_JSON_BYTES = 2**28
_PART = re.compile(r"[\w.+@\- ]{1,255}", re.ASCII)


@dataclass(frozen=True)
class Archive:
    """A checked zip.

    Attributes:
        name: Of the file, for messages.
        data: The whole file.
        entries: Bytes by name, without the folder at the root that torch puts around them.
    """

    name: str
    data: bytes
    entries: dict[str, bytes]

    def text(self, entry: str) -> str:
        """Return an entry that is text.

        Raises:
            SpecError: It is missing, too long, or not UTF-8.
        """
        if entry not in self.entries:
            raise broken(self.name, f"it has no {entry}")
        if len(self.entries[entry]) > MAX_JSON_BYTES:
            raise broken(self.name, f"{entry} has more than {MAX_JSON_BYTES:,} bytes")
        try:
            return self.entries[entry].decode()
        except UnicodeDecodeError as error:
            raise broken(self.name, f"{entry} is not UTF-8") from error


def read_archive(path: Path) -> Archive:
    """Read a file once, and look at what a zip may not be.

    Refused are compressed and encrypted entries, two of one name, names that leave the archive,
    and entries that claim more than the file holds: with none of them compressed, none is a bomb.

    Raises:
        SpecError: It cannot be read, or is not what torch.export.save of PyTorch 2.8 or later
            writes.
    """
    data = _read(path)
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            infos = archive.infolist()
            _check_entries(path.name, infos, len(data))
            whole = {info.filename: archive.read(info) for info in infos}
    except (zipfile.BadZipFile, EOFError, ValueError, NotImplementedError, OSError) as error:
        raise broken(path.name, first_line(error)) from error
    entries = {entry.partition("/")[2]: content for entry, content in whole.items()}
    found = Archive(path.name, data, entries)
    _check_format(found)
    return found


def _read(path: Path) -> bytes:
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist"
        raise SpecError(
            f"{path} {what}", remedy="give the path of a file that torch.export.save wrote"
        )
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise SpecError(
            f"{path} cannot be read: {error.strerror or error}", remedy="give a file you may read"
        ) from error
    if not data:
        raise broken(path.name, "it is empty")
    if len(data) > MAX_BYTES:
        raise SpecError(
            f"{path.name} has more than {MAX_BYTES // 2**30} GiB",
            remedy="name the network that it was exported from, as path/to/file.py:Net",
        )
    return data


def _check_entries(name: str, infos: list[zipfile.ZipInfo], size: int) -> None:
    if not 0 < len(infos) <= MAX_ENTRIES:
        raise broken(name, f"it has {len(infos):,} entries")
    for info in infos:
        _check_name(name, info.orig_filename)
        if info.compress_type != zipfile.ZIP_STORED or info.compress_size != info.file_size:
            raise broken(name, f"{info.filename} is compressed, which torch never does")
        if info.flag_bits & 1:
            raise broken(name, f"{info.filename} is encrypted")
    if sum(info.file_size for info in infos) > size:
        raise broken(name, "its entries claim more bytes than the file has")
    _check_unique(name, (info.filename for info in infos))
    if len({info.filename.partition("/")[0] for info in infos}) > 1:
        raise broken(name, "its entries do not lie in one folder")


def _check_name(name: str, entry: str) -> None:
    parts = entry.split("/")
    plain = all(_PART.fullmatch(part) and part.strip(".") for part in parts)
    if not plain or len(parts) < 2 or len(entry) > 1024:
        raise broken(name, f"an entry is called {entry[:100]!r}")


def _check_unique(name: str, entries: Iterable[str]) -> None:
    seen: set[str] = set()
    for entry in entries:
        # readers of zips differ in whether case tells names apart
        if entry.lower() in seen:
            raise broken(name, f"it has two entries called {entry}")
        seen.add(entry.lower())


def _check_format(archive: Archive) -> None:
    if archive.entries.get("archive_format") != b"pt2":
        raise broken(archive.name, "its archive_format is not pt2; PyTorch before 2.8 wrote none")
    version = archive.text("archive_version")
    if version != "0":
        raise broken(archive.name, f"its archive_version is {version[:20]!r}, and 0 is known")
    order = archive.entries.get("byteorder", b"little")
    if order != sys.byteorder.encode():
        raise broken(archive.name, f"its byte order is {order[:20]!r}, not this machine's")
    if "models/model.json" not in archive.entries:
        raise broken(archive.name, "it has no models/model.json, which holds the program")
