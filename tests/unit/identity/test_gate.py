from __future__ import annotations

from cdp_assets.identity.gate import ChangeCounts, judge
from cdp_assets.settings import GateBudget

BUDGET = GateBudget(merged=0.10, split=0.02, reidentified=0.02, floor=100)


def counts(before: int = 1000, **changed: int) -> ChangeCounts:
    nothing = {"created": 0, "merged": 0, "split": 0, "reidentified": 0, "retired": 0}
    return ChangeCounts(before=before, **{**nothing, **changed})


def test_a_run_within_the_budget_passes():
    assert judge(counts(merged=100, split=20, reidentified=20), BUDGET).passed


def test_a_run_over_the_budget_fails_and_says_what_and_how_much():
    verdict = judge(counts(merged=101, split=21), BUDGET)
    assert not verdict.passed
    assert verdict.reasons == [
        "101 of 1000 customers would be merged: 10.10%, and the budget is 10.00%.",
        "21 of 1000 customers would be split: 2.10%, and the budget is 2.00%.",
    ]


def test_new_customers_are_never_a_fault():
    assert judge(counts(created=10_000), BUDGET).passed


def test_below_the_floor_the_gate_only_reports():
    assert judge(counts(before=99, merged=99), BUDGET).passed
