"""Ids are a function of the data: order, batching and repetition do not show in them."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.identity.world import Link, Record, World

_NAMES = [chr(code) for code in range(65, 75)]
_PAIRS = [f"{left}{right}" for left, right in combinations(_NAMES, 2)]

_records = st.fixed_dictionaries(
    {
        name: st.builds(
            Record,
            seen=st.integers(0, 4),
            name=st.sampled_from([None, "anna", "boris", "a"]),
            user_id=st.sampled_from([None, None, "1", "2"]),
            is_device=st.booleans(),
        )
        for name in _NAMES
    }
)
_links = st.lists(
    st.builds(
        Link,
        left=st.sampled_from(_NAMES),
        right=st.sampled_from(_NAMES),
        tier=st.integers(1, 3),
        score=st.sampled_from([0.8, 0.9]),
        seen=st.integers(0, 2),
    ),
    max_size=14,
)
_decisions = st.sets(st.sampled_from(_PAIRS), max_size=2).map(
    lambda pairs: {(pair[0], pair[1]) for pair in pairs}
)


@st.composite
def _worlds(draw: st.DrawFn) -> World:
    """Records, links, scores and decisions that nobody has resolved yet."""
    # A few distinct weights, so that sums are often equal and ties are decided.
    bits = st.sampled_from([-20.0, -9.0, -6.0, 0.0, 3.0, 12.0])
    scores = draw(st.dictionaries(st.sampled_from(_PAIRS), bits, max_size=20))
    return World(
        records=draw(_records),
        links=set(draw(_links)),
        scores=scores,
        vetoes=set(draw(st.lists(st.sampled_from(sorted(scores)), max_size=3)))
        if scores
        else set(),
        must_link=draw(_decisions),
        cannot_link=draw(_decisions),
        soft_cap=draw(st.sampled_from([4, 50])),
    )


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(world=_worlds(), random=st.randoms(use_true_random=False))
def test_any_order_and_batching_of_observations_gives_the_same_ids(world, random):
    whole = world.rebuilt()

    names = list(world.records)
    random.shuffle(names)
    part = replace(world, records={}, links=set())
    while names:
        batch = [names.pop() for _ in range(min(len(names), random.randint(1, 4)))]
        part.records.update({name: world.records[name] for name in batch})
        part.links = {link for link in world.links if {link.left, link.right} <= {*part.records}}
        part.run()
        # What is delivered twice is one thing.
        before = dict(part.customers)
        assert part.run().customers == before

    assert part.customers == whole.customers
    assert part.resolve().refused.num_rows == whole.resolve().refused.num_rows


@settings(max_examples=150, deadline=None)
@given(world=_worlds(), random=st.randoms(use_true_random=False))
def test_removing_and_restoring_records_gives_the_same_ids(world, random):
    records, links = dict(world.records), set(world.links)
    before = dict(world.run().customers)
    for name in random.sample(_NAMES, 3):
        world.delete(name)
    assert not set(world.redirects) & set(world.customers.values())
    world.records, world.links = records, links
    assert world.run().customers == before


@settings(max_examples=80, deadline=None)
@given(world=_worlds())
def test_what_was_set_apart_is_never_one_customer(world):
    world.run()
    assert all(world.customers[left] != world.customers[right] for left, right in world.cannot_link)
    assert world.rebuilt().customers == world.customers


@settings(max_examples=80, deadline=None)
@given(world=_worlds(), pair=st.sampled_from(_PAIRS))
def test_a_decision_that_is_withdrawn_leaves_no_trace(world, pair):
    before = dict(world.run().customers)
    decided = {*world.must_link, *world.cannot_link}
    if (pair[0], pair[1]) in decided:
        return
    world.merge(*pair).unmerge(*pair)
    world.cannot_link.discard((pair[0], pair[1]))
    assert world.run().customers == before


@settings(max_examples=80, deadline=None)
@given(world=_worlds())
def test_contact_values_and_scores_make_no_customer_over_the_soft_cap(world):
    world.links = {replace(link, tier=2) for link in world.links}
    world.must_link = set()
    assert max(map(len, world.run().groups())) <= world.soft_cap
