"""Rare inputs: flat, cut off, subnormal and not numbers."""
