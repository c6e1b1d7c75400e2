from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdp_assets.identity.evaluate import evaluate


def test_equal_partitions_agree_whatever_their_numbers():
    found = evaluate(np.array([5, 5, 9]), np.array([0, 0, 1]))
    assert (found.precision, found.recall, found.f1, found.over_merged) == (1, 1, 1, 0)


def test_one_wrong_pair_of_three_costs_precision():
    found = evaluate(np.array([0, 0, 0]), np.array([0, 0, 1]))
    assert found.precision == pytest.approx(1 / 3)
    assert found.recall == 1
    assert found.over_merged == 1


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=12))
def test_counting_by_table_equals_counting_pair_by_pair(rows):
    clusters, entities = (np.array(column) for column in zip(*rows, strict=True))
    pairs = [(i, j) for i in range(len(rows)) for j in range(i)]
    found = {p for p in pairs if clusters[p[0]] == clusters[p[1]]}
    true = {p for p in pairs if entities[p[0]] == entities[p[1]]}
    evaluation = evaluate(clusters, entities)
    assert evaluation.precision == pytest.approx(len(found & true) / len(found) if found else 1)
    assert evaluation.recall == pytest.approx(len(found & true) / len(true) if true else 1)
