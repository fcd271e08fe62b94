"""Rare inputs: flat, cut off, subnormal and not numbers, and how far rounding goes on them."""
