"""Who made a bundle, and what it is made of."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from netloft.bundle.bom import BOM
from netloft.bundle.signature import check_signature
from netloft.cli import main
from netloft.errors import IntegrityError
from netloft.runtime import load
from netloft.runtime.integrity import SIGNATURE
from netloft.runtime.manifest import sealed


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [os.fspath(each) for each in arguments])


def write_key(folder: Path, name: str, password: bytes | None = None) -> tuple[Path, Path]:
    """Write a key pair: the private key and the public one."""
    locked = (
        serialization.BestAvailableEncryption(password)
        if password
        else serialization.NoEncryption()
    )
    return write_pair(folder, name, ec.generate_private_key(ec.SECP256R1()), locked)


def write_pair(folder: Path, name: str, key: Any, locked: Any) -> tuple[Path, Path]:
    private, public = folder / f"{name}.pem", folder / f"{name}.pub"
    form = serialization.PrivateFormat.PKCS8
    private.write_bytes(key.private_bytes(serialization.Encoding.PEM, form, locked))
    form_ = serialization.PublicFormat.SubjectPublicKeyInfo
    public.write_bytes(key.public_key().public_bytes(serialization.Encoding.PEM, form_))
    return private, public


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("bundles") / "mnist"
    done = run("export", "mnist", "-o", out, "--quick", "--quiet", "--provider", "cpu")
    assert done.exit_code == 0, done.output
    return out


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return write_key(tmp_path_factory.mktemp("keys"), "mine")


@pytest.fixture(scope="module")
def signed(
    exported: Path, keys: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    bundle = Path(shutil.copytree(exported, tmp_path_factory.mktemp("signed") / "mnist"))
    result = run("sign", bundle, "--bom", "--key", keys[0])
    assert result.exit_code == 0, result.output
    assert result.stdout == f"{bundle / BOM}\n{bundle / SIGNATURE}\n"
    return bundle


@pytest.fixture
def bundle(signed: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(signed, tmp_path / "mnist"))


def test_a_signed_bundle_is_verified_and_runs(bundle: Path, keys: tuple[Path, Path]) -> None:
    result = run("verify", bundle, "--signed-by", keys[1], "--provider", "cpu")
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("signed by the key in mine.pub (SHA-256 of the file: ")
    assert load(bundle).name == "mnist"


def test_the_tool_of_the_format_reads_it_too(bundle: Path, keys: tuple[Path, Path]) -> None:
    given = {"--signature": bundle / SIGNATURE, "--public_key": keys[1]}
    command = [sys.executable, "-m", "model_signing", "verify", "key", os.fspath(bundle)]
    for option, path in given.items():
        command += [option, os.fspath(path)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize("name", ["model.onnx", "manifest.json", BOM, "test_data_set_0/input_0.pb"])
def test_a_file_that_was_changed_is_told(bundle: Path, keys: tuple[Path, Path], name: str) -> None:
    content = bytearray((bundle / name).read_bytes())
    content[len(content) // 2] ^= 1
    (bundle / name).write_bytes(content)
    result = run("verify", bundle, "--signed-by", keys[1], "--provider", "cpu")
    assert result.exit_code == 1
    assert "does not hold for mine.pub" in result.stderr
    assert name in result.stderr


def test_who_seals_a_changed_bundle_again_has_not_signed_it(
    bundle: Path, keys: tuple[Path, Path]
) -> None:
    manifest = json.loads((bundle / "manifest.json").read_bytes())
    (bundle / "manifest.json").write_bytes(sealed(manifest | {"name": "other"}))
    assert run("verify", bundle, "--provider", "cpu").exit_code == 0
    with pytest.raises(IntegrityError, match=r"manifest\.json"):
        check_signature(bundle, keys[1])


@pytest.mark.parametrize("change", ["extra", "missing"])
def test_files_that_came_or_went_are_told(
    bundle: Path, keys: tuple[Path, Path], change: str
) -> None:
    name = "report.html" if change == "missing" else "extra.py"
    (bundle / name).unlink() if change == "missing" else (bundle / name).write_text("x")
    with pytest.raises(IntegrityError, match=name.replace(".", r"\.")):
        check_signature(bundle, keys[1])


def test_the_key_of_somebody_else(bundle: Path, tmp_path: Path) -> None:
    _, other = write_key(tmp_path, "other")
    result = run("verify", bundle, "--signed-by", other, "--provider", "cpu")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "does not hold for other.pub" in result.stderr


def test_a_key_with_a_password(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    private, public = write_key(tmp_path, "locked", b"secret")
    assert run("sign", bundle, "--key", private).exit_code == 2
    monkeypatch.setenv("NETLOFT_KEY_PASSWORD", "secret")
    assert run("sign", bundle, "--key", private, "--quiet").output == ""
    assert check_signature(bundle, public).startswith("signed by the key in locked.pub")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "nothing to do"),
        (["--key", "absent.pem"], "there is no key absent.pem"),
        (["--key", "."], ". is a folder"),
        (["--key", "manifest.json"], "is no private key that can be used"),
        (["--bom", "--key", "manifest.json"], "is no private key that can be used"),
    ],
)
def test_mistakes(
    bundle: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], said: str
) -> None:
    monkeypatch.chdir(bundle)
    before = sorted(os.listdir(bundle))
    assert SIGNATURE in before
    result = run("sign", bundle, *arguments)
    assert result.exit_code == 2
    assert said in result.stderr
    assert sorted(os.listdir(bundle)) == before


def test_what_is_no_bundle_is_not_signed(bundle: Path, keys: tuple[Path, Path]) -> None:
    shutil.move(bundle / "test_data_set_0", bundle.parent / "away")
    (bundle / "test_data_set_0").symlink_to(bundle.parent / "away")
    result = run("sign", bundle, "--key", keys[0])
    assert result.exit_code != 0
    assert (bundle / "test_data_set_0").is_symlink()


def test_a_bundle_that_is_not_signed(exported: Path, keys: tuple[Path, Path]) -> None:
    result = run("verify", exported, "--signed-by", keys[1], "--provider", "cpu")
    assert result.exit_code == 1
    assert f"has no {SIGNATURE}" in result.stderr


def test_a_lone_file_cannot_be_signed(exported: Path, keys: tuple[Path, Path]) -> None:
    result = run("verify", exported / "model.onnx", "--signed-by", keys[1], "--provider", "cpu")
    assert result.exit_code == 2
    assert "is no bundle, and bundles are signed" in result.stderr


def test_a_signature_is_not_dropped_without_a_word(bundle: Path, keys: tuple[Path, Path]) -> None:
    result = run("sign", bundle, "--bom")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "is signed, and its signature would not be of what it becomes" in result.stderr
    assert (bundle / SIGNATURE).exists()
    assert run("sign", bundle, "--bom", "--key", keys[0]).exit_code == 0
    check_signature(bundle, keys[1])


@pytest.mark.parametrize("kind", ["rsa", "ed25519"])
def test_keys_of_another_kind(bundle: Path, tmp_path: Path, kind: str) -> None:
    key = (
        rsa.generate_private_key(public_exponent=65537, key_size=2048)
        if kind == "rsa"
        else ed25519.Ed25519PrivateKey.generate()
    )
    private, public = write_pair(tmp_path, kind, key, serialization.NoEncryption())
    signed = run("sign", bundle, "--key", private, "--json")
    checked = run("verify", bundle, "--signed-by", public, "--provider", "cpu")
    for result, what in ((signed, "private"), (checked, "public")):
        assert result.exit_code == 2, result.output
        assert f"is no {what} key that can be used" in result.stderr
    assert json.loads(signed.stdout)["exit_code"] == 2


def test_an_export_may_take_the_place_of_a_signed_bundle(bundle: Path) -> None:
    again = run("export", "mnist", "-o", bundle, "--quick", "--quiet", "--provider", "cpu")
    assert again.exit_code == 0, again.output
    assert not (bundle / SIGNATURE).exists()


def test_without_the_package_it_is_named(
    bundle: Path, keys: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "model_signing", None)
    result = run("sign", bundle, "--key", keys[0])
    assert result.exit_code == 3
    assert "remedy: pip install 'netloft[sign]'" in result.stderr


def test_the_bill_of_materials_is_cyclonedx(signed: Path) -> None:
    text = (signed / BOM).read_text("utf-8")
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    found = json.loads(text)
    model = found["metadata"]["component"]
    manifest = json.loads((signed / "manifest.json").read_bytes())
    assert model["hashes"][0]["content"] == manifest["files"]["model.onnx"]["sha256"]
    assert model["modelCard"]["modelParameters"]["inputs"] == [
        {"format": "input: float32[batch, 1, 28, 28]"}
    ]
    assert {"netloft", "torch", "onnx"} <= {each["name"] for each in found["components"]}
    assert BOM in manifest["files"]


def test_the_same_bundle_has_the_same_bill(signed: Path, exported: Path, tmp_path: Path) -> None:
    again = Path(shutil.copytree(exported, tmp_path / "again"))
    assert run("sign", again, "--bom", "--quiet").exit_code == 0
    assert (again / BOM).read_bytes() == (signed / BOM).read_bytes()
