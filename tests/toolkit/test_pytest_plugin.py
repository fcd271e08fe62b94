"""Bundles are tests of pytest's, and tests can run a bundle."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import netloft
from netloft.runtime.manifest import sealed

pytest_plugins = ["pytester"]


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("bundles") / "mnist"
    module = netloft.load("mnist")
    import torch

    netloft.export(module, (torch.zeros(2, 1, 28, 28),), out, providers=["cpu"], quick=True)
    return out


@pytest.fixture
def bundle(exported: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(exported, tmp_path / "net"))


def run(pytester: pytest.Pytester, *arguments: str | Path) -> pytest.RunResult:
    plain = ["-p", "netloft.pytest_plugin", "-p", "no:cacheprovider", "-p", "no:xdist"]
    return pytester.runpytest_subprocess(*plain, "--netloft-provider", "cpu", *arguments)


def test_a_bundle_is_a_test(pytester: pytest.Pytester, bundle: Path) -> None:
    budget = ["--netloft-budget", "p50_ms=10000,batch=2"]
    result = run(pytester, "-v", "--netloft-bundle", bundle, *budget)
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["*net*verify*PASSED*", "*net*budget*PASSED*"])


def test_a_bundle_that_was_changed_fails_in_one_sentence(
    pytester: pytest.Pytester, bundle: Path
) -> None:
    (bundle / "report.json").write_text("{}")
    result = run(pytester, "--netloft-bundle", bundle)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["report.json was changed after the export", "*remedy:*"])
    result.stdout.no_fnmatch_line("*Traceback*")


def test_a_file_that_computes_another_function_fails(
    pytester: pytest.Pytester, bundle: Path
) -> None:
    manifest = json.loads((bundle / "manifest.json").read_bytes())
    manifest["tolerances"] = dict.fromkeys(manifest["tolerances"], 0)
    (bundle / "manifest.json").write_bytes(sealed(manifest))
    result = run(pytester, "--netloft-bundle", bundle)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*computes another function: 1 of 1 comparisons fail*"])


def test_a_budget_that_is_broken_fails(pytester: pytest.Pytester, bundle: Path) -> None:
    budget = ["--netloft-budget", "p50_ms=0.000001,batch=1"]
    result = run(pytester, "--netloft-bundle", bundle, *budget)
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*in netloft, as deployed*: p50_ms <= 1e-06*broken*"])
    result = run(pytester, "--netloft-bundle", bundle, *budget, "--netloft-engine", "onnxruntime")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*in ONNX Runtime on cpu*: p50_ms <= 1e-06*broken*"])


def test_tests_run_the_bundle(pytester: pytest.Pytester, bundle: Path) -> None:
    pytester.makepyfile(
        "import numpy as np\n"
        "def test_shape(netloft_net):\n"
        "    x = np.zeros((3, 1, 28, 28), np.float32)\n"
        "    (name,) = [t.name for t in netloft_net.inputs]\n"
        "    (y,) = netloft_net.run({name: x}).values()\n"
        "    assert y.shape == (3, 10)\n"
    )
    run(pytester, "--netloft-bundle", bundle).assert_outcomes(passed=2)
    run(pytester).assert_outcomes(skipped=1)
