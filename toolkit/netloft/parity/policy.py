"""How large an error may be: a multiple of PyTorch's own, never a fixed guess.

The scaled error of a result is its largest absolute error over the largest magnitude of the
reference, both over the whole tensor. Against a float64 reference, float32 arithmetic in another
order gives a scaled error that depends on the network; PyTorch's own float32 run measures it for
the network at hand. A runtime that orders its sums otherwise comes within a small multiple of that
(0.4 to 3.7 on the built-in networks); a weight that is off by a thousandth is far beyond 8.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["DEFAULT_POLICY", "Policy"]


_LEAST = {"float64": 2.0**-46, "float16": 2.0**-10, "bfloat16": 2.0**-7}


@dataclass(frozen=True)
class Policy:
    """Turn noise floors into verdicts.

    Attributes:
        factor: How many times PyTorch's own scaled error is still noise.
        least: Smallest noise floor taken: one unit in the last place of float32. PyTorch adds up
            long sums in a tree and gets closer than that; a runtime need not.
        most: Largest tolerance that means anything: an output of zeros has a scaled error of 1.
    """

    factor: float = 8.0
    least: float = 2.0**-23
    most: float = 0.05

    def floor(self, own: float, all_of_output: Sequence[float], dtype: str = "float32") -> float:
        """Return the noise floor of one comparison, as a scaled error.

        A single small output can agree with the reference by luck, so the floor is never below
        the median over all inputs of the same output.

        Args:
            own: PyTorch's scaled error on this input.
            all_of_output: PyTorch's scaled errors for this output over all inputs.
            dtype: Element type of the output.
        """
        return max(own, statistics.median(all_of_output), _LEAST.get(dtype, self.least))

    def tolerance(self, floor: float) -> float:
        """Return the largest scaled error that passes."""
        return min(self.factor * floor, self.most)

    def status(self, error: float, floor: float) -> str:
        """Return `pass`, `fail`, or `undecided` where PyTorch's own error is too large to judge."""
        if error <= self.tolerance(floor):
            return "pass"
        return "undecided" if self.factor * floor > self.most else "fail"


DEFAULT_POLICY = Policy()
