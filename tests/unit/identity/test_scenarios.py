"""Stories that an identity platform must get right, each under the name it goes by in the trade.

Records are A, B, C...; the first named is the oldest. `groups()` shows who ended up together,
`id_of` whose id they have.
"""

from __future__ import annotations

from itertools import pairwise

import pytest

from tests.unit.identity.world import Link, Record, World, customer_id


@pytest.mark.parametrize(
    ("shape", "names", "links", "groups"),
    [
        ("simple", "AB", ["A-B"], ["AB"]),
        ("chain", "ABCD", ["A-B", "B-C", "C-D"], ["ABCD"]),
        ("fan_in", "ABCD", ["A-D", "B-D", "C-D"], ["ABCD"]),
        ("fan_out", "ABCD", ["A-B", "A-C", "A-D"], ["ABCD"]),
        ("diamond", "ABCD", ["A-B", "A-C", "B-D", "C-D"], ["ABCD"]),
        ("disjoint", "ABCD", ["A-B", "C-D"], ["AB", "CD"]),
        ("self_bridge", "AB", ["A-A"], ["A", "B"]),
        ("doubled", "AB", ["A-B", "B-A"], ["AB"]),
    ],
)
def test_links_of_any_shape_give_the_exact_components(shape, names, links, groups):
    world = World().observe(*names, links=links)
    assert world.groups() == groups
    assert {world.id_of(group[0]) for group in groups} == {group[0] for group in groups}


def test_a_long_chain_of_a_thousand_records_is_one_customer():
    names = [f"r{n:04d}" for n in range(1000)]
    links = [f"{a}-{b}" for a, b in pairwise(names)]
    world = World(soft_cap=1000, hard_cap=1000).observe(*names, links=links)
    assert set(world.customers.values()) == {customer_id("r0000")}


def test_alternating_old_and_new_chain_keeps_the_oldest_id():
    world = World().observe("A", "B").observe("C", links=["A-C"]).observe("D", links=["C-D", "D-B"])
    assert world.groups() == ["ABCD"]
    assert world.id_of("D") == "A"


def test_a_batch_of_merges_alone_mints_no_id():
    world = World().observe(*"ABCD")
    before = set(world.customers.values())
    world.observe(links=["A-B", "C-D"])
    assert set(world.customers.values()) < before
    assert sorted(world.history()) == ["merge B>A", "merge D>C"]


def test_an_old_cookie_observed_again_changes_nothing():
    world = World().observe(*"AB", links=["A-B"])
    before = dict(world.customers)
    world.observe("A", links=["A-B"])
    assert world.customers == before
    assert world.events == []


def test_rapid_merges_again_and_again_leave_one_redirect_per_old_id():
    world = World().observe(*"ABCD")
    for link in ("C-D", "B-C", "A-B"):
        world.observe(links=[link])
    assert world.groups() == ["ABCD"]
    assert world.redirects == {customer_id(old): customer_id("A") for old in "BCD"}


def test_a_three_way_bridge_joins_three_customers_under_the_oldest():
    world = World().observe(*"ABC").observe("D", links=["A-D", "B-D", "C-D"])
    assert world.groups() == ["ABCD"]
    assert sorted(world.history()) == ["merge B>A", "merge C>A"]


def test_a_reverse_chain_where_the_oldest_arrives_last_ends_like_any_other_order():
    world = World(records={"B": Record(1), "C": Record(2)}, links={Link("B", "C")}).run()
    world.records["A"] = Record(0)
    world.observe(links=["A-B"])
    assert world.id_of("C") == "A"
    assert world.redirects == {customer_id("B"): customer_id("A")}
    assert world.history() == ["rename B>A"]


def test_a_late_merge_keeps_the_older_id_and_redirects_the_younger():
    world = World().observe("A").observe("B").observe("C").observe(links=["B-A"])
    assert world.groups() == ["AB", "C"]
    assert world.redirects == {customer_id("B"): customer_id("A")}


def test_a_unique_id_conflict_is_refused_and_says_so():
    world = World().observe("A", user_id="1").observe("B", user_id="2").observe("C")
    world.observe(links=["A-C", "B-C"])
    assert world.groups() == ["AC", "B"]
    refused = world.resolve().refused.to_pylist()
    assert [(row["reason"], row["rule"]) for row in refused] == [
        ("unique_id_conflict", "same_email")
    ]


def test_a_shared_identifier_of_two_people_joins_neither():
    world = World().observe("A", name="anna").observe("B", name="boris").observe("C")
    world.observe(links=["A-C", "B-C"])
    assert world.groups() == ["AC", "B"]


def test_profiles_that_gain_conflicting_unique_ids_after_a_merge_part_again():
    world = World().observe(*"AB", links=["A-B"])
    world.records["A"] = Record(0, user_id="1")
    world.records["B"] = Record(1, user_id="2")
    world.run()
    assert world.groups() == ["A", "B"]
    assert (world.id_of("A"), world.id_of("B")) == ("A", "B")


def test_interleaved_merges_of_two_groups_stay_two_customers():
    world = World().observe(*"ABCD")
    for link in ("A-C", "B-D"):
        world.observe(links=[link])
    assert world.groups() == ["AC", "BD"]


def test_unmerge_after_several_merges_separates_the_two_and_keeps_the_id_with_the_anchor():
    world = World().observe(*"ABC", links=["A-B", "B-C"]).unmerge("A", "C")
    assert world.customers["A"] != world.customers["C"]
    assert world.id_of("A") == "A"
    assert world.groups() == ["AB", "C"]


def test_two_unmerges_make_three_customers():
    world = World().observe(*"ABC", links=["A-B", "B-C"]).unmerge("A", "B").unmerge("B", "C")
    assert world.groups() == ["A", "B", "C"]
    assert world.run().groups() == ["A", "B", "C"]


def test_unmerge_then_merge_elsewhere_then_unmerge_ends_where_it_should():
    world = World().observe(*"ABCD", links=["A-B"])
    assert world.unmerge("A", "B").groups() == ["A", "B", "C", "D"]
    assert world.merge("B", "C").groups() == ["A", "BC", "D"]
    assert world.unmerge("B", "C").groups() == ["A", "B", "C", "D"]
    assert {name: world.id_of(name) for name in "ABCD"} == {name: name for name in "ABCD"}


def test_merge_and_unmerge_twice_gives_the_same_ids_each_time():
    world = World().observe(*"AB")
    apart = dict(world.customers)
    together = dict(world.merge("A", "B").customers)
    assert world.unmerge("A", "B").customers == apart
    assert world.merge("A", "B").customers == together
    assert world.unmerge("A", "B").customers == apart
    assert world.redirects == {}


def test_a_deleted_record_that_was_a_bridge_separates_its_sides():
    world = World().observe(*"ABC", links=["A-B", "B-C"])
    assert world.groups() == ["ABC"]
    world.delete("B")
    assert world.groups() == ["A", "C"]
    assert (world.id_of("A"), world.id_of("C")) == ("A", "C")


def test_an_id_whose_anchor_vanished_is_claimed_by_the_larger_part():
    world = World().observe(*"ABCD", links=["A-B", "A-C", "C-D"])
    world.delete("A")
    assert world.groups() == ["B", "CD"]
    assert (world.id_of("C"), world.id_of("B")) == ("A", "B")
    assert world.run().id_of("C") == "A"


def test_records_that_leave_and_return_have_their_ids_again():
    world = World().observe(*"ABCD", links=["A-B", "A-C", "C-D"])
    before = dict(world.customers)
    world.delete("A")
    world.records["A"] = Record(0)
    world.observe(links=["A-B", "A-C"])
    assert world.customers == before


def test_an_id_with_no_record_left_is_retired_and_redirects_nowhere():
    world = World().observe(*"AB", links=["A-B"])
    world.delete("A").delete("B")
    assert world.customers == {}
    assert world.history() == ["retire >A"]
    assert world.redirects == {}


def test_an_old_id_always_leads_to_a_living_customer():
    world = World().observe(*"ABCD").observe(links=["C-D"]).observe(links=["B-C"])
    world.observe(links=["A-B"]).delete("A")
    living = set(world.customers.values())
    assert set(world.redirects.values()) <= living
    assert not set(world.redirects) & living


def test_a_device_lends_its_id_only_when_nothing_else_is_there():
    world = World().observe("A", is_device=True).observe("B").observe("C", is_device=True)
    world.observe(links=["A-B"])
    assert world.id_of("A") == "B"
    assert world.id_of("C") == "C"


def test_a_cluster_over_the_hard_cap_keeps_what_was_and_new_records_wait():
    world = World(hard_cap=3).observe(*"ABC", links=["A-B"])
    before = dict(world.customers)
    world.observe(*"DE", links=["B-C", "C-D", "D-E"])
    assert world.customers == before
    held_back = [
        row["record_id"] for row in world.resolve().assignments.to_pylist() if row["is_held_back"]
    ]
    assert sorted(held_back) == ["A", "B", "C", "D", "E"]
