from __future__ import annotations

import dagster as dg
import pytest

from cdp_assets.identity.decisions import DecisionsError
from cdp_assets.run import cause_of


def failure_of(error: Exception) -> str:
    """What is told of a run whose one step raises this."""

    @dg.op
    def step() -> None:
        raise error

    @dg.job
    def job() -> None:
        step()

    result = job.execute_in_process(raise_on_error=False)
    return cause_of(result.get_step_failure_events()[0].step_failure_data.error)


def test_a_fault_that_a_user_can_act_on_is_told_in_its_own_words():
    told = "decisions/a.csv, line 2: decision takes must_link."
    error = DecisionsError(told)
    error.__cause__ = ValueError("jane@example.com")
    assert failure_of(error) == told


@pytest.mark.parametrize("error", [ValueError("jane@example.com"), KeyError("jane@example.com")])
@pytest.mark.fault("F44")
def test_of_any_other_only_the_kind_is_told(error):
    assert failure_of(error) == f"{type(error).__name__}."
