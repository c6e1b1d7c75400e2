"""Truths about identity that span tables: the change gate, cluster sizes, the map's promises.

Here: the Dagster checks. Not here: facts about single rows (dbt tests), the gate's arithmetic
(`identity/gate.py`).
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Final

import dagster as dg

from cdp_assets.identity.gate import count_changes, judge
from cdp_assets.identity.resolve import HARD_CAP
from cdp_assets.identity.tables import (
    ASSIGNMENTS,
    DECISIONS,
    EVENTS,
    HISTORY,
    MAP,
    MATCH_MODEL,
    REDIRECTS,
    TERM_FREQUENCIES,
    TOUCHED,
)
from cdp_assets.naming import IDENTITY, WAREHOUSE_POOL, asset_key
from cdp_assets.resources.warehouse import Warehouse
from cdp_assets.settings import GateBudget


@dataclass(frozen=True)
class Promise:
    """A truth about one table: `sql` gives one number, the faults; zero keeps the promise."""

    table: str
    name: str
    description: str
    sql: str


_PROMISES: Final = (
    Promise(
        MATCH_MODEL.name,
        "one_model_is_in_use",
        "One model, and no other, scores pairs.",
        f"select abs(count(*) - 1) from {MATCH_MODEL.address}",
    ),
    Promise(
        TERM_FREQUENCIES.name,
        "a_value_has_one_frequency",
        "No value of a field is listed twice, and every frequency is a share.",
        f"""
        select
            (select count(*) from {TERM_FREQUENCIES.address})
            - (
                select count(*) from (
                    select distinct field, value from {TERM_FREQUENCIES.address}
                    where frequency > 0 and frequency <= 1
                ) as listed
            )
        """,
    ),
    Promise(
        DECISIONS.name,
        "decisions_name_known_records",
        "Every decision is about records that exist.",
        f"""
        select count(*) from (
            select left_record_id as record_id from {DECISIONS.address}
            union
            select right_record_id from {DECISIONS.address}
        ) as named
        where record_id not in (select record_id from identity.identity_records)
        """,
    ),
    Promise(
        ASSIGNMENTS.name,
        "no_cluster_is_held_back",
        f"No cluster has more than {HARD_CAP} records.",
        f"select count(*) from {ASSIGNMENTS.address} where is_held_back",
    ),
    Promise(
        MAP.name,
        "every_record_has_one_customer",
        "As many rows as records that are not held back for the first time.",
        f"""
        select abs(
            (select count(*) from identity.identity_records)
            - (select count(*) from {MAP.address})
            - (
                select count(*) from {ASSIGNMENTS.address}
                where is_held_back and customer_id is null
            )
        )
        """,
    ),
    Promise(
        MAP.name,
        "decisions_hold",
        "No two records that somebody set apart have one customer.",
        f"""
        select count(*)
        from (
            select left_record_id, right_record_id, max_by(decision, decided_at) as decision
            from {DECISIONS.address}
            group by left_record_id, right_record_id
        ) as decisions
        inner join {MAP.address} as a on decisions.left_record_id = a.record_id
        inner join {MAP.address} as b on decisions.right_record_id = b.record_id
        where decisions.decision = 'cannot_link' and a.customer_id = b.customer_id
        """,
    ),
    Promise(
        HISTORY.name,
        "history_ends_in_the_map",
        "As many rows are valid now as the map has.",
        f"""
        select abs(
            (select count(*) from {HISTORY.address} where valid_to is null)
            - (select count(*) from {MAP.address})
        )
        """,
    ),
    Promise(
        EVENTS.name,
        "every_event_names_its_run",
        "No event is without a run and a time.",
        f"select count(*) from {EVENTS.address} where run_id is null or occurred_at is null",
    ),
    Promise(
        REDIRECTS.name,
        "redirects_lead_to_living_customers",
        "Every id that ended in another leads to a customer that has records.",
        f"""
        select count(*) from {REDIRECTS.address}
        where customer_id not in (select customer_id from {MAP.address})
        """,
    ),
    Promise(
        TOUCHED.name,
        "a_customer_is_touched_once",
        "No customer is listed twice.",
        f"select count(*) - count(distinct customer_id) from {TOUCHED.address}",
    ),
)


def build_identity_checks(
    budget: GateBudget,
) -> list[dg.AssetChecksDefinition]:
    """The change gate with this budget, and the promises of the tables."""

    @dg.asset_check(
        asset=asset_key(IDENTITY, ASSIGNMENTS.name),
        name="identity_change_gate",
        blocking=True,
        description="Merged, split and re-identified customers stay within the budget of a run.",
        pool=WAREHOUSE_POOL,
    )
    def identity_change_gate(warehouse: dg.ResourceParam[Warehouse]) -> dg.AssetCheckResult:
        counts = count_changes(warehouse)
        verdict = judge(counts, budget)
        return dg.AssetCheckResult(
            passed=verdict.passed,
            description=" ".join(verdict.reasons) or "The changes are within the budget.",
            metadata=asdict(counts),
        )

    return [identity_change_gate, _identity_promises]


@dg.multi_asset_check(
    name="identity_promises",
    specs=[
        dg.AssetCheckSpec(
            promise.name,
            asset=asset_key(IDENTITY, promise.table),
            description=promise.description,
        )
        for promise in _PROMISES
    ],
    can_subset=True,
    pool=WAREHOUSE_POOL,
)
def _identity_promises(
    context: dg.AssetCheckExecutionContext, warehouse: dg.ResourceParam[Warehouse]
) -> Iterator[dg.AssetCheckResult]:
    """Count the faults of each promise."""
    for promise in _PROMISES:
        key = asset_key(IDENTITY, promise.table)
        if dg.AssetCheckKey(key, promise.name) not in context.selected_asset_check_keys:
            continue
        faults = warehouse.query(f"select ({promise.sql}) as faults")["faults"][0].as_py()
        yield dg.AssetCheckResult(
            asset_key=key,
            check_name=promise.name,
            passed=faults == 0,
            severity=dg.AssetCheckSeverity.WARN,
            description=promise.description if faults == 0 else f"{faults} rows break it.",
            metadata={"faults": faults},
        )
