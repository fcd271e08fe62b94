"""Kernels are drawn where their work and their speed put them, under the roof of the machine."""

from __future__ import annotations

import json
import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from click.testing import CliRunner
from onnx import TensorProto, helper, numpy_helper

from netloft.cli import main
from netloft.errors import UsageError
from netloft.speed.peak import Peak
from netloft.speed.profile import ProfileRow
from netloft_diagrams.roofline import plot_roofline, render_roofline

PEAK = Peak(2, 100.0, 10.0)
SVG = "{http://www.w3.org/2000/svg}"


def row(
    name: str, kernel: str, ms: float, macs: int | None, moved: int, **more: object
) -> ProfileRow:
    gflops = None if macs is None else 2 * macs / ms / 1e6
    facts: dict[str, object] = {
        "target": "net", "provider": "cpu", "batch": 1, "threads": 2, "node": f"{name}/{kernel}",
        "value": name, "op": kernel, "module": name, "kernel": kernel, "ms": ms, "share": ms / 4,
        "macs": macs, "bytes": moved, "gflops": gflops, "gbs": moved / ms / 1e6, "limit_ms": ms / 2,
        "ran_on": "cpu", "precision": "float32", "limit_by": "bytes",
    }  # fmt: skip
    return ProfileRow(**{**facts, **more})  # type: ignore[arg-type]


ROWS = [
    row("conv", "Conv", 2.0, 80_000_000, 1_600_000),  # 80 GFLOP/s at 100 operations a byte
    row("fc", "Gemm", 1.0, 1_000_000, 2_000_000),  # 2 GFLOP/s at one
    row("relu", "Relu", 1.0, 0, 4_000_000),
]


def circles(svg: str) -> dict[str, ElementTree.Element]:
    found = ElementTree.fromstring(svg).iter(f"{SVG}circle")
    return {str(c.findtext(f"{SVG}title")).partition(":")[0]: c for c in found}


def test_dots_lie_where_work_and_speed_put_them() -> None:
    svg, height = render_roofline(ROWS, PEAK)
    dots = circles(svg)
    assert set(dots) == {"conv", "fc"}  # what only moves data has no place under the roof
    x, y = ({n: float(dot.attrib[a]) for n, dot in dots.items()} for a in ("cx", "cy"))
    line = ElementTree.fromstring(svg).find(f"{SVG}polyline")
    assert line is not None
    corners = [tuple(map(float, p.split(","))) for p in line.attrib["points"].split()]
    (_, _), (ridge, roof), (_, end) = corners
    assert roof == end  # 100 GFLOP/s, from ten operations a byte on
    decade = x["conv"] - ridge
    assert ridge - x["fc"] == pytest.approx(decade, abs=0.2)
    up = (y["fc"] - roof) / np.log10(50)
    assert y["conv"] - roof == pytest.approx(up * np.log10(1.25), abs=0.2)
    assert float(dots["conv"].attrib["r"]) > float(dots["fc"].attrib["r"])
    assert y["fc"] < height


def test_it_says_what_it_shows() -> None:
    svg, _ = render_roofline(ROWS, PEAK)
    words = " ".join(ElementTree.fromstring(svg).itertext())
    assert "100 GFLOP/s and 10 GB/s with 2 threads" in words
    assert "the rest takes 25%" in words
    assert "conv: Conv, 2 ms, 50%, 50% of the limit" in words
    assert "conv 50%" in words
    assert "net, batch 1" in words


def test_a_panel_for_each_file_and_batch() -> None:
    other = [row("conv", "Conv", 2.0, 80_000_000, 1_600_000, batch=8)]
    alien = [
        row("conv", "QLinearConv", 1.0, 80_000_000, 1_600_000, target="int8", precision="int8",
            limit_by="bytes alone"),
        row("conv", "Conv", 1.0, 80_000_000, 1_600_000, provider="cuda", limit_ms=None),
    ]  # fmt: skip
    svg, height = render_roofline([*ROWS, *alien, *other], PEAK)
    assert len(re.findall("<polyline", svg)) == 2
    assert height > render_roofline(ROWS, PEAK)[1]


def test_what_lies_above_the_roof_is_drawn_too() -> None:
    svg, _ = render_roofline([row("conv", "Conv", 1.0, 500_000_000, 1_600_000)], PEAK)
    (dot,) = circles(svg).values()
    line = ElementTree.fromstring(svg).find(f"{SVG}polyline")
    assert line is not None
    roof = float(line.attrib["points"].split(",")[-1])
    assert 46 < float(dot.attrib["cy"]) < roof  # inside of the panel


def test_names_are_text_and_nothing_else() -> None:
    evil = row('<script>alert("1")</script>', "Conv", 2.0, 80_000_000, 1_600_000)
    svg, _ = render_roofline([evil], PEAK)
    assert "<script" not in svg
    assert len(circles(svg)) == 1


@pytest.mark.parametrize("suffix", [".svg", ".png"])
def test_the_same_bytes_each_time(tmp_path: Path, suffix: str) -> None:
    files = [tmp_path / f"{n}{suffix}" for n in (1, 2)]
    for file in files:
        plot_roofline(ROWS, PEAK, file)
    assert files[0].read_bytes() == files[1].read_bytes()


def test_what_cannot_be_drawn(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="drawn as SVG or PNG"):
        plot_roofline(ROWS, PEAK, tmp_path / "roof.pdf")
    with pytest.raises(UsageError, match="nothing under the roof"):
        plot_roofline(ROWS[2:], PEAK, tmp_path / "roof.svg")


def test_on_the_command_line(tmp_path: Path) -> None:
    file, drawn = tmp_path / "net.onnx", tmp_path / "roof.svg"
    weights = np.random.default_rng(0).standard_normal((256, 256)).astype(np.float32)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"], name="fc/MatMul")],
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 256])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 256])],
        [numpy_helper.from_array(weights, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    file.write_bytes(model.SerializeToString())
    asked = [
        "bench",
        str(file),
        "--quick",
        "--provider",
        "cpu",
        "--batches",
        "64",
        "--threads",
        "1",
    ]
    alone = CliRunner().invoke(main, [*asked, "--roofline", str(drawn)])
    assert alone.exit_code == 2
    assert "add --profile" in alone.output
    result = CliRunner().invoke(main, [*asked, "--profile", "--json", "--roofline", str(drawn)])
    nodes = json.loads(result.stdout)["nodes"] if result.exit_code == 0 else []
    if nodes:  # on a busy machine the times may not add up, and then there are none
        assert set(circles(drawn.read_text())) == {"fc/MatMul"}
    else:
        assert result.exit_code == 3  # the code 1 is that of a broken limit
        assert not drawn.exists()
