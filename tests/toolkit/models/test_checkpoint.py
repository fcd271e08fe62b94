from __future__ import annotations

import os
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from netloft.errors import CheckpointError
from netloft.models.checkpoint import read_state_dict

BUDGET = 2**24
AGAIN = (
    "fetch or write the file again; it is a .safetensors file, or one that "
    "torch.save(module.state_dict()) wrote"
)


class Evil:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.marker}",)


def refused(path: Path, budget: int = BUDGET) -> CheckpointError:
    with pytest.raises(CheckpointError) as caught:
        read_state_dict(path, budget)
    return caught.value


@pytest.fixture
def state() -> dict[str, torch.Tensor]:
    return {"weight": torch.arange(4096.0), "bias": torch.ones(3)}


@pytest.mark.parametrize("wrapper", ["", "state_dict", "model"])
@pytest.mark.parametrize("zipped", [True, False])
def test_reads_what_torch_save_writes(
    tmp_path: Path, state: dict[str, torch.Tensor], wrapper: str, zipped: bool
) -> None:
    path = tmp_path / "net.pth"
    whole = {wrapper: state, "epoch": 3} if wrapper else state
    torch.save(whole, path, _use_new_zipfile_serialization=zipped)
    found = read_state_dict(path, BUDGET)
    assert list(found) == ["weight", "bias"]
    assert torch.equal(found["weight"], state["weight"])


def test_reads_safetensors(tmp_path: Path, state: dict[str, torch.Tensor]) -> None:
    path = tmp_path / "net.safetensors"
    save_file(state, path)
    assert torch.equal(read_state_dict(path, BUDGET)["weight"], state["weight"])


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("forced", [True, False])
def test_pickled_code_is_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, zipped: bool, forced: bool
) -> None:
    if forced:
        monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    path, marker = tmp_path / "evil.pth", tmp_path / "marker"
    torch.save({"weight": Evil(marker)}, path, _use_new_zipfile_serialization=zipped)
    assert str(refused(path)) == (
        "weights file evil.pth holds Python code (posix.system) and was refused; nothing in it "
        "was run\n  remedy: save the weights alone: torch.save(module.state_dict(), file), or a "
        ".safetensors file"
    )
    assert not marker.exists()


def test_a_whole_module_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "module.pt"
    torch.save(torch.nn.Linear(2, 2), path)
    assert "holds Python code (torch.nn.modules.linear.Linear)" in refused(path).problem


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("keep", [0, 1, 8, 60, 4000])
def test_a_truncated_file_is_refused(
    tmp_path: Path, state: dict[str, torch.Tensor], suffix: str, keep: int
) -> None:
    path = tmp_path / f"cut{suffix}"
    save_file(state, path) if suffix == ".safetensors" else torch.save(state, path)
    path.write_bytes(path.read_bytes()[:keep])
    error = refused(path)
    assert error.problem.startswith(f"weights file cut{suffix} is damaged or not a weights file: ")
    assert error.remedy == AGAIN


@pytest.mark.parametrize("name", ["noise.pth", "noise.safetensors"])
def test_noise_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(bytes(range(7, 256)) * 20)
    assert refused(path).remedy == AGAIN


def test_a_flipped_bit_is_refused(tmp_path: Path, state: dict[str, torch.Tensor]) -> None:
    path = tmp_path / "flip.pth"
    torch.save(state, path)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    assert refused(path).problem == (
        "weights file flip.pth is damaged or not a weights file: "
        "the checksum of flip/data/0 does not hold"
    )


def test_a_compressed_archive_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bomb.pth"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb/data.pkl", b"\0" * 2**24)
    assert "its entries are compressed, which torch.save never does" in refused(path).problem


def test_a_torchscript_archive_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "script.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("script/constants.pkl", b"")
    assert refused(path).problem == (
        "weights file script.pt is a TorchScript archive, which holds code"
    )


def test_an_expanded_tensor_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "wide.pth"
    torch.save({"weight": torch.zeros(1).expand(10**9)}, path)
    error = refused(path)
    assert "claims that 'weight' has 4,000,000,000 bytes" in error.problem


def test_a_tensor_larger_than_its_storage_is_refused(tmp_path: Path) -> None:
    class Claims:
        def __reduce__(self) -> tuple[Any, ...]:
            storage = torch.zeros(4)._typed_storage()  # type: ignore[no-untyped-call]
            return torch._utils._rebuild_tensor_v2, (
                storage, 0, (10**9,), (1,), False, OrderedDict(),
            )  # fmt: skip

    path = tmp_path / "claims.pth"
    torch.save({"weight": Claims()}, path)
    assert "is damaged or not a weights file" in refused(path).problem


def test_a_file_over_the_budget_is_not_opened(tmp_path: Path) -> None:
    path = tmp_path / "large.pth"
    with path.open("wb") as file:
        file.truncate(2**24 + 1)  # sparse
    assert str(refused(path)) == (
        "weights file large.pth has 16 MiB, and this model's weights are at most 16 MiB with all "
        "that a checkpoint may hold beside them\n"
        "  remedy: give the file that belongs to this model, with nothing but its state dict"
    )


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ([1, 2], "weights file other.pth holds a list, not a dict of tensors"),
        ({}, "weights file other.pth holds no tensors"),
        ({"lr": 0.1}, "weights file other.pth holds 'lr', which is no tensor"),
    ],
)
def test_other_contents_are_refused(tmp_path: Path, value: object, problem: str) -> None:
    path = tmp_path / "other.pth"
    torch.save(value, path)
    assert refused(path).problem == problem


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    assert refused(tmp_path / "nix.pth").problem.endswith("nix.pth does not exist")
    assert refused(tmp_path).problem.endswith("is a folder")
