"""What a search for the worst input found, in the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

__all__ = ["print_search"]


def print_search(search: Mapping[str, Any]) -> None:
    """Print how bad the worst input is beside those that are fixed, and what it does to classes.

    Args:
        search: As in `--json`.
    """
    unit = " dB" if search["measure"] == "sqnr_db" else ""
    what = "least signal to noise" if unit else "largest error over the noise floor"
    known = [("noise", "noise"), ("usual inputs", "usual"), ("stress set", "stress")]
    told = [f"{name} {search[key]:.3g}{unit}" for name, key in known if key in search]
    moves = ", ".join(search["moves"])
    click.echo(f"search: {what} on {search['provider']}: {', '.join(told)}, "
               f"found {search['worst']:.3g}{unit}")  # fmt: skip
    click.echo(f"  {search['evaluations']} evaluations, {search['gradients']} gradients, "
               f"seed {search['seed']}")  # fmt: skip
    box = "; ".join(
        f"{name} {low:.4g} to {high:.4g}" for name, (low, high) in search["box"].items()
    )
    click.echo(f"  box: {box}")
    click.echo(f"  the worst is made of {search['start']}" + (f": {moves}" if moves else ""))
    click.echo(f"  {_flip(search['flip'])}")
    if search["kept"]:
        click.echo(f"  kept in {search['kept']}")


def _flip(flip: Mapping[str, Any] | None) -> str:
    if flip is None:
        return "no other first class was found"
    floor, too = "", ""
    if flip["noise_floor"] is not None:
        floor = f", where the noise floor is {flip['noise_floor']:.2g}"
    if flip["pytorch_too"]:
        too = "; PyTorch's float32 gives another one than float64 there too"
    return (
        f"first class of '{flip['output']}': {flip['file_class']} instead of "
        f"{flip['module_class']}, by a margin of {flip['margin']:.2g} of the largest "
        f"score{floor}{too}"
    )
