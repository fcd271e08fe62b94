"""The check of a file's outputs, as one of the checks that planted faults are shown to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import onnx

from netloft.errors import CheckError, UsageError, first_line
from netloft.parity.expected import Expected
from netloft.parity.faults.mutant import Arrays, Mutant, Run
from netloft.parity.faults.mutate import Check
from netloft.parity.judge import failing
from netloft.parity.session import FileRunner
from netloft.runtime.capture import captured_output

__all__ = ["outputs_check", "runs_of"]


def runs_of(expected: Expected, path: Path, provider: str, threads: int | None) -> Run:
    """Return what runs a changed file on all inputs of a check."""

    def run(model: onnx.ModelProto) -> Iterator[Arrays]:
        runner = FileRunner(path, model, expected.taps, provider, threads, changed=True)

        def quietly(feeds: Arrays) -> Arrays:
            with captured_output():  # ONNX Runtime also prints why it fails
                return runner.run(feeds)

        yield from expected.given(quietly)

    return run


def outputs_check(expected: Expected, provider: str) -> Check:
    """Return the certificate's own verdict, which ends at the first inputs that show a fault."""

    def check(mutant: Mutant) -> str | None:
        try:
            for index, given in enumerate(mutant.results()):
                failed = failing(expected, index, {provider: given})
                if failed:
                    worst = max(failed, key=lambda row: row.ratio)
                    return (
                        f"{worst.output} on {worst.input} at batch {worst.batch}: "
                        f"{worst.ratio:.3g}× PyTorch's own error"
                    )
        except (UsageError, CheckError) as error:  # that it cannot be run is what is found
            return first_line(error)
        return None

    return check
