"""The tables that a resolution reads, as dbt's models would leave them for ten records."""

from __future__ import annotations

from datetime import datetime

import pyarrow as pa

from cdp_assets.identity.stable_ids import customer_id
from cdp_assets.identity.tables import ASSIGNMENTS, CHANGES, MAP, REFUSALS
from cdp_assets.resources.warehouse import Warehouse

AT = datetime.fromisoformat("2025-01-01")
RECORDS = "abcdefghij"
LINKS = [("a", "b"), ("b", "c"), ("d", "e"), ("f", "g")]
# `c` leaves the customer of `h`, whose anchor it was; `j` comes back to find its id with `i`; of
# `gone` and `z`, which are gone, one leaves a customer with records and the other one without.
CUSTOMERS = {"c": "c", "h": "c", "i": "j", "d": "d", "e": "d", "gone": "d", "z": "z"}


def tables() -> dict[str, pa.Table]:
    """What the models would leave, as far as a scope reads it."""
    count = len(RECORDS)
    return {
        "identity_records": pa.table(
            {
                "record_id": list(RECORDS),
                "record_kind": ["contact"] * count,
                "first_seen_at": pa.array([AT] * count, pa.timestamp("us")),
                "first_name_key": pa.array([None] * count, pa.string()),
                "birth_date": pa.array([None] * count, pa.date32()),
            }
        ),
        "identity_edges": pa.table(
            {
                "left_record_id": [left for left, _ in LINKS],
                "right_record_id": [right for _, right in LINKS],
                "tier": [2] * len(LINKS),
                "score": [0.9] * len(LINKS),
                "first_seen_at": pa.array([AT] * len(LINKS), pa.timestamp("us")),
                "rule": ["same_email"] * len(LINKS),
                "rule_version": ["1"] * len(LINKS),
            }
        ),
        "identifiers": pa.table(
            {
                "record_id": ["f", "g", "a"],
                "identifier_type": ["user_id"] * 3,
                "identifier_value": ["1", "2", "3"],
                "is_current": [True] * 3,
            }
        ),
        "identity_limits": pa.table({"identifier_type": ["user_id"], "max_per_customer": [1]}),
        "match_records": pa.table({"record_id": list("abc"), "is_current": [True] * 3}),
        "match_pairs": pa.table(
            {
                "left_record_id": ["a", "a"],
                "right_record_id": ["b", "j"],
                "match_weight": [9.0, 1.0],
                "veto": pa.array([None, None], pa.string()),
            }
        ),
        "pairs_to_score": pa.table({"left_record_id": ["x"], "right_record_id": ["y"]}),
        "scored_pairs": pa.table(
            {
                "left_record_id": ["x"],
                "right_record_id": ["y"],
                "match_weight": [1.0],
                "veto": pa.array([None], pa.string()),
            }
        ),
        "source_changes": pa.table({"is_rebuild": [True]}),
        MAP.name: pa.table(
            {
                "record_id": list(CUSTOMERS),
                "customer_id": [customer_id(anchor) for anchor in CUSTOMERS.values()],
            }
        ),
    }


def put(warehouse: Warehouse) -> None:
    """Write them into a warehouse."""
    for name, table in tables().items():
        warehouse.replace_table("identity", name, table)


def candidate(warehouse: Warehouse) -> list[list[str]]:
    """Every row that a resolution wrote, as text, in one order: assignments, changes, refused."""
    return [
        sorted(map(str, warehouse.query(f"select * from {table.address}").to_pylist()))
        for table in (ASSIGNMENTS, CHANGES, REFUSALS)
    ]
