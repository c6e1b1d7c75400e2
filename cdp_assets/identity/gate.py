"""The identity change gate: how much of what is published would change, and whether it may.

A run that merges or splits far more customers than usual is rarely good news: a junk value that
slipped through the guards, a broken export. New customers are never a fault. Over the budget the
check on cluster_assignments fails, the map stays as it is, and so does what is published.
Not here: the numbers of the budget (`settings.GateBudget`).
"""

from __future__ import annotations

from dataclasses import dataclass

from cdp_assets.identity.tables import ASSIGNMENTS, CHANGES, MAP
from cdp_assets.resources.warehouse import Warehouse
from cdp_assets.settings import GateBudget


@dataclass(frozen=True)
class ChangeCounts:
    """What the candidate would change. Counts of customers.

    Attributes:
        before: customers that live now.
        created: ids that would begin.
        merged: ids that would end in an id that lives or that others end in too.
        split: customers that would lose records to another.
        reidentified: customers that would get another id.
        retired: ids that would end with no record left.
    """

    before: int
    created: int
    merged: int
    split: int
    reidentified: int
    retired: int


@dataclass(frozen=True)
class Verdict:
    """Whether the candidate may be applied, and why not, one sentence per budget passed."""

    passed: bool
    reasons: list[str]


def count_changes(warehouse: Warehouse) -> ChangeCounts:
    """Count what applying the candidate in the warehouse would change."""
    warehouse.execute(MAP.create_if_missing)
    return ChangeCounts(**warehouse.query(_COUNTS).to_pylist()[0])


def judge(counts: ChangeCounts, budget: GateBudget) -> Verdict:
    """Compare the counts with the budget; below the floor the gate only reports."""
    if counts.before < budget.floor:
        return Verdict(passed=True, reasons=[])
    shares = {
        "merged": (counts.merged, budget.merged),
        "split": (counts.split, budget.split),
        "re-identified": (counts.reidentified, budget.reidentified),
    }
    reasons = [
        f"{count} of {counts.before} customers would be {what}: "
        f"{count / counts.before:.2%}, and the budget is {allowed:.2%}."
        for what, (count, allowed) in shares.items()
        if count > allowed * counts.before
    ]
    return Verdict(passed=not reasons, reasons=reasons)


_COUNTS = f"""
    select
        (select count(distinct customer_id) from {MAP.address}) as "before",
        (
            select count(*) from (
                select distinct customer_id from {ASSIGNMENTS.address}
                where
                    customer_id is distinct from previous_customer_id
                    and customer_id is not null
                except
                select customer_id from {MAP.address}
            ) as begun
        ) as created,
        count(*) filter (where event = 'merge') as merged,
        count(distinct other_customer_id) filter (where event = 'split') as split,
        count(*) filter (where event = 'rename') as reidentified,
        count(*) filter (where event = 'retire') as retired
    from {CHANGES.address}"""
