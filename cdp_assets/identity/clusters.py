"""From links between records to clusters, each of which is one customer.

Connected components first, all at once. Only components that hold a contradiction (two people's
names or birth dates, too many values of a limited identifier, a cannot-link decision) are built
again link by link, from the strongest to the weakest, refusing each link that would bring a
contradiction together.

Everything is integers: records are 0..n-1, links are rows of arrays. Not here: reading and
writing tables (`resolve.py`), which id a cluster gets (`stable_ids.py`).
"""

# pyarrow makes its compute functions at import, where no type checker sees them.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from cdp_assets.identity.persons import compatible_birth_dates, compatible_names

IntArray = NDArray[np.int64]

# Tiers whose links outweigh contradictions; the others are in the seed identity_rules.
DECISION_TIER = 0
UNIQUE_ID_TIER = 1


@dataclass(frozen=True)
class Links:
    """Candidate links, one per position of the equally long arrays.

    Attributes:
        left: record number.
        right: record number.
        weakness: the least is the strongest link.
        first_seen: event time; among equally strong links the oldest comes first.
        tier: 0 a decision of a human, refused only by another; 1 a unique id, which outweighs
            names and birth dates; above, anything may refuse it.
    """

    left: IntArray
    right: IntArray
    weakness: NDArray[np.float64]
    first_seen: IntArray
    tier: IntArray


@dataclass(frozen=True)
class Limited:
    """Values of one identifier type of which a customer may have at most `maximum`.

    Attributes:
        records: record numbers, one per (record, value).
        values: value numbers, as long as `records`.
        maximum: distinct values per customer.
    """

    records: IntArray
    values: IntArray
    maximum: int


@dataclass(frozen=True)
class Constraints:
    """What one customer cannot be.

    Attributes:
        names: number of the first name key per record, -1 for none.
        name_keys: the first name key of each number.
        birth_dates: number of the birth date per record, -1 for none.
        birth_date_texts: the ISO date of each number.
        limited: one per limited identifier type.
        cannot_link: pairs of record numbers, shape (n, 2).
    """

    names: IntArray
    name_keys: list[str]
    birth_dates: IntArray
    birth_date_texts: list[str]
    limited: Sequence[Limited] = ()
    cannot_link: IntArray = field(default_factory=lambda: np.empty((0, 2), dtype=np.int64))


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
    record_count: int, links: Links, constraints: Constraints, record_ids: pa.Array
) -> Clustering:
    """Cluster records by their links, within the constraints.

    Args:
        record_count: records are 0..record_count-1.
        links: of these records; direction does not matter.
        constraints: of these records.
        record_ids: text per record; breaks ties between links, so that no numbering matters.
    """
    labels = components(record_count, links.left, links.right)
    contradictory = components_in_conflict(labels, constraints)
    if not contradictory.any():
        return Clustering(labels, np.empty(0, dtype=np.int64), [])
    return _refine(labels, contradictory, links, constraints, record_ids)


def components(record_count: int, left: IntArray, right: IntArray) -> IntArray:
    """Connected component of each record, numbered 0..k-1."""
    if record_count == 0:
        return np.empty(0, dtype=np.int64)
    graph = coo_matrix(
        (np.ones(len(left), dtype=np.int32), (left, right)), shape=(record_count, record_count)
    )
    _, labels = connected_components(graph, directed=False)
    return labels.astype(np.int64)


def components_in_conflict(labels: IntArray, constraints: Constraints) -> NDArray[np.bool_]:
    """Tell for each component whether it breaks a constraint. Shape: (components,)."""
    conflict = np.zeros(int(labels.max(initial=-1)) + 1, dtype=bool)
    for limited in constraints.limited:
        pairs = _distinct_pairs(labels[limited.records], limited.values)
        conflict |= np.bincount(pairs[:, 0], minlength=len(conflict)) > limited.maximum
    pairs = constraints.cannot_link
    conflict[labels[pairs[labels[pairs[:, 0]] == labels[pairs[:, 1]], 0]]] = True
    for codes, texts, compatible in _person_facts(constraints):
        for label, present in _several_per_component(labels, codes):
            if not conflict[label] and _contradict(present, texts, compatible):
                conflict[label] = True
    return conflict


def _person_facts(
    constraints: Constraints,
) -> Iterable[tuple[IntArray, list[str], Callable[[str, str], bool]]]:
    yield constraints.names, constraints.name_keys, compatible_names
    yield constraints.birth_dates, constraints.birth_date_texts, compatible_birth_dates


def _several_per_component(labels: IntArray, codes: IntArray) -> Iterable[tuple[int, IntArray]]:
    """The components that hold more than one distinct code, each with its codes."""
    known = codes >= 0
    pairs = _distinct_pairs(labels[known], codes[known])
    counts = np.bincount(pairs[:, 0])
    ends = np.cumsum(counts)
    for label in np.flatnonzero(counts > 1).tolist():
        yield label, pairs[ends[label] - counts[label] : ends[label], 1]


def _contradict(codes: IntArray, texts: list[str], compatible: Callable[[str, str], bool]) -> bool:
    present = [texts[code] for code in codes.tolist()]
    return any(
        not compatible(a, b) for place, a in enumerate(present) for b in present[place + 1 :]
    )


def _distinct_pairs(first: IntArray, second: IntArray) -> IntArray:
    """Distinct (first, second), sorted. Both must be non-negative and below 2**31."""
    # Sorted by hand: numpy's own unique() hashes, which takes ten times as long here.
    packed = np.sort((first << 32) | second)
    packed = packed[np.r_[True, packed[1:] != packed[:-1]][: len(packed)]]
    return np.column_stack((packed >> 32, packed & 0xFFFFFFFF))


def _refine(
    labels: IntArray,
    contradictory: NDArray[np.bool_],
    links: Links,
    constraints: Constraints,
    record_ids: pa.Array,
) -> Clustering:
    """Build the contradictory components again, link by link."""
    records = np.flatnonzero(contradictory[labels])
    positions = _strongest_first(
        np.flatnonzero(contradictory[labels[links.left]]), links, record_ids
    )
    groups = _Groups(records, constraints)
    refused: list[int] = []
    reasons: list[str] = []
    for position, left, right, tier in zip(
        positions.tolist(),
        links.left[positions].tolist(),
        links.right[positions].tolist(),
        links.tier[positions].tolist(),
        strict=True,
    ):
        reason = groups.join(left, right, tier)
        if reason is not None:
            refused.append(position)
            reasons.append(reason)
    refined = labels.copy()
    roots = np.fromiter((groups.find(record) for record in records.tolist()), dtype=np.int64)
    refined[records] = int(labels.max()) + 1 + roots
    _, dense = np.unique(refined, return_inverse=True)
    order = np.argsort(np.asarray(refused, dtype=np.int64))
    return Clustering(
        labels=dense.astype(np.int64),
        refused=np.asarray(refused, dtype=np.int64)[order],
        reasons=[reasons[place] for place in order.tolist()],
    )


def _strongest_first(positions: IntArray, links: Links, record_ids: pa.Array) -> IntArray:
    left = record_ids.take(pa.array(links.left[positions]))
    right = record_ids.take(pa.array(links.right[positions]))
    order = pc.sort_indices(
        pa.table(
            {
                "weakness": links.weakness[positions],
                "first_seen": links.first_seen[positions],
                "lesser": pc.min_element_wise(left, right),
                "greater": pc.max_element_wise(left, right),
            }
        ),
        [(name, "ascending") for name in ("weakness", "first_seen", "lesser", "greater")],
    )
    return positions[order.to_numpy()]


class _Groups:
    """Disjoint sets of records; each set knows the facts that may contradict another set's."""

    def __init__(self, records: IntArray, constraints: Constraints) -> None:
        self._parent = {record: record for record in records.tolist()}
        self._size = dict.fromkeys(self._parent, 1)
        self._names = _values_of(records, constraints.names, constraints.name_keys)
        self._birth_dates = _values_of(
            records, constraints.birth_dates, constraints.birth_date_texts
        )
        self._limited = [
            (limited.maximum, _sets_of(limited.records, limited.values, self._parent))
            for limited in constraints.limited
        ]
        pairs = constraints.cannot_link
        both_ways = np.concatenate((pairs, pairs[:, ::-1]))
        self._foes = _sets_of(both_ways[:, 0], both_ways[:, 1], self._parent)
        self._wary = {record: {record} for record in self._foes}

    def find(self, record: int) -> int:
        parent = self._parent
        while parent[record] != record:
            parent[record] = record = parent[parent[record]]
        return record

    def join(self, left: int, right: int, tier: int) -> str | None:
        """Join the sets of two records, or say why not."""
        a, b = self.find(left), self.find(right)
        if a == b:
            return None
        reason = self._objection(a, b, tier)
        if reason is None:
            self._merge(a, b)
        return reason

    def _objection(self, a: int, b: int, tier: int) -> str | None:
        if self._foes.get(a, _NOTHING) & self._wary.get(b, _NOTHING):
            return "cannot_link"
        if tier == DECISION_TIER:
            return None
        for maximum, values in self._limited:
            mine, other = values.get(a, _NOTHING), values.get(b, _NOTHING)
            if len(mine | other) > maximum and not (mine <= other or other <= mine):
                return "unique_id_conflict"
        if tier == UNIQUE_ID_TIER:
            return None
        if _clash(self._names.get(a), self._names.get(b), compatible_names):
            return "incompatible_first_names"
        if _clash(self._birth_dates.get(a), self._birth_dates.get(b), compatible_birth_dates):
            return "birth_date_conflict"
        return None

    def _merge(self, a: int, b: int) -> None:
        if self._size[a] < self._size[b]:
            a, b = b, a
        self._parent[b] = a
        self._size[a] += self._size[b]
        facts = [self._names, self._birth_dates, self._foes, self._wary]
        for sets in [*facts, *(values for _, values in self._limited)]:
            if b in sets:
                sets[a] = sets.pop(b) | sets.get(a, _NOTHING)


_NOTHING: frozenset[int] = frozenset()


def _clash(
    mine: set[str] | None, other: set[str] | None, compatible: Callable[[str, str], bool]
) -> bool:
    """Whether each side brings a value that the other side contradicts.

    A set that holds a contradiction already (a human joined it) still takes what it knows.
    """
    if not mine or not other:
        return False
    return any(not compatible(a, b) for a in mine - other for b in other) and any(
        not compatible(a, b) for b in other - mine for a in mine
    )


def _values_of(records: IntArray, codes: IntArray, texts: list[str]) -> dict[int, set[str]]:
    known = records[codes[records] >= 0]
    return {
        record: {texts[code]}
        for record, code in zip(known.tolist(), codes[known].tolist(), strict=True)
    }


def _sets_of(records: IntArray, values: IntArray, wanted: dict[int, int]) -> dict[int, set[int]]:
    sets: dict[int, set[int]] = {}
    for record, value in zip(records.tolist(), values.tolist(), strict=True):
        if record in wanted:
            sets.setdefault(record, set()).add(value)
    return sets
