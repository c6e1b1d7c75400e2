"""From links between records to clusters, each of which is one customer.

Connected components first, all at once. Only components that hold a contradiction (two people's
names or birth dates, too many values of a limited identifier, a cannot-link decision, a pair
whose score speaks against) or too many records are taken apart and put together again, group by
group (`contraction.py`), within the constraints (`constraints.py`).

Everything is integers: records are 0..n-1, links and scored pairs are rows of arrays. Not here:
reading and writing tables (`resolve.py`), which id a cluster gets (`stable_ids.py`).
"""

# pyarrow makes its compute functions at import, where no type checker sees them.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from cdp_assets.identity.components import components
from cdp_assets.identity.constraints import (
    Constraints,
    Groups,
    Limited,
    components_in_conflict,
)
from cdp_assets.identity.contraction import NO_LINK, SCORED, VETOED, Bonds, contract

__all__ = [
    "SOFT_CAP",
    "Clustering",
    "Constraints",
    "Evidence",
    "Limited",
    "Links",
    "cluster",
    "components",
    "separate",
]

IntArray = NDArray[np.int64]

# Most records that contact values, devices and scores may bring together; people rarely have so
# many. Unique ids and human decisions may exceed it, up to the hard cap (`resolve.py`).
SOFT_CAP: Final = 50

# A rule's score is a probability; at one its weight would be infinite.
_SUREST: Final = 0.9999


@dataclass(frozen=True)
class Links:
    """Candidate links, one per position of the equally long arrays.

    Attributes:
        left: record number.
        right: record number.
        score: between 0 and 1, greater is stronger; within a tier.
        first_seen: event time; among equally strong links the oldest comes first.
        tier: 0 a decision of a human, refused only by another; 1 a unique id, which outweighs
            names, birth dates and scores; above, anything may refuse it.
    """

    left: IntArray
    right: IntArray
    score: NDArray[np.float64]
    first_seen: IntArray
    tier: IntArray


def _integers() -> IntArray:
    return np.empty(0, dtype=np.int64)


@dataclass(frozen=True)
class Evidence:
    """Pairs of records that were compared field by field, each pair once in any direction.

    Attributes:
        left: record number.
        right: record number.
        weight: hundredths of a bit, positive for one person, negative against.
        is_vetoed: whether a veto made the weight what it is.
    """

    left: IntArray = field(default_factory=_integers)
    right: IntArray = field(default_factory=_integers)
    weight: IntArray = field(default_factory=_integers)
    is_vetoed: NDArray[np.bool_] = field(default_factory=lambda: np.empty(0, dtype=bool))

    def with_more(self, more: Evidence) -> Evidence:
        """This and other pairs."""
        return Evidence(
            left=np.concatenate((self.left, more.left)),
            right=np.concatenate((self.right, more.right)),
            weight=np.concatenate((self.weight, more.weight)),
            is_vetoed=np.concatenate((self.is_vetoed, more.is_vetoed)),
        )


@dataclass(frozen=True)
class Clustering:
    """The result.

    Attributes:
        labels: cluster number per record, 0..k-1.
        refused: positions in the links that were refused, ascending.
        reasons: why, one per refused link.
    """

    labels: IntArray
    refused: IntArray
    reasons: list[str]


def cluster(
    record_count: int,
    links: Links,
    constraints: Constraints,
    record_ids: pa.Array,
    evidence: Evidence | None = None,
    soft_cap: int = SOFT_CAP,
) -> Clustering:
    """Cluster records by their links, within the constraints and by the evidence.

    Args:
        record_count: records are 0..record_count-1.
        links: of these records; direction does not matter.
        constraints: of these records.
        record_ids: text per record; breaks ties between links, so that no numbering matters.
        evidence: of these records; pairs that no chain of links connects count for nothing.
        soft_cap: see `SOFT_CAP`.
    """
    labels = components(record_count, links.left, links.right)
    return separate(labels, links, constraints, record_ids, evidence or Evidence(), soft_cap)


def separate(
    labels: IntArray,
    links: Links,
    constraints: Constraints,
    record_ids: pa.Array,
    evidence: Evidence,
    soft_cap: int = SOFT_CAP,
) -> Clustering:
    """Take apart what must not be together; the arguments of `cluster`.

    Args:
        labels: the components of the links.
        links: see `cluster`.
        constraints: see `cluster`.
        record_ids: see `cluster`.
        evidence: see `cluster`.
        soft_cap: see `cluster`.
    """
    contradictory = components_in_conflict(labels, constraints)
    against = evidence.weight < 0
    against &= labels[evidence.left] == labels[evidence.right]
    contradictory[labels[evidence.left[against]]] = True
    contradictory |= np.bincount(labels) > soft_cap
    if not contradictory.any():
        return Clustering(labels, _integers(), [])
    records = np.flatnonzero(contradictory[labels])
    inside = np.flatnonzero(contradictory[labels[links.left]])
    strongest_first = _strongest_first(inside, links, records, record_ids)
    groups = Groups(records, constraints, soft_cap)
    refusals = contract(_bonds(labels, contradictory, links, strongest_first, evidence), groups)
    roots = labels.copy()
    roots[records] = np.fromiter(map(groups.find, records.tolist()), dtype=np.int64)
    ends = np.sort(np.column_stack((roots[links.left[inside]], roots[links.right[inside]])), axis=1)
    apart = ends[:, 0] != ends[:, 1]
    # A root is a record's number; components that stay whole keep theirs, before these.
    roots[records] += int(labels.max()) + 1
    return Clustering(
        labels=_without_gaps(roots),
        refused=inside[apart],
        reasons=[refusals[a, b] for a, b in ends[apart].tolist()],
    )


def _without_gaps(numbers: IntArray) -> IntArray:
    is_used = np.zeros(int(numbers.max()) + 1, dtype=bool)
    is_used[numbers] = True
    return (np.cumsum(is_used) - 1)[numbers]


def _strongest_first(
    positions: IntArray, links: Links, records: IntArray, record_ids: pa.Array
) -> IntArray:
    """These links by tier, score, age and the ids of their records."""
    place = np.zeros(len(record_ids), dtype=np.int64)
    by_id = pc.sort_indices(record_ids.take(pa.array(records))).to_numpy()
    place[records[by_id]] = np.arange(len(records))
    left, right = place[links.left[positions]], place[links.right[positions]]
    order = np.lexsort(
        (
            np.maximum(left, right),
            np.minimum(left, right),
            links.first_seen[positions],
            -links.score[positions],
            links.tier[positions],
        )
    )
    return positions[order]


def _bonds(
    labels: IntArray,
    contradictory: NDArray[np.bool_],
    links: Links,
    ranked: IntArray,
    evidence: Evidence,
) -> Bonds:
    """One bond per pair of records; a score speaks instead of the rules, where there is one."""
    inside = labels[evidence.left] == labels[evidence.right]
    scored = np.flatnonzero(inside & contradictory[labels[evidence.left]])
    pairs = np.concatenate(
        (
            _packed(links.left[ranked], links.right[ranked]),
            _packed(evidence.left[scored], evidence.right[scored]),
        )
    )
    # Stable: of the rows of one pair the strongest link is the first, and the score the last.
    order = np.argsort(pairs, kind="stable")
    leads = np.flatnonzero(np.r_[True, np.diff(pairs[order]) != 0][: len(pairs)])
    pairs, first, last = pairs[order[leads]], order[leads], order[np.r_[leads[1:], len(order)] - 1]
    rank = np.where(first < len(ranked), first, NO_LINK)
    weight, mark = np.zeros_like(pairs), np.zeros_like(pairs)
    by_score = last >= len(ranked)
    of_score = scored[last[by_score] - len(ranked)]
    weight[by_score] = evidence.weight[of_score]
    weight[~by_score] = _rule_bits(links.score[ranked[first[~by_score]]])
    mark[by_score] = SCORED + VETOED * evidence.is_vetoed[of_score]
    left, right = pairs >> 32, pairs & 0xFFFFFFFF
    rows = np.argsort(labels[left], kind="stable")
    # A link of a record to itself ties nothing.
    rows = rows[left[rows] != right[rows]]
    ends = np.flatnonzero(np.diff(labels[left[rows]])) + 1
    return Bonds(
        left=left[rows],
        right=right[rows],
        weight=weight[rows],
        rank=rank[rows],
        mark=mark[rows],
        starts=[0, *ends.tolist(), len(rows)],
        tiers=links.tier[ranked],
    )


def _packed(left: IntArray, right: IntArray) -> IntArray:
    """Both record numbers in one, the lesser first."""
    return (np.minimum(left, right) << 32) | np.maximum(left, right)


def _rule_bits(score: NDArray[np.float64]) -> IntArray:
    """The weight of a rule of this score, in hundredths of a bit."""
    score = np.clip(score, 1 - _SUREST, _SUREST)
    return np.rint(100 * np.log2(score / (1 - score))).astype(np.int64)
