"""Stories that an identity platform must get right, each under the name it goes by in the trade.

Records are A, B, C...; the first named is the oldest. `groups()` shows who ended up together,
`id_of` whose id they have.
"""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

from tests.unit.identity.world import Link, Record, World, customer_id


def exactly(world: World, *groups: str) -> None:
    """These are the customers, and each has the id of its oldest record."""
    assert world.groups() == list(groups)
    assert [world.id_of(group[0]) for group in groups] == [group[0] for group in groups]


def test_simple():
    """Two records and a link, also when it is there twice."""
    exactly(World().observe(*"AB", links=["A-B", "B-A"]), "AB")


def test_chain():
    """Each is linked with the next."""
    exactly(World().observe(*"ABCD", links=["A-B", "B-C", "C-D"]), "ABCD")


def test_fan_in():
    """All are linked with the youngest."""
    exactly(World().observe(*"ABCD", links=["A-D", "B-D", "C-D"]), "ABCD")


def test_fan_out():
    """All are linked with the oldest."""
    exactly(World().observe(*"ABCD", links=["A-B", "A-C", "A-D"]), "ABCD")


def test_diamond():
    """Two ways lead from the first to the last."""
    exactly(World().observe(*"ABCD", links=["A-B", "A-C", "B-D", "C-D"]), "ABCD")


def test_disjoint():
    """What no link ties stays apart."""
    exactly(World().observe(*"ABCD", links=["A-B", "C-D"]), "AB", "CD")


def test_self_bridge():
    """A record that is linked with itself is one record."""
    exactly(World().observe(*"AB", links=["A-A"]), "A", "B")


def test_long_chain():
    """A thousand records, each linked with the next, are one customer."""
    names = [f"r{n:04d}" for n in range(1000)]
    links = [f"{a}-{b}" for a, b in pairwise(names)]
    world = World(soft_cap=1000, hard_cap=1000).observe(*names, links=links)
    assert set(world.customers.values()) == {customer_id("r0000")}


def test_alternating_old_new_chain():
    """New records between old ones: the oldest id lives on."""
    world = World().observe("A", "B").observe("C", links=["A-C"]).observe("D", links=["C-D", "D-B"])
    assert world.groups() == ["ABCD"]
    assert world.id_of("D") == "A"


def test_merge_only_batch():
    """A batch of nothing but merges mints no id."""
    world = World().observe(*"ABCD")
    before = set(world.customers.values())
    world.observe(links=["A-B", "C-D"])
    assert set(world.customers.values()) < before
    assert sorted(world.history()) == ["merge B>A", "merge D>C"]


def test_re_observed_old_cookie():
    """What was seen before, seen again, changes nothing."""
    world = World().observe(*"AB", links=["A-B"])
    before = dict(world.customers)
    world.observe("A", links=["A-B"])
    assert world.customers == before
    assert world.events == []


def test_rapid_re_merge():
    """Merges one upon the other leave one redirect per old id, and no chain of them."""
    world = World().observe(*"ABCD")
    for link in ("C-D", "B-C", "A-B"):
        world.observe(links=[link])
    assert world.groups() == ["ABCD"]
    assert world.redirects == {customer_id(old): customer_id("A") for old in "BCD"}


def test_three_way_bridge():
    """One record joins three customers: the oldest id lives on."""
    world = World().observe(*"ABC").observe("D", links=["A-D", "B-D", "C-D"])
    assert world.groups() == ["ABCD"]
    assert sorted(world.history()) == ["merge B>A", "merge C>A"]


def test_reverse_chain():
    """The oldest record arrives last, and everything ends as in any other order."""
    world = World(records={"B": Record(1), "C": Record(2)}, links={Link("B", "C")}).run()
    world.records["A"] = Record(0)
    world.observe(links=["A-B"])
    assert world.id_of("C") == "A"
    assert world.redirects == {customer_id("B"): customer_id("A")}
    assert world.history() == ["rename B>A"]


def test_late_merge():
    """A link long after its records: the older id lives on, the younger leads to it."""
    world = World().observe("A").observe("B").observe("C").observe(links=["B-A"])
    assert world.groups() == ["AB", "C"]
    assert world.redirects == {customer_id("B"): customer_id("A")}


def test_unique_id_conflict():
    """Two logins never become one customer, and the refused link says why."""
    world = World().observe("A", user_id="1").observe("B", user_id="2").observe("C")
    world.observe(links=["A-C", "B-C"])
    assert world.groups() == ["AC", "B"]
    refused = world.resolve().refused.to_pylist()
    assert [(row["reason"], row["rule"]) for row in refused] == [
        ("unique_id_conflict", "same_email")
    ]


def test_shared_identifier():
    """What two people share does not make them one."""
    world = World().observe("A", name="anna").observe("B", name="boris").observe("C")
    world.observe(links=["A-C", "B-C"])
    assert world.groups() == ["AC", "B"]


def test_profiles_that_gain_conflicting_unique_ids_after_a_merge():
    """They part again, each with its own id."""
    world = World().observe(*"AB", links=["A-B"])
    world.records["A"] = Record(0, user_id="1")
    world.records["B"] = Record(1, user_id="2")
    world.run()
    assert world.groups() == ["A", "B"]
    assert (world.id_of("A"), world.id_of("B")) == ("A", "B")


def test_interleaved_merges():
    """Two groups that merge by turns stay two customers."""
    world = World().observe(*"ABCD")
    for link in ("A-C", "B-D"):
        world.observe(links=[link])
    assert world.groups() == ["AC", "BD"]


def test_unmerge_after_several_merges():
    """The two are separate, and the id stays with the anchor."""
    world = World().observe(*"ABC", links=["A-B", "B-C"]).unmerge("A", "C")
    assert world.customers["A"] != world.customers["C"]
    assert world.id_of("A") == "A"
    assert world.groups() == ["AB", "C"]


def test_two_unmerges():
    """Two decisions make three customers of one."""
    world = World().observe(*"ABC", links=["A-B", "B-C"]).unmerge("A", "B").unmerge("B", "C")
    assert world.groups() == ["A", "B", "C"]
    assert world.run().groups() == ["A", "B", "C"]


def test_unmerge_then_merge_elsewhere_then_unmerge():
    """Everybody ends with the id of the beginning."""
    world = World().observe(*"ABCD", links=["A-B"])
    assert world.unmerge("A", "B").groups() == ["A", "B", "C", "D"]
    assert world.merge("B", "C").groups() == ["A", "BC", "D"]
    assert world.unmerge("B", "C").groups() == ["A", "B", "C", "D"]
    assert {name: world.id_of(name) for name in "ABCD"} == {name: name for name in "ABCD"}


def test_merge_and_unmerge_twice():
    """The same ids each time, and no redirect is left over."""
    world = World().observe(*"AB")
    apart = dict(world.customers)
    together = dict(world.merge("A", "B").customers)
    assert world.unmerge("A", "B").customers == apart
    assert world.merge("A", "B").customers == together
    assert world.unmerge("A", "B").customers == apart
    assert world.redirects == {}


def test_a_deleted_record_that_was_a_bridge():
    """Its sides part again, each with its own id."""
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


def test_an_anchor_that_returns_with_the_others_has_not_vanished():
    world = World().observe(*"ABCD", links=["A-B", "B-C", "C-D"])
    before, records, links = dict(world.customers), dict(world.records), set(world.links)
    for name in "BAC":
        world.delete(name)
    assert world.id_of("D") == "C"
    world.records, world.links = records, links
    assert world.run().customers == before


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


def test_twins():
    """All but the first name agrees, and their mother gave her address for both."""
    world = World(scores={"AB": 18.0}, vetoes={"AB"})
    world.observe("A", name="lena").observe("B", name="mara").observe("C", "D")
    world.observe(links=["A-C", "B-C", "A-D"])
    exactly(world, "ACD", "B")
    assert world.reasons() == ["vetoed"]


def test_father_and_son_of_one_name():
    """Name and address agree, the birth date does not: what the one has more of, he keeps."""
    world = World(scores={"AB": -9.0, "AC": 11.0, "BC": -6.0, "BD": 12.0, "AD": -8.0, "CD": 2.0})
    world.observe(*"ABCD", name="john", links=["A-C", "B-D", "A-B", "C-D"])
    exactly(world, "AC", "BD")
    assert world.reasons() == ["weights_against", "weights_against"]


def test_siblings():
    """Three children with one address, phone and surname are three customers, each with its own."""
    world = World()
    for one, name in zip("ABC", ("lena", "mara", "theo"), strict=True):
        world.observe(one, name=name).observe(one.lower(), name=name)
        world.scores[f"{one}{one.lower()}"] = 14.0
    world.scores |= dict.fromkeys(("AB", "AC", "BC", "aB", "bC", "aC", "Ab", "Bc", "Ac"), 6.0)
    world.scores |= dict.fromkeys(("ab", "bc", "ac"), 6.0)
    world.vetoes = {pair for pair, bits in world.scores.items() if bits == 6.0}
    world.observe(links=["A-a", "B-b", "C-c", "A-B", "B-C"])
    assert world.groups() == ["Aa", "Bb", "Cc"]


def test_shared_device():
    """A device may follow one of two logins, and never makes them one customer."""
    world = World().observe("A", user_id="1").observe("B", user_id="2")
    world.observe("D", is_device=True)
    world.links = {
        Link("A", "D", tier=3, score=0.8, rule="same_device"),
        Link("B", "D", tier=3, score=0.8, seen=1, rule="same_device"),
    }
    exactly(world.run(), "AD", "B")


def test_household_phone():
    """A record that has nothing but the phone joins one of the family, and not all of them."""
    world = World(scores={"AB": -12.0})
    world.observe("A", name="anna").observe("B", name="boris").observe("C")
    world.links = {Link(one, "C", rule="same_phone") for one in "AB"}
    exactly(world.run(), "AC", "B")
    assert world.reasons() == ["weights_against"]


def test_junk_identifier():
    """A value that slipped through the guards makes no customer larger than the soft cap."""
    names = [f"r{number:03d}" for number in range(120)]
    world = World().observe(*names, links=[f"{names[0]}-{name}" for name in names[1:]])
    sizes = sorted(Counter(world.customers.values()).values())
    assert sizes == [1] * 70 + [50]
    assert world.reasons() == ["over_soft_cap"] * 70


def test_must_link_and_cannot_link_hold_over_a_full_rebuild():
    """What people decided holds, whatever names, logins and scores say, also from nothing."""
    world = World(scores={"AB": -20.0, "CD": 20.0}, vetoes={"AB"})
    world.observe("A", name="anna", user_id="1").observe("B", name="boris", user_id="2")
    world.observe("C", "D", links=["C-D"])
    world.merge("A", "B").unmerge("C", "D")
    exactly(world, "AB", "C", "D")
    assert world.run().events == world.events
    assert world.rebuilt().customers == world.customers


def test_unmerge_cascades():
    """Everything of a false merge is undone: ids, redirects, and who holds which record."""
    world = World().observe(*"ABCD").observe(links=["A-B", "C-D"])
    apart, known = dict(world.customers), dict(world.redirects)
    world.observe(links=["B-C"])
    assert world.groups() == ["ABCD"]
    world.unmerge("B", "C").unmerge("A", "C").unmerge("A", "D").unmerge("B", "D")
    assert world.customers == apart
    assert world.redirects == known
    assert world.history()[-1] == "split A>C"
