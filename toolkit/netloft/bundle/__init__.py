"""Bundles: written whole or not at all, with the SHA-256 of every file."""

from netloft.bundle.atomic import write_file
from netloft.bundle.manifest import Manifest, TensorSpec, hash_files
from netloft.bundle.write import check_target, staged_bundle, staged_folder

__all__ = [
    "Manifest",
    "TensorSpec",
    "check_target",
    "hash_files",
    "staged_bundle",
    "staged_folder",
    "write_file",
]
