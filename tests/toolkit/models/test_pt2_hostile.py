"""Archives that would run code: nothing of them may run, and the message says what was found."""

from __future__ import annotations

import contextlib
import io
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from tests.toolkit.models.pt2_archives import (
    CONSTANTS,
    PICTURE,
    PROGRAM,
    SAMPLES,
    WEIGHTS,
    Small,
    altered,
    bare_poison,
    code,
    graph,
    poison,
    save,
)

from netloft.cli import main
from netloft.errors import SpecError
from netloft.models import load_model
from netloft.models.pt2 import expressions, operators


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("good") / "good.pt2"
    return save(path, Small(), PICTURE, batch=torch.export.Dim("batch"))


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    return tmp_path / "marker"


def refusal(path: Path, marker: Path) -> str:
    """Return the message of a refusal, and see to it that nothing was run."""
    told = CliRunner().invoke(main, ["trace", str(path)])
    assert told.exit_code == 2, told.output
    assert "Traceback" not in told.output
    assert not marker.exists()
    return told.output


def torch_runs(path: Path, marker: Path, *, call: bool = False) -> bool:
    """Tell whether plain torch.export.load runs what the file holds."""
    with contextlib.suppress(Exception):
        program = torch.export.load(path)
        module = program.module()
        if call:
            module(PICTURE)
    ran = marker.exists()
    marker.unlink(missing_ok=True)
    return ran


def test_a_poisoned_sample_is_refused(good: Path, tmp_path: Path, marker: Path) -> None:
    path = altered(good, tmp_path / "net.pt2", {SAMPLES: poison(marker, tmp_path)})
    assert torch_runs(path, marker)
    message = refusal(path, marker)
    assert f"{SAMPLES} asks for posix.system" in message
    assert "nothing in it was run" in message
    assert "give --trust" in message


def test_trust_runs_it(good: Path, tmp_path: Path, marker: Path) -> None:
    path = altered(good, tmp_path / "net.pt2", {SAMPLES: poison(marker, tmp_path)})
    CliRunner().invoke(main, ["trace", str(path), "--trust"])
    assert marker.exists()


@pytest.mark.parametrize("entry", ["data/weights/model.pt", "data/constants/model.pt", SAMPLES])
def test_bare_pickles_are_refused(good: Path, tmp_path: Path, marker: Path, entry: str) -> None:
    path = altered(good, tmp_path / "net.pt2", {entry: bare_poison(marker)})
    assert f"{entry} " in refusal(path, marker)


@pytest.mark.parametrize("entry", ["data/weights/model.pt", "data/constants/model.pt"])
def test_poison_of_the_old_form_is_refused(
    good: Path, tmp_path: Path, marker: Path, entry: str
) -> None:
    path = altered(good, tmp_path / "net.pt2", {entry: poison(marker, tmp_path)})
    assert torch_runs(path, marker)
    assert f"{entry} asks for posix.system" in refusal(path, marker)


@pytest.mark.parametrize(
    ("config", "entry"),
    [(WEIGHTS, "data/weights/weight_0"), (CONSTANTS, "data/constants/tensor_0")],
)
def test_pickled_tensors_are_judged(
    good: Path, tmp_path: Path, marker: Path, config: str, entry: str
) -> None:
    def pickled(found: Any) -> None:
        next(iter(found["config"].values()))["use_pickle"] = True

    path = altered(good, tmp_path / "net.pt2", {config: pickled, entry: poison(marker, tmp_path)})
    assert torch_runs(path, marker)
    assert f"{entry} asks for posix.system" in refusal(path, marker)


@pytest.mark.parametrize("prefix", ["custom_obj_", "opaque_obj_"])
def test_objects_are_refused(good: Path, tmp_path: Path, marker: Path, prefix: str) -> None:
    def objects(found: Any) -> None:
        next(iter(found["config"].values())).update(path_name=f"{prefix}0", use_pickle=True)

    entry = f"data/constants/{prefix}0"
    path = altered(good, tmp_path / "net.pt2", {CONSTANTS: objects, entry: bare_poison(marker)})
    assert torch_runs(path, marker) == (prefix == "opaque_obj_")
    assert "only plain tensors are read" in refusal(path, marker)


def expression(text: str) -> Callable[[Any], None]:
    def put(program: Any) -> None:
        graph(program)["tensor_values"]["x"]["sizes"][0]["as_expr"]["expr_str"] = text

    return put


def test_code_in_an_expression_is_refused(good: Path, tmp_path: Path, marker: Path) -> None:
    path = altered(good, tmp_path / "net.pt2", {PROGRAM: expression(code(marker))})
    assert torch_runs(path, marker)
    assert "SymExpr.expr_str in models/model.json holds" in refusal(path, marker)


def test_code_in_a_guard_is_left_out(good: Path, tmp_path: Path, marker: Path) -> None:
    def guarded(program: Any) -> None:
        program["guards_code"] = [code(marker)]

    path = altered(good, tmp_path / "net.pt2", {PROGRAM: guarded})
    assert torch_runs(path, marker, call=True)
    # its conditions are not known, so that it holds for the batch of the example
    assert "the program has conditions on its lengths" in refusal(path, marker)


def operator(target: str, text: str) -> Callable[[Any], None]:
    def put(program: Any) -> None:
        node = {
            "target": target,
            "inputs": [{"name": "", "arg": {"as_string": text}, "kind": 1}],
            "outputs": [{"as_none": True}],
            "metadata": {},
            "name": "odd",
        }
        graph(program)["nodes"].append(node)
        program["verifiers"] = []

    return put


@pytest.mark.parametrize(
    "target",
    ["torch.os.system", "torch.ops.load_library", "torch.ops.mine.op.default", "torch.hub.load",
     "torch.ops.aten.save.default", "torch.ops.aten.from_file.default", "#mine:op",
     "torch.ops.prim.RaiseException.default", "_operator.methodcaller", "builtins.eval"],
)  # fmt: skip
def test_foreign_operators_are_refused(
    good: Path, tmp_path: Path, marker: Path, target: str
) -> None:
    path = altered(good, tmp_path / "net.pt2", {PROGRAM: operator(target, f"touch {marker}")})
    assert f"Node.target in models/model.json calls {target}" in refusal(path, marker)


@pytest.mark.parametrize("name", ["a'b", 'a"b', "a\nb", "a b", "a;b", "", "import os", "é"])
@pytest.mark.parametrize("field", ["node", "input", "argument"])
def test_names_that_could_be_code_are_refused(
    good: Path, tmp_path: Path, marker: Path, name: str, field: str
) -> None:
    def named(program: Any) -> None:
        if field == "node":
            graph(program)["nodes"][0]["name"] = name
        elif field == "input":
            graph(program)["inputs"][-1]["as_tensor"]["name"] = name
        else:
            module = program["graph_module"]["module_call_graph"][0]
            module["signature"]["forward_arg_names"] = [name]

    path = altered(good, tmp_path / "net.pt2", {PROGRAM: named})
    assert "which is not a plain name" in refusal(path, marker)


def test_code_in_the_name_of_an_argument_is_refused(
    good: Path, tmp_path: Path, marker: Path
) -> None:
    def named(program: Any) -> None:
        module = program["graph_module"]["module_call_graph"][0]
        module["signature"]["forward_arg_names"] = [f"x={code(marker)}"]

    path = altered(good, tmp_path / "net.pt2", {PROGRAM: named})
    assert "ModuleCallSignature.forward_arg_names in models/model.json is" in refusal(path, marker)


def test_a_module_named_by_a_treespec_is_not_imported(
    good: Path, tmp_path: Path, marker: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "netloft_hostile.py").write_text(f"import os; os.system('touch {marker}')")
    monkeypatch.syspath_prepend(tmp_path)

    def nested(program: Any) -> None:
        call = program["graph_module"]["module_call_graph"][0]["signature"]
        enum = '{\\"__enum__\\": 1, \\"fqn\\": \\"netloft_hostile:A\\", \\"name\\": \\"B\\"}'
        call["out_spec"] = (
            f'[1, {{"type": "builtins.tuple", "context": "{enum}", "children_spec": []}}]'
        )

    path = altered(good, tmp_path / "net.pt2", {PROGRAM: nested})
    assert torch_runs(path, marker)
    assert "tensors may lie in tuples, lists and dicts" in refusal(path, marker)


def test_compiled_code_is_refused(good: Path, tmp_path: Path, marker: Path) -> None:
    path = altered(good, tmp_path / "net.pt2", {"data/aotinductor/model/a.so": b"\x7fELF"})
    assert "data/aotinductor/model/a.so is compiled code" in refusal(path, marker)


def test_a_tensor_that_claims_more_is_refused(good: Path, tmp_path: Path, marker: Path) -> None:
    def claims(found: Any) -> None:
        meta = found["config"]["conv.weight"]["tensor_meta"]
        meta["sizes"][0]["as_int"] = 2**40
        meta["strides"] = [{"as_int": 0}] * 4

    path = altered(good, tmp_path / "net.pt2", {WEIGHTS: claims})
    assert "claims a far larger tensor" in refusal(path, marker)


def test_a_field_of_another_type_is_refused(good: Path, tmp_path: Path, marker: Path) -> None:
    def odd(program: Any) -> None:
        graph(program)["is_single_tensor_return"] = "yes"

    path = altered(good, tmp_path / "net.pt2", {PROGRAM: odd})
    assert "is 'yes', which is not a bool" in refusal(path, marker)


def test_json_that_is_nested_without_end_is_refused(
    good: Path, tmp_path: Path, marker: Path
) -> None:
    path = altered(good, tmp_path / "net.pt2", {PROGRAM: b"[" * 10**6})
    assert "models/model.json is not JSON" in refusal(path, marker)


def zipped(path: Path, entries: list[tuple[str, bytes]], **options: Any) -> Path:
    with zipfile.ZipFile(path, "w", **options) as archive:
        for name, content in entries:
            archive.writestr(name, content)
    return path


@pytest.mark.parametrize(
    "name", ["../out", "a/../../out", "/etc/passwd", "a\\b", "a//b", "a/./b", "top", "a/\x01"]
)
def test_names_that_leave_the_archive_are_refused(tmp_path: Path, marker: Path, name: str) -> None:
    path = zipped(tmp_path / "net.pt2", [("a/archive_format", b"pt2"), (name, b"x")])
    assert "an entry is called" in refusal(path, marker)


def test_a_bomb_is_refused(tmp_path: Path, marker: Path) -> None:
    entries = [("a/archive_format", b"pt2"), ("a/models/model.json", bytes(2**27))]
    path = zipped(tmp_path / "net.pt2", entries, compression=zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 2**20
    assert "is compressed, which torch never does" in refusal(path, marker)


def test_entries_that_overlap_are_refused(tmp_path: Path, marker: Path) -> None:
    path = tmp_path / "net.pt2"
    with zipfile.ZipFile(path, "w") as archive:
        for name in "bcde":
            archive.writestr(f"a/{name}", bytes(2**16) if name == "b" else b"x")
        first, *others = archive.filelist
        for info in others:  # as a bomb does: many names for the same bytes
            info.header_offset, info.CRC = first.header_offset, first.CRC
            info.file_size = info.compress_size = first.file_size
    assert "its entries claim more bytes than the file has" in refusal(path, marker)


def test_two_entries_of_one_name_are_refused(tmp_path: Path, marker: Path) -> None:
    with pytest.warns(UserWarning, match="Duplicate name"):
        path = zipped(tmp_path / "net.pt2", [("a/b", b"1"), ("a/b", b"2")])
    assert "it has two entries called a/b" in refusal(path, marker)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda data: b"", "it is empty"),
        (lambda data: b"no zip at all", "File is not a zip file"),
        (lambda data: data[: len(data) // 2], "File is not a zip file"),
        (lambda data: data.replace(b'"graph_module"', b'"graph_modulE"'), "Bad CRC-32"),
    ],
)
def test_damage_is_told(good: Path, tmp_path: Path, marker: Path, change: Any, why: str) -> None:
    path = tmp_path / "net.pt2"
    path.write_bytes(change(good.read_bytes()))
    assert why in refusal(path, marker)
    with pytest.raises(SpecError):
        load_model(str(path), trust=True)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"archive_format": b"other"}, "its archive_format is not pt2"),
        ({"archive_version": b"77"}, "its archive_version is '77', and 0 is known"),
        ({"byteorder": b"big"}, "its byte order is b'big'"),
        ({PROGRAM: lambda p: p["schema_version"].update(major=99)}, "its schema is version 99"),
    ],
)
def test_other_formats_are_told(
    good: Path, tmp_path: Path, marker: Path, changes: Any, why: str
) -> None:
    assert why in refusal(altered(good, tmp_path / "net.pt2", changes), marker)


def test_what_is_no_file_is_told(tmp_path: Path, marker: Path) -> None:
    assert "does not exist" in refusal(tmp_path / "none.pt2", marker)
    (tmp_path / "folder.pt2").mkdir()
    assert "is a folder" in refusal(tmp_path / "folder.pt2", marker)
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.pt2")
        assert "does not exist" in refusal(tmp_path / "pipe.pt2", marker)


def test_torch_gets_none_of_the_bytes(good: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It reads an archive that was written anew, and an extra file is not in that."""
    from torch.export.pt2_archive import _package

    seen: list[set[str]] = []
    load = _package.load_pt2

    def watched(source: io.BytesIO) -> Any:
        with zipfile.ZipFile(source) as archive:
            seen.append({name.partition("/")[2] for name in archive.namelist()})
        source.seek(0)
        return load(source)

    monkeypatch.setattr(_package, "load_pt2", watched)
    path = altered(good, good.parent / "extra.pt2", {"extra/notes.txt": b"hello"})
    load_model(str(path))
    assert not any(name.startswith("extra") for name in seen[0])


@pytest.mark.parametrize(
    "text",
    ["s0", "2*s0 + 1", "(s0 - 1)//2", "Max(1, s0)", "Mod(s0, 4)", "s0**2", "Eq(s0, 3)", "s0 < 4",
     "Symbol('s77', positive=True, integer=True)", "Mul(Integer(2), Symbol('s17', integer=True))",
     "Pow(Symbol('s0'), Integer(-1))", "FloorDiv(s0, 2)"],
)  # fmt: skip
def test_arithmetic_on_lengths_is_taken(text: str) -> None:
    assert expressions.fault(text) == ""


@pytest.mark.parametrize(
    "text",
    ["__import__('os')", "().__class__", "s0.real", "lambda: s0", "[s0]", "s0[0]", "exec", "'s0'",
     "Symbol('a b')", "Symbol('s0', commutative=False)", "Symbol()", "Max(*[1])", "Max(a=1)",
     "9**9**9", "9**99999", "s0**s1", "PowByNatural(9, 99999)", "Pow(Pow(9, 64), 64)", "", "1 +",
     "(" * 500 + "s0" + ")" * 500, "s0 if s0 else s1", "f'{s0}'", "s0\n", "sympify('s0')",
     "99999999999999999999"],
)  # fmt: skip
def test_other_expressions_are_not(text: str) -> None:
    assert expressions.fault(text)


@pytest.mark.parametrize(
    "target",
    ["torch.ops.aten.conv2d.default", "torch.ops.aten.mean.dim", "torch.ops.aten.sym_size.int",
     "_operator.mul", "torch.ops.higher_order.cond", "torch.ops.aten._softmax.default"],
)  # fmt: skip
def test_operators_of_torch_are_taken(target: str) -> None:
    assert operators.fault(target) == ""
