"""What may be asked of a verification, and of what."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from netloft.bundle.vectors import check_keep
from netloft.defaults import LEAST_BUDGET
from netloft.errors import UsageError

__all__ = [
    "check_comparable",
    "check_doubts",
    "check_search",
    "check_use",
]

_OF_A_MODULE = ("layers", "stress", "search", "data", "domain")


def check_use(path: Path, against: object, wanted: Sequence[str], *, mutate: int) -> None:
    """Refuse what needs a module, or anything to compare with, where there is none.

    Args:
        path: The bundle or the file.
        against: The module, the path of another file, or None.
        wanted: What is asked for beside the outputs: `layers`, `stress`, `search`, `data`,
            `domain`.
        mutate: Faults of each kind to plant.

    Raises:
        UsageError: Names what is asked for, and what it needs.
    """
    if wanted and against is None:
        raise UsageError(
            f"{' and '.join(wanted)}: that is compared with a module", remedy="give against=module"
        )
    of_module = [what for what in wanted if what in _OF_A_MODULE]
    if of_module and isinstance(against, Path):
        raise UsageError(
            f"{' and '.join(of_module)}: that is compared with a module, and not with another file",
            remedy=f"netloft diff {path} {against} says what differs in the files",
        )
    if mutate and against is None and not os.path.isdir(path):
        raise UsageError(
            "a lone .onnx file has nothing to find a planted fault with",
            remedy="name the MODEL that it came from with --against, or verify a bundle",
        )


def check_doubts(
    path: Path, against: object, *, runtimes: bool, second_opinion: Sequence[str]
) -> None:
    """Refuse other settings and other implementations where nothing is known of the results.

    Raises:
        UsageError: The target is a lone file.
        MissingError: Another implementation is not installed.
    """
    if not runtimes and not second_opinion:
        return
    if against is None and not os.path.isdir(path):
        raise UsageError(
            "nothing is known of what a lone .onnx file should give",
            remedy="name the MODEL or the file to compare with by --against, or verify a bundle",
        )
    from netloft.parity.rerun.second_opinion import require

    require(second_opinion)


def check_comparable(manifest: Mapping[str, Any], against: object) -> None:
    """Refuse to hold a file of another precision against the noise of float32.

    Raises:
        UsageError: The bundle is such a one.
    """
    precision = manifest.get("precision", "fp32")
    if against is not None and precision != "fp32":
        raise UsageError(
            f"the bundle is {precision}, whose rounding is no error that float32's noise could "
            "measure",
            remedy="leave the module out: the bundle is verified on its own test vectors"
            + (", or search an int8 bundle for its worst input" if precision == "int8" else ""),
        )


def check_search(budget: int, keep: str | Path | None) -> None:
    """Refuse what cannot be searched for or kept, before any work.

    Raises:
        UsageError: The budget is too small, or there is no search to keep an input of.
        OutputError: The folder to keep it in is not ours to write.
    """
    if not budget:
        raise UsageError(
            "only a search finds an input that could be kept", remedy="ask for --search too"
        )
    if budget < LEAST_BUDGET:
        raise UsageError(
            f"a search of {budget} inputs hardly gets beyond those that it starts from",
            remedy=f"give {LEAST_BUDGET} or more",
        )
    if keep is not None:
        check_keep(Path(keep))
