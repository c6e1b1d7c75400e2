"""The commands that read what is published say the same of both engines.

A version is written and published as a run does it: tables, views over tables, raw files. Not
here: what the commands should say (tests/unit/identity), what the models hold (`parity`).
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cdp_assets.fingerprint import published_hashes
from cdp_assets.identity import console
from cdp_assets.identity.preview import PreviewError, preview
from cdp_assets.identity.review import Answer
from cdp_assets.naming import clean_name, raw_name
from cdp_assets.resources.build import build_athena, build_object_store
from cdp_assets.resources.object_ledger import LEDGER_SCHEMA
from cdp_assets.resources.warehouse import NothingPublishedError, RawTable
from cdp_assets.settings import Settings, load_settings
from cdp_assets.sources.contracts import load_contracts
from cdp_assets.summary import summary_lines
from tests.athena_local.server import LocalAthena
from tests.unit.identity.published import DAY, Published

pytestmark = pytest.mark.athena

ANN, BOB, CEM, DEE = "crm:contact:ann", "pos:party:bob", "web:login:cem", "web:device:dee"
EVE, FAY = "crm:contact:eve", "crm:contact:fay's"
ONE, TWO, THREE, OLD = ("c_" + digit * 20 for digit in "1234")

# What dbt makes as views, each over a table of the same rows.
VIEWS = ("identity_edges", "match_evidence", "refused_edges", "review_queue")
RAW = pa.schema([("_load_id", pa.int64())])


Told = TypeVar("Told")


@dataclass(frozen=True)
class Engines:
    """One published version on both engines, and the home of each."""

    duckdb: Settings
    athena: Settings

    def both(self, command: Callable[[Settings], Told]) -> Told:
        """What a command says of the version on DuckDB; on Athena it says the same."""
        told = command(self.duckdb)
        assert command(self.athena) == told
        return told


@pytest.fixture(scope="module")
def engines(athena: LocalAthena, tmp_path_factory: pytest.TempPathFactory) -> Engines:
    folder = tmp_path_factory.mktemp("console")
    made = Published(folder / "home")
    _people(made)
    local = made.settings()
    _company(local)
    aws = load_settings({**athena.of_tenant(), "CDP_HOME": str(local.home)})
    _publish(local, aws, athena)
    return Engines(local, aws)


def _people(made: Published) -> None:
    """Three customers: one of linked records, two that something keeps apart."""
    made.customer(ONE, ANN, BOB, CEM, DEE, since=DAY.replace(day=3))
    made.customer(TWO, EVE)
    made.customer(THREE, FAY)
    made.link(ANN, BOB, "probabilistic", version="test-1", score=0.999, kind=None)
    made.link(BOB, CEM)
    made.link(ANN, CEM)
    made.link(CEM, DEE, "same_device", tier=3, score=0.8, kind="device_id")
    made.add("refused_merges", ANN, CEM, "weights_against", "same_email", "1", 2)
    made.add("refused_merges", ANN, EVE, "unique_id_conflict", "same_email", "1", 2)
    made.identifier("email", "bob@example.com", BOB, CEM)
    made.identifier("email", "o'neill@example.com", EVE, FAY)
    made.identifier("phone", "+442079460018", ANN, EVE)
    made.add("suppressed_identifiers", "phone", "+442079460018", "too_many_people", 78, 54)
    refusal = ("conflicting_first_names", "same_email", 2, "email", "o'neill@example.com")
    made.add("refused_edges", EVE, FAY, *refusal)
    made.add(
        "identity_decisions", "cannot_link", ANN, FAY, "kim", DAY.replace(microsecond=5000), ""
    )
    made.add("customer_map_history", BOB, OLD, DAY, DAY.replace(day=3), "run")
    made.add("customer_redirects", OLD, ONE)
    event = ("merge", ONE, OLD, BOB, "same_email", "1", "run", DAY.replace(day=3))
    made.add("customer_id_events", *event)
    made.add("match_model", "test-1")
    for left, right, bits, total in ((ANN, BOB, 5.0, 20.0), (ANN, EVE, 5.0, 3.0)):
        made.compare(left, right, 1, bits, total)
    made.add("match_evidence", ANN, FAY, -1, 0.0, -7.25, None)
    made.add("match_pairs", ANN, EVE, "review")
    for left, right, weight in ((ANN, EVE, 3.0), (EVE, BOB, 4.5), (EVE, FAY, 4.0)):
        made.add("review_queue", left, right, 1 / (1 + 2**-weight), weight, 1, 5.0)
    for record, name in ((ANN, "ann"), (EVE, "eve"), (BOB, 'bob "bo"')):
        made.add("match_records", record, True, name, None, *[None] * 10)


def _company(settings: Settings) -> None:
    """Records on their way to profiles, where the summary looks; the truth about them."""
    with duckdb.connect(str(settings.published_path)) as connection:
        for name in VIEWS:
            connection.execute(f"alter table identity.{name} rename to {name}_rows")
            connection.execute(f"create view identity.{name} as from identity.{name}_rows")
        for layer in ("sources", "cleansed", "profile"):
            connection.execute(f"create schema {layer}")
        connection.register("ledger", _ledger())
        connection.execute("create table sources.object_ledger as from ledger")
        for source, entity in load_contracts():
            connection.execute(
                f"create table sources.{raw_name(source, entity)} as from range(4) as r(_load_id)"
            )
            connection.execute(
                f"create table cleansed.{clean_name(source, entity)} as from (values"
                f" ('{ANN}', '1', '1', '1', 2::bigint), ('{BOB}', '2', '2', '2', 1::bigint),"
                f" ('{EVE}', '3', '3', '3', 1::bigint)"
                ") as t(record_id, contact_id, receipt_id, message_id, _deliveries)"
            )
        connection.execute(
            "create table profile.customer_profiles (customer_id varchar, profile_type varchar,"
            " source_count bigint, record_count bigint, worth decimal(18,2), share double,"
            " since date)"
        )
        for row in (
            (ONE, "known", 3, 4, Decimal("12.50"), 0.1 + 0.2, date(2026, 1, 2)),
            (TWO, "known", 1, 1, None, None, None),
            (THREE, "anonymous", 1, 1, Decimal(0), -0.0, None),
        ):
            connection.execute("insert into profile.customer_profiles values (?,?,?,?,?,?,?)", row)
        connection.execute(
            "create table profile.customer_attributes (customer_id varchar, attribute varchar,"
            " value varchar, source varchar, record_id varchar, observed_at timestamp,"
            " rule varchar)"
        )
        at = datetime.fromisoformat("2026-01-02T03:04:05.678")
        for attribute, value in (
            ("email", "ann@example.com"),
            ("address", '{"street": "1, A St", "city": null}'),
        ):
            connection.execute(
                "insert into profile.customer_attributes values (?,?,?,?,?,?,?)",
                (ONE, attribute, value, "crm", ANN, at, "newest"),
            )
    settings.sample_dir.mkdir()
    truth = {"source": ["crm", "pos", "crm"], "entity": ["contacts", "receipts", "contacts"]}
    truth |= {"natural_key": ["1", "2", "3"], "person_id": ["p1", "p1", "p1"]}
    pq.write_table(pa.table(truth), settings.sample_dir / "truth.parquet")


def _ledger() -> pa.Table:
    counts = {"records_in": 5, "records_loaded": 4, "records_quarantined": 1, "status": "loaded"}
    rows = [
        dict.fromkeys(LEDGER_SCHEMA.names) | {"source": source, "entity": entity} | counts
        for source, entity in load_contracts()
    ]
    return pa.Table.from_pylist(rows, LEDGER_SCHEMA)


def _publish(local: Settings, aws: Settings, athena: LocalAthena) -> None:
    warehouse, store = build_athena(aws), build_object_store(aws)
    warehouse.make_layers()
    with duckdb.connect(str(local.published_path), read_only=True) as connection:
        tables = connection.execute(
            "select schema_name, table_name from duckdb_tables()"
        ).fetchall()
        for layer, name in tables:
            rows = connection.sql(f"from {layer}.{name}").to_arrow_table()
            if name.startswith("customer_"):
                warehouse.replace_table(layer, name, rows)
            elif not name.startswith("raw_"):
                # As dbt does, whose columns may begin with an underscore.
                database = warehouse.database(layer)
                location = warehouse.table_location(database, name)
                athena.catalog.create_iceberg(database, name, rows, location, (), {})
    for name in VIEWS:
        view = f'"{warehouse.database("identity")}"."{name}'
        warehouse.run(f'create view {view}" as select * -- isn\'t lost\nfrom {view}_rows"')
    for source, entity in load_contracts():
        folder = f"raw/{source}/{entity}"
        with store.open_writer(f"{folder}/dt=2026-09-01/x.parquet") as handle:
            pq.write_table(pa.table({"_load_id": range(4)}, RAW), handle)
        warehouse.expose_raw([RawTable(raw_name(source, entity), RAW, store.url(folder))])
    warehouse.publish()
    # What is written after that is no reader's business.
    for name in VIEWS:
        warehouse.execute(f"delete from identity.{name}_rows")


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (ANN, DEE),
        (ONE, OLD),
        (ANN, "phone:+442079460018"),
        (ANN, EVE),
        (EVE, FAY),
        (TWO, THREE),
        (ANN, FAY),
        (BOB, BOB),
    ],
)
def test_two_are_explained_alike(engines: Engines, left: str, right: str) -> None:
    lines = engines.both(lambda home: console.explain_two(home, left, right, show_values=True))
    assert lines


def test_whose_a_record_was_is_told_alike(engines: Engines) -> None:
    lines = engines.both(lambda home: console.explain_two(home, ANN, BOB, as_of="2026-09-02"))
    assert f"  {BOB}: {OLD} (now {ONE})" in str(lines)
    engines.both(lambda home: console.whose(home, "o'neill@example.com", "2026-09-04"))
    # The end of a customer is to the millisecond.
    engines.both(lambda home: console.whose(home, BOB, "2026-09-03T11:59:59.999"))
    engines.both(lambda home: console.whose(home, BOB, "2026-09-03T12:00:00"))


def test_the_page_of_an_explanation_is_the_same(engines: Engines, tmp_path: Path) -> None:
    def page(home: Settings) -> str:
        path = tmp_path / f"{home.profile}.html"
        console.explain_two(home, ANN, DEE, page=path)
        return path.read_text()

    assert "<svg" in str(engines.both(page))


def test_the_queue_is_listed_alike(engines: Engines) -> None:
    lines = engines.both(lambda home: list(console.queue_lines(home, 2, show_values=True)))
    assert f"{EVE} {BOB}" in str(lines)
    assert "3 pairs wait" in str(lines)


def test_an_exported_queue_is_answered_alike_and_waits_to_be_applied(
    engines: Engines, tmp_path: Path
) -> None:
    def told(home: Settings) -> list[Any]:
        # Decisions lie in a lake of this test's own.
        home = replace(home, lake_url=f"{home.lake_url}-answered")
        path = tmp_path / f"{home.profile}.csv"
        exported = [console.export_queue(home, path, show_values=True), path.read_text()]
        _fill_in(path, "yes")
        return [
            *exported,
            console.import_answers(home, path, "kim").partition(" written")[0],
            console.give_answers(home, [Answer((BOB, EVE), "yes")], "lee"),
            list(console.queue_lines(home, 1)),
            console.unapplied(home),
        ]

    *_, queue, waiting = engines.both(told)
    assert "2 pairs wait" in str(queue)
    assert waiting[0] == "1 new decision about records"


def _fill_in(path: Path, answer: str) -> None:
    """Answer the first pair of an exported file."""
    with path.open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    with path.open("w", newline="") as handle:
        writer = csv.DictWriter(handle, list(rows[0]))
        writer.writeheader()
        writer.writerows([{**rows[0], "answer": answer}, *rows[1:]])


def test_the_summary_says_the_same(engines: Engines) -> None:
    lines = str(engines.both(summary_lines))
    assert lines.count("adds up") == 7
    assert "precision 1.0000, recall 0.3333" in lines
    assert "One profile explained" in lines


def test_equal_content_has_an_equal_hash_table_by_table(engines: Engines) -> None:
    hashes = published_hashes(engines.athena)
    assert hashes == published_hashes(engines.duckdb)
    assert "profile.customer_profiles" in hashes
    assert not any(name.startswith("sources.") for name in hashes)


def test_without_a_published_version_there_is_no_hash(engines: Engines) -> None:
    with pytest.raises(NothingPublishedError):
        published_hashes(replace(engines.athena, tenant="nobody"))


def test_a_preview_says_where_it_can_be_made(engines: Engines) -> None:
    with pytest.raises(PreviewError, match="CDP_PROFILE=local"):
        preview(engines.athena)


def test_reading_leaves_nothing_behind(engines: Engines, athena: LocalAthena) -> None:
    console.explain_two(engines.athena, ANN, EVE, show_values=True)
    store = build_object_store(engines.athena)
    assert [item.key for item in store.list("athena-sessions")] == []
    assert [item.key for item in store.list("athena-results") if ".csv" in item.key] == []


def test_an_explanation_takes_few_statements(engines: Engines, athena: LocalAthena) -> None:
    for other, count in ((DEE, 5), (EVE, 6)):
        athena.service.forget()
        console.explain_two(engines.athena, ANN, other)
        assert athena.service.statements() == {"select": count}
