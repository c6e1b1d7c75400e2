"""How a component that holds a contradiction is taken apart; shapes without one are scenarios."""

from __future__ import annotations

from tests.unit.identity.world import Link, Record, World


def test_a_household_that_shares_a_phone_stays_several_people():
    world = World().observe("A", name="anna").observe("B", name="boris").observe("C", name="a")
    world.links = {Link("A", "B", rule="same_phone"), Link("A", "C", seen=1)}
    assert world.run().groups() == ["AC", "B"]


def test_the_stronger_link_wins_a_contradiction():
    world = World().observe("A", name="anna").observe("B", name="boris").observe("C")
    world.links = {Link("A", "C", tier=2, score=0.9), Link("B", "C", tier=2, score=0.95)}
    assert world.run().groups() == ["A", "BC"]


def test_of_equally_strong_links_the_older_wins():
    world = World().observe("A", name="anna").observe("B", name="boris").observe("C")
    world.links = {Link("A", "C", seen=9), Link("B", "C", seen=1)}
    assert world.run().groups() == ["A", "BC"]


def test_father_and_son_of_one_name_are_told_apart_by_birth_date():
    world = World()
    world.observe("A", name="john", birth_date="1950-02-03")
    world.observe("B", name="john", birth_date="1985-11-20").observe("C", name="john")
    assert world.observe(links=["A-C", "C-B"]).groups() == ["AC", "B"]


def test_a_unique_id_outweighs_names():
    world = World().observe("A", name="anna").observe("B", name="hanna-lena")
    world.links = {Link("A", "B", tier=1, rule="same_loyalty_id")}
    assert world.run().groups() == ["AB"]


def test_a_customer_that_a_unique_id_gave_two_names_still_takes_either():
    world = World().observe("A", name="anna").observe("B", name="lena").observe("C", name="lena")
    world.links = {Link("A", "B", tier=1), Link("B", "C")}
    assert world.run().groups() == ["ABC"]


def test_a_must_link_joins_what_names_keep_apart_but_not_what_a_cannot_link_does():
    world = World().observe("A", name="anna").observe("B", name="boris").merge("A", "B")
    assert world.groups() == ["AB"]
    assert world.unmerge("A", "B").groups() == ["A", "B"]


def test_a_cannot_link_holds_through_a_third_record():
    world = World().observe(*"ABC", links=["A-C", "B-C"]).unmerge("A", "B")
    assert world.groups() in (["AC", "B"], ["A", "BC"])
    assert [row["reason"] for row in world.resolve().refused.to_pylist()] == ["cannot_link"]


def test_a_component_without_contradiction_refuses_nothing():
    world = World().observe(*"ABCD", links=["A-B", "B-C", "C-D", "D-A"])
    assert world.resolve().refused.num_rows == 0


def test_a_merge_names_the_record_and_the_rule_that_caused_it():
    world = World().observe(*"AB")
    world.links = {Link("A", "B", rule="same_phone")}
    row = world.resolve().changes.to_pylist()[0]
    assert (row["event"], row["record_id"], row["rule"]) == ("merge", "A", "same_phone")


def test_a_customer_that_ends_without_a_link_is_not_told_that_of_a_newcomer():
    world = World().observe(*"AB")
    del world.records["B"]
    # Older than A, which gets its id.
    world.records["C"] = Record(seen=-1)
    world.links = {Link("A", "C", rule="same_phone")}
    rows = {row["event"]: row for row in world.resolve().changes.to_pylist()}
    assert (rows["rename"]["record_id"], rows["rename"]["rule"]) == ("C", "same_phone")
    assert (rows["retire"]["record_id"], rows["retire"]["rule"]) == (None, None)


def test_a_record_that_fits_one_and_contradicts_the_rest_stays_out():
    world = World(scores={"AB": 9.0, "AC": 9.0, "BC": 9.0, "CD": 8.0, "AD": -20.0, "BD": -20.0})
    assert world.observe(*"ABCD", links=["A-B", "B-C", "C-D"]).groups() == ["ABC", "D"]
    assert world.reasons() == ["weights_against"]


def test_a_record_that_contradicts_one_and_fits_the_rest_comes_in():
    world = World(scores={"AB": 9.0, "AC": 9.0, "BC": 9.0, "CD": 8.0, "BD": 8.0, "AD": -14.0})
    assert world.observe(*"ABCD", links=["A-B", "B-C", "C-D"]).groups() == ["ABCD"]


def test_scores_decide_where_both_sides_have_one_whatever_the_names():
    world = World(scores={"AB": 15.0})
    world.observe("A", name="margarete").observe("B", name="gretchen").observe(links=["A-B"])
    assert world.groups() == ["AB"]


def test_a_score_against_outweighs_the_rule_that_links_two():
    world = World(scores={"AB": -8.0}).observe(*"AB", links=["A-B"])
    assert world.groups() == ["A", "B"]


def test_what_speaks_for_two_records_joins_none_that_no_link_ties():
    world = World(scores={"AB": 15.0, "AC": -20.0, "BC": -20.0}).observe(*"ABC")
    assert world.observe(links=["A-C", "B-C"]).groups() == ["A", "B", "C"]


def test_a_unique_id_outweighs_scores_and_vetoes():
    world = World(scores={"AB": -20.0}, vetoes={"AB"}).observe(*"AB")
    world.links = {Link("A", "B", tier=1, rule="same_loyalty_id")}
    assert world.run().groups() == ["AB"]


def test_of_two_groups_the_better_fitting_gets_the_record_between():
    world = World(scores={"AB": 9.0, "DE": 20.0, "BC": 6.0, "CD": 7.0, "AC": 2.0, "CE": 5.0})
    world.scores |= dict.fromkeys(("AD", "AE", "BD", "BE"), -20.0)
    world.observe(*"ABCDE", links=["A-B", "B-C", "C-D", "D-E"])
    assert world.groups() == ["AB", "CDE"]


def test_a_cluster_over_the_soft_cap_loses_its_weakest_records():
    world = World(soft_cap=3).observe(*"ABCD")
    world.links = {
        Link("A", name, score=score) for name, score in zip("BCD", (0.9, 0.8, 0.95), strict=True)
    }
    assert world.run().groups() == ["ABD", "C"]
    assert world.reasons() == ["over_soft_cap"]


def test_unique_ids_may_exceed_the_soft_cap():
    world = World(soft_cap=3).observe(*"ABCD")
    world.links = {Link("A", name, tier=1) for name in "BCD"}
    assert world.run().groups() == ["ABCD"]
