"""Tables: Iceberg with real snapshots, external Parquet and CSV, views."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyiceberg.catalog.glue import GlueCatalog

from tests.athena_local.catalog import Catalog, decode_view
from tests.athena_local.conftest import Asker
from tests.athena_local.server import LocalAthena

Make = Callable[[str], str]


@pytest.fixture
def table(ask: Asker, place: str) -> Make:
    """Makes an Iceberg table from a SELECT; gives its name."""

    def make(select: str, partitioning: str = "") -> str:
        name = f"t_{uuid.uuid4().hex[:10]}"
        ask.run(
            f"create table db.{name} with (table_type = 'ICEBERG', is_external = false, "
            f"location = '{place}/{name}', format = 'PARQUET'{partitioning}) as {select}"
        )
        return name

    return make  # pyright: ignore[reportReturnType]


ROWS = "select * from (values (1, 'a'), (2, 'b')) as t (id, name)"


def test_a_table_is_one_that_any_iceberg_reader_reads(
    ask: Asker, athena: LocalAthena, table: Make
) -> None:
    name = table("select 1 as id, cast('2020-01-01' as timestamp(6)) as at, 1.5 as amount")
    catalog = GlueCatalog(
        "glue",
        athena.catalog.glue,
        **{"s3.endpoint": athena.catalog.endpoint, "s3.access-key-id": "x"},
        **{"s3.secret-access-key": "x", "s3.region": "eu-central-1"},
    )
    read = catalog.load_table(("db", name))
    assert [str(field.field_type) for field in read.schema().fields] == [
        "int",
        "timestamp",
        "decimal(2, 1)",
    ]
    assert read.scan().to_arrow().num_rows == 1
    described = athena.catalog.must_describe("db", name)
    assert described["Parameters"]["table_type"] == "ICEBERG"
    assert described["TableType"] == "EXTERNAL_TABLE"


def test_insert_names_columns_and_adds_a_snapshot(ask: Asker, table: Make) -> None:
    name = table(ROWS)
    ask.run(f"insert into db.{name} (name, id) select 'c', 3")
    ask.run(f"insert into db.{name} (id) values (4)")
    assert ask.rows(f"select * from db.{name} order by id") == [
        ("1", "a"),
        ("2", "b"),
        ("3", "c"),
        ("4", None),
    ]
    assert ask.rows(f'select count(*) from db."{name}$snapshots"') == [("3",)]
    assert ask.failure(f"insert into db.{name} select 'x', 'y'").startswith(
        "TYPE_MISMATCH: line 1:1: Insert query has mismatched column types: "
        "Table: [integer, varchar], Query: [varchar, varchar]"
    )


def test_merge_updates_inserts_and_deletes(ask: Asker, table: Make) -> None:
    name = table("select * from (values (1, 'a'), (2, 'b'), (3, 'c')) as t (id, name)")
    execution = ask.run(
        f"""merge into db.{name} as target
        using (values (1, 'A'), (2, ''), (4, 'D')) as src (id, name) on target.id = src.id
        when matched and src.name = '' then delete
        when matched then update set name = src.name || coalesce(target.name, '')
        when not matched then insert (id, name) values (src.id, src.name)"""
    )
    assert ask.rows(f"select * from db.{name} order by id") == [
        ("1", "Aa"),
        ("3", "c"),
        ("4", "D"),
    ]
    answer = ask.client.get_query_results(QueryExecutionId=execution["QueryExecutionId"])
    assert answer["UpdateCount"] == 3


def test_merge_refuses_a_row_that_two_would_change(ask: Asker, table: Make) -> None:
    name = table(ROWS)
    failure = ask.failure(
        f"""merge into db.{name} as target using (values (1, 'x'), (1, 'y')) as src (id, name)
        on target.id = src.id when matched then update set name = src.name"""
    )
    assert failure.startswith("MERGE_TARGET_ROW_MULTIPLE_MATCHES")
    assert ask.rows(f"select name from db.{name} where id = 1") == [("a",)]


def test_update_and_delete_may_ask_another_table(ask: Asker, table: Make) -> None:
    name, other = table(ROWS), table("select 2 as id")
    ask.run(f"update db.{name} set name = upper(name) where id in (select id from db.{other})")
    ask.run(f"delete from db.{name} where id not in (select id from db.{other})")
    assert ask.rows(f"select * from db.{name}") == [("2", "B")]
    ask.run(f"delete from db.{name}")
    assert ask.rows(f"select * from db.{name}") == []


@pytest.mark.fault("F27")
def test_a_commit_that_loses_the_race_says_so(
    ask: Asker, athena: LocalAthena, table: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = table(ROWS)
    stale = athena.catalog.load(athena.catalog.must_describe("db", name))
    ask.run(f"delete from db.{name} where id = 1")
    monkeypatch.setattr(Catalog, "load", lambda *_: stale)
    assert ask.failure(f"delete from db.{name} where id = 2").startswith("ICEBERG_COMMIT_ERROR")


def test_a_table_set_back_to_older_metadata_has_its_older_rows(
    ask: Asker, athena: LocalAthena, table: Make
) -> None:
    name = table(ROWS)
    before = athena.catalog.must_describe("db", name)
    ask.run(f"delete from db.{name}")
    keys = ("Name", "TableType", "Parameters", "StorageDescriptor")
    athena.catalog.glue.update_table(
        DatabaseName="db", TableInput={key: before[key] for key in keys}
    )
    assert ask.rows(f"select count(*) from db.{name}") == [("2",)]


def test_ctas_refuses_what_iceberg_cannot_hold(ask: Asker, place: str) -> None:
    create = (
        "create table db.refused with (table_type = 'ICEBERG', is_external = false, "
        f"location = '{place}/x', format = 'PARQUET') as select "
    )
    assert ask.failure(create + "cast('2020-01-01' as timestamp) as at").startswith(
        "NOT_SUPPORTED: Timestamp precision (3) not supported for Iceberg"
    )
    assert ask.failure(create + "now() as at").startswith("NOT_SUPPORTED: Unsupported Hive type")
    assert ask.failure(create + "null as nothing").startswith("COLUMN_TYPE_UNKNOWN")
    assert ask.failure(create + "1 + 1").startswith("COLUMN_NAME_NOT_SPECIFIED")
    assert ask.failure(create + "cast(1 as smallint) as x").startswith("NOT_SUPPORTED: Type not")
    assert ask.failure(create + "1 as x, 2 as x").startswith("DUPLICATE_COLUMN_NAME")


def test_a_table_is_not_made_where_something_lies(
    ask: Asker, athena: LocalAthena, place: str
) -> None:
    athena.catalog.objects.put(f"{place}/x/old", b"old")
    sql = (
        "create table db.covered with (table_type = 'ICEBERG', is_external = false, "
        f"location = '{place}/x', format = 'PARQUET') as select 1 as x"
    )
    assert ask.failure(sql).startswith("ICEBERG_FILESYSTEM_ERROR")


@pytest.mark.fault("F27")
def test_a_write_opens_a_hundred_partitions_at_most(ask: Asker, table: Make) -> None:
    numbers = "select x from unnest(sequence(1, {})) as t (x)"
    name = table(numbers.format(100), ", partitioning = ARRAY['x']")  # pyright: ignore[reportCallIssue]
    assert ask.rows(f"select count(*) from db.{name}") == [("100",)]
    failure = ask.failure(f"insert into db.{name} {numbers.format(101)}")
    assert "TOO_MANY_OPEN_PARTITIONS: Exceeded limit of 100 open writers" in failure


def test_ddl_makes_alters_renames_and_drops(ask: Asker, athena: LocalAthena, place: str) -> None:
    ask.run(
        f"create table db.made (id bigint, name string, at timestamp) location '{place}/made' "
        "tblproperties ('table_type' = 'ICEBERG', 'format' = 'parquet')"
    )
    ask.run("insert into db.made values (1, 'a', timestamp '2020-01-01 00:00:00')")
    ask.run("alter table db.made add columns (age int)")
    ask.run("insert into db.made values (2, 'b', null, 30)")
    assert ask.rows("select id, age from db.made order by id") == [("1", None), ("2", "30")]
    ask.run("alter table db.made drop column name")
    ask.run("alter table `db`.`made` rename to `db`.`renamed`")
    assert ask.rows("select * from db.renamed where id = 1") == [
        ("1", "2020-01-01 00:00:00.000000", None)
    ]
    ask.run("drop table if exists db.renamed")
    assert not list(athena.catalog.objects.list(f"{place}/made"))
    ask.run("drop table if exists db.renamed")
    assert ask.failure("drop table db.renamed").startswith("TABLE_NOT_FOUND")


def test_a_view_is_kept_as_presto_keeps_it_and_reads_what_is_there_now(
    ask: Asker, athena: LocalAthena, table: Make
) -> None:
    name = table(ROWS)
    view = f"v_{name}"
    ask.run(f"create or replace view db.{view} as select id, upper(name) as loud from {name}")
    ask.run(f"insert into db.{name} values (3, 'c')")
    assert ask.rows(f"select loud from db.{view} as v where v.id > 1 order by id") == [
        ("B",),
        ("C",),
    ]
    described = athena.catalog.must_describe("db", view)
    assert described["TableType"] == "VIRTUAL_VIEW"
    assert described["ViewExpandedText"] == "/* Presto View */"
    assert decode_view(described).sql.startswith("select id, upper(name)")
    ask.run(f"create or replace view db.{view} as select 1 as x")
    assert ask.rows(f"select * from db.{view}") == [("1",)]


def put_parquet(athena: LocalAthena, url: str, rows: pa.Table) -> None:
    sink = pa.BufferOutputStream()
    pq.write_table(rows, sink)
    athena.catalog.objects.put(url, sink.getvalue().to_pybytes())


def test_projected_partitions_are_days_in_range_whatever_files_there_are(
    ask: Asker, athena: LocalAthena, place: str
) -> None:
    for day in ("2024-12-31", "2025-01-01", "2025-01-03", "1970-01-01", "not-a-day"):
        at = pa.array([1_600_000_000_123_456], pa.timestamp("us"))
        put_parquet(athena, f"{place}/dt={day}/x.parquet", pa.table({"day": [day], "at": at}))
    ask.run(
        f"""create external table db.projected (day string, at timestamp, missing string)
        partitioned by (dt date) stored as parquet location '{place}'
        tblproperties ('projection.enabled' = 'true', 'projection.dt.type' = 'date',
        'projection.dt.range' = '2025-01-01,NOW', 'projection.dt.format' = 'yyyy-MM-dd',
        'storage.location.template' = '{place}/dt=${{dt}}/')"""
    )
    assert ask.rows("select day, dt, missing from db.projected order by dt") == [
        ("2025-01-01", "2025-01-01", None),
        ("2025-01-03", "2025-01-03", None),
    ]
    # A Hive timestamp has three digits of a second, rounded.
    assert ask.rows("select distinct at from db.projected") == [("2020-09-13 12:26:40.123",)]
    put_parquet(athena, f"{place}/dt=2025-01-03/x.parquet", pa.table({"day": ["changed"]}))
    assert ask.rows("select day from db.projected where dt = date '2025-01-03'") == [("changed",)]


def test_open_csv_drops_backslashes_and_knows_no_null(
    ask: Asker, athena: LocalAthena, place: str
) -> None:
    text = 'a,b\n"x, ""y""","\\d+"\n"",z\n'
    athena.catalog.objects.put(f"{place}/rows.csv", text.encode())
    ask.run(
        f"""create external table db.texts (a string, b string)
        row format serde 'org.apache.hadoop.hive.serde2.OpenCSVSerde'
        location '{place}' tblproperties ('skip.header.line.count' = '1')"""
    )
    assert ask.rows("select a, b from db.texts") == [('x, "y"', "d+"), ("", "z")]


def test_an_external_table_loses_no_file_when_it_is_dropped(
    ask: Asker, athena: LocalAthena, place: str
) -> None:
    ask.run(
        f"create table db.hive with (format = 'PARQUET', external_location = '{place}/h') "
        "as select 1 as x"
    )
    assert ask.rows("select * from db.hive") == [("1",)]
    ask.run("drop table db.hive")
    assert list(athena.catalog.objects.list(f"{place}/h"))


def test_information_schema_knows_tables_and_columns(ask: Asker, table: Make) -> None:
    name = table(ROWS)
    assert ask.rows(
        f"select table_type from information_schema.tables where table_name = '{name}'"
    ) == [("BASE TABLE",)]
    assert ask.rows(
        f"""select column_name, data_type from information_schema.columns
        where table_name = '{name}' order by ordinal_position"""
    ) == [("id", "integer"), ("name", "varchar")]


def test_the_metadata_is_json_that_names_the_snapshots(
    ask: Asker, athena: LocalAthena, table: Make
) -> None:
    name = table(ROWS)
    described = athena.catalog.must_describe("db", name)
    path = athena.catalog.objects.immutable(described["Parameters"]["metadata_location"])
    metadata = json.loads(path.read_text())
    assert metadata["format-version"] == 2
    assert len(metadata["snapshots"]) == 1
