"""A plugin for a run that was asked for a server by name: there a skipped test is a failed one.

A run in which the server's tests are skipped proves nothing, and would pass.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TypeVar

import pytest

_Report = TypeVar("_Report", pytest.TestReport, pytest.CollectReport)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Judge a test, its setup and its end."""
    return _judged((yield))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Judge a module, which is skipped as a whole where a package is missing."""
    return _judged((yield))


def _judged(report: _Report) -> _Report:
    if report.outcome == "skipped" and not hasattr(report, "wasxfail"):
        why = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longreprtext
        report.outcome = "failed"
        report.longrepr = f"{why}; and so this run proves nothing"
    return report
