"""What one customer cannot be, and which groups of records may therefore not become one.

Here: the constraints, which components break one, and the facts that growing groups of records
carry. Not here: which groups are to be joined (`contraction.py`), tables (`resolve.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cdp_assets.identity.persons import compatible_birth_dates, compatible_names

IntArray = NDArray[np.int64]

# Tiers whose links outweigh contradictions; the others are in the seed identity_rules.
DECISION_TIER: Final = 0
UNIQUE_ID_TIER: Final = 1

# Objections that may lapse when one of the two groups has grown: a group that holds a
# contradiction already still takes whatever it knows.
MAY_LAPSE: Final = frozenset(
    {"unique_id_conflict", "incompatible_first_names", "birth_date_conflict"}
)


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


class Groups:
    """Disjoint sets of records; each knows the facts that may contradict another set's.

    Args:
        records: record numbers, each at first a group of its own.
        constraints: of these records, and maybe of others.
        soft_cap: most records that links of tier 2 and above may bring together.
    """

    def __init__(self, records: IntArray, constraints: Constraints, soft_cap: int) -> None:
        self._soft_cap = soft_cap
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
        """The record that stands for the group of this one."""
        parent = self._parent
        while parent[record] != record:
            parent[record] = record = parent[parent[record]]
        return record

    def objection(self, a: int, b: int, tier: int, is_scored: bool) -> str | None:
        """Why two groups may not become one over a link of this tier, or None.

        Args:
            a: the record that stands for a group.
            b: the one that stands for another.
            tier: of the strongest link between the two.
            is_scored: some pair across was compared field by field, so that weights judge names
                and birth dates, and not whether these are compatible at all.
        """
        reason = self._firm_objection(a, b, tier)
        if reason is not None or tier <= UNIQUE_ID_TIER:
            return reason
        if not is_scored and _clash(self._names.get(a), self._names.get(b), compatible_names):
            return "incompatible_first_names"
        if not is_scored and _clash(
            self._birth_dates.get(a), self._birth_dates.get(b), compatible_birth_dates
        ):
            return "birth_date_conflict"
        if self._size[a] + self._size[b] > self._soft_cap:
            return "over_soft_cap"
        return None

    def _firm_objection(self, a: int, b: int, tier: int) -> str | None:
        if self._foes.get(a, _NOTHING) & self._wary.get(b, _NOTHING):
            return "cannot_link"
        if tier == DECISION_TIER:
            return None
        for maximum, values in self._limited:
            mine, other = values.get(a, _NOTHING), values.get(b, _NOTHING)
            if len(mine | other) > maximum and not (mine <= other or other <= mine):
                return "unique_id_conflict"
        return None

    def join(self, a: int, b: int) -> None:
        """Make one group of two; `a` stands for it."""
        self._parent[b] = a
        self._size[a] += self._size.pop(b)
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
