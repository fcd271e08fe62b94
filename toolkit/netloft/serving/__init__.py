"""Served models, held to the test vectors of their bundle over the Open Inference Protocol v2."""

from __future__ import annotations

from netloft.serving.check import Served, verify_served
from netloft.serving.load import LoadRow

__all__ = ["LoadRow", "Served", "verify_served"]
