"""Who made a bundle: a signature over every file of it, by the package model-signing.

It is the OpenSSF Model Signing format, a Sigstore bundle around an in-toto statement of all hashes:
`model_signing verify key BUNDLE --signature BUNDLE/signature.json` reads it too.
Source: https://github.com/sigstore/model-transparency.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

from netloft.bundle.bom import write_bom
from netloft.bundle.rewrite import copied, seal
from netloft.errors import IntegrityError, MissingError, UsageError, first_line
from netloft.runtime.integrity import SIGNATURE
from netloft.runtime.reasons import with_extra

__all__ = ["check_signature", "sign"]

_NO_KEY = (ValueError, TypeError, OSError, AttributeError)
"""What the package makes of a file that is no key; the last is for one of another kind."""


def sign(bundle: Path, key: Path | None, password: str | None = None, *, bom: bool = False) -> None:
    """Sign a bundle, whose files are compared with its manifest first.

    Args:
        bundle: Its folder; a signature that is there is replaced.
        key: A private key of an elliptic curve, in PEM; None to leave it unsigned.
        password: Of the key, where it is encrypted.
        bom: Add a bill of materials, too.

    Raises:
        MissingError: model-signing is not installed.
        UsageError: The key cannot be read, it is no bundle, or it is signed and there is no key.
        IntegrityError: The bundle is not what its manifest says.
        OutputError: It cannot be written.
    """
    if not (bundle / "manifest.json").is_file():
        raise UsageError(f"{bundle} is no bundle", remedy="name a folder that netloft export wrote")
    if key is None and (bundle / SIGNATURE).exists():
        raise UsageError(
            f"{bundle} is signed, and its signature would not be of what it becomes",
            remedy="give the --key too: it is signed again",
        )
    signer = None if key is None else _signer(key, password)
    with copied(bundle) as (staging, manifest):
        if bom:
            write_bom(staging, manifest)
        seal(staging, manifest)
        if signer is not None:
            signer.set_hashing_config(_hashing(staging)).sign(staging, staging / SIGNATURE)


def _signer(key: Path, password: str | None) -> Any:
    signing = _package().signing
    _require(key)
    secret = password.encode() if password else None  # which cryptography wants, and not text
    try:
        return signing.Config().use_elliptic_key_signer(private_key=key, password=secret)
    except _NO_KEY as error:
        raise UsageError(
            f"{key} is no private key that can be used: {_why(error)}",
            remedy="give a PEM file of an elliptic curve: openssl ecparam -name prime256v1 "
            "-genkey -noout -out key.pem; the password of an encrypted one is read from "
            "NETLOFT_KEY_PASSWORD",
        ) from error


def check_signature(bundle: Path, key: Path) -> str:
    """See that the holder of a key signed every file of a bundle as it is, and no other file.

    Args:
        bundle: Its folder.
        key: The public key, in PEM.

    Returns:
        A sentence that names the key.

    Raises:
        IntegrityError: There is no signature, or it does not hold.
        MissingError: model-signing is not installed.
        UsageError: The key cannot be read.
    """
    verifying = _package().verifying
    _require(key)
    signature = bundle / SIGNATURE
    if signature.is_symlink() or not signature.is_file():
        raise IntegrityError(
            f"{bundle} has no {SIGNATURE}", remedy=f"sign it with netloft sign {bundle} --key …"
        )
    try:
        config = verifying.Config().use_elliptic_key_verifier(public_key=key)
    except _NO_KEY as error:
        raise UsageError(
            f"{key} is no public key that can be used: {_why(error)}",
            remedy="give a PEM file: openssl ec -in key.pem -pubout -out public.pem",
        ) from error
    try:
        config.set_hashing_config(_hashing(bundle)).verify(bundle, signature)
    except Exception as error:  # of the package, of cryptography, and of protobuf
        raise IntegrityError(
            f"the signature of {bundle} does not hold for {key.name}: {_broken(error)}",
            remedy="fetch the bundle again, or ask who signed it for the right key",
        ) from error
    digest = hashlib.sha256(key.read_bytes()).hexdigest()
    return f"signed by the key in {key.name} (SHA-256 of the file: {digest[:16]}…)"


def _hashing(folder: Path) -> Any:
    hashing = _package().hashing
    signature = [folder / SIGNATURE]
    return hashing.Config().set_ignored_paths(paths=signature, ignore_git_paths=False)


def _why(error: Exception) -> str:
    is_other = isinstance(error, AttributeError)
    return "it is not of an elliptic curve" if is_other else first_line(error)


def _broken(error: Exception) -> str:
    """Say what is wrong with a signature; the package tells digests as Python writes bytes."""
    changed = re.search(r"Hash mismatch for '([^']{1,200})'", str(error))
    if changed:
        return f"{changed[1]} is not what was signed"
    if isinstance(error, ValueError) and "Expecting value" in str(error):
        return f"{SIGNATURE} is no signature"
    return first_line(error)[:200]


def _require(key: Path) -> None:
    if not key.is_file():
        problem = f"{key} is a folder" if key.is_dir() else f"there is no key {key}"
        raise UsageError(problem, remedy="name a PEM file")


def _package() -> Any:
    try:
        import model_signing
    except ImportError as error:
        raise MissingError(
            f"signatures need the package model-signing: {first_line(error)}",
            remedy=with_extra("sign"),
        ) from error
    return model_signing
