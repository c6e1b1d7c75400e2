"""Ids are a function of the data: order, batching and repetition do not show in them."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.identity.world import Link, Record, World

_NAMES = [chr(code) for code in range(65, 75)]

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
_pairs = st.sets(
    st.tuples(st.sampled_from(_NAMES), st.sampled_from(_NAMES)).filter(
        lambda pair: pair[0] < pair[1]
    ),
    max_size=2,
)


@settings(max_examples=80, deadline=None)
@given(records=_records, links=_links, apart=_pairs, random=st.randoms(use_true_random=False))
def test_any_order_and_batching_of_observations_gives_the_same_ids(records, links, apart, random):
    whole = World(dict(records), set(links), cannot_link=set(apart)).run()

    world = World(cannot_link=set(apart))
    names = list(records)
    random.shuffle(names)
    while names:
        batch = [names.pop() for _ in range(min(len(names), random.randint(1, 4)))]
        world.records.update({name: records[name] for name in batch})
        seen = set(world.records)
        world.links = {link for link in links if {link.left, link.right} <= seen}
        world.run()

    assert world.customers == whole.customers


@settings(max_examples=80, deadline=None)
@given(records=_records, links=_links, random=st.randoms(use_true_random=False))
def test_removing_and_restoring_records_gives_the_same_ids(records, links, random):
    world = World(dict(records), set(links)).run()
    before = dict(world.customers)
    for name in random.sample(_NAMES, 3):
        world.delete(name)
    assert not set(world.redirects) & set(world.customers.values())
    world.records, world.links = dict(records), set(links)
    assert world.run().customers == before


@settings(max_examples=80, deadline=None)
@given(records=_records, links=_links, apart=_pairs)
def test_what_was_set_apart_is_never_one_customer(records, links, apart):
    world = World(dict(records), set(links), must_link=set(apart), cannot_link=set(apart)).run()
    assert all(world.customers[left] != world.customers[right] for left, right in apart)
    assert world.run().customers == world.customers
