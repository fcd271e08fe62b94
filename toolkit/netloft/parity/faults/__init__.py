"""Faults planted in a file on purpose: how many a check finds is what the check is worth."""
