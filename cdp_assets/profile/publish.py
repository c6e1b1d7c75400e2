"""What publishing means: acknowledge the changes, swap the version in, remember how far it goes.

Not here: building the tables; deciding whether they may be published (the identity gate).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import pyarrow.compute as pc

from cdp_assets.identity.touched import acknowledge_published
from cdp_assets.naming import CLEANSED, SOURCES, clean_name
from cdp_assets.resources.object_ledger import ObjectLedger
from cdp_assets.resources.warehouse import TRANSACTIONS, TableAddress, Warehouse

_SHOWN_FIELDS: Final = (
    "first_name",
    "last_name",
    "birth_date",
    "gender",
    "email",
    "phone_e164",
    "street",
    "city",
    "postal_code",
    "country_code",
)


@dataclass(frozen=True)
class Published:
    """What was published: how many customers, and the last load that is in it."""

    customers: int
    load_id: int


def publish(warehouse: Warehouse, ledger: ObjectLedger) -> Published:
    """Publish the warehouse as it is. May be killed at any point and run again.

    The order matters: the ledger is told last, so a kill before that only means that the next
    run looks at the same loads again.
    """
    load_id = covered_load_id(warehouse)
    acknowledge_published(warehouse)
    warehouse.publish()
    ledger.mark_published(load_id)
    customers = warehouse.query("select count(*) as n from profile.customer_profiles")
    return Published(customers=customers["n"][0].as_py(), load_id=load_id)


def tables_to_publish(warehouse: Warehouse) -> list[TableAddress]:
    """What to hold while publishing: a table that somebody writes would go out half written."""
    return [*warehouse.tables(), TRANSACTIONS]


def covered_load_id(warehouse: Warehouse) -> int:
    """The largest load id such that every load up to it is in the cleansed tables.

    A source may have been extracted without its cleansed table having followed yet; publishing
    must not claim those loads.
    """
    ledger_rows = warehouse.query(
        f"select source, entity, load_id from {SOURCES}.object_ledger"
        " where status = 'loaded' and records_loaded > 0"
    ).to_pylist()
    entities = {(row["source"], row["entity"]) for row in ledger_rows}
    watermarks = {entity: _watermark(warehouse, *entity) for entity in entities}
    waiting = [
        row["load_id"]
        for row in ledger_rows
        if row["load_id"] > watermarks[row["source"], row["entity"]]
    ]
    loads = [row["load_id"] for row in ledger_rows]
    return min(waiting) - 1 if waiting else max(loads, default=0)


def is_behind(ledger: ObjectLedger) -> bool:
    """Whether something is loaded that no published version has: a run ended half way."""
    is_loaded = (pc.field("status") == "loaded") & (pc.field("records_loaded") > 0)
    loaded = ledger.rows().filter(is_loaded)["load_id"].to_pylist()
    return max(loaded, default=0) > ledger.published_load_id()


def completeness(warehouse: Warehouse) -> dict[str, float]:
    """Share of known profiles that have a value, per field."""
    shares = ", ".join(
        f"avg(case when {field} is not null then 1e0 else 0e0 end) as {field}"
        for field in _SHOWN_FIELDS
    )
    row = warehouse.query(
        f"select {shares} from profile.customer_profiles where profile_type = 'known'"
    ).to_pylist()[0]
    return {field: row[field] or 0.0 for field in _SHOWN_FIELDS}


def _watermark(warehouse: Warehouse, source: str, entity: str) -> int:
    rows = warehouse.query(
        f"select coalesce(max(_last_load_id), 0) as n from {CLEANSED}.{clean_name(source, entity)}"
    )
    return rows["n"][0].as_py()
