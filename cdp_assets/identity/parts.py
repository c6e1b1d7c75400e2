"""A scope that does not fit in memory, in parts that know nothing of each other.

A part holds whole *families*. A family is all records that links tie, that had one customer so
far, or of which one is the anchor of the customer that another had: what a resolution asks about a
record, it asks about its family alone. So resolving the parts one by one gives what resolving all
at once gives, and only a part is in memory. A family is never divided, however large.

Here: dividing, in the warehouse, and reading part by part. Not here: what is in the scope
(`scope.py`), how components are found (`components.py`), resolving (`resolve.py`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from cdp_assets.identity.components import components_in_warehouse
from cdp_assets.identity.scope import (
    Numbered,
    Scope,
    cannot_links_sql,
    count_links,
    limited_sql,
    links_sql,
    stored_scores_sql,
)
from cdp_assets.identity.stable_ids import customer_id_sql
from cdp_assets.resources.warehouse import Statements

# The columns of `scope_records` but the number, which begins anew in each part.
_COLUMNS: Final = "record_id, is_device, first_seen, name, birth_date, has_score, previous_id"


def read_in_parts(session: Statements, numbered: Numbered, rows: int) -> Iterator[Scope]:
    """Read what was numbered part by part, and keep none.

    While a part is looked at, `scope_records` numbers the records of that part only.

    Args:
        session: the one that the records were numbered in.
        numbered: see `number_records`.
        rows: records and links that a part should have at most; families are not divided for it,
            and chance adds some.
    """
    parts = _divide(session, numbered, rows)
    for part in range(parts):
        session.execute(
            "drop table if exists scope_records",
            f"create temporary table scope_records as select number, {_COLUMNS}"
            f" from scope_placed where part = {part}",
        )
        of_part = f"where part = {part}"
        yield Scope(
            is_rebuild=numbered.is_rebuild,
            records=session.query("select * from scope_records"),
            vanished=session.query(f"select record_id, previous_id from scope_vanished {of_part}"),
            links=session.query(f"select * from scope_links {of_part}"),
            limited=session.query(f"select * from scope_limited {of_part}"),
            cannot_link=session.query(f"select * from scope_cannot_links {of_part}"),
            scores=session.query(f"select * from scope_scores {of_part}"),
        )


def _divide(session: Statements, numbered: Numbered, rows: int) -> int:
    """Give every row of the scope a part; returns how many parts there are."""
    session.execute(
        "create temporary table scope_heads as"
        " select previous_id as customer_id, min(number) as number from scope_records"
        " where previous_id is not null group by previous_id"
    )
    components_in_warehouse(session, _TIES, "scope_families", largest_in_memory=rows)
    records = session.query("select count(*) as records_there from scope_records")
    largest = max(records["records_there"][0].as_py(), count_links(session), 1)
    parts = -(-largest // max(rows, 1))
    session.execute(
        _PLACED.format(parts=parts),
        "drop table if exists scope_heads",
        "drop table if exists scope_families",
    )
    # In the order of the parts, so that reading one passes over the others.
    for name, sql in (
        ("scope_links", links_sql("scope_placed", "a.part, ")),
        ("scope_limited", limited_sql("scope_placed", "a.part, ")),
        ("scope_cannot_links", _within_parts(cannot_links_sql("scope_placed", _BOTH_PARTS))),
        ("scope_scores", _within_parts(stored_scores_sql("scope_placed", _BOTH_PARTS))),
    ):
        session.execute(f"create temporary table {name} as {sql} order by part")
    session.execute(_VANISHED.format(vanished=numbered.vanished), inputs=numbered.affected)
    return parts


# Both ends of a link are of one family. Of other pairs those alone count whose ends are, too.
_BOTH_PARTS: Final = "a.part, b.part as other_part, "


def _within_parts(pairs: str) -> str:
    return f"select * from ({pairs}) as pairs where part = other_part"


_TIES: Final = f"""
    select "left", "right" from ({links_sql()}) as links
    union all
    select heads.number, records.number
    from scope_records as records
    inner join scope_heads as heads on records.previous_id = heads.customer_id
    union all
    select heads.number, records.number
    from scope_records as records
    inner join scope_heads as heads
        on {customer_id_sql("records.record_id")} = heads.customer_id"""

# A family is called by one of its records, as good as by chance: parts come out alike in size.
_PLACED: Final = f"""
    create temporary table scope_placed as
    select row_number() over (partition by part order by number) - 1 as number, part, {_COLUMNS}
    from (
        select
            coalesce(families.component, records.number) % {{parts}} as part,
            records.number, {_COLUMNS}
        from scope_records as records
        left join scope_families as families on records.number = families.number
    ) as divided
    order by part"""

# Of a record that is gone, its customer's family is asked; without one, any part will do.
_VANISHED: Final = f"""
    create temporary table scope_vanished as
    select vanished.record_id, vanished.previous_id, coalesce(ids.part, 0) as part
    from ({{vanished}}) as vanished
    left join (
        select previous_id as customer_id, part from scope_placed where previous_id is not null
        union
        select {customer_id_sql("record_id")}, part from scope_placed
    ) as ids on vanished.previous_id = ids.customer_id"""
