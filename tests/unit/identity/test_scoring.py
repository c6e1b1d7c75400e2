"""Which pairs a component wants scored, and what a score counts as."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from cdp_assets.identity.clusters import Evidence, Links, components
from cdp_assets.identity.scoring import COMPONENT_BITS, VETO_WEIGHT, evidence_of, unscored_pairs


def links(*pairs: tuple[int, int], tier: int = 2) -> Links:
    left, right = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    return Links(
        left=left,
        right=right,
        score=np.full(len(left), 0.9),
        first_seen=np.zeros(len(left), dtype=np.int64),
        tier=np.full(len(left), tier),
    )


def known(*pairs: tuple[int, int]) -> Evidence:
    left, right = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    return Evidence(left, right, np.zeros_like(left), np.zeros(len(left), dtype=bool))


def wanted(
    count: int, of: Links, there: Evidence | None = None, largest: int = 300, blind: int = -1
) -> list[tuple[int, int]]:
    has_score = np.arange(count) != blind
    labels = components(count, of.left, of.right)
    left, right = unscored_pairs(labels, of, has_score, there or known(), largest)
    return sorted(zip(left.tolist(), right.tolist(), strict=True))


def test_all_pairs_of_a_component_are_wanted_and_no_others():
    assert wanted(5, links((0, 1), (1, 2))) == [(0, 1), (0, 2), (1, 2)]


def test_what_is_known_is_not_asked_again_in_either_direction():
    assert wanted(3, links((0, 1), (1, 2)), known((1, 0), (1, 2))) == [(0, 2)]


def test_a_record_that_cannot_be_compared_is_left_out():
    assert wanted(3, links((0, 1), (1, 2)), blind=1) == [(0, 2)]


def test_where_unique_ids_alone_link_no_score_is_wanted():
    assert wanted(3, links((0, 1), (1, 2), tier=1)) == []


def test_components_that_are_too_large_make_do_with_what_is_known():
    assert wanted(6, links((0, 1), (1, 2), (2, 3), (4, 5)), largest=3) == [(4, 5)]


def test_a_score_becomes_hundredths_of_a_bit_and_a_veto_outweighs_what_speaks_for():
    scores = pa.table(
        {
            "left": [0, 1, 0],
            "right": [1, 2, 2],
            "match_weight": [1.234, 20.0, -20.0],
            "is_vetoed": [False, True, True],
        }
    )
    evidence = evidence_of(scores, rows=np.array([2, 1, 0]))
    assert (evidence.left.tolist(), evidence.right.tolist()) == ([2, 1, 2], [1, 0, 0])
    shift = 100 * COMPONENT_BITS
    assert evidence.weight.tolist() == [123 + shift, VETO_WEIGHT, VETO_WEIGHT - 2000 + shift]


def test_a_score_beyond_all_measure_is_cut_off():
    scores = pa.table(
        {"left": [0], "right": [1], "match_weight": [float("-inf")], "is_vetoed": [False]}
    )
    assert evidence_of(scores, rows=np.array([0, 1])).weight.tolist() == [-100_000]
