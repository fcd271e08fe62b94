"""What tests of speed have in common."""

from __future__ import annotations

import pytest

from netloft.speed.tune import _Tuning


@pytest.fixture
def usual_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave memory on usual pages: else eight processes are started for each batch."""
    monkeypatch.setattr(_Tuning, "_huge_pages", lambda *_: None)
