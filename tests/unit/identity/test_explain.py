from __future__ import annotations

import io
import xml.etree.ElementTree as ET
from datetime import datetime

import pytest

from cdp_assets.errors import PlatformError
from cdp_assets.identity.console import explain_two, parse_moment, whose
from cdp_assets.identity.evidence import doubtful_pair, evidence_of
from cdp_assets.identity.explain import Explanation, Step, explain, shortest_path, weakest
from cdp_assets.identity.match_model import Comparison, Level, MatchModel, load_default
from cdp_assets.identity.references import Reference, UnknownReferenceError, email_key, resolve
from cdp_assets.identity.waterfall import as_svg, model_chart, waterfall
from cdp_assets.plots import as_markdown
from tests.unit.identity.published import DAY, Published

ANN, BOB, CEM, DEE = "crm:contact:ann", "pos:party:bob", "web:login:cem", "web:device:dee"
ONE, TWO, OLD = "c_" + "1" * 20, "c_" + "2" * 20, "c_" + "3" * 20

MODEL = MatchModel(
    version="test-1",
    prior=1 / 1025,
    comparisons=(
        Comparison(
            "last_name",
            (
                Level("missing", "last_name_l is null", is_null=True),
                Level("same", "last_name_l = last_name_r", 0.8, 0.1, tf_column="last_name"),
                Level("different", "else", 0.2, 0.8),
            ),
        ),
    ),
    blocking=(),
    vetoes=(),
    term_frequencies={},
)


def find(published: Published, *typed: str) -> list[Reference]:
    """What is meant by the texts."""
    with published.reader() as reader:
        return resolve(reader, dict(zip(("The first", "The second"), typed, strict=False)))


def explained(published: Published, left: str, right: str) -> Explanation:
    with published.reader() as reader:
        one, other = resolve(reader, {"The first": left, "The second": right})
        return explain(reader, one, other, MODEL)


def step(left: str, right: str, tier: int = 2, score: float = 0.9) -> Step:
    return Step(left, right, "rule", "1", tier, score)


def obstacles(published: Published, left: str, right: str) -> dict[str, str]:
    """The reasons why two are not one customer, each with its sentence."""
    found = explained(published, left, right)
    assert not found.is_one
    return {obstacle.reason: obstacle.sentence for obstacle in found.obstacles}


# --- the path ---------------------------------------------------------------------------------


def test_the_path_is_the_shortest_and_of_equally_short_ones_the_stronger():
    links = [
        step("a", "b"),
        step("b", "z"),
        step("a", "c", tier=1),
        step("z", "c"),
        step("a", "x"),
        step("x", "y"),
        step("y", "z"),
    ]
    path = shortest_path(links, {"a"}, {"z"})
    assert [(one.left_record_id, one.right_record_id) for one in path] == [("a", "c"), ("c", "z")]


def test_a_path_leads_from_any_start_to_the_nearest_end():
    links = [step("a", "b"), step("b", "c"), step("c", "d")]
    path = shortest_path(links, {"a", "b"}, {"d", "c"})
    assert [one.pair for one in path] == [("b", "c")]


def test_there_is_no_path_between_components_nor_within_one_record():
    assert shortest_path([step("a", "b")], {"a"}, {"z"}) == []
    assert shortest_path([step("a", "b")], {"a"}, {"a"}) == []


def test_the_weakest_link_has_the_greatest_tier_then_the_least_score():
    links = [step("a", "b", 1), step("b", "c", 2, 0.85), step("c", "d", 2, 0.95)]
    assert weakest(links) == links[1]
    assert weakest([]) is None


# --- what is typed ----------------------------------------------------------------------------


def test_a_record_is_found_by_its_id_and_by_any_identifier_however_it_is_written(published):
    published.customer(ONE, ANN)
    published.identifier("email", "ann@gmail.com", ANN)
    published.identifier("phone", "+442079460018", ANN)
    published.identifier("loyalty_id", "777", ANN)
    typed = [
        ANN,
        "email:ann@gmail.com",
        "A.n.n+shop@GoogleMail.com",
        "phone:+442079460018",
        "+44 20 7946 0018",
        "loyalty:777",
        "loyalty_id:777",
    ]
    with published.reader() as reader:
        found = resolve(reader, {text: text for text in typed})
    assert [one.records for one in found] == [(ANN,)] * len(typed)


def test_a_record_id_that_looks_like_a_typed_identifier_is_a_record(published):
    published.customer(ONE, "email:recipient:5")
    assert [found.kind for found in find(published, "email:recipient:5")] == ["record"]


def test_a_value_of_two_types_has_to_be_typed(published):
    published.customer(ONE, ANN, BOB)
    published.identifier("loyalty_id", "123", ANN)
    published.identifier("user_id", "123", BOB)
    with pytest.raises(UnknownReferenceError, match=r"loyalty_id:… or user_id:…"):
        find(published, "123")
    assert [found.records for found in find(published, "user_id:123")] == [(BOB,)]


def test_an_unknown_reference_is_not_repeated(published):
    published.customer(ONE, ANN)
    with pytest.raises(UnknownReferenceError) as error:
        find(published, ANN, "secret@example.com")
    assert "secret" not in str(error.value)
    assert str(error.value).startswith("The second is not known")


def test_an_old_customer_id_means_the_records_it_had_last(published):
    published.customer(ONE, ANN, BOB)
    published.add("customer_map_history", BOB, OLD, DAY, DAY.replace(day=2), "run")
    published.add("customer_redirects", OLD, ONE)
    [found] = find(published, OLD)
    assert found.records == (BOB,)
    assert found.note is not None
    assert ONE in found.note


def test_the_match_key_of_an_address_is_that_of_the_cleansed_tables():
    assert email_key("J.Doe+x@Gmail.com") == "jdoe@gmail.com"
    assert email_key("J.Doe+x@example.com") == "j.doe@example.com"


# --- one customer -----------------------------------------------------------------------------


def linked(published: Published) -> None:
    published.customer(ONE, ANN, BOB, CEM, DEE)
    published.link(ANN, BOB, "probabilistic", version="test-1", score=0.999, kind=None)
    published.link(BOB, CEM)
    published.link(CEM, DEE, "same_device", tier=3, score=0.8, kind="device_id")
    published.compare(ANN, BOB, 1, 5.0, 20.0)
    published.add("match_model", "test-1")
    published.identifier("email", "bob@example.com", BOB, CEM)


def test_each_step_tells_rule_version_tier_and_score_and_the_weakest_is_marked(published):
    linked(published)
    lines = explain_two(published.settings(), ANN, DEE)
    assert lines[0] == f"{ANN} and {DEE} are one customer, {ONE}, by 3 links."
    steps = [line for line in lines if line[:2] in ("1.", "2.", "3.")]
    assert "probabilistic, version test-1, tier 2 (the model), score 0.9990" in steps[0]
    assert "same_email on email, version 1, tier 2 (a contact value), score 0.9500" in steps[1]
    assert [line.endswith("<- the weakest link") for line in steps] == [False, False, True]


def test_a_step_that_the_model_can_compare_shows_its_weights_in_bits(published):
    linked(published)
    found = explained(published, ANN, CEM)
    evidence = found.evidence[(ANN, BOB)]
    assert evidence.prior == pytest.approx(15.0)
    (weight,) = evidence.weights
    assert (weight.field, weight.label, weight.bits) == ("last_name", "same", 5.0)
    # 3 bits for agreeing (0.8 / 0.1), the rest for how rare the name is.
    assert weight.rarity == pytest.approx(2.0)
    assert list(found.evidence) == [(ANN, BOB)]


def test_a_refused_link_is_no_step_of_a_path(published):
    published.customer(ONE, ANN, BOB, CEM)
    published.link(ANN, CEM)
    published.link(ANN, BOB)
    published.link(BOB, CEM)
    published.add("refused_merges", ANN, CEM, "weights_against", "same_email", "1", 2)
    lines = explain_two(published.settings(), ANN, CEM)
    assert lines[0].endswith("by 2 links.")


def test_a_decision_of_a_person_is_a_link(published):
    published.customer(ONE, ANN, BOB)
    published.add("identity_decisions", "must_link", ANN, BOB, "kim", DAY, None)
    assert "decision, version human, tier 0" in explain_two(published.settings(), ANN, BOB)[2]


def test_a_customer_and_one_that_ended_in_it_are_explained_by_what_joined_them(published):
    published.customer(ONE, ANN, BOB)
    published.link(ANN, BOB)
    published.add("customer_map_history", BOB, OLD, DAY, DAY.replace(day=2), "run")
    published.add("customer_redirects", OLD, ONE)
    lines = explain_two(published.settings(), ONE, OLD)
    assert lines[0] == f"{ONE} and {OLD} are one customer, {ONE}, by 1 link."
    assert f"{OLD} ended in {ONE}; meant are the records it had last." in lines
    assert any(f"{ANN} -> {BOB}" in line for line in lines)


def test_a_record_and_itself_are_the_same_record(published):
    published.customer(ONE, ANN)
    assert explain_two(published.settings(), ANN, ANN) == [f"{ANN} and {ANN} are the same record."]


def test_values_are_shown_only_when_asked_for_and_never_what_was_typed(published):
    linked(published)
    for record, name in ((ANN, "smith"), (BOB, "smythe")):
        published.add("match_records", record, True, None, name, *[None] * 10)
    settings = published.settings()
    without = "\n".join(explain_two(settings, ANN, "email:bob@example.com"))
    assert "smith" not in without
    assert "bob@example.com" not in without
    shown = "\n".join(explain_two(settings, ANN, BOB, show_values=True))
    assert f"{ANN}: last_name smith" in shown
    assert f"{BOB}: last_name smythe" in shown


# --- not one customer -------------------------------------------------------------------------


def two_customers(published: Published) -> None:
    published.customer(ONE, ANN)
    published.customer(TWO, BOB)


def test_nothing_in_common_is_said_so(published):
    two_customers(published)
    assert "nothing_in_common" in obstacles(published, ANN, BOB)


def test_a_refused_link_names_its_value_and_reason(published):
    two_customers(published)
    published.identifier("phone", "+1", ANN, BOB)
    published.add(
        "refused_edges", ANN, BOB, "incompatible_first_names", "same_phone", 2, "phone", "+1"
    )
    found = obstacles(published, BOB, ANN)
    assert list(found) == ["incompatible_first_names", "nothing_to_compare"]
    assert found["incompatible_first_names"] == (
        "They share a value of phone, and its rule same_phone refused the link: the first names "
        "contradict each other."
    )


def test_a_refused_merge_of_other_records_of_the_two_customers_counts(published):
    published.customer(ONE, ANN, CEM)
    published.customer(TWO, BOB)
    published.add("refused_merges", CEM, BOB, "unique_id_conflict", "same_email", "1", 2)
    assert "too many values of a unique id" in obstacles(published, ANN, BOB)["unique_id_conflict"]


def test_a_suppressed_value_that_both_have_is_named_with_its_crowd(published):
    two_customers(published)
    published.identifier("email", "info@example.com", ANN, BOB)
    published.add("suppressed_identifiers", "email", "info@example.com", "too_many_people", 78, 54)
    found = obstacles(published, ANN, BOB)
    assert "too many people share it (78 records, 54 people)" in found["too_many_people"]
    assert "info@example.com" not in str(found)


def test_a_decision_to_keep_apart_names_who_and_when_and_its_withdrawal_ends_it(published):
    two_customers(published)
    published.add("identity_decisions", "cannot_link", ANN, BOB, "kim", DAY, None)
    assert obstacles(published, ANN, BOB)["cannot_link"].startswith("kim decided on 2026-09-01")
    published.add("identity_decisions", "withdrawn", ANN, BOB, "kim", DAY.replace(day=2), None)
    assert "cannot_link" not in obstacles(published, ANN, BOB)


def test_a_veto_is_named(published):
    two_customers(published)
    published.add("match_evidence", ANN, BOB, 0, -2.0, -12.0, "conflicting_birth_dates")
    assert "birth dates contradict" in obstacles(published, ANN, BOB)["conflicting_birth_dates"]


def test_a_score_that_is_too_low_says_by_how_much(published):
    two_customers(published)
    published.compare(ANN, BOB, 0, -2.0, -2.0)
    found = obstacles(published, ANN, BOB)
    assert list(found) == ["nothing_in_common", "weight_too_low"]
    assert "-2.0 bits (20.00%): less than the 50.00%" in found["weight_too_low"]


def test_a_pair_in_the_band_between_waits_for_a_person(published):
    two_customers(published)
    published.compare(ANN, BOB, 1, 5.0, 3.0)
    published.add("match_pairs", ANN, BOB, "review")
    assert "waits for a person" in obstacles(published, ANN, BOB)["in_review"]


def test_a_likely_pair_that_the_model_doubts_waits_for_a_person_too(published):
    two_customers(published)
    published.compare(ANN, BOB, 1, 5.0, 9.0)
    published.add("match_pairs", ANN, BOB, "review")
    assert "too few things agree" in obstacles(published, ANN, BOB)["in_review"]


def test_a_likely_pair_that_no_block_holds_was_never_compared(published):
    two_customers(published)
    published.compare(ANN, BOB, 1, 5.0, 9.0)
    assert "no_common_block" in obstacles(published, ANN, BOB)
    for record in (ANN, BOB):
        published.add("match_keys", record, "city", "london", True)
    published.add("oversized_blocks", "city", "london", True)
    assert "oversized_block" in obstacles(published, ANN, BOB)


def test_a_record_without_a_customer_is_named(published):
    published.customer(ONE, ANN)
    published.add("identity_records", BOB)
    assert BOB in obstacles(published, ANN, BOB)["no_customer"]


def test_when_not_linked_the_weights_of_the_likeliest_pair_are_shown(published):
    published.customer(ONE, ANN, CEM)
    published.customer(TWO, BOB)
    published.compare(ANN, BOB, 0, -2.0, -12.0)
    published.compare(BOB, CEM, 1, 5.0, -5.0)
    lines = explain_two(published.settings(), ONE, BOB)
    assert f"Most speaks for {BOB} and {CEM}:" in lines
    assert any(line.strip().startswith("-5.00  match weight") for line in lines)


# --- at a time --------------------------------------------------------------------------------


def test_whose_customer_a_record_was_at_a_time_has_an_answer(published):
    published.customer(ONE, ANN, BOB, since=DAY.replace(day=3))
    published.add("customer_map_history", BOB, OLD, DAY, DAY.replace(day=3), "run")
    published.add(
        "customer_id_events", "merge", ONE, OLD, BOB, "same_email", "1", "run", DAY.replace(day=3)
    )
    settings = published.settings()
    lines = explain_two(settings, ANN, BOB, as_of="2026-09-02")
    assert lines == [
        "At 2026-09-02 23:59:59 UTC:",
        f"  {ANN}: nobody's customer (now {ONE})",
        f"  {BOB}: {OLD} (now {ONE})",
        "Since then:",
        f"  2026-09-03 12:00:00  merge {ONE} from {OLD} (same_email)",
    ]
    assert whose(settings, BOB, None)[1:] == [f"  {BOB}: {ONE} (the same now)"]


def test_a_date_means_its_end_and_a_time_may_have_an_offset():
    assert parse_moment("2026-09-02") == datetime.fromisoformat("2026-09-02T23:59:59.999")
    assert parse_moment("2026-09-02T10:00:00+02:00") == datetime.fromisoformat(
        "2026-09-02T08:00:00"
    )
    with pytest.raises(PlatformError, match="--as-of takes"):
        parse_moment("yesterday")


# --- charts -----------------------------------------------------------------------------------


def test_the_page_stands_alone_and_shows_the_waterfall(published, tmp_path):
    linked(published)
    page = tmp_path / "why.html"
    settings = published.settings()
    explain_two(settings, ANN, "bob@example.com", page=page)
    text = page.read_text()
    first = text
    assert "<svg" in text
    assert "before any evidence" in text
    assert "bob@example.com" not in text
    for loads in ("src=", 'href="http', "url(http", "<script", "@import"):
        assert loads not in text
    explain_two(settings, ANN, "bob@example.com", page=page)
    assert page.read_text() == first


def test_the_waterfall_names_fields_levels_and_bits_and_nothing_else():
    row = {
        "left_record_id": ANN,
        "right_record_id": BOB,
        "gamma_last_name": 0,
        "weight_last_name": -2.0,
        "match_weight": -12.0,
    }
    root = ET.parse(io.StringIO(as_svg(waterfall(evidence_of(row, MODEL))))).getroot()
    texts = {node.text for node in root.iter() if node.tag.endswith("text")}
    assert {"before any evidence", "last_name: different", "match weight"} <= texts
    assert {"-10.0", "-2.0", "-12.0"} <= {text.replace("−", "-") for text in texts if text}
    assert not any(record in str(texts) for record in (ANN, BOB))


def test_the_example_for_a_chart_is_the_likeliest_pair_that_waits_for_a_person(published):
    for record, weight in ((BOB, 3.0), (CEM, 4.0)):
        published.add("review_queue", ANN, record, 0.9, weight, 1, 5.0)
    with published.reader() as reader:
        found = doubtful_pair(reader, MODEL)
    assert found is not None
    assert (found.right_record_id, found.match_weight) == (CEM, 4.0)


def test_the_chart_of_the_shipped_model_fits_into_metadata():
    chart = as_markdown(model_chart(load_default()), "Match weights")
    assert chart.value.startswith("![Match weights](data:image/png;base64,")
