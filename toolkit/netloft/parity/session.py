"""The exported file, run with the values in front of its saturating heads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy.typing as npt
import onnx

from netloft.errors import ParityError
from netloft.parity.taps import Tap, tapped_onnx
from netloft.runtime.placed import placed_session
from netloft.runtime.reasons import first_line

__all__ = ["FileRunner"]

Arrays = dict[str, npt.NDArray[Any]]


class FileRunner:
    """The file itself on one provider, and where there are taps a second session for them.

    The outputs come from the very file that is handed over: a tap may keep the runtime from
    fusing operations, and then other code would be judged than the code that runs.
    """

    def __init__(
        self,
        path: Path,
        header: onnx.ModelProto,
        taps: Sequence[Tap],
        provider: str,
        threads: int | None,
        *,
        changed: bool = False,
        **session: Any,
    ) -> None:
        """Start the sessions.

        Args:
            path: The file.
            header: The same without its weights.
            taps: Values to return besides the outputs.
            provider: What is to run it.
            threads: For one operation.
            changed: The header is no longer that of the file, and runs in its place.
            session: More for `start_session`.

        Raises:
            ProviderError: The provider does not start, or runs nothing of the file.
        """
        self._provider, self._taps = provider, taps
        folder = path.absolute().parent

        how = {"threads": threads, "weights_in": folder, "called": path, **session}
        model = header.SerializeToString() if changed else path
        self._session = placed_session(model, provider, **how)
        self._tapped = placed_session(tapped_onnx(header, taps), provider, **how) if taps else None

    def run(self, feeds: Mapping[str, npt.NDArray[Any]]) -> Arrays:
        """Return outputs and tapped values by name.

        Raises:
            ParityError: The file fails on these inputs.
        """
        names = [output.name for output in self._session.get_outputs()]
        values = self._run(self._session, names, feeds)
        if self._tapped is not None:
            found = self._run(self._tapped, [tap.value for tap in self._taps], feeds)
            values |= {tap.name: found[tap.value] for tap in self._taps}
        return values

    def _run(self, session: Any, names: list[str], feeds: Mapping[str, npt.NDArray[Any]]) -> Arrays:
        try:
            return dict(zip(names, session.run(names, dict(feeds)), strict=True))
        except Exception as error:  # ONNX Runtime has a dozen unrelated kinds
            shapes = ", ".join(f"{name} {list(array.shape)}" for name, array in feeds.items())
            raise ParityError(
                f"the exported file fails on {self._provider} for {shapes}, where what it is "
                f"compared with runs: {first_line(error)}",
                remedy="export with a fixed --batch N, or change the operation that is named",
            ) from error
