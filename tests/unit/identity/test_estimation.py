"""What the estimation makes of pairs that are counted by hand."""

from __future__ import annotations

import numpy as np
import pytest

from cdp_assets.identity.estimation import Patterns, estimate
from cdp_assets.identity.match_model import Comparison, Level, MatchModel

FIELDS = ("name", "birth_date", "household_id")
MODEL = MatchModel(
    version="begin",
    prior=1e-4,
    comparisons=tuple(
        Comparison(
            field,
            (
                Level("missing", "true", is_null=True),
                Level("same", "true", 0.9, 0.001),
                Level("different", "else", 0.1, 0.999),
            ),
        )
        for field in FIELDS
    ),
    blocking=(),
    vetoes=(),
    term_frequencies={},
)
ALL_PAIRS = 50_000_000
# Strangers share no home, so nothing is known of what their households' ids say.
SAME, DIFFERENT = (1, 1, 1), (0, 0, -1)


def patterns(*counted: tuple[tuple[int, ...], int]) -> Patterns:
    return Patterns(
        levels=np.array([levels for levels, _ in counted], dtype=np.int64),
        rarity=np.zeros(len(counted)),
        counts=np.array([count for _, count in counted], dtype=np.float64),
        refused=np.zeros(len(counted), dtype=bool),
    )


def weights(others: Patterns) -> list[float]:
    candidates = patterns((SAME, 4_000), ((1, 1, 0), 500), (DIFFERENT, 5_000))
    found = estimate(MODEL, MODEL, candidates, others, ALL_PAIRS)
    return [comparison.levels[1].weight for comparison in found.model.comparisons]


def test_a_pair_of_one_person_that_no_block_holds_does_not_pass_for_many_strangers():
    strangers = patterns((DIFFERENT, 999_999))
    and_one_person = patterns((DIFFERENT, 999_999), (SAME, 1))
    assert weights(and_one_person) == pytest.approx(weights(strangers), abs=0.1)


def test_strangers_who_agree_by_chance_make_an_agreement_weigh_less():
    strangers = patterns((DIFFERENT, 999_999))
    and_namesakes = patterns((DIFFERENT, 990_000), ((1, 0, -1), 9_999))
    assert weights(and_namesakes)[0] < weights(strangers)[0] - 2
