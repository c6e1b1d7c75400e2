"""What publishing means: acknowledge the changes, swap the version in, remember how far it goes.

Not here: building the tables; deciding whether they may be published (the identity gate).
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Final

from cdp_assets.failpoints import reach
from cdp_assets.identity.touched import acknowledge_published
from cdp_assets.naming import CLEANSED, SOURCES, clean_name
from cdp_assets.resources.object_ledger import SETTLED, ObjectLedger
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
    load_id = covered_load_id(warehouse, ledger.published_load_id())
    acknowledge_published(warehouse)
    warehouse.publish()
    reach("publish.before_ledger")
    ledger.mark_published(load_id)
    customers = warehouse.query("select count(*) as n from profile.customer_profiles")
    return Published(customers=customers["n"][0].as_py(), load_id=load_id)


def tables_to_publish(warehouse: Warehouse) -> list[TableAddress]:
    """What to hold while publishing: a table that somebody writes would go out half written."""
    return [*warehouse.tables(), TRANSACTIONS]


def covered_load_id(warehouse: Warehouse, since: int) -> int:
    """The largest load id such that every load up to it is in the cleansed tables.

    A source may have been extracted without its cleansed table having followed yet, and what an
    object held before it came again without a row may still be there: publishing must not claim
    those loads.

    Args:
        warehouse: whose tables are to be published.
        since: the load id up to which the published version goes.
    """
    loads = warehouse.query(
        f"select source, entity, load_id, records_loaded from {SOURCES}.object_ledger"
        f" where status in {SETTLED}"
    ).to_pylist()
    with_rows: dict[tuple[str, str], list[int]] = defaultdict(list)
    without_rows: dict[tuple[str, str], list[int]] = defaultdict(list)
    for row in loads:
        kind = with_rows if row["records_loaded"] else without_rows
        kind[row["source"], row["entity"]].append(row["load_id"])
    waiting = [
        load_id
        for entity, load_ids in with_rows.items()
        for newest in [_watermark(warehouse, *entity)]
        for load_id in load_ids
        if load_id > newest
    ]
    for entity, load_ids in without_rows.items():
        if max(load_ids) > since and entity in with_rows:
            waiting += _replaced_in_vain(warehouse, *entity, since)
    every = [row["load_id"] for row in loads]
    return min(waiting) - 1 if waiting else max(every, default=0)


def is_behind(ledger: ObjectLedger) -> bool:
    """Whether something is loaded that no published version has: a run ended half way."""
    return unpublished_load_id(ledger) is not None


def unpublished_load_id(ledger: ObjectLedger) -> int | None:
    """The newest load that no published version has; None where there is none."""
    return ledger.newest_settled(ledger.published_load_id())


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


def _replaced_in_vain(warehouse: Warehouse, source: str, entity: str, since: int) -> list[int]:
    """Loads without a row, of objects of which the cleansed table has rows of before."""
    rows = warehouse.query(
        f"""
        select load_id
        from {SOURCES}.object_ledger
        where source = '{source}' and entity = '{entity}' and status in {SETTLED}
            and records_loaded = 0 and load_id > {since}
            and object_key in (select _object_key from {CLEANSED}.{clean_name(source, entity)})
        """
    )
    return rows["load_id"].to_pylist()
