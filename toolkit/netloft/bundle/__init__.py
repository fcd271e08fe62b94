"""Bundles: written whole or not at all, and read back only when nothing was changed."""

from netloft.bundle.manifest import FORMAT, Manifest, TensorSpec, hash_files, read_manifest
from netloft.bundle.write import check_target, staged_bundle, write_file

__all__ = [
    "FORMAT",
    "Manifest",
    "TensorSpec",
    "check_target",
    "hash_files",
    "read_manifest",
    "staged_bundle",
    "write_file",
]
