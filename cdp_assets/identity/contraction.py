"""Greedy additive edge contraction: the groups that a contradictory component falls into.

Two groups of records are tied by a bond: the sum of the weights of all pairs across, and the
strongest link among these. Human decisions join first, then unique ids; after these, again and
again, the two linked groups with the greatest weight, as long as it is above zero and no
constraint objects. Bonds of groups that join are added up, so one record that fits badly
everywhere is kept out however well it fits a single other (the method is GAEC of Keuper et al.,
"Efficient Decomposition of Image and Mesh Graphs by Lifted Multicuts", 2015; bonds without a link
are its lifted edges).

Weights are integers and ties are broken by the links' rank, so the result is a function of the
records alone. Not here: constraints (`constraints.py`), where weights are from (`clusters.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cdp_assets.identity.constraints import MAY_LAPSE, Groups

IntArray = NDArray[np.int64]

# Marks of a bond: some pair across was scored; some pair across was vetoed.
SCORED: Final = 1
VETOED: Final = 2

# The rank of a bond without a link: such groups are never joined directly.
NO_LINK: Final = 1 << 62

# More than any sum of weights.
_FIRM: Final = -(1 << 60)


@dataclass(frozen=True)
class Bonds:
    """Pairs of records that a link or a score ties, ordered by component.

    Attributes:
        left: record number.
        right: another record number of the same component; each pair stands here once.
        weight: positive for, negative against.
        rank: of the strongest link, the least is the strongest, or NO_LINK.
        mark: SCORED, VETOED, both added up, or 0.
        starts: position of each component's first bond, and at the end their number.
        tiers: tier per rank, ascending.
    """

    left: IntArray
    right: IntArray
    weight: IntArray
    rank: IntArray
    mark: IntArray
    starts: list[int]
    tiers: IntArray


# Weight, rank and mark of one bond: a list, since its values change and there are many.
_Bond = list[int]
_WEIGHT, _RANK, _MARK = range(3)
_Refusals = dict[tuple[int, int], str]


def contract(bonds: Bonds, groups: Groups) -> _Refusals:
    """Join groups until nothing is left to join.

    Args:
        bonds: of all components.
        groups: of all their records; changed in place.

    Returns:
        Why two groups that a link ties stay apart, by the records that stand for them, the
        lesser first.
    """
    refusals: _Refusals = {}
    tiers = bonds.tiers.tolist()
    for start, end in zip(bonds.starts, bonds.starts[1:], strict=False):
        component = _Component(bonds, slice(start, end), tiers, groups)
        component.contract()
        refusals.update(component.refusals())
    return refusals


class _Component:
    """The bonds of one component while its groups grow."""

    def __init__(self, bonds: Bonds, rows: slice, tiers: list[int], groups: Groups) -> None:
        self._groups = groups
        self._tiers = tiers
        self._between: dict[int, dict[int, _Bond]] = {}
        self._ends: dict[int, tuple[int, int]] = {}
        self._heap: list[tuple[int, int]] = []
        self._refused: dict[int, set[tuple[int, int]]] = {}
        for left, right, *bond in zip(
            bonds.left[rows].tolist(),
            bonds.right[rows].tolist(),
            bonds.weight[rows].tolist(),
            bonds.rank[rows].tolist(),
            bonds.mark[rows].tolist(),
            strict=True,
        ):
            self._between.setdefault(left, {})[right] = bond
            self._between.setdefault(right, {})[left] = bond
            if bond[_RANK] != NO_LINK:
                self._ends[bond[_RANK]] = left, right
                self._heap.append(self._entry(bond))
        heapify(self._heap)

    def _entry(self, bond: _Bond) -> tuple[int, int]:
        """What the heap sorts by; an entry that a bond has outgrown is stale."""
        rank = bond[_RANK]
        return (_FIRM if self._tiers[rank] <= 1 else -bond[_WEIGHT]), rank

    def contract(self) -> None:
        """Join, from the strongest bond to the weakest, what nothing objects to."""
        while self._heap and self._heap[0][0] < 0:
            entry = heappop(self._heap)
            left, right = self._ends[entry[1]]
            a, b = self._groups.find(left), self._groups.find(right)
            bond = self._between[a].get(b)
            if bond is None or self._entry(bond) != entry:
                continue
            reason = self._groups.objection(a, b, self._tiers[entry[1]], bool(bond[_MARK] & SCORED))
            if reason is None:
                self._join(a, b)
            elif reason in MAY_LAPSE:
                self._refused.setdefault(a, set()).add(entry)
                self._refused.setdefault(b, set()).add(entry)

    def _join(self, a: int, b: int) -> None:
        if (len(self._between[a]), a) < (len(self._between[b]), b):
            a, b = b, a
        self._groups.join(a, b)
        mine, theirs = self._between[a], self._between.pop(b)
        del mine[b], theirs[a]
        for other, bond in theirs.items():
            others = self._between[other]
            del others[b]
            known = mine.get(other)
            if known is None:
                mine[other] = others[a] = bond
            else:
                self._add(known, bond)
        for entry in self._refused.pop(a, set()) | self._refused.pop(b, set()):
            heappush(self._heap, entry)

    def _add(self, known: _Bond, more: _Bond) -> None:
        known[_WEIGHT] += more[_WEIGHT]
        known[_RANK] = min(known[_RANK], more[_RANK])
        known[_MARK] |= more[_MARK]
        if known[_RANK] != NO_LINK:
            heappush(self._heap, self._entry(known))

    def refusals(self) -> _Refusals:
        """Why the groups that a link still ties stayed apart."""
        return {
            (a, b): self._reason(a, b, bond)
            for a, bonds in self._between.items()
            for b, bond in bonds.items()
            if a < b and bond[_RANK] != NO_LINK
        }

    def _reason(self, a: int, b: int, bond: _Bond) -> str:
        tier = self._tiers[bond[_RANK]]
        reason = self._groups.objection(a, b, tier, bool(bond[_MARK] & SCORED))
        # The weight is the better reason where it was against, but for what is never allowed.
        if bond[_WEIGHT] > 0 or reason in ("cannot_link", "unique_id_conflict"):
            return reason or "weights_against"
        return "vetoed" if bond[_MARK] & VETOED else "weights_against"
