"""Applying the candidate: map, history, events, redirects, what is refused and what is touched.

Everything is one transaction. Applying the same candidate again changes nothing.
Not here: making the candidate (`resolve.py`), judging it (`gate.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import pyarrow as pa

from cdp_assets.identity.stable_ids import Change, close_redirects, homes_of
from cdp_assets.identity.tables import (
    APPLIED,
    ASSIGNMENTS,
    CHANGES,
    EVENTS,
    HELD_BACK,
    HISTORY,
    MAP,
    REDIRECTS,
    REFUSALS,
    REFUSED_MERGES,
    TOUCHED,
)
from cdp_assets.resources.warehouse import Statements, Warehouse, whole_milliseconds


@dataclass(frozen=True)
class Applied:
    """What is there now. Counts of rows.

    Attributes:
        records: mapped records.
        touched: customers whose profiles are to be written again.
    """

    records: int
    touched: int


def apply_assignments(warehouse: Warehouse, run_id: str) -> Applied:
    """Make the candidate the customer map."""
    now = whole_milliseconds(datetime.now(UTC).replace(tzinfo=None))
    with warehouse.session() as session:
        session.execute(*(table.create_if_missing for table in APPLIED))
        inputs = {
            "run": pa.table({"run_id": [run_id], "now": pa.array([now], pa.timestamp("us"))}),
            "redirects": _redirects(session),
        }
        session.execute(
            _MARK_TOUCHED_OLD,
            *_RECORD_EVENTS,
            _CLOSE_HISTORY.format(now=now.isoformat(" ", "milliseconds")),
            *_MOVE_RECORDS,
            _MARK_TOUCHED_NEW,
            f"delete from {REDIRECTS.address}",
            f"insert into {REDIRECTS.address} select * from redirects",
            _FORGET_REFUSALS,
            f"insert into {REFUSED_MERGES.address} select * from {REFUSALS.address}",
            *_SETTLE,
            inputs=inputs,
        )
        counts = session.query(
            f"select (select count(*) from {MAP.address}) as records,"
            f" (select count(*) from {TOUCHED.address}) as touched"
        )
    return Applied(**counts.to_pylist()[0])


def _redirects(session: Statements) -> pa.Table:
    known = _pairs(session, f"select old_customer_id, customer_id from {REDIRECTS.address}")
    found = [
        Change(row["event"], row["customer_id"], row["other_customer_id"])
        for row in session.query(f"select * from {CHANGES.address}").to_pylist()
    ]
    ended = known.keys() | _ids(session, _RETIRED_IDS)
    ended |= {change.other_customer_id for change in found if change.other_customer_id}
    homes = homes_of(_pairs(session, _NEWLY_PLACED).items() if ended else (), ended)
    living = _ids(session, _LIVING_AGAIN)
    closed = close_redirects(known, found, living, homes)
    return pa.table(
        {
            "old_customer_id": pa.array(closed.keys(), pa.string()),
            "customer_id": pa.array(closed.values(), pa.string()),
        }
    )


def _pairs(session: Statements, sql: str) -> dict[str, str]:
    return dict(zip(*session.query(sql).to_pydict().values(), strict=True))


def _ids(session: Statements, sql: str) -> set[str]:
    return set(session.query(sql).column(0).to_pylist())


_MOVED = "customer_id is distinct from previous_customer_id"

_RETIRED_IDS = f"select distinct customer_id from {EVENTS.address} where event = 'retire'"

# Ids that ended once, or that something happens to now, and that live after it.
_LIVING_AGAIN = f"""
    select distinct customer_id from {ASSIGNMENTS.address}
    where customer_id in (
        select old_customer_id from {REDIRECTS.address}
        union
        select other_customer_id from {CHANGES.address}
        union
        ({_RETIRED_IDS})
    )"""

_NEWLY_PLACED = f"""
    select record_id, customer_id from {ASSIGNMENTS.address}
    where {_MOVED} and customer_id is not null"""

# Customers as they were: whose rows changed, who has the address of a mailbox that did (what it
# denies is denied to them as well), and who loses a record.
_MARK_TOUCHED_OLD = f"""
    insert into {TOUCHED.address}
    select customer_id from (
        select mapped.customer_id
        from {MAP.address} as mapped
        where mapped.record_id in (select record_id from identity.changed_records)
        union
        select mapped.customer_id
        from identity.identifiers as mailboxes
        inner join identity.identifiers as holders
            on mailboxes.identifier_type = holders.identifier_type
            and mailboxes.identifier_value = holders.identifier_value
        inner join {MAP.address} as mapped
            on holders.record_id = mapped.record_id
        where mailboxes.identifier_type = 'email'
            and mailboxes.record_id like 'email:recipient:%'
            and mailboxes.record_id in (select record_id from identity.changed_records)
        union
        select mapped.customer_id
        from {MAP.address} as mapped
        inner join cleansed.clean_pos__receipts as receipts
            on mapped.record_id = receipts.record_id
        inner join cleansed.clean_pos__receipt_lines as lines
            on receipts.receipt_id = lines.receipt_id
        where lines._load_id > (
            select since_load_id from identity.source_changes where entity = 'pos__receipt_lines'
        )
        union
        select previous_customer_id from {ASSIGNMENTS.address}
        where {_MOVED} and previous_customer_id is not null
    ) as touched
    where customer_id not in (select customer_id from {TOUCHED.address})"""

# On a rebuild nobody listed the changed records: every customer looked at is touched.
_MARK_TOUCHED_NEW = f"""
    insert into {TOUCHED.address}
    select distinct customer_id from {ASSIGNMENTS.address}
    where
        customer_id is not null
        and ({_MOVED} or exists (select 1 from identity.source_changes where is_rebuild))
        and customer_id not in (select customer_id from {TOUCHED.address})"""

_RECORD_EVENTS = (
    f"""
    insert into {EVENTS.address}
    select
        case
            when customer_id in (select customer_id from {EVENTS.address}) then 'restore'
            else 'mint'
        end,
        customer_id, null, null, null, null, run.run_id, run.now
    from (
        select distinct customer_id from {ASSIGNMENTS.address}
        where {_MOVED} and customer_id is not null
        except
        select customer_id from {MAP.address}
    ) as begun
    cross join run""",
    f"""
    insert into {EVENTS.address}
    select changes.*, run.run_id, run.now
    from {CHANGES.address} as changes
    cross join run
    where not exists (
        select 1 from {EVENTS.address} as known
        where known.run_id = run.run_id and known.event = changes.event
            and known.customer_id = changes.customer_id
            and known.other_customer_id is not distinct from changes.other_customer_id
    )""",
)

# The time stands there as it is: an UPDATE of Athena asks no other table.
_CLOSE_HISTORY = f"""
    update {HISTORY.address} set valid_to = timestamp '{{now}}'
    where valid_to is null and record_id in (
        select record_id from {ASSIGNMENTS.address}
        where {_MOVED} and previous_customer_id is not null
    )"""

_MOVE_RECORDS = (
    f"""
    insert into {HISTORY.address}
    select record_id, customer_id, run.now, null, run.run_id
    from {ASSIGNMENTS.address}
    cross join run
    where {_MOVED} and customer_id is not null""",
    f"""
    delete from {MAP.address} where record_id in (
        select record_id from {ASSIGNMENTS.address}
        where {_MOVED} and previous_customer_id is not null
    )""",
    f"""
    insert into {MAP.address}
    select record_id, customer_id from {ASSIGNMENTS.address}
    where {_MOVED} and customer_id is not null""",
)

# From here on the changes are behind us: the next run looks at later loads only.
# Both ends of a link are looked at or neither is, and of a rebuild all are. An end may be gone
# without ever having had a customer: it was new when its cluster was held back.
_FORGET_REFUSALS = f"""
    delete from {REFUSED_MERGES.address}
    where left_record_id in (select record_id from {ASSIGNMENTS.address})
        or right_record_id in (select record_id from {ASSIGNMENTS.address})
        or left_record_id not in (select record_id from identity.identity_records)"""

_SETTLE = (
    f"update {ASSIGNMENTS.address} set previous_customer_id = customer_id where {_MOVED}",
    f"delete from {CHANGES.address}",
    f"delete from {HELD_BACK.address}",
    "delete from identity.applied_loads",
    "insert into identity.applied_loads select entity, load_id from identity.source_changes",
    "delete from identity.identifiers where not is_current",
    "delete from identity.match_records where not is_current",
    "update identity.oversized_blocks set has_flipped = false where has_flipped",
    "delete from identity.oversized_blocks where not is_oversized",
    "delete from identity.applied_rules",
    "insert into identity.applied_rules select distinct fingerprint from identity.source_changes",
)
