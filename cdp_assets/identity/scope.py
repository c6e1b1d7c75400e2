"""What a run has to look at: every record, or only those near a change.

Near a change are: records with new or lost rows, records that share an identifier value with
such a record or match it, records that a human decided about, all records of the customers of any
of these, and of the customers that a refused link ties to those. A component of links is then
either in the scope as a whole or not at all, and a score counts within a component only, so
clustering the scope gives what clustering everything gives. Customers and refused links are those
that were applied: a candidate that never was leaves both as they are.

Here: reading. Not here: reading more than fits in memory (`parts.py`), clustering (`clusters.py`),
ids (`stable_ids.py`), writing (`apply.py`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import pyarrow as pa

from cdp_assets.identity.decisions import CURRENT_DECISIONS
from cdp_assets.identity.stable_ids import customer_id
from cdp_assets.identity.tables import ASSIGNMENTS, DECISIONS, HELD_BACK, MAP, REFUSED_MERGES
from cdp_assets.resources.warehouse import Statements


@dataclass(frozen=True)
class Scope:
    """The input of one resolution, as Arrow tables. Records are numbered 0..n-1, without gaps.

    Attributes:
        is_rebuild: every record is in it.
        records: number, record_id, is_device, first_seen, name, birth_date (ISO text),
            has_score (it can be compared field by field), previous_id; one row per record that
            exists, in any order.
        vanished: record_id, previous_id of records that exist no longer.
        links: left, right (numbers), tier, score, first_seen, rule, rule_version.
        limited: number, identifier_type, identifier_value, max_per_customer.
        cannot_link: left, right (numbers).
        scores: left, right (numbers), match_weight, is_vetoed: the pairs that are stored.
    """

    is_rebuild: bool
    records: pa.Table
    vanished: pa.Table
    links: pa.Table
    limited: pa.Table
    cannot_link: pa.Table
    scores: pa.Table


@dataclass(frozen=True)
class Numbered:
    """Which records a resolution looks at; they are in the temporary table `scope_records`.

    Attributes:
        is_rebuild: every record is in it.
        vanished: the SELECT of those that exist no longer.
        affected: what that SELECT reads besides tables.
    """

    is_rebuild: bool
    vanished: str
    affected: Mapping[str, pa.Table]


def number_records(session: Statements) -> Numbered:
    """Find out what this run has to look at.

    The temporary table `scope_records` (number, record_id...) stays until the session ends.
    """
    tables = (MAP, REFUSED_MERGES, DECISIONS, ASSIGNMENTS, HELD_BACK)
    session.execute(*(table.create_if_missing for table in tables))
    is_rebuild = _is_rebuild(session)
    affected = {} if is_rebuild else {"affected": _affected(session)}
    session.execute(
        "drop table if exists scope_records",
        _NUMBER_RECORDS + _only(affected, "records.record_id"),
        inputs=affected,
    )
    return Numbered(is_rebuild, _VANISHED + _only(affected, "previous.record_id"), affected)


def is_larger_than(session: Statements, rows: int) -> bool:
    """Tell whether the numbered records, or the links between them, are more than so many rows."""
    counts = session.query(
        "select (select count(*) from scope_records) as records,"
        " (select count(*) from identity.identity_edges) as edges"
    ).to_pylist()[0]
    if counts["records"] > rows:
        return True
    # Counting the links of some of the records takes a join, which few runs have to pay for.
    return counts["edges"] > rows and count_links(session) > rows


def count_links(session: Statements) -> int:
    """How many links there are between the numbered records."""
    counted = f"select count(*) as links_there from ({links_sql()}) as links"
    return session.query(counted)["links_there"][0].as_py()


def read_scope(session: Statements, numbered: Numbered) -> Scope:
    """Read what was numbered, all of it at once."""
    return Scope(
        is_rebuild=numbered.is_rebuild,
        records=session.query("select * from scope_records"),
        vanished=session.query(numbered.vanished, numbered.affected),
        links=session.query(links_sql()),
        limited=session.query(limited_sql()),
        cannot_link=session.query(cannot_links_sql()),
        scores=session.query(stored_scores_sql()),
    )


# A rebuild of the models is one of the clusters; and without a map there is nothing to add to.
def _is_rebuild(session: Statements) -> bool:
    rows = session.query(
        "select (select count(*) from identity.source_changes where is_rebuild) as rebuilds,"
        f" (select count(*) from (select 1 from {MAP.address} limit 1) as mapped) as mapped"
    ).to_pylist()[0]
    return rows["rebuilds"] > 0 or rows["mapped"] == 0


def _affected(session: Statements) -> pa.Table:
    seeds = session.query(_SEEDS)
    # A record that comes back may find its own id claimed by others in its absence.
    customers = {
        previous or customer_id(record_id)
        for record_id, previous in zip(*seeds.to_pydict().values(), strict=True)
    }
    ties = session.query(_TIED_CUSTOMERS).to_pydict().values()
    customers = with_tied(customers, zip(*ties, strict=True))
    return session.query(
        _AFFECTED,
        {
            "seeds": seeds,
            "customers": pa.table({"customer_id": pa.array(sorted(customers), pa.string())}),
        },
    )


def with_tied(customers: set[str], ties: Iterable[tuple[str, str]]) -> set[str]:
    """These customers and all those that chains of ties connect them with."""
    neighbours: dict[str, list[str]] = defaultdict(list)
    for left, right in ties:
        neighbours[left].append(right)
        neighbours[right].append(left)
    found = set(customers)
    waiting = [customer for customer in customers if customer in neighbours]
    while waiting:
        new = [other for other in neighbours[waiting.pop()] if other not in found]
        found.update(new)
        waiting.extend(new)
    return found


def _only(inputs: dict[str, pa.Table], column: str) -> str:
    return f" and {column} in (select record_id from affected)" if inputs else ""


# Numbers are smaller than texts, and joining for them once is cheaper than looking texts up.
_NUMBER_RECORDS = f"""
    create temporary table scope_records as
    select
        row_number() over () - 1 as number,
        records.record_id,
        records.record_kind = 'device' as is_device,
        records.first_seen_at as first_seen,
        records.first_name_key as name,
        cast(records.birth_date as varchar) as birth_date,
        match_records.record_id is not null as has_score,
        previous.customer_id as previous_id
    from identity.identity_records as records
    left join {MAP.address} as previous on records.record_id = previous.record_id
    left join identity.match_records as match_records
        on records.record_id = match_records.record_id and match_records.is_current
    where true"""

_VANISHED = f"""
    select previous.record_id, previous.customer_id as previous_id
    from {MAP.address} as previous
    where not exists (
        select 1 from identity.identity_records as records
        where records.record_id = previous.record_id
    )"""


# The following read what `scope_records` numbers, or another table that has its columns; `more`
# are further columns of that one, to stand first.


def links_sql(records: str = "scope_records", more: str = "") -> str:
    """SELECT of `Scope.links`. A decision may name a record that is gone; the joins drop it."""
    return f"""
    select
        {more}a.number as "left", b.number as "right", links.tier, links.score, links.first_seen,
        links.rule, links.rule_version
    from (
        select
            left_record_id, right_record_id, cast(tier as integer) as tier,
            cast(score as double) as score, first_seen_at as first_seen, rule, rule_version
        from identity.identity_edges
        union all
        select left_record_id, right_record_id, 0, 1, decided_at, 'decision', 'human'
        from ({CURRENT_DECISIONS}) as decisions
        where decision = 'must_link'
    ) as links
    inner join {records} as a on links.left_record_id = a.record_id
    inner join {records} as b on links.right_record_id = b.record_id"""


def cannot_links_sql(records: str = "scope_records", more: str = "") -> str:
    """SELECT of `Scope.cannot_link`."""
    return f"""
    select {more}a.number as "left", b.number as "right"
    from ({CURRENT_DECISIONS}) as decisions
    inner join {records} as a on decisions.left_record_id = a.record_id
    inner join {records} as b on decisions.right_record_id = b.record_id
    where decisions.decision = 'cannot_link'"""


def stored_scores_sql(records: str = "scope_records", more: str = "") -> str:
    """SELECT of `Scope.scores`."""
    return f"""
    select
        {more}a.number as "left", b.number as "right", pairs.match_weight,
        pairs.veto is not null as is_vetoed
    from identity.match_pairs as pairs
    inner join {records} as a on pairs.left_record_id = a.record_id
    inner join {records} as b on pairs.right_record_id = b.record_id"""


def limited_sql(records: str = "scope_records", more: str = "") -> str:
    """SELECT of `Scope.limited`."""
    return f"""
    select
        {more}a.number, identifiers.identifier_type, identifiers.identifier_value,
        limits.max_per_customer
    from identity.identifiers as identifiers
    inner join identity.identity_limits as limits
        on identifiers.identifier_type = limits.identifier_type
    inner join {records} as a on identifiers.record_id = a.record_id
    where identifiers.is_current"""


# A deleted record follows one of several candidates: which one may change with any of them.
_SEEDS = f"""
    with held_back as (
        select record_id from {ASSIGNMENTS.address} where is_held_back
        union
        select record_id from {HELD_BACK.address}
    ),

    near_a_change as (
        select record_id from identity.changed_records
        union
        select record_id from identity.match_affected
        union
        select pairs.right_record_id
        from identity.match_pairs as pairs
        inner join identity.match_affected as affected
            on pairs.left_record_id = affected.record_id
        where pairs.band = 'auto'
        union
        select pairs.left_record_id
        from identity.match_pairs as pairs
        inner join identity.match_affected as affected
            on pairs.right_record_id = affected.record_id
        where pairs.band = 'auto'
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
        select record_id from held_back
        union
        -- Held back for the first time, a record has no customer yet that refused links could tie.
        select refused.right_record_id
        from {REFUSED_MERGES.address} as refused
        inner join held_back on refused.left_record_id = held_back.record_id
        union
        select refused.left_record_id
        from {REFUSED_MERGES.address} as refused
        inner join held_back on refused.right_record_id = held_back.record_id
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
