"""Which customer id a cluster gets, and what that changes.

The rule: a cluster's id is a hash of its anchor, its oldest record that is not a device. So ids
are a function of the data, whatever the order of arrival; of two customers that merge the older
id survives; and a split leaves the id with the side that holds the anchor. An id is never given
to another anchor, with one exception: when the anchor has vanished from the data, the cluster
with most of its surviving records claims the old id, unless that cluster's own id was in use.

Not here: how records come into clusters (`clusters.py`); tables (`resolve.py`, `apply.py`).
"""

from __future__ import annotations

import hashlib
from collections import Counter
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
    texts = records.record_ids.take(pa.array(ties)).to_pylist()
    best: dict[int, tuple[str, int]] = {}
    for label, text, record in zip(labels[ties].tolist(), texts, ties.tolist(), strict=True):
        best[label] = min(best.get(label, (text, record)), (text, record))
    for label, (_, record) in best.items():
        first[label] = record
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
    record_ids = records.record_ids.take(pa.array(anchors(labels, records))).to_pylist()
    natural = pa.array([customer_id(record_id) for record_id in record_ids], pa.string())
    claimed = _claims(labels, records, natural, held_back)
    if claimed:
        ids = natural.to_pylist()
        for label, old in claimed.items():
            ids[label] = old
        natural = pa.array(ids, pa.string())
    new_ids = natural.take(pa.array(labels))
    return pc.if_else(pa.array(held_back), records.previous_ids, new_ids)


def _claims(
    labels: IntArray, records: Records, natural: pa.Array, held_back: NDArray[np.bool_]
) -> dict[int, str]:
    """Clusters that take over an id whose anchor has vanished."""
    encoded = records.previous_ids.dictionary_encode()
    known = encoded.dictionary
    kept = pc.unique(records.previous_ids.filter(pa.array(held_back)))
    is_orphan = pc.invert(pc.or_(pc.is_in(known, natural), pc.is_in(known, kept)))
    if not pc.any(is_orphan).as_py():
        return {}
    orphaned = pc.fill_null(is_orphan.take(encoded.indices), False)
    survivors = np.flatnonzero(orphaned.to_numpy(zero_copy_only=False))
    overlaps: dict[str, dict[int, int]] = {}
    anchored: set[str] = set()
    for old, record_id, label in zip(
        _texts(records.previous_ids, survivors),
        _texts(records.record_ids, survivors),
        labels[survivors].tolist(),
        strict=True,
    ):
        of_old = overlaps.setdefault(old, {})
        of_old[label] = of_old.get(label, 0) + 1
        if customer_id(record_id) == old:
            anchored.add(old)
    in_use = pc.is_in(natural, known).to_numpy(zero_copy_only=False)
    claims: dict[int, tuple[int, str]] = {}
    for old in overlaps.keys() - anchored:
        # Most of the surviving records; ties go to the lesser of the clusters' own ids.
        label, overlap = min(
            overlaps[old].items(), key=lambda item: (-item[1], natural[item[0]].as_py())
        )
        if not in_use[label]:
            claims[label] = min(claims.get(label, (0, "")), (-overlap, old))
    return {label: old for label, (_, old) in claims.items()}


def changes(records: Records, new_ids: pa.Array, vanished_ids: pa.ChunkedArray) -> list[Change]:
    """What happens to ids that lived before.

    Args:
        records: as given to `assign`.
        new_ids: the result of `assign`.
        vanished_ids: previous ids of records that are gone from the data.
    """
    before = pc.unique(pa.chunked_array([records.previous_ids, *vanished_ids.chunks], pa.string()))
    is_gone = pc.and_(pc.is_valid(before), pc.invert(pc.is_in(before, new_ids)))
    gone = set(before.filter(is_gone).to_pylist())
    heirs = _heirs(records, new_ids, gone)
    found = [Change("retire", old, None) for old in sorted(gone - heirs.keys())]
    moved = pc.fill_null(pc.not_equal(records.previous_ids, new_ids), False)
    flows = sorted(_flows(records.previous_ids.filter(moved), new_ids.filter(moved)))
    feeders = Counter(new for old, new in flows if heirs.get(old) == new)
    targets = pa.array(feeders.keys(), pa.string())
    lived = set(targets.filter(pc.is_in(targets, before)).to_pylist())
    for old, new in flows:
        if heirs.get(old) != new:
            found.append(Change("split", new, old))
        else:
            is_merge = new in lived or feeders[new] > 1
            found.append(Change("merge" if is_merge else "rename", new, old))
    return found


def close_redirects(known: dict[str, str], found: list[Change], living: set[str]) -> dict[str, str]:
    """All ids that ended in another, each with the id that lives now.

    Args:
        known: redirects so far, old id to the id that lived then.
        found: what happens now.
        living: of the ids named in either, those that live after it.
    """
    steps = {
        change.other_customer_id: change.customer_id
        for change in found
        if change.event in ("merge", "rename") and change.other_customer_id
    }
    ended = {change.customer_id for change in found if change.event == "retire"}
    closed = {}
    for old, target in {**known, **steps}.items():
        end = target
        while end in steps:
            end = steps[end]
        if old not in living and end not in ended:
            closed[old] = end
    return closed


def _flows(previous: pa.Array, new: pa.Array) -> set[tuple[str, str]]:
    pairs = pa.table({"previous": previous, "new": new}).group_by(["previous", "new"])
    rows = pairs.aggregate([])
    return set(zip(rows["previous"].to_pylist(), rows["new"].to_pylist(), strict=True))


def _heirs(records: Records, new_ids: pa.Array, gone: set[str]) -> dict[str, str]:
    """For ids that end: where their anchor went, or else most of their records."""
    if not gone:
        return {}
    mask = pc.is_in(records.previous_ids, pa.array(sorted(gone), pa.string()))
    rows = zip(
        records.previous_ids.filter(mask).to_pylist(),
        new_ids.filter(mask).to_pylist(),
        records.record_ids.filter(mask).to_pylist(),
        strict=True,
    )
    counts: dict[str, dict[str, int]] = {}
    heirs: dict[str, str] = {}
    for old, new, record_id in rows:
        of_old = counts.setdefault(old, {})
        of_old[new] = of_old.get(new, 0) + 1
        if customer_id(record_id) == old:
            heirs[old] = new
    for old, of_old in counts.items():
        heirs.setdefault(old, min(of_old, key=lambda new: (-of_old[new], new)))
    return heirs


def _texts(array: pa.Array, positions: IntArray) -> list[str]:
    return array.take(pa.array(positions)).to_pylist()
