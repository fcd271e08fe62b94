"""Random networks come out right or are refused, never wrong."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.exporters.random_nets import Program, build, verdict


@st.composite
def programs(draw: st.DrawFn) -> Program:
    def choose(options: Any) -> Any:
        return draw(st.sampled_from(options))

    return build(choose)


@settings(
    derandomize=True,
    max_examples=50,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
@given(programs())
def test_a_random_network_is_right_or_refused(program: Program) -> None:
    found = verdict(program)
    assert found.kind in ("right", "refused"), f"{found}\n{program.source()}"
