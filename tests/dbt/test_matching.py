"""The identity model on a real warehouse: scores, bands, blocks; increments equal a full build."""

from __future__ import annotations

import math
import random
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pytest
from dbt.contracts.graph.manifest import Manifest

from cdp_assets.identity.apply import apply_assignments
from cdp_assets.identity.match_model import (
    BlockingRule,
    Comparison,
    Level,
    MatchModel,
    TermFrequencies,
    Veto,
    load_default,
)
from cdp_assets.identity.resolve import resolve
from cdp_assets.identity.training import assumed_model, splink_settings
from tests.dbt.conftest import Platform
from tests.dbt.test_identity import contact, warehouse

Row = dict[str, Any]
C = "crm:contact:C"


def _comparison(column: str, m: float, u: float) -> Comparison:
    return Comparison(
        column,
        (
            Level("missing", f"{column}_l is null or {column}_r is null", is_null=True),
            Level("same", f"{column}_l = {column}_r", m, u),
            Level("different", "else", 1 - m, 1 - u),
        ),
    )


# Equal first names and birth dates link, first names alone are for review, and another birth date
# is a veto. People meet by last name or e-mail.
PLAIN = MatchModel(
    version="plain",
    prior=0.1,
    comparisons=(_comparison("first_name", 0.9, 0.01), _comparison("birth_date", 0.8, 0.01)),
    blocking=(
        BlockingRule("last_name", "last_name"),
        BlockingRule("email", "email"),
        BlockingRule("postcode", "postcode", max_records=2),
    ),
    vetoes=(Veto("conflicting_birth_dates", "gamma_birth_date = 0"),),
    term_frequencies={},
)


@pytest.fixture(scope="module")
def prepared(
    tmp_path_factory: pytest.TempPathFactory, platform_in: Callable[[Path], Platform]
) -> Path:
    """A warehouse file with the seeds, and the cleansed tables without a row."""
    platform = platform_in(tmp_path_factory.mktemp("prepared"))
    platform.clean()
    platform.query(
        "update identity.match_settings set"
        " auto_probability = 0.99, review_probability = 0.5, max_block_records = 3"
    )
    platform.query("checkpoint")
    return platform.path


def copy_of(prepared: Path, platform: Platform, model: MatchModel) -> Platform:
    shutil.copyfile(prepared, platform.path)
    platform.choose_model(model)
    return platform


@pytest.fixture
def plain(prepared: Path, platform: Platform) -> Platform:
    return copy_of(prepared, platform, PLAIN)


def match(platform: Platform, *arguments: str) -> None:
    """Clean what was delivered and run the models, but do not apply what they say."""
    platform.dbt("run", "--select", "clean_crm__contacts", "config.schema:identity", *arguments)


def identify(platform: Platform, *arguments: str) -> None:
    match(platform, *arguments)
    apply(platform)


def apply(platform: Platform) -> None:
    resolve(warehouse(platform))
    apply_assignments(warehouse(platform), run_id="run")


def pairs(platform: Platform) -> dict[tuple[str, str], str]:
    """The band of each pair, records by number."""
    rows = platform.query(
        "select left_record_id, right_record_id, band from identity.match_pairs order by all"
    )
    return {(left.removeprefix(C), right.removeprefix(C)): band for left, right, band in rows}


def matched(platform: Platform) -> dict[str, list[tuple[Any, ...]]]:
    tables = ("match_records", "match_keys", "oversized_blocks", "match_pairs", "review_queue")
    return {table: platform.rows(f"identity.{table}") for table in tables}


def is_rebuild(platform: Platform) -> bool:
    return platform.query("select bool_or(is_rebuild) from identity.source_changes") == [(True,)]


def test_equal_names_and_dates_link_names_alone_wait_and_a_contradiction_is_refused(plain):
    plain.lake.deliver(
        "crm__contacts",
        [
            contact(1, first_name="Ann", last_name="Lee", birth_date="1980-02-03"),
            contact(2, first_name="ANN", last_name="Lée", birth_date="1980-02-03"),
            contact(3, first_name="Ann", last_name="Lee", birth_date="1991-05-06"),
            contact(4, first_name="Bob", last_name="Poe"),
            contact(5, first_name="Bob", last_name="Poe"),
            contact(6, first_name="Cleo", last_name="Poe"),
            contact(7, first_name="Bob", last_name="Moe"),
        ],
    )
    match(plain)
    assert pairs(plain) == {
        ("1", "2"): "auto",
        ("1", "3"): "vetoed",
        ("2", "3"): "vetoed",
        ("4", "5"): "review",
    }
    assert plain.query(
        "select right_record_id, rule, rule_version, tier from identity.identity_edges"
    ) == [(f"{C}2", "probabilistic", "plain", 2)]
    assert plain.query("select distinct reason, rule from identity.refused_edges") == [
        ("conflicting_birth_dates", "probabilistic")
    ]
    [(left, right, weight, first_name, birth_date)] = plain.query(
        "select left_record_id, right_record_id, match_weight, weight_first_name,"
        " weight_birth_date from identity.review_queue"
    )
    assert (left, right, birth_date) == (f"{C}4", f"{C}5", 0)
    assert first_name == pytest.approx(math.log2(0.9 / 0.01))
    assert weight == pytest.approx(math.log2(0.1 / 0.9) + first_name)


def test_a_block_over_its_cap_is_reported_and_makes_no_pair(plain):
    plain.lake.deliver(
        "crm__contacts",
        [
            *[contact(n, first_name="Ann", last_name="Lee") for n in range(1, 5)],
            *[contact(n, first_name="Bob", last_name="Poe") for n in range(5, 8)],
            *[contact(n, first_name="Eve", mailing_postal_code="AB-1") for n in range(8, 11)],
            contact(11, first_name="Ann", last_name="Lee", email="ann@home.net"),
            contact(12, first_name="Ann", last_name="Lea", email="ann@home.net"),
        ],
    )
    match(plain)
    assert plain.query("select * from identity.oversized_blocks order by all") == [
        ("last_name", "lee", 5, True, False),
        ("postcode", "ab 1", 3, True, False),
    ]
    assert list(pairs(plain)) == [("11", "12"), ("5", "6"), ("5", "7"), ("6", "7")]


@pytest.mark.slow
def test_a_value_that_links_nobody_is_no_evidence_and_no_meeting_place(plain):
    names = ["Ann", "Bob", "Cleo", "Dora", "Emil", "Fritz", "Gerd"]
    shared: Row = {"email": "info@club.net", "last_name": "X"}
    plain.lake.deliver(
        "crm__contacts",
        [contact(n, first_name=name) | shared for n, name in enumerate(names[:6], start=1)],
    )
    identify(plain)
    assert plain.query("select count(email) from identity.match_records") == [(6,)]

    plain.lake.deliver("crm__contacts", [contact(7, first_name="Gerd") | shared])
    identify(plain)
    assert not is_rebuild(plain)
    assert plain.query("select count(email) from identity.match_records") == [(0,)]

    plain.lake.deliver("crm__contacts", [contact(7, day=2, first_name="Ann") | shared])
    # A run that fails, and is run again, sees the same.
    match(plain)
    identify(plain)
    assert not is_rebuild(plain)
    assert plain.query("select count(email) from identity.match_records") == [(7,)]
    in_turn = matched(plain)
    match(plain, "--full-refresh")
    assert matched(plain) == in_turn


@pytest.mark.slow
def test_who_is_known_by_another_number_since_one_stands_for_nobody_is_found_under_it(plain):
    by_phone = (*PLAIN.blocking, BlockingRule("phone", "phone"))
    plain.choose_model(replace(PLAIN, version="by phone", blocking=by_phone))
    crowd = ["Bob", "Cleo", "Dora", "Emil", "Fritz", "Gerd", "Hans", "Ivo"]
    busy, own = "+442079460018", "+442079460019"
    plain.lake.deliver(
        "crm__contacts",
        [
            contact(1, first_name="Ann", phone_e164=busy, mobile_phone_e164=own),
            contact(2, first_name="Ann", phone_e164=own),
            *[contact(n, first_name=name, phone_e164=busy) for n, name in enumerate(crowd[:-1], 3)],
        ],
    )
    identify(plain)
    assert ("1", "2") not in pairs(plain)

    plain.lake.deliver("crm__contacts", [contact(10, first_name=crowd[-1], phone_e164=busy)])
    identify(plain)
    assert not is_rebuild(plain)
    in_turn = matched(plain)
    assert list(pairs(plain)) == [("1", "2")]
    match(plain, "--full-refresh")
    assert without_progress(matched(plain)) == without_progress(in_turn)


def test_no_value_is_too_long_to_be_compared_and_all_of_a_name_is_published(plain):
    long = "Maximilian" * 101
    names = ("first_name", "last_name")
    places = ("mailing_street", "mailing_city", "mailing_state", "mailing_postal_code")
    told = dict.fromkeys((*names, *places, "national_id"), long)
    plain.lake.deliver(
        "crm__contacts",
        [
            contact(1, **told, email=f"{long}@home.net"),
            contact(2, **told, email=f"{'a' * 245}@home.net"),
        ],
    )
    match(plain)
    [compared] = plain.query(
        "select max(length(first_name)), max(length(first_name_key)), max(length(last_name)),"
        " max(length(street)), max(length(city)), max(length(state)), max(length(postcode)),"
        " max(length(national_id)), max(length(email)), count(email) from identity.match_records"
    )
    assert compared == (100,) * 8 + (254, 1)
    assert list(pairs(plain)) == [("1", "2")]
    published = plain.query(
        "select distinct first_name, last_name, length(first_name_key)"
        " from identity.identity_records"
    )
    assert published == [(long, long, 100)]


# With a cap of three: Lee passes it upwards and downwards, and Poe is left and joined.
STEPS: Sequence[Sequence[Row]] = (
    [
        contact(1, first_name="Ann", last_name="Lee"),
        contact(2, first_name="Ann", last_name="Lee", birth_date="1980-02-03"),
        contact(3, first_name="Ann", last_name="Poe", birth_date="1980-02-03"),
    ],
    [contact(4, first_name="Ann", last_name="Lee"), contact(5, first_name="Ann", last_name="Lee")],
    [contact(4, day=2, deleted=True, first_name="Ann", last_name="Lee")],
    [contact(2, day=2, first_name="Ann", last_name="Poe", birth_date="1980-02-03")],
    [
        contact(6, first_name="Ann", last_name="Lee"),
        contact(7, first_name="Ann", last_name="Lee"),
        contact(3, day=3, deleted=True, first_name="Ann", last_name="Poe"),
    ],
)


@pytest.fixture(scope="module")
def whole(
    prepared: Path,
    tmp_path_factory: pytest.TempPathFactory,
    platform_in: Callable[[Path], Platform],
) -> list[dict[str, list[tuple[Any, ...]]]]:
    """What a full build says after each step."""
    platform = copy_of(prepared, platform_in(tmp_path_factory.mktemp("whole")), PLAIN)
    found = []
    for rows in STEPS:
        platform.lake.deliver("crm__contacts", rows)
        match(platform, "--full-refresh")
        found.append(matched(platform))
    return found


@pytest.mark.slow
def test_each_increment_equals_a_full_build(plain, whole):
    for rows, expected in zip(STEPS, whole, strict=True):
        plain.lake.deliver("crm__contacts", rows)
        identify(plain)
        assert without_progress(matched(plain)) == without_progress(expected)
    assert not is_rebuild(plain)
    assert [name for name, *_ in whole[1]["oversized_blocks"]] == ["last_name"]
    assert [step["match_pairs"] != [] for step in whole] == [True, False, True, True, False]


@pytest.mark.slow
@pytest.mark.parametrize("stops_before", ["match_candidates", "nothing"])
def test_runs_that_fail_half_way_leave_nothing_behind(plain, whole, stops_before):
    plain.lake.deliver("crm__contacts", STEPS[0])
    identify(plain)
    # Lee passes the cap and falls below it again before any run is applied.
    plain.lake.deliver("crm__contacts", STEPS[1])
    match(plain, *([] if stops_before == "nothing" else ["--exclude", f"{stops_before}+"]))
    plain.lake.deliver("crm__contacts", STEPS[2])
    identify(plain)
    assert not is_rebuild(plain)
    assert without_progress(matched(plain)) == without_progress(whole[2])


def without_progress(tables: dict[str, list[tuple[Any, ...]]]) -> dict[str, Any]:
    return {name: sorted(set(rows), key=str) for name, rows in tables.items()}


@pytest.mark.slow
def test_another_model_another_seed_and_a_rebuild_that_did_not_end_make_a_rebuild(
    plain, manifest: Manifest, monkeypatch: pytest.MonkeyPatch
):
    plain.lake.deliver("crm__contacts", STEPS[0])
    identify(plain)

    other = MatchModel(
        "other", 0.2, PLAIN.comparisons, PLAIN.blocking, PLAIN.vetoes, PLAIN.term_frequencies
    )
    plain.choose_model(other)
    match(plain)
    assert is_rebuild(plain)
    assert plain.query("select distinct model_version from identity.match_pairs") == [("other",)]

    # Half of the tables may be of the other model now.
    plain.choose_model(PLAIN)
    identify(plain)
    assert is_rebuild(plain)
    assert plain.query("select distinct model_version from identity.match_pairs") == [("plain",)]
    match(plain)
    assert not is_rebuild(plain)

    seed = manifest.flat_graph["nodes"]["seed.cdp.identity_limits"]
    monkeypatch.setitem(seed["checksum"], "checksum", "another")
    match(plain)
    assert is_rebuild(plain)


@pytest.mark.parametrize(
    ("known", "new", "rebuilds"),
    [(3, 200_001, True), (3, 1_000, False), (300_000, 200_001, False)],
    ids=["most is new", "most is new and it is little", "less than half is new"],
)
def test_a_large_delivery_in_which_most_is_new_makes_a_rebuild(plain, known, new, rebuilds):
    plain.lake.deliver("crm__contacts", [contact(1, first_name="Ann", last_name="Lee")])
    identify(plain)
    applied = plain.query(
        "select load_id from identity.applied_loads where entity = 'crm__contacts'"
    )[0][0]
    for load_id, count in ((applied, known - 1), (applied + 1, new)):
        plain.query(
            f"""
            insert into cleansed.clean_crm__contacts
            select contacts.* replace ({load_id} as _load_id, record_id || '-' || n as record_id)
            from (select * from cleansed.clean_crm__contacts limit 1) as contacts
            cross join range({count}) as numbers (n)
            """
        )
    plain.dbt("run", "--select", "source_changes")
    assert is_rebuild(plain) == rebuilds


@pytest.mark.parametrize("origin", ["shipped", "to be trained"])
def test_compiled_scores_are_those_of_splink(prepared, platform, origin):
    shipped = load_default()
    model = with_common_names(
        shipped if origin == "shipped" else assumed_model(shipped.term_frequencies)
    )
    copy_of(prepared, platform, model)
    platform.query(
        "update identity.match_settings set review_probability = 0, max_block_records = 100"
    )
    platform.lake.deliver("crm__contacts", people(120))
    match(platform)
    platform.query(
        "insert into identity.pairs_to_score select l.record_id, r.record_id"
        " from identity.match_records as l, identity.match_records as r"
        " where l.record_id < r.record_id"
    )
    names = [comparison.name for comparison in model.comparisons]
    ours = {
        (left, right): (levels, weight)
        for left, right, weight, *levels in platform.query(
            "select left_record_id, right_record_id, match_weight, "
            + ", ".join(f"gamma_{name}" for name in names)
            + " from identity.match_evidence"
        )
    }
    theirs = by_splink(platform, model)
    assert ours.keys() == theirs.keys()
    assert len(ours) > 5_000
    for pair, (levels, weight) in ours.items():
        assert levels == theirs[pair][0], pair
        assert weight == pytest.approx(theirs[pair][1], abs=1e-6), pair
    # Few levels stay untried.
    tried = {
        (name, level)
        for levels, _ in ours.values()
        for name, level in zip(names, levels, strict=True)
    }
    assert len(tried) >= 0.7 * sum(len(comparison.levels) for comparison in model.comparisons)

    asked = "left_record_id, right_record_id, match_weight, veto"
    evidence = platform.query(f"select {asked} from identity.match_evidence order by all")
    assert platform.query(f"select {asked} from identity.scored_pairs order by all") == evidence
    kept = platform.query(f"select {asked} from identity.match_pairs order by all")
    assert 100 < len(kept) < len(evidence)
    assert set(kept) <= set(evidence)


def with_common_names(model: MatchModel) -> MatchModel:
    """The model with some names that are frequent, so that frequencies count."""
    known = {
        column: TermFrequencies(model.term_frequencies[column].default, {})
        for column in model.tf_columns
    }
    for column, values in {
        "first_name": {"ann": 0.03, "robert": 0.01},
        "last_name": {"lee": 0.02},
        "city": {"leeds": 0.2},
    }.items():
        if column in known:
            known[column] = TermFrequencies(known[column].default, values)
    return MatchModel(
        "common",
        model.prior,
        model.comparisons,
        model.blocking,
        model.vetoes,
        known,
    )


def people(count: int) -> list[Row]:
    """Contacts of people who are much alike, with typing errors and gaps; the same each time."""
    dice = random.Random(7)

    def one_of(*values: str) -> str:
        return dice.choice(values)

    def mistyped(text: str) -> str:
        place = dice.randrange(len(text))
        return one_of(text, text, text, text[:place] + one_of(*"abcde190") + text[place + 1 :])

    def row(number: int) -> Row:
        first = one_of("Ann", "Robert", "Bob", "Roberta", "A", "Christina", "Tina", "Mary", "Mray")
        last = one_of("Lee", "Lea", "Peters", "Petarz", "van Houten", "Houten", "Robert", "Ann")
        values = {
            "first_name": mistyped(first),
            "last_name": mistyped(last),
            "birth_date": f"19{one_of('80', '81', '95')}-{one_of('02', '03')}-{one_of('02', '17')}",
            "gender": one_of("Male", "Female", "m"),
            "email": mistyped(f"{first}.{last}".replace(" ", "").lower())
            + one_of("@a.net", "@b.org"),
            "phone_e164": f"+44207946{dice.randrange(8):04d}",
            "mailing_street": mistyped(one_of("1 High Street", "12 Mill Lane")),
            "mailing_city": one_of("Leeds", "York", "Yorke"),
            "mailing_state": one_of("Yorkshire", "Kent"),
            "mailing_postal_code": one_of("LS1 4AP", "YO1 7HH"),
            "national_id": f"QQ {dice.randrange(30):06d} C",
            "loyalty_id": f"L{dice.randrange(60)}",
        }
        kept = {name: value for name, value in values.items() if dice.random() < 0.8}
        return {**contact(1), **kept, "contact_id": f"C{number:03d}"}

    return [row(number) for number in range(count)]


def by_splink(
    platform: Platform, model: MatchModel
) -> dict[tuple[str, str], tuple[list[int], float]]:
    """Levels and weight of every pair, as Splink predicts them."""
    # Imported here: it takes a second, and no other test needs it.
    from splink import DuckDBAPI, Linker

    records = warehouse(platform).query("select * from identity.match_records")
    with duckdb.connect() as connection:
        api = DuckDBAPI(connection)
        settings = splink_settings(model)
        settings |= {
            "blocking_rules_to_generate_predictions": ["1 = 1"],
            "retain_matching_columns": True,
        }
        linker = Linker(
            api.register(records.drop_columns([n for n in records.column_names if n[:3] == "tf_"])),
            settings,
        )
        for column in model.tf_columns:
            connection.register("records", records)
            known = connection.sql(
                f"select distinct {column}, tf_{column} from records where {column} is not null"
            ).to_arrow_table()
            linker.table_management.register_term_frequency_lookup(api.register(known), column)
        predicted = linker.inference.predict()
        names = ", ".join(f"gamma_{comparison.name}" for comparison in model.comparisons)
        rows = connection.sql(
            f"select least(record_id_l, record_id_r), greatest(record_id_l, record_id_r),"
            f" match_weight, {names} from {predicted.physical_name}"
        ).fetchall()
    return {(left, right): (levels, weight) for left, right, weight, *levels in rows}
