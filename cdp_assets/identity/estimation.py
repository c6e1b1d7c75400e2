"""How often records of one person, and of two people, agree: expectation maximisation over pairs.

Two samples of pairs stand for all of them. The candidates, pairs that meet in a block, hold nearly
all pairs of one person and nearly all rare agreements, so they are counted one by one; random
pairs stand for the rest. Each turn judges both by the present numbers, then counts anew among the
candidates judged one person (m) and all that are not (u), and takes the share of the former among
all pairs as the prior: so the prior fits a set of a thousand records and one of a million.

Counts are drawn to what was assumed before: a level that few pairs reach keeps its number.
Not here: which pairs those are and what Splink makes of them (`training.py`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cdp_assets.identity.match_model import Comparison, Level, MatchModel

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

# Pairs of one person, so many and at least such a share, for which what was assumed of m stands:
# what training takes for two people may be one, and a level must not starve of it.
_ASSUMED_MATCHES: Final = 50.0
_ASSUMED_MATCH_SHARE: Final = 0.05
# The same for u: a share of the pairs that tell, and at least so many, since what holds within
# households is easily mistaken where a set has few of them.
_ASSUMED_SHARE: Final = 0.02
_ASSUMED_OTHERS: Final = 500.0
_TURNS: Final = 100
_SETTLED: Final = 1e-6
_DIGITS: Final = 6


@dataclass(frozen=True)
class Patterns:
    """Pairs counted by how they agree.

    Attributes:
        levels: level number per pattern and comparison, -1 for missing; shape (patterns, k).
        rarity: bits by which the agreeing values are rarer than all; shape (patterns,).
        counts: pairs of each pattern.
        refused: patterns that are two people's, whatever their weight.
    """

    levels: IntArray
    rarity: FloatArray
    counts: FloatArray
    refused: NDArray[np.bool_]


@dataclass(frozen=True)
class Estimate:
    """The result.

    Attributes:
        model: with m, u and prior estimated.
        matches: pairs of one person that are expected among the candidates.
        turns: until the prior settled.
        thin: levels, as `comparison: label`, that hardly any pair of one person reached.
    """

    model: MatchModel
    matches: float
    turns: int
    thin: list[str]


def estimate(
    model: MatchModel, assumed: MatchModel, candidates: Patterns, others: Patterns, pairs: float
) -> Estimate:
    """Estimate m, u and prior.

    Args:
        model: where to begin.
        assumed: what the numbers are drawn to; the same comparisons and levels.
        candidates: the pairs that meet in a block.
        others: random pairs that do not.
        pairs: all pairs of the records.
    """
    scale = max(pairs - candidates.counts.sum(), 0.0) / max(others.counts.sum(), 1.0)
    tables = [
        _Table(begin, prior, candidates.levels[:, place], others.levels[:, place])
        for place, (begin, prior) in enumerate(
            zip(model.comparisons, assumed.comparisons, strict=True)
        )
    ]
    prior, turns, matched = model.prior, 0, candidates.counts
    while turns < _TURNS:
        turns += 1
        matched = candidates.counts * _probability(
            prior, candidates, [table.weights() for table in tables]
        )
        # The blocks miss a few pairs of one person. Where one is drawn, it must not stand for
        # many pairs of two people, who would seem to agree as well as one person does.
        strangers = others.counts * (
            1 - _probability(prior, others, [table.other_weights() for table in tables])
        )
        for table in tables:
            table.count(matched, candidates.counts - matched, strangers * scale)
        before, prior = prior, min(max(matched.sum(), 1.0) / pairs, 0.5)
        if abs(np.log(prior / before)) < _SETTLED:
            break
    return Estimate(
        model=replace(
            model,
            prior=_rounded(prior),
            comparisons=tuple(table.comparison() for table in tables),
        ),
        matches=float(matched.sum()),
        turns=turns,
        thin=[label for table in tables for label in table.thin()],
    )


def _probability(prior: float, patterns: Patterns, weights: list[FloatArray]) -> FloatArray:
    """Of each pattern, that its pairs are one person's."""
    bits = np.log2(prior / (1 - prior)) + patterns.rarity + sum(weights)
    probability = 1 / (1 + np.exp2(-np.clip(bits, -1000, 1000)))
    return np.where(patterns.refused, 0.0, probability)


class _Table:
    """m and u of one comparison, by level number."""

    def __init__(
        self, comparison: Comparison, assumed: Comparison, levels: IntArray, other_levels: IntArray
    ) -> None:
        self._comparison = comparison
        self._levels = levels
        self._other_levels = other_levels
        known = [level for number, level in sorted(_known(comparison))]
        self._m = _shares([level.m for level in known])
        self._u = _shares([level.u for level in known])
        # Where a term frequency counts, it stands for u.
        self._own_u = np.array(
            [1.0 if level.tf_column is None else 1.0 - level.tf_weight for level in known]
        )
        prior = [level for number, level in sorted(_known(assumed))]
        self._assumed_m = _shares([level.m for level in prior])
        self._assumed_u = _shares([level.u for level in prior])
        self._matches = np.zeros(len(known))

    def weights(self) -> FloatArray:
        """Bits per candidate pattern; 0 where nothing is known."""
        return self._bits()[self._levels]

    def other_weights(self) -> FloatArray:
        """The same per pattern of the random pairs."""
        return self._bits()[self._other_levels]

    def _bits(self) -> FloatArray:
        return np.append(np.log2(self._m) - self._own_u * np.log2(self._u), 0.0)

    def count(self, matched: FloatArray, unmatched: FloatArray, others: FloatArray) -> None:
        self._matches = self._sums(self._levels, matched)
        weight = max(_ASSUMED_MATCHES, _ASSUMED_MATCH_SHARE * float(self._matches.sum()))
        self._m = _drawn(self._matches, self._assumed_m, weight)
        different = self._sums(self._levels, unmatched) + self._sums(self._other_levels, others)
        weight = max(_ASSUMED_OTHERS, _ASSUMED_SHARE * float(different.sum()))
        self._u = _drawn(different, self._assumed_u, weight)

    def _sums(self, levels: IntArray, counts: FloatArray) -> FloatArray:
        known = levels >= 0
        sums = np.bincount(levels[known], counts[known], minlength=len(self._m))
        return sums.astype(np.float64)

    def comparison(self) -> Comparison:
        numbers = iter(
            [
                level
                if level.is_null
                else replace(level, m=_rounded(self._m[number]), u=_rounded(self._u[number]))
                for number, level in self._comparison.numbered()
            ]
        )
        return Comparison(self._comparison.name, tuple(numbers))

    def thin(self) -> list[str]:
        return [
            f"{self._comparison.name}: {level.label}"
            for number, level in self._comparison.numbered()
            if not level.is_null and self._matches[number] < 1
        ]


def _known(comparison: Comparison) -> list[tuple[int, Level]]:
    return [(number, level) for number, level in comparison.numbered() if not level.is_null]


def _shares(values: list[float | None]) -> FloatArray:
    shares = np.array([value or 0.0 for value in values])
    return shares / shares.sum()


def _drawn(counts: FloatArray, assumed: FloatArray, weight: float) -> FloatArray:
    """The shares of counts, with `weight` assumed ones among them."""
    return (counts + weight * assumed) / (counts.sum() + weight)


def _rounded(value: float) -> float:
    """To six significant digits: no model is better than that, and its file stays readable."""
    return float(f"{value:.{_DIGITS}g}")
