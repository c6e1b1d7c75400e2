"""One resolution: from the scope to the candidate assignments, with all that they would change.

Here: arrays out of tables, the calls of the pure functions, tables out of arrays.
Not here: what is in the scope (`scope.py`), applying the result (`apply.py`), judging it
(`gate.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from cdp_assets.identity.clusters import (
    DECISION_TIER,
    Clustering,
    Constraints,
    Limited,
    Links,
    cluster,
)
from cdp_assets.identity.scope import Scope, read_scope
from cdp_assets.identity.stable_ids import Change, Records, assign, changes
from cdp_assets.identity.tables import ASSIGNMENTS, CHANGES, REFUSED_MERGES
from cdp_assets.resources.warehouse import Warehouse

IntArray = NDArray[np.int64]

# Clusters above the soft cap are reported: people rarely have so many records. Above the hard
# cap something is wrong (a value that should be suppressed): nothing of it is published.
SOFT_CAP: Final = 50
HARD_CAP: Final = 200


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


def resolve(warehouse: Warehouse) -> Resolution:
    """Cluster what has to be looked at and write the candidate, for the gate to audit."""
    scope = read_scope(warehouse)
    resolution = resolve_scope(scope)
    looked_at = f"(select record_id from {ASSIGNMENTS.address})"
    warehouse.execute(
        f"create or replace table {ASSIGNMENTS.address} as select * from assignments",
        f"create or replace table {CHANGES.address} as select * from changes",
        f"delete from {REFUSED_MERGES.address}"
        + ("" if scope.is_rebuild else f" where left_record_id in {looked_at}"),
        f"insert into {REFUSED_MERGES.address} select * from refused",
        inputs={
            "assignments": resolution.assignments,
            "changes": resolution.changes,
            "refused": resolution.refused,
        },
    )
    return resolution


def resolve_scope(scope: Scope, hard_cap: int = HARD_CAP) -> Resolution:
    """The candidate for a scope; a pure function.

    Args:
        scope: what to look at.
        hard_cap: clusters with more records are held back.
    """
    record_ids = scope.records["record_id"].combine_chunks()
    links = _known_links(scope.links, record_ids)
    clustering = cluster(
        len(record_ids),
        _links(links, record_ids),
        _constraints(scope, record_ids),
        record_ids,
    )
    records = Records(
        record_ids=record_ids,
        is_device=_numpy(scope.records["is_device"]),
        first_seen=_microseconds(scope.records["first_seen"]),
        previous_ids=scope.records["previous_id"].combine_chunks(),
    )
    sizes = np.bincount(clustering.labels)
    held_back = (sizes > hard_cap)[clustering.labels]
    new_ids = assign(clustering.labels, records, held_back)
    found = changes(records, new_ids, scope.vanished["previous_id"])
    return Resolution(
        is_rebuild=scope.is_rebuild,
        assignments=_assignments(records, new_ids, held_back, scope.vanished),
        changes=_changes(found, links, record_ids, records.previous_ids, new_ids),
        refused=_refused(links, clustering),
        cluster_sizes=sizes,
    )


def _known_links(links: pa.Table, record_ids: pa.Array) -> pa.Table:
    """The links with the numbers of their records; a decision may name a record that is gone."""
    links = links.append_column("left_number", pc.index_in(links["left"], record_ids))
    links = links.append_column("right_number", pc.index_in(links["right"], record_ids))
    return links.filter(
        pc.and_(pc.is_valid(links["left_number"]), pc.is_valid(links["right_number"]))
    )


def _links(links: pa.Table, record_ids: pa.Array) -> Links:
    tier = _numpy(links["tier"]).astype(np.float64)
    return Links(
        left=_numpy(links["left_number"]).astype(np.int64),
        right=_numpy(links["right_number"]).astype(np.int64),
        # Tiers are whole numbers and scores lie between 0 and 1.
        weakness=tier - _numpy(links["score"]).astype(np.float64) / 2,
        first_seen=_microseconds(links["first_seen"]),
        is_decision=tier == DECISION_TIER,
    )


def _constraints(scope: Scope, record_ids: pa.Array) -> Constraints:
    names, name_keys = _codes(scope.records["name"])
    birth_dates, birth_date_texts = _codes(scope.records["birth_date"])
    cannot_link = np.column_stack(
        [
            pc.fill_null(pc.index_in(scope.cannot_link[side], record_ids), -1).to_numpy()
            for side in ("left", "right")
        ]
    ).astype(np.int64)
    return Constraints(
        names=names,
        name_keys=name_keys,
        birth_dates=birth_dates,
        birth_date_texts=birth_date_texts,
        limited=_limited(scope.limited, record_ids),
        cannot_link=cannot_link[(cannot_link >= 0).all(axis=1)],
    )


def _limited(rows: pa.Table, record_ids: pa.Array) -> list[Limited]:
    found = []
    for identifier_type in sorted(pc.unique(rows["identifier_type"]).to_pylist()):
        of_type = rows.filter(pc.equal(rows["identifier_type"], identifier_type))
        values, _ = _codes(of_type["identifier_value"])
        found.append(
            Limited(
                records=_numpy(pc.index_in(of_type["record_id"], record_ids)).astype(np.int64),
                values=values,
                maximum=of_type["max_per_customer"][0].as_py(),
            )
        )
    return found


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
    found: list[Change],
    links: pa.Table,
    record_ids: pa.Array,
    previous_ids: pa.Array,
    new_ids: pa.Array,
) -> pa.Table:
    causes = _causes(links, record_ids, previous_ids, new_ids) if found else {}
    nothing = (None, None, None)
    rows = [
        (
            change.event,
            change.customer_id,
            change.other_customer_id,
            *(
                causes.get(change.other_customer_id, nothing)
                if change.event in ("merge", "rename")
                else nothing
            ),
        )
        for change in found
    ]
    names = [column.name for column in CHANGES.columns]
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(names)
    return pa.table(
        {name: pa.array(column, pa.string()) for name, column in zip(names, columns, strict=True)}
    )


def _causes(
    links: pa.Table, record_ids: pa.Array, previous_ids: pa.Array, new_ids: pa.Array
) -> dict[str | None, tuple[str, str, str]]:
    """Per id that ended: the other record, rule and version of the newest link out of it."""
    left, right = links["left_number"], links["right_number"]
    crossing = pc.and_(
        pc.equal(new_ids.take(left), new_ids.take(right)),
        pc.fill_null(pc.not_equal(previous_ids.take(left), previous_ids.take(right)), True),
    )
    chosen = links.filter(pc.fill_null(crossing, False)).sort_by(
        [("first_seen", "ascending"), ("left", "ascending"), ("right", "ascending")]
    )
    previous_left = previous_ids.take(chosen["left_number"].combine_chunks()).to_pylist()
    previous_right = previous_ids.take(chosen["right_number"].combine_chunks()).to_pylist()
    causes: dict[str | None, tuple[str, str, str]] = {}
    for link, old_left, old_right in zip(
        chosen.select(["left", "right", "rule", "rule_version"]).to_pylist(),
        previous_left,
        previous_right,
        strict=True,
    ):
        causes[old_left] = (link["right"], link["rule"], link["rule_version"])
        causes[old_right] = (link["left"], link["rule"], link["rule_version"])
    return causes


def _refused(links: pa.Table, clustering: Clustering) -> pa.Table:
    rows = links.take(pa.array(clustering.refused))
    return pa.table(
        {
            "left_record_id": rows["left"],
            "right_record_id": rows["right"],
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
