"""Change a bundle: a copy of it takes its place when all went well."""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from netloft.bundle.manifest import hash_files
from netloft.bundle.write import staged_bundle
from netloft.runtime.integrity import check_files
from netloft.runtime.manifest import read_manifest, sealed

__all__ = ["copied", "seal"]


@contextlib.contextmanager
def copied(bundle: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Give a private copy of a bundle and its manifest, to change and to `seal`.

    A signature is left behind: it would be of another bundle.

    Raises:
        IntegrityError: The bundle is not what its manifest says.
        OutputError: It cannot be written.
    """
    with staged_bundle(bundle) as staging:
        manifest = read_manifest(bundle)
        check_files(bundle, manifest["files"])  # no link is followed, no pipe read
        for name in manifest["files"]:
            (staging / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(bundle / name, staging / name, follow_symlinks=False)
        check_files(staging, manifest["files"])
        yield staging, manifest


def seal(folder: Path, manifest: dict[str, Any]) -> None:
    """Write the manifest of a folder, with what files it holds now."""
    files = {name: dataclasses.asdict(facts) for name, facts in hash_files(folder).items()}
    (folder / "manifest.json").write_bytes(sealed(manifest | {"files": files}))
