"""The warehouse of the aws profile, over HTTP: what Python stages ask of it and write with it."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, timedelta

import boto3
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cdp_assets.errors import PlatformError
from cdp_assets.resources.athena_warehouse import AthenaError, AthenaWarehouse
from cdp_assets.resources.build import build_athena, build_object_store
from cdp_assets.resources.object_store import ObjectStore
from cdp_assets.resources.warehouse import NothingPublishedError, RawTable
from cdp_assets.settings import Settings, load_settings
from tests.athena_local.server import REGION, LocalAthena

MAKE = "create table if not exists identity.customer_map (record_id varchar, customer_id varchar)"


@pytest.fixture
def settings(athena: LocalAthena) -> Settings:
    return load_settings(athena.of_tenant())


@pytest.fixture
def store(settings: Settings) -> ObjectStore:
    return build_object_store(settings)


@pytest.fixture
def warehouse(settings: Settings) -> AthenaWarehouse:
    return build_athena(settings)


def rows_of(warehouse: AthenaWarehouse) -> list[tuple[str, str]]:
    found = warehouse.query("select record_id, customer_id from identity.customer_map order by 1")
    return list(zip(*found.to_pydict().values(), strict=True))


def test_what_is_written_is_read_as_it_was(warehouse):
    rows = pa.table(
        {
            "name": ['say "hi"', "", None, "two\nlines"],
            "number": pa.array([1, None, -(2**40), 0], pa.int64()),
            "share": [0.1, None, 1e-9, 3.0],
            "is_new": [True, False, None, True],
            "at": pa.array([datetime.fromisoformat("2026-01-02 03:04:05.678"), None, None, None]),
            "day": pa.array([date(2026, 1, 2), None, None, None], pa.date32()),
        }
    )
    warehouse.replace_table("identity", "everything", rows)
    warehouse.replace_table("identity", "everything", rows)
    found = warehouse.query("select * from identity.everything")
    in_order = sorted(found.to_pylist(), key=str)
    assert in_order == sorted(rows.to_pylist(), key=str)


def test_a_query_without_rows_has_its_columns(warehouse):
    warehouse.execute(MAKE)
    assert warehouse.query("select * from identity.customer_map").schema == pa.schema(
        [("record_id", pa.string()), ("customer_id", pa.string())]
    )


def test_a_session_keeps_a_table_until_it_ends(warehouse, store):
    warehouse.execute(MAKE, "insert into identity.customer_map values ('a', 'c_1'), ('b', 'c_2')")
    with warehouse.session() as session:
        session.execute(
            "drop table if exists scope_records",
            "create temporary table scope_records as select record_id from identity.customer_map"
            " where customer_id in (select customer_id from wanted)",
            inputs={"wanted": pa.table({"customer_id": ["c_2"]})},
        )
        assert session.query("select * from scope_records").to_pydict() == {"record_id": ["b"]}
    assert list(store.list("athena-sessions")) == []
    # Nor does the result of a SELECT stay, which may hold personal data.
    assert [item.key for item in store.list("athena-results") if ".csv" in item.key] == []


@pytest.mark.fault("F27")
def test_of_several_statements_all_take_effect_or_none(warehouse):
    warehouse.execute(MAKE, "insert into identity.customer_map values ('a', 'c_1')")
    with pytest.raises(AthenaError):
        warehouse.execute(
            "delete from identity.customer_map",
            "insert into identity.customer_map values ('b', 'c_2')",
            "insert into identity.customer_map select no_such_column from identity.customer_map",
        )
    assert rows_of(warehouse) == [("a", "c_1")]


@pytest.mark.fault("F27")
def test_a_table_is_replaced_whole_or_not_at_all(warehouse):
    replace_map = "create or replace table identity.customer_map as select * from given"
    for customer in ("c_1", "c_2"):
        given = pa.table({"record_id": ["a"], "customer_id": [customer]})
        warehouse.execute(replace_map, inputs={"given": given})
        assert rows_of(warehouse) == [("a", customer)]
    wrong = pa.table({"record_id": ["a"], "customer_id": ["c_3"], "more": ["columns"]})
    with pytest.raises(AthenaError):
        warehouse.execute(replace_map, inputs={"given": wrong})
    assert rows_of(warehouse) == [("a", "c_2")]


def test_what_a_killed_process_left_is_undone_by_the_next(warehouse, settings):
    warehouse.execute(MAKE, "insert into identity.customer_map values ('a', 'c_1')")
    killed = build_athena(settings)
    killed.begin([("identity", "customer_map")])
    killed.execute("delete from identity.customer_map")
    assert rows_of(warehouse) == []
    warehouse.execute(
        "insert into identity.customer_map values ('b', 'c_2')",
        "insert into identity.customer_map values ('c', 'c_3')",
    )
    assert rows_of(warehouse) == [("a", "c_1"), ("b", "c_2"), ("c", "c_3")]


def test_readers_see_what_was_published_and_nothing_newer(warehouse):
    with pytest.raises(NothingPublishedError), warehouse.published():
        pass
    warehouse.replace_table("profile", "customer_profiles", pa.table({"customer_id": ["c_1"]}))
    warehouse.publish()
    warehouse.replace_table("profile", "customer_profiles", pa.table({"customer_id": ["c_2"]}))
    sql = "select customer_id from profile.customer_profiles"
    with warehouse.published() as reader:
        assert reader.query(sql)["customer_id"].to_pylist() == ["c_1"]
    warehouse.publish()
    with warehouse.published() as reader:
        assert reader.query(sql)["customer_id"].to_pylist() == ["c_2"]


def test_each_published_version_has_a_name_of_its_own(warehouse):
    names = [warehouse.published_version()]
    for customer in ("c_1", "c_2"):
        warehouse.replace_table(
            "profile", "customer_profiles", pa.table({"customer_id": [customer]})
        )
        assert warehouse.published_version() == names[-1]
        warehouse.publish()
        names.append(warehouse.published_version())
    assert names[0] == ""
    assert len(set(names)) == 3


def test_readers_see_views_and_raw_files_too(warehouse, store):
    warehouse.replace_table("profile", "customer_profiles", pa.table({"customer_id": ["c_1"]}))
    database = warehouse.database("profile")
    warehouse.run(f'create view {database}.known as select * from "{database}".customer_profiles')
    schema = pa.schema([("contact_id", pa.string())])
    with store.open_writer("raw/crm/contacts/dt=2026-08-01/x.parquet") as handle:
        pq.write_table(pa.table({"contact_id": ["a"]}, schema), handle)
    warehouse.expose_raw([RawTable("raw_crm__contacts", schema, store.url("raw/crm/contacts"))])
    warehouse.publish()
    warehouse.publish()
    warehouse.execute("delete from profile.customer_profiles")
    with warehouse.published() as reader:
        rows = reader.query(
            "select customer_id, contact_id from profile.known cross join sources.raw_crm__contacts"
            " where customer_id in (select customer_id from wanted)",
            {"wanted": pa.table({"customer_id": ["c_1", "c_9"]})},
        )
    assert rows.to_pylist() == [{"customer_id": "c_1", "contact_id": "a"}]
    assert list(store.list("athena-sessions")) == []


def test_without_a_raw_file_of_a_landing_day_there_is_a_table_without_rows(warehouse, store):
    schema = pa.schema([("contact_id", pa.string())])
    with store.open_writer("raw/crm/contacts/dt=1970-01-01/empty.parquet") as handle:
        pq.write_table(schema.empty_table(), handle)
    warehouse.expose_raw([RawTable("raw_crm__contacts", schema, store.url("raw/crm/contacts"))])
    rows = warehouse.query("select contact_id from sources.raw_crm__contacts")
    assert (rows.num_rows, rows.column_names) == (0, ["contact_id"])


def test_raw_files_are_a_table_by_landing_day(warehouse, store):
    schema = pa.schema([("contact_id", pa.string()), ("_load_id", pa.int64())])
    for day, contact in (("2026-08-01", "a"), ("2026-08-02", "b")):
        with store.open_writer(f"raw/crm/contacts/dt={day}/x.parquet") as handle:
            pq.write_table(pa.table({"contact_id": [contact], "_load_id": [1]}, schema), handle)
    raw = RawTable("raw_crm__contacts", schema, store.url("raw/crm/contacts"))
    warehouse.expose_raw([raw])
    warehouse.expose_raw([raw])
    found = warehouse.query("select contact_id, dt from sources.raw_crm__contacts order by dt")
    assert found.to_pylist() == [
        {"contact_id": "a", "dt": date(2026, 8, 1)},
        {"contact_id": "b", "dt": date(2026, 8, 2)},
    ]


@pytest.mark.parametrize("key", ["alias/acme", None])
def test_a_statement_asks_for_the_key_that_is_set(athena, settings, key):
    warehouse = build_athena(replace(settings, kms_key=key))
    for sql in ("select 1 as one", "create table if not exists identity.t (n bigint)"):
        warehouse.execute(sql)
    client = boto3.client("athena", region_name=REGION)
    ids = client.list_query_executions()["QueryExecutionIds"][:2]
    told = client.batch_get_query_execution(QueryExecutionIds=ids)["QueryExecutions"]
    asked = [one.get("ResultConfiguration", {}).get("EncryptionConfiguration") for one in told]
    wanted = {"EncryptionOption": "SSE_KMS", "KmsKey": key} if key else None
    assert asked == [wanted, wanted]


@pytest.mark.fault("F27")
def test_a_failure_tells_its_kind_and_no_value(warehouse):
    with pytest.raises(PlatformError) as failure:
        warehouse.query("select cast('kim@example.com' as bigint) as number")
    assert "kim" not in str(failure.value)
    assert "Athena failed the statement" in str(failure.value)


@pytest.mark.fault("F27")
def test_a_sweep_removes_what_killed_runs_left_and_no_table_of_anybody(warehouse, store):
    rows = pa.table({"name": ["Ann"]})
    for name in ("clean_pos__handhelds", "customers__ha", "customers__dbt_tmp_20260301"):
        warehouse.replace_table("cleansed", name, rows)
    warehouse.replace_table("profile", "customer_profiles", rows)
    warehouse.publish()
    left = warehouse.database("session_0123456789ab")
    warehouse.open_session(left)
    warehouse.put_input(left, "named", rows)
    store.write("athena-results/forgotten.csv", b"name\n")

    assert warehouse.sweep(timedelta(hours=1)).tables == 0
    assert warehouse.sweep(timedelta(0)).tables == 3
    again = warehouse.sweep(timedelta(0))
    assert (again.tables, again.files) == (0, 0)
    assert list(store.list("athena-results")) == []
    assert warehouse.query("select name from cleansed.clean_pos__handhelds") == rows
    with warehouse.published() as reader:
        assert reader.query("select name from cleansed.clean_pos__handhelds") == rows
        with pytest.raises(AthenaError, match="TABLE_NOT_FOUND"):
            reader.query("select name from cleansed.customers__ha")
