"""What a run has to look at: every record, or only those near a change.

Near a change are: records with new or lost rows, records that share an identifier value with
such a record, records that a human decided about, all records of the customers of any of these,
and of the customers that a refused link ties to those. A component of links is then either in
the scope as a whole or not at all, so clustering the scope gives what clustering everything gives.

Here: reading. Not here: clustering (`clusters.py`), ids (`stable_ids.py`), writing (`apply.py`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cdp_assets.identity.clusters import components
from cdp_assets.identity.stable_ids import customer_id
from cdp_assets.identity.tables import ASSIGNMENTS, DECISIONS, MAP, REFUSED_MERGES
from cdp_assets.resources.warehouse import Warehouse


@dataclass(frozen=True)
class Scope:
    """The input of one resolution, as Arrow tables.

    Attributes:
        is_rebuild: every record is in it.
        records: record_id, is_device, first_seen (microseconds), name, birth_date (ISO text),
            previous_id; one row per record that exists.
        vanished: record_id, previous_id of records that exist no longer.
        links: left, right, tier, score, first_seen, rule, rule_version; record ids.
        limited: record_id, identifier_type, identifier_value, max_per_customer.
        cannot_link: left, right; record ids.
    """

    is_rebuild: bool
    records: pa.Table
    vanished: pa.Table
    links: pa.Table
    limited: pa.Table
    cannot_link: pa.Table


def read_scope(warehouse: Warehouse) -> Scope:
    """Read what this run has to look at."""
    warehouse.execute(
        *(table.create_if_missing for table in (MAP, REFUSED_MERGES, DECISIONS, ASSIGNMENTS))
    )
    is_rebuild = _is_rebuild(warehouse)
    inputs = {} if is_rebuild else {"affected": _affected(warehouse)}

    def read(sql: str) -> pa.Table:
        return warehouse.query(sql, inputs)

    return Scope(
        is_rebuild=is_rebuild,
        records=read(_RECORDS + _only(inputs, "records.record_id")),
        vanished=read(_VANISHED + _only(inputs, "previous.record_id")),
        links=read(_LINKS + _only(inputs, "left_record_id") + " union all " + _MUST_LINKS),
        limited=read(_LIMITED + _only(inputs, "identifiers.record_id")),
        cannot_link=read(_CANNOT_LINKS),
    )


# A rebuild of the models is one of the clusters; and without a map there is nothing to add to.
def _is_rebuild(warehouse: Warehouse) -> bool:
    rows = warehouse.query(
        "select (select count(*) from identity.source_changes where is_rebuild) as rebuilds,"
        f" (select count(*) from (select 1 from {MAP.address} limit 1) as mapped) as mapped"
    ).to_pylist()[0]
    return rows["rebuilds"] > 0 or rows["mapped"] == 0


def _affected(warehouse: Warehouse) -> pa.Table:
    seeds = warehouse.query(_SEEDS)
    mapped = pc.is_valid(seeds["customer_id"])
    new_records = seeds["record_id"].filter(pc.invert(mapped)).to_pylist()
    # A record that comes back may find its own id claimed by others in its absence.
    known = seeds["customer_id"].filter(mapped).to_pylist()
    customers = pa.array(sorted({*known, *map(customer_id, new_records)}), pa.string())
    tied = warehouse.query(_TIED_CUSTOMERS)
    customers = with_tied(customers, tied["left_id"], tied["right_id"])
    return warehouse.query(
        _AFFECTED, {"seeds": seeds, "customers": pa.table({"customer_id": customers})}
    )


def with_tied(customers: pa.Array, left: pa.ChunkedArray, right: pa.ChunkedArray) -> pa.Array:
    """These customers and all that chains of ties (left, right) connect them with."""
    everyone = pc.unique(pa.chunked_array([customers, *left.chunks, *right.chunks], pa.string()))

    def number(ids: pa.ChunkedArray | pa.Array) -> np.ndarray:
        return pc.index_in(ids, everyone).to_numpy(zero_copy_only=False).astype(np.int64)

    labels = components(len(everyone), number(left), number(right))
    chosen = np.isin(labels, labels[number(customers)])
    return everyone.filter(pa.array(chosen))


def _only(inputs: dict[str, pa.Table], column: str) -> str:
    return f" and {column} in (select record_id from affected)" if inputs else ""


_RECORDS = f"""
    select
        records.record_id,
        records.record_kind = 'device' as is_device,
        records.first_seen_at as first_seen,
        records.first_name_key as name,
        cast(records.birth_date as varchar) as birth_date,
        previous.customer_id as previous_id
    from identity.identity_records as records
    left join {MAP.address} as previous on records.record_id = previous.record_id
    where true"""

_VANISHED = f"""
    select previous.record_id, previous.customer_id as previous_id
    from {MAP.address} as previous
    where not exists (
        select 1 from identity.identity_records as records
        where records.record_id = previous.record_id
    )"""

_LINKS = """
    select
        left_record_id as "left", right_record_id as "right", tier, score,
        first_seen_at as first_seen, rule, rule_version
    from identity.identity_edges
    where true"""

_LIMITED = """
    select
        identifiers.record_id, identifiers.identifier_type, identifiers.identifier_value,
        limits.max_per_customer
    from identity.identifiers as identifiers
    inner join identity.identity_limits as limits
        on identifiers.identifier_type = limits.identifier_type
    where identifiers.is_current"""

_CURRENT_DECISIONS = f"""
    select decision, left_record_id, right_record_id, decided_at
    from (
        select
            *,
            row_number() over (
                partition by left_record_id, right_record_id
                order by decided_at desc, decision, decided_by, note
            ) as place
        from {DECISIONS.address}
    ) as decisions
    where place = 1"""

_MUST_LINKS = f"""
    select
        left_record_id as "left", right_record_id as "right",
        cast(0 as integer) as tier, cast(1 as double) as score, decided_at as first_seen,
        'decision' as rule, 'human' as rule_version
    from ({_CURRENT_DECISIONS}) as decisions
    where decision = 'must_link'"""

_CANNOT_LINKS = f"""
    select left_record_id as "left", right_record_id as "right"
    from ({_CURRENT_DECISIONS}) as decisions
    where decision = 'cannot_link'"""

# A deleted record follows one of several candidates: which one may change with any of them.
_SEEDS = f"""
    with near_a_change as (
        select record_id from identity.changed_records
        union
        select identifiers.record_id
        from identity.identifiers as identifiers
        inner join identity.touched_identifiers as touched
            on
                identifiers.identifier_type = touched.identifier_type
                and identifiers.identifier_value = touched.identifier_value
        union
        select left_record_id from {DECISIONS.address}
        union
        select right_record_id from {DECISIONS.address}
        union
        select record_id from {ASSIGNMENTS.address} where is_held_back
    ),

    seeds as (
        select record_id from near_a_change
        union
        select candidates.left_record_id
        from identity.edge_candidates as candidates
        inner join near_a_change on candidates.right_record_id = near_a_change.record_id
        where candidates.is_leaf and candidates.reason is null
    )

    select seeds.record_id, previous.customer_id
    from seeds
    left join {MAP.address} as previous on seeds.record_id = previous.record_id"""

_TIED_CUSTOMERS = f"""
    select distinct left_map.customer_id as left_id, right_map.customer_id as right_id
    from {REFUSED_MERGES.address} as refused
    inner join {MAP.address} as left_map on refused.left_record_id = left_map.record_id
    inner join {MAP.address} as right_map on refused.right_record_id = right_map.record_id"""

_AFFECTED = f"""
    select record_id from seeds
    union
    select mapped.record_id
    from {MAP.address} as mapped
    where mapped.customer_id in (select customer_id from customers)"""
