"""One resolution: from the scope to the candidate assignments, with all that they would change.

Here: arrays out of tables, the calls of the pure functions, tables out of arrays, and whether all
of it is done at once or in parts.
Not here: what is in the scope (`scope.py`, `parts.py`), applying the result (`apply.py`), judging
it (`gate.py`).
"""

# pyarrow makes its compute functions at import, where no type checker sees them.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

import gc
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial, reduce
from itertools import chain, repeat
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from cdp_assets.identity.clusters import (
    SOFT_CAP,
    Clustering,
    Constraints,
    Evidence,
    Limited,
    Links,
    components,
    separate,
)
from cdp_assets.identity.parts import read_in_parts
from cdp_assets.identity.scope import Scope, is_larger_than, number_records, read_scope
from cdp_assets.identity.scoring import Score, evidence_of, score_pairs, unscored_pairs
from cdp_assets.identity.stable_ids import Change, Records, assign, changes
from cdp_assets.identity.tables import ASSIGNMENTS, CHANGES, HELD_BACK, REFUSALS
from cdp_assets.resources.warehouse import Statements, Warehouse

IntArray = NDArray[np.int64]

# Above it something is wrong (a value that should be suppressed): nothing of such a cluster is
# published. Only unique ids and human decisions can exceed `SOFT_CAP`, and so get here.
HARD_CAP: Final = 200

# Records, or links between them, that are resolved at once; more are resolved in parts of so many.
# 4,000,000 records with 3,000,000 links take 1.7 GiB beside the engine's memory; scores and
# doubtful components take more, so this many fit into 2 GiB.
ROWS_IN_MEMORY: Final = 3_000_000


@dataclass(frozen=True)
class Resolution:
    """The candidate, as tables with the columns of `tables.py`, and the sizes of its clusters.

    Attributes:
        is_rebuild: every record was looked at.
        assignments: one row per record looked at.
        changes: one row per change to an id that lived before.
        refused: one row per refused link.
        cluster_sizes: records per cluster.
    """

    is_rebuild: bool
    assignments: pa.Table
    changes: pa.Table
    refused: pa.Table
    cluster_sizes: IntArray

    @property
    def tables(self) -> Mapping[str, pa.Table]:
        """What is written, by name."""
        return {
            "assignments": self.assignments,
            "changes": self.changes,
            "refused": self.refused,
        }


@dataclass(frozen=True)
class Resolved:
    """What a resolution wrote, in numbers.

    Attributes:
        is_rebuild: every record was looked at.
        records: rows of the assignments.
        refused: refused links.
        clusters: how many there are of each size; the place is the size.
    """

    is_rebuild: bool
    records: int
    refused: int
    clusters: IntArray

    @classmethod
    def of(cls, resolution: Resolution) -> Resolved:
        """The numbers of one candidate."""
        return cls(
            resolution.is_rebuild,
            len(resolution.assignments),
            len(resolution.refused),
            np.bincount(resolution.cluster_sizes),
        )

    def with_more(self, more: Resolved) -> Resolved:
        """The numbers of this and another candidate."""
        clusters = np.zeros(max(len(self.clusters), len(more.clusters)), dtype=np.int64)
        for part in (self.clusters, more.clusters):
            clusters[: len(part)] += part
        return Resolved(
            self.is_rebuild, self.records + more.records, self.refused + more.refused, clusters
        )


def resolve(
    warehouse: Warehouse,
    soft_cap: int = SOFT_CAP,
    hard_cap: int = HARD_CAP,
    rows_in_memory: int = ROWS_IN_MEMORY,
) -> Resolved:
    """Cluster what has to be looked at and write the candidate, for the gate to audit.

    Args:
        warehouse: that has the links and gets the candidate.
        soft_cap: only unique ids and human decisions make clusters of more records.
        hard_cap: clusters with more records are held back.
        rows_in_memory: see `ROWS_IN_MEMORY`.
    """
    with warehouse.session() as session:
        numbered = number_records(session)
        look_at = partial(
            resolve_scope,
            score=partial(score_pairs, session),
            soft_cap=soft_cap,
            hard_cap=hard_cap,
        )
        if is_larger_than(session, rows_in_memory):
            parts = read_in_parts(session, numbered, rows_in_memory)
            candidate, inputs = "candidate_", {}
            resolved = _collect(session, map(look_at, parts))
        else:
            resolution = look_at(read_scope(session, numbered))
            candidate, inputs = "", resolution.tables
            resolved = Resolved.of(resolution)
        session.execute(
            _KEEP_HELD_BACK,
            f"create or replace table {ASSIGNMENTS.address} as"
            f" select * from {candidate}assignments",
            f"create or replace table {CHANGES.address} as select * from {candidate}changes",
            f"create or replace table {REFUSALS.address} as select * from {candidate}refused",
            inputs=inputs,
        )
    return resolved


def _collect(session: Statements, resolutions: Iterator[Resolution]) -> Resolved:
    """Put resolutions into the temporary tables `candidate_...`, and keep none in memory."""
    verbs = chain(["create temporary table {} as"], repeat("insert into {}"))

    def put(verb: str, resolution: Resolution) -> Resolved:
        session.execute(
            *(
                f"{verb.format(f'candidate_{name}')} select * from {name}"
                for name in resolution.tables
            ),
            inputs=resolution.tables,
        )
        return Resolved.of(resolution)

    return reduce(Resolved.with_more, map(put, verbs, resolutions))


def propose(warehouse: Warehouse, soft_cap: int = SOFT_CAP, hard_cap: int = HARD_CAP) -> Resolution:
    """The candidate that `resolve` would write; nothing that a later run reads is changed.

    Made in memory, whatever its size.
    """
    with warehouse.session() as session:
        scope = read_scope(session, number_records(session))
        return resolve_scope(scope, partial(score_pairs, session), soft_cap, hard_cap)


@contextmanager
def _no_collection() -> Iterator[None]:
    """Millions of small objects are made here, none in a cycle: looking for cycles finds none."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


@_no_collection()
def resolve_scope(
    scope: Scope,
    score: Score | None = None,
    soft_cap: int = SOFT_CAP,
    hard_cap: int = HARD_CAP,
) -> Resolution:
    """The candidate for a scope; pure, but for what `score` does.

    Args:
        scope: what to look at.
        score: scores pairs that the scope has no score of; without it there are none.
        soft_cap: only unique ids and human decisions make clusters of more records.
        hard_cap: clusters with more records are held back.
    """
    records = Records(
        record_ids=scope.records["record_id"].combine_chunks(),
        is_device=_numpy(scope.records["is_device"]),
        first_seen=_microseconds(scope.records["first_seen"]),
        previous_ids=scope.records["previous_id"].combine_chunks(),
    )
    rows = _rows_by_number(scope.records["number"])
    links = _links(scope.links, rows)
    labels = components(len(rows), links.left, links.right)
    evidence = _evidence(scope, rows, labels, links, score)
    clustering = separate(
        labels, links, _constraints(scope, rows), records.record_ids, evidence, soft_cap
    )
    sizes = np.bincount(clustering.labels)
    held_back = (sizes > hard_cap)[clustering.labels]
    new_ids = assign(clustering.labels, records, held_back)
    found = changes(records, new_ids, scope.vanished["previous_id"])
    return Resolution(
        is_rebuild=scope.is_rebuild,
        assignments=_assignments(records, new_ids, held_back, scope.vanished),
        changes=_changes(found, scope.links, links, records, new_ids),
        refused=_refused(scope.links, links, records, clustering),
        cluster_sizes=sizes,
    )


def _evidence(
    scope: Scope, rows: IntArray, labels: IntArray, links: Links, score: Score | None
) -> Evidence:
    """The scores that are stored, and those of the other pairs within components."""
    stored = evidence_of(scope.scores, rows)
    if score is None:
        return stored
    has_score = _numpy(scope.records["has_score"]).astype(bool)
    left, right = unscored_pairs(labels, links, has_score, stored)
    if len(left) == 0:
        return stored
    numbers = _numpy(scope.records["number"])
    return stored.with_more(evidence_of(score(numbers[left], numbers[right]), rows))


# The candidate that is replaced here may be the applied one, or a later one that never was.
_KEEP_HELD_BACK: Final = f"""
    insert into {HELD_BACK.address}
    select record_id from {ASSIGNMENTS.address}
    where is_held_back and record_id not in (select record_id from {HELD_BACK.address})"""


def _rows_by_number(numbers: pa.ChunkedArray) -> IntArray:
    """Where in the table the record of each number is."""
    rows = np.empty(len(numbers), dtype=np.int64)
    rows[_numpy(numbers)] = np.arange(len(numbers))
    return rows


def _links(links: pa.Table, rows: IntArray) -> Links:
    return Links(
        left=rows[_numpy(links["left"])],
        right=rows[_numpy(links["right"])],
        score=_numpy(links["score"]).astype(np.float64),
        first_seen=_microseconds(links["first_seen"]),
        tier=_numpy(links["tier"]).astype(np.int64),
    )


def _constraints(scope: Scope, rows: IntArray) -> Constraints:
    names, name_keys = _codes(scope.records["name"])
    birth_dates, birth_date_texts = _codes(scope.records["birth_date"])
    sides = [rows[_numpy(scope.cannot_link[side])] for side in ("left", "right")]
    return Constraints(
        names=names,
        name_keys=name_keys,
        birth_dates=birth_dates,
        birth_date_texts=birth_date_texts,
        limited=_limited(scope.limited, rows),
        cannot_link=np.column_stack(sides),
    )


def _limited(table: pa.Table, rows: IntArray) -> list[Limited]:
    types, type_names = _codes(table["identifier_type"])
    values, _ = _codes(table["identifier_value"])
    records = rows[_numpy(table["number"])]
    maximum = _numpy(table["max_per_customer"])
    return [
        Limited(records=records[of_type], values=values[of_type], maximum=int(maximum[of_type][0]))
        for of_type in (types == code for code in range(len(type_names)))
    ]


def _assignments(
    records: Records, new_ids: pa.Array, held_back: NDArray[np.bool_], vanished: pa.Table
) -> pa.Table:
    gone = len(vanished)
    return pa.table(
        {
            "record_id": pa.chunked_array(
                [records.record_ids, *vanished["record_id"].chunks], pa.string()
            ),
            "customer_id": pa.chunked_array([new_ids, pa.nulls(gone, pa.string())]),
            "previous_customer_id": pa.chunked_array(
                [records.previous_ids, *vanished["previous_id"].chunks], pa.string()
            ),
            "is_held_back": np.concatenate((held_back, np.zeros(gone, dtype=bool))),
        }
    )


def _changes(
    found: list[Change], table: pa.Table, links: Links, records: Records, new_ids: pa.Array
) -> pa.Table:
    causes = _causes(table, links, records, new_ids) if found else {}
    rows = []
    for change in found:
        ended = change.other_customer_id if change.event in ("merge", "rename") else None
        cause = causes.get(ended, (None, None, None))
        rows.append((change.event, change.customer_id, change.other_customer_id, *cause))
    names = [column.name for column in CHANGES.columns]
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(names)
    return pa.table(
        [pa.array(column, pa.string()) for column in columns],
        names=names,
    )


def _causes(
    table: pa.Table, links: Links, records: Records, new_ids: pa.Array
) -> dict[str | None, tuple[str, str, str]]:
    """Per id that ended: the other record, rule and version of the newest link out of it.

    Of links of one time the stronger is named, then the first by record ids and rule, whatever
    order the links came in. A record without an id so far ends none.
    """
    moved = pc.fill_null(pc.not_equal(records.previous_ids, new_ids), False)
    moved = moved.to_numpy(zero_copy_only=False)
    near = np.flatnonzero(moved[links.left] | moved[links.right])
    ends = [records.record_ids.take(pa.array(side[near])) for side in (links.left, links.right)]
    by_age = pa.table(
        {
            "first_seen": links.first_seen[near],
            "tier": links.tier[near],
            "left": ends[0],
            "right": ends[1],
            "rule": table["rule"].take(pa.array(near)),
        }
    )
    oldest_first = [
        ("first_seen", "ascending"),
        *((name, "descending") for name in ("tier", "left", "right", "rule")),
    ]
    near = near[pc.sort_indices(by_age, sort_keys=oldest_first).to_numpy()]
    causes: dict[str | None, tuple[str, str, str]] = {}
    of_links = [
        array.take(pa.array(side)).to_pylist()
        for array in (records.record_ids, records.previous_ids, new_ids)
        for side in (links.left[near], links.right[near])
    ]
    rules = table.select(["rule", "rule_version"]).take(pa.array(near)).to_pydict().values()
    for left, right, old_left, old_right, new_left, new_right, rule, version in zip(
        *of_links, *rules, strict=True
    ):
        if new_left == new_right and old_left != old_right:
            causes[old_left] = (right, rule, version)
            causes[old_right] = (left, rule, version)
    causes.pop(None, None)
    return causes


def _refused(table: pa.Table, links: Links, records: Records, clustering: Clustering) -> pa.Table:
    refused = clustering.refused
    rows = table.take(pa.array(refused))
    return pa.table(
        {
            "left_record_id": records.record_ids.take(pa.array(links.left[refused])),
            "right_record_id": records.record_ids.take(pa.array(links.right[refused])),
            "reason": pa.array(clustering.reasons, pa.string()),
            "rule": rows["rule"],
            "rule_version": rows["rule_version"],
            "tier": rows["tier"],
        }
    )


def _codes(column: pa.ChunkedArray) -> tuple[IntArray, list[str]]:
    """Each value as a number (-1 for null), and the text of each number."""
    encoded = column.combine_chunks().dictionary_encode()
    codes = pc.fill_null(encoded.indices.cast(pa.int64()), -1)
    return codes.to_numpy(zero_copy_only=False), encoded.dictionary.to_pylist()


def _numpy(column: pa.ChunkedArray) -> np.ndarray:
    return column.combine_chunks().to_numpy(zero_copy_only=False)


def _microseconds(column: pa.ChunkedArray) -> IntArray:
    return _numpy(column.cast(pa.timestamp("us")).cast(pa.int64()))
