from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdp_assets.identity.evaluate import evaluate, evaluate_pairs

# Records     0  1  2  3  4  5  6
# Clusters    a  a  a  b  b  c  d     of 3, 2, 1 and 1 records
# Entities    x  x  y  y  y  z  w     of 2, 3, 1 and 1 records
CLUSTERS = np.array([0, 0, 0, 1, 1, 2, 3])
ENTITIES = np.array([0, 0, 1, 1, 1, 2, 3])


def test_equal_partitions_agree_whatever_their_numbers():
    found = evaluate(np.array([5, 5, -9]), np.array([0, 0, 1]))
    assert (found.precision, found.recall, found.f1, found.over_merged) == (1, 1, 1, 0)
    assert (found.b_cubed.precision, found.b_cubed.recall, found.exact_entity_rate) == (1, 1, 1)


def test_one_wrong_pair_of_three_costs_precision():
    found = evaluate(np.array([0, 0, 0]), np.array([0, 0, 1]))
    assert found.precision == pytest.approx(1 / 3)
    assert found.recall == 1
    assert found.over_merged == 1


def test_pairs_are_those_of_an_example_counted_by_hand():
    found = evaluate(CLUSTERS, ENTITIES)
    # Together: 01 02 12, 34. Belong together: 01, 23 24 34. Both: 01, 34.
    assert found.precision == pytest.approx(2 / 4)
    assert found.recall == pytest.approx(2 / 4)
    assert found.f1 == pytest.approx(1 / 2)


def test_b_cubed_is_that_of_an_example_counted_by_hand():
    found = evaluate(CLUSTERS, ENTITIES).b_cubed
    # Record by record: of its cluster, the part of its entity; of its entity, the part here.
    assert found.precision == pytest.approx((2 / 3 + 2 / 3 + 1 / 3 + 1 + 1 + 1 + 1) / 7)
    assert found.recall == pytest.approx((1 + 1 + 1 / 3 + 2 / 3 + 2 / 3 + 1 + 1) / 7)


def test_shapes_are_those_of_an_example_counted_by_hand():
    found = evaluate(CLUSTERS, ENTITIES)
    assert (found.records, found.entities, found.clusters) == (7, 4, 4)
    # z and w are whole and alone; x is whole, but not alone.
    assert found.exact_entity_rate == 2 / 4
    # a mixes x and y; b could, and does not; c and d are of one record and could not.
    assert found.over_merged_share == 1 / 2
    assert (found.largest_cluster, found.largest_entity) == (3, 3)


def test_linked_pairs_count_once_and_without_what_follows_from_them():
    # 01 and 12 follow 02 for a clustering, not here; 10 is 01 again; 55 is no pair.
    left, right = np.array([0, 1, 1, 3, 5]), np.array([1, 0, 2, 4, 5])
    found = evaluate_pairs(left, right, ENTITIES)
    assert found.precision == pytest.approx(2 / 3)
    assert found.recall == pytest.approx(2 / 4)


def test_nothing_linked_is_nothing_wrong():
    nothing = np.array([], dtype=np.int64)
    found = evaluate_pairs(nothing, nothing, ENTITIES)
    assert (found.precision, found.recall, found.f1) == (1, 0, 0)


def test_no_records_have_no_faults():
    nothing = np.array([], dtype=np.int64)
    found = evaluate(nothing, nothing)
    assert (found.records, found.over_merged_share, found.largest_cluster) == (0, 0, 0)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=12))
def test_counting_by_table_equals_counting_one_by_one(rows):
    clusters, entities = (np.array(column) for column in zip(*rows, strict=True))
    numbers = range(len(rows))
    pairs = [(i, j) for i in numbers for j in range(i)]
    found = {p for p in pairs if clusters[p[0]] == clusters[p[1]]}
    true = {p for p in pairs if entities[p[0]] == entities[p[1]]}
    evaluation = evaluate(clusters, entities)
    assert evaluation.precision == pytest.approx(len(found & true) / len(found) if found else 1)
    assert evaluation.recall == pytest.approx(len(found & true) / len(true) if true else 1)

    together = [{j for j in numbers if clusters[i] == clusters[j]} for i in numbers]
    belonging = [{j for j in numbers if entities[i] == entities[j]} for i in numbers]
    both = [len(a & b) for a, b in zip(together, belonging, strict=True)]
    assert evaluation.b_cubed.precision == pytest.approx(
        np.mean([n / len(a) for n, a in zip(both, together, strict=True)])
    )
    assert evaluation.b_cubed.recall == pytest.approx(
        np.mean([n / len(b) for n, b in zip(both, belonging, strict=True)])
    )
    exact = {entities[i] for i in numbers if together[i] == belonging[i]}
    assert evaluation.exact_entities == len(exact)
