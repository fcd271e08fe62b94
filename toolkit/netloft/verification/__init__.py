"""Is a bundle or an ONNX file what it should be: integrity, structure, and the same results."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from netloft.errors import UsageError
from netloft.runtime.manifest import steady
from netloft.runtime.providers import available
from netloft.runtime.trial import DEFAULT_LIMITS, Child, Limits, try_out
from netloft.verification.found import Verification
from netloft.verification.use import check_doubts, check_search, check_use
from netloft.verification.work import Work

if TYPE_CHECKING:
    import torch
    from torch import nn

    from netloft.parity.inputs import Case, DomainInputs


__all__ = ["Verification", "verify"]


def verify(
    target: str | Path,
    *,
    providers: Sequence[str] = (),
    against: nn.Module | str | Path | None = None,
    example_inputs: tuple[torch.Tensor, ...] | Mapping[str, torch.Tensor] | None = None,
    threads: int | None = None,
    layers: bool = False,
    stress: bool = False,
    search: int = 0,
    seed: int = 0,
    keep: str | Path | None = None,
    mutate: int = 0,
    data: Callable[[str | int], Iterable[Case]] | None = None,
    runtimes: bool = False,
    second_opinion: Sequence[str] = (),
    domain: DomainInputs | None = None,
    signed_by: str | Path | None = None,
    limits: Limits = DEFAULT_LIMITS,
    progress: Callable[[str], None] = lambda _: None,
) -> Verification:
    """Verify a bundle on its own test vectors, or an ONNX file against a module.

    A bundle needs no torch: its files are hashed, the model is checked, and it is run on the test
    vectors, whose outputs came from the source module.

    Args:
        target: A bundle's folder, or an `.onnx` file.
        providers: `cpu`, `cuda` …; empty for CPU, and CUDA where it starts.
        against: The source module, in eval mode, for a full parity check; or the path of another
            `.onnx` file, which is run in float64 in its place.
        example_inputs: Inputs of the right shapes, with `against`; for a file made from what it
            declares where they are left out.
        threads: For one operation; None for the machine's cores.
        layers: With `against`, compare the values inside the network too; that is done anyway
            where an output fails.
        stress: With `against`, compare on the whole stress set too (`docs/parity.md`).
        search: With `against`, evaluations, 32 or more, of a search for the worst input; int8
            bundles are searched too. It runs on the first of the providers.
        seed: Of the search.
        keep: Folder that a test vector of the worst input is written to.
        mutate: Faults of each kind to plant in copies of a file that passes, to see how many the
            same checks find on the first of the providers (`docs/parity.md`).
        data: With `against`, gives inputs of your own for the batch size of the file, besides those
            that are made; `netloft.parity.inputs.Case` says what they are.
        runtimes: Run the file under each setting of ONNX Runtime too: levels of optimisation,
            threads, run to run, item by item, and TF32 where CUDA starts.
        second_opinion: Other implementations to run the file with: `reference`, `openvino`.
        domain: With `against`, gives inputs of what the module is for, for a batch and a seed.
        signed_by: Public key, a PEM file, whose holder has to have signed the bundle.
        limits: What the file may use where it is tried out first, in a process of its own.
        progress: Told what is being compared or planted.

    Raises:
        IntegrityError: A signature does not hold, a file is missing, was changed or does not
            belong to the bundle, or the model is no valid one, or was stopped at its limits.
        ProviderError: A provider that was asked for does not start here.
        MissingError: A second opinion is not installed, or does not know all of the file.
        UsageError: The target is neither, `against` lacks its inputs, or its inputs and outputs
            are not those of the file; or faults are to be planted, and there is nothing to find
            them with.
    """
    path = _target(target)
    against = _other_file(against, limits) if isinstance(against, str | Path) else against
    wanted = {"layers": layers, "stress": stress, "search": search, "data": data, "domain": domain}
    check_use(path, against, [what for what, asked in wanted.items() if asked], mutate=mutate)
    check_doubts(path, against, runtimes=runtimes, second_opinion=second_opinion)
    if search or keep is not None:
        check_search(search, keep)
    searched = bool(search) and not (stress or layers)

    def examined() -> Work:
        with Child() as child:  # it gets ready while the files are read
            running, missing = available(providers)
            work = Work(path, running, threads, limits, child)
            if signed_by is not None:
                work.check_signature(Path(signed_by))
            work.not_run += [row._asdict() for row in missing]
            work.examine(against, searched=searched)
        return work

    work = steady(path, examined)
    if against is not None:
        asked = {"layers": layers, "stress": stress, "data": data, "domain": domain}
        how = {what: value for what, value in asked.items() if value}
        work.compare(against, example_inputs, progress=progress, **how)
    if search:
        kept = None if keep is None else Path(keep)
        work.seek(budget=search, seed=seed, keep=kept, progress=progress)
    if not work.rows and not os.path.isdir(path):
        reason = "a lone .onnx file has no test vectors; give the module it came from"
        work.not_run.append({"what": "parity", "reason": reason})
    if runtimes:
        work.vary(asked=providers, progress=progress)
    for name in second_opinion:
        work.ask(name, progress)
    if mutate:
        work.plant(mutate, progress)
    return work.found()


def _other_file(against: str | Path, limits: Limits) -> Path:
    """Return the other file, which is looked at as carefully as the target."""
    path = Path(against)
    if not (os.path.isfile(path) and path.suffix.lower() == ".onnx"):
        raise UsageError(
            f"{path} is no .onnx file to compare with", remedy="name an .onnx file, or a module"
        )
    try_out(path, "cpu", limits=limits)
    return path


def _target(target: str | Path) -> Path:
    path = Path(target)
    if not os.path.isdir(path) and not (os.path.isfile(path) and path.suffix.lower() == ".onnx"):
        raise UsageError(
            f"{path} is neither a bundle nor an .onnx file",
            remedy="name what netloft export wrote, or an .onnx file",
        )
    return path
