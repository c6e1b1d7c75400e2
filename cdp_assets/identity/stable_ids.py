"""Which customer id a cluster gets, and what that changes.

The rule: a cluster's id is a hash of its anchor, its oldest record that is not a device. So ids
are a function of the data, whatever the order of arrival; of two customers that merge the older
id survives; and a split leaves the id with the side that holds the anchor. An id is never given
to another anchor, with one exception: when the anchor has vanished from the data, the cluster
with most of its surviving records claims the old id, unless that cluster's own id was in use.

Not here: how records come into clusters (`clusters.py`); tables (`resolve.py`, `apply.py`).
"""

# pyarrow makes its compute functions at import, where no type checker sees them.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class Records:
    """What the ids depend on, one row per record.

    Attributes:
        record_ids: text.
        is_device: an anonymous device is the last choice for an anchor.
        first_seen: event time, any monotonic integer unit.
        previous_ids: text; the customer id so far, null for a new record.
    """

    record_ids: pa.Array
    is_device: NDArray[np.bool_]
    first_seen: IntArray
    previous_ids: pa.Array


@dataclass(frozen=True)
class Change:
    """One thing that happens to customer ids when the assignments are applied.

    Attributes:
        event: merge (the other id is gone, this one has its records), split (this id got records
            of the other), rename (as merge, but this id is new and nobody else's) or retire
            (this id has no records left).
        customer_id: the id that lives on; for retire, the one that ends.
        other_customer_id: the id that gave records, None for retire.
    """

    event: str
    customer_id: str
    other_customer_id: str | None


def customer_id(record_id: str) -> str:
    """The id of the customer whose anchor this record is."""
    return "c_" + hashlib.sha256(record_id.encode()).hexdigest()[:20]


def customer_id_sql(record_id: str) -> str:
    """The same in SQL, of a column, for sessions of a warehouse."""
    return f"('c_' || substr(sha256_hex({record_id}), 1, 20))"


def anchors(labels: IntArray, records: Records) -> IntArray:
    """Record number of each cluster's anchor: the least (is_device, first_seen, record_id).

    Args:
        labels: cluster number per record, 0..k-1, each used.
        records: as many as labels.

    Returns:
        Shape (k,).
    """
    order = np.lexsort((records.first_seen, records.is_device, labels))
    leads = np.r_[True, labels[order][1:] != labels[order][:-1]]
    first = order[leads]
    # Ties are few: only they are decided by comparing texts.
    ties = np.flatnonzero(
        (records.first_seen == records.first_seen[first][labels])
        & (records.is_device == records.is_device[first][labels])
    )
    tied_labels, counts = np.unique(labels[ties], return_counts=True)
    ties = ties[np.isin(labels[ties], tied_labels[counts > 1])]
    texts = records.record_ids.take(pa.array(ties))
    by_text = pa.table({"label": labels[ties], "text": texts, "record": ties}).sort_by(
        [("label", "ascending"), ("text", "ascending")]
    )
    sorted_labels, least = (by_text[name].to_numpy() for name in ("label", "record"))
    leads = np.r_[True, sorted_labels[1:] != sorted_labels[:-1]][: len(least)]
    first[sorted_labels[leads]] = least[leads]
    return first


def assign(labels: IntArray, records: Records, held_back: NDArray[np.bool_]) -> pa.Array:
    """The customer id of each record.

    Args:
        labels: cluster number per record, 0..k-1, each used.
        records: as many as labels, and with them every record of each of their previous ids.
        held_back: records that keep what they have, all or none of a cluster.

    Returns:
        Text, one per record; null for a new record that is held back.
    """
    if len(labels) == 0:
        return pa.array([], pa.string())
    anchor_ids = records.record_ids.take(pa.array(anchors(labels, records))).to_pylist()
    own_ids = pa.array([customer_id(record_id) for record_id in anchor_ids], pa.string())
    new_ids = own_ids.take(pa.array(labels))
    new_ids = pc.if_else(pa.array(held_back), records.previous_ids, new_ids)
    moved = np.flatnonzero(_differ(records.previous_ids, new_ids))
    claims = _claims(labels, records, own_ids, new_ids, moved) if len(moved) else {}
    if not claims:
        return new_ids
    claimed = pa.array([claims.get(label) for label in labels.tolist()], pa.string())
    return pc.coalesce(claimed, new_ids)


def _differ(previous: pa.Array, new: pa.Array) -> NDArray[np.bool_]:
    """Whether a record had an id and would have another."""
    return pc.fill_null(pc.not_equal(previous, new), False).to_numpy(zero_copy_only=False)


def _claims(
    labels: IntArray, records: Records, own_ids: pa.Array, new_ids: pa.Array, moved: IntArray
) -> dict[int, str]:
    """Clusters that take over an id whose anchor has vanished."""
    left_behind = pc.unique(records.previous_ids.take(pa.array(moved)))
    ended = set(left_behind.to_pylist()) - _present(new_ids, left_behind)
    overlaps: dict[str, Counter[int]] = {}
    # An anchor that came back in this very run has no id yet, and has not vanished.
    newcomers = records.record_ids.filter(records.previous_ids.is_null()) if ended else []
    anchored = ended & {customer_id(record.as_py()) for record in newcomers}
    for old, record_id, label in zip(
        _texts(records.previous_ids, moved),
        _texts(records.record_ids, moved),
        labels[moved].tolist(),
        strict=True,
    ):
        if old in ended:
            overlaps.setdefault(old, Counter())[label] += 1
            if customer_id(record_id) == old:
                anchored.add(old)
    candidates = pa.array(sorted({label for of_old in overlaps.values() for label in of_old}))
    in_use = _present(records.previous_ids, own_ids.take(candidates)) if len(candidates) else set()
    claims: dict[int, tuple[int, str]] = {}
    for old in overlaps.keys() - anchored:
        # Most of the surviving records; ties go to the lesser of the clusters' own ids.
        overlap, own, label = min(
            (-count, own_ids[label].as_py(), label) for label, count in overlaps[old].items()
        )
        if own not in in_use:
            claims[label] = min(claims.get(label, (0, "")), (overlap, old))
    return {label: old for label, (_, old) in claims.items()}


def _present(ids: pa.Array | pa.ChunkedArray, wanted: pa.Array) -> set[str]:
    """Which of the wanted ids occur among the ids."""
    return set(pc.unique(ids.filter(pc.is_in(ids, wanted))).to_pylist())


def changes(records: Records, new_ids: pa.Array, vanished_ids: pa.ChunkedArray) -> list[Change]:
    """What happens to ids that lived before.

    Args:
        records: as given to `assign`.
        new_ids: the result of `assign`.
        vanished_ids: previous ids of records that are gone from the data.
    """
    moved = pa.array(_differ(records.previous_ids, new_ids))
    left_behind = pc.unique(
        pa.chunked_array([records.previous_ids.filter(moved), *vanished_ids.chunks], pa.string())
    )
    if len(left_behind) == 0:
        return []
    gone = set(left_behind.to_pylist()) - _present(new_ids, left_behind)
    moves = list(
        zip(
            records.previous_ids.filter(moved).to_pylist(),
            records.record_ids.filter(moved).to_pylist(),
            new_ids.filter(moved).to_pylist(),
            strict=True,
        )
    )
    heirs = _heirs(moves, gone)
    flows = {(old, new) for old, _, new in moves}
    found = [Change("retire", old, None) for old in sorted(gone - heirs.keys())]
    feeders = Counter(new for old, new in flows if heirs.get(old) == new)
    lived = _present(records.previous_ids, pa.array(feeders.keys(), pa.string()))
    for old, new in sorted(flows):
        if heirs.get(old) != new:
            found.append(Change("split", new, old))
        else:
            is_merge = new in lived or feeders[new] > 1
            found.append(Change("merge" if is_merge else "rename", new, old))
    return found


def close_redirects(
    known: dict[str, str], found: list[Change], living: set[str], homes: dict[str, str]
) -> dict[str, str]:
    """All ids that ended in another, each with the id that lives now.

    Args:
        known: redirects so far, old id to the id that lived then.
        found: what happens now.
        living: of the ids named in any argument, those that live after it.
        homes: where the anchors of ended ids are now, as far as they moved. An id follows its
            anchor: out of a merge that is undone, and back from a customer that was gone.
    """
    steps = {
        change.other_customer_id: change.customer_id
        for change in found
        if change.event in ("merge", "rename") and change.other_customer_id
    }
    ended = {change.customer_id for change in found if change.event == "retire"}
    closed = {}
    for old, target in {**known, **steps, **homes}.items():
        end = target
        while old not in homes and end in steps:
            end = steps[end]
        if old not in living and end not in ended:
            closed[old] = end
    return closed


def homes_of(records: Iterable[tuple[str, str]], ids: set[str]) -> dict[str, str]:
    """The customers in which the anchors of these ids are.

    Args:
        records: record id and customer id.
        ids: of which customers the anchors are looked for.
    """
    owned = ((customer_id(record_id), customer) for record_id, customer in records) if ids else ()
    return {own: customer for own, customer in owned if own in ids and own != customer}


def _heirs(moves: list[tuple[str, str, str]], gone: set[str]) -> dict[str, str]:
    """For ids that end: where their anchor went, or else most of their records.

    Args:
        moves: previous id, record id and new id of each record that moves.
        gone: ids that no record has any more.
    """
    heirs: dict[str, str] = {}
    counts: dict[str, Counter[str]] = {}
    for old, record_id, new in moves:
        if old in gone:
            counts.setdefault(old, Counter())[new] += 1
            if customer_id(record_id) == old:
                heirs[old] = new
    for old, of_old in counts.items():
        heirs.setdefault(old, min(of_old, key=lambda new: (-of_old[new], new)))
    return heirs


def _texts(array: pa.Array, positions: IntArray) -> list[str]:
    return array.take(pa.array(positions)).to_pylist()
