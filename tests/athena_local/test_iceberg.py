"""Tables: Iceberg with real snapshots, external Parquet and CSV, views."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyiceberg.catalog.glue import GlueCatalog

from tests.athena_local.catalog import Catalog, decode_view, split_url
from tests.athena_local.conftest import Asker
from tests.athena_local.errors import AthenaFailure
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
    name = table(
        "select 1 as id, cast('2020-01-01' as timestamp(6)) as at, decimal '1.5' as amount"
    )
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


def test_insert_casts_within_a_family_of_types(ask: Asker, table: Make) -> None:
    name = table("select 1 as n, decimal '1.5' as d, cast('2020-01-01' as timestamp(6)) as at")
    ask.run(
        f"insert into db.{name} values (2.5, decimal '2.25', timestamp '2020-01-02 00:00:00 UTC')"
    )
    ask.run(f"insert into db.{name} values (bigint '3', 3, date '2020-01-03')")
    assert ask.rows(f"select n, d, cast(at as date) from db.{name} order by n, d") == [
        ("1", "1.5", "2020-01-01"),
        ("3", "2.3", "2020-01-02"),
        ("3", "3.0", "2020-01-03"),
    ]
    failure = ask.failure(f"insert into db.{name} (n) values (bigint '3000000000')")
    assert failure.startswith("INVALID_CAST_ARGUMENT: Out of range")
    assert ask.failure(f"insert into db.{name} (n) values (true)").startswith("TYPE_MISMATCH")


def test_of_many_inserts_at_once_none_is_lost(ask: Asker, table: Make) -> None:
    name = table(ROWS)
    started = [ask.start(f"insert into db.{name} values ({n}, 'x')") for n in range(10)]
    ended = [ask.end(query_id)["Status"] for query_id in started]
    done = [status for status in ended if status["State"] == "SUCCEEDED"]
    lost = [status for status in ended if status["State"] != "SUCCEEDED"]
    assert all("ICEBERG_COMMIT_ERROR" in status["StateChangeReason"] for status in lost)
    assert ask.rows(f"select count(*) - 2 from db.{name}") == [(str(len(done)),)]


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


def test_a_change_made_of_an_older_version_loses_no_rows_that_came_since(
    ask: Asker, athena: LocalAthena, table: Make
) -> None:
    name = table(ROWS)
    before = athena.catalog.must_describe("db", name)
    ask.run(f"insert into db.{name} values (3, 'c')")
    rows = pa.table({"id": pa.array([1], pa.int32()), "name": ["A"]})
    with pytest.raises(AthenaFailure, match="ICEBERG_COMMIT_ERROR"):
        athena.catalog.overwrite(before, rows, lambda: rows)
    assert ask.rows(f"select count(*) from db.{name}") == [("3",)]


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


def test_partitions_count_as_their_transform_makes_them(ask: Asker, table: Make) -> None:
    days = (
        "select date_add('day', x, date '2020-01-01') as dt, x from unnest(sequence(1, {})) t (x)"
    )
    name = table(days.format(200), ", partitioning = ARRAY['MONTH(dt)', 'bucket(x, 5)']")  # pyright: ignore[reportCallIssue]
    assert ask.rows(f"select count(*) from db.{name}") == [("200",)]
    name = table(days.format(100), ", partitioning = ARRAY['DAY(dt)']")  # pyright: ignore[reportCallIssue]
    failure = ask.failure(f"insert into db.{name} {days.format(101)}")
    assert failure.startswith("ICEBERG_TOO_MANY_OPEN_PARTITIONS")


def test_a_merge_opens_the_partitions_that_it_writes(ask: Asker, table: Make) -> None:
    numbers = "select x, 0 as y from unnest(sequence({}, {})) as t (x)"
    name = table(numbers.format(1, 100), ", partitioning = ARRAY['x']")  # pyright: ignore[reportCallIssue]
    ask.run(f"insert into db.{name} {numbers.format(101, 200)}")
    merge = (
        f"merge into db.{name} as target using (select x, 1 as y from unnest(sequence(1, {{}}))"
        " as t (x)) as src on target.x = src.x when matched then update set y = src.y"
    )
    assert "TOO_MANY_OPEN_PARTITIONS" in ask.failure(merge.format(101))
    ask.run(merge.format(100))
    assert ask.rows(f"select sum(y), count(*) from db.{name}") == [("100", "200")]


def test_what_was_deleted_lies_in_older_snapshots_still(
    ask: Asker, athena: LocalAthena, table: Make
) -> None:
    name = table(ROWS)
    location = athena.catalog.must_describe("db", name)["StorageDescriptor"]["Location"]
    before = set(athena.catalog.objects.list(f"{location}/data"))
    ask.run(f"delete from db.{name} where id = 1")
    assert before <= set(athena.catalog.objects.list(f"{location}/data"))
    assert ask.rows(f'select count(*) > 1 from db."{name}$snapshots"') == [("true",)]


def test_a_column_of_iceberg_changes_its_name_and_widens(ask: Asker, table: Make) -> None:
    name = table(ROWS)
    ask.run(f"alter table db.{name} change column id number bigint")
    ask.run(f"alter table db.{name} add columns (`with-dash` string)")
    assert ask.rows(f"select number, name from db.{name} order by number") == [
        ("1", "a"),
        ("2", "b"),
    ]
    assert columns_shown(ask, name) == ["number", "name", "with-dash"]
    ask.run(f"alter table db.{name} drop column `with-dash`")
    assert columns_shown(ask, name) == ["number", "name"]


def columns_shown(ask: Asker, name: str) -> list[str]:
    execution = ask.run(f"show columns from {name}")
    answer = ask.client.get_query_results(QueryExecutionId=execution["QueryExecutionId"])
    return [row["Data"][0]["VarCharValue"].strip() for row in answer["ResultSet"]["Rows"]]


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


def test_a_partitioned_hive_table_grows_by_folders_that_glue_knows(
    ask: Asker, athena: LocalAthena, place: str
) -> None:
    ask.run(
        f"""create table db.parted with (external_location = '{place}/p',
        partitioned_by = ARRAY['dt', 'kind']) as
        select * from (values (1, date '2020-01-01', 'a b'), (2, date '2020-01-02', null))
        as t (x, dt, kind)"""
    )
    ask.run("insert into db.parted (kind, dt, x) values ('a b', date '2020-01-01', 3)")
    ask.run("insert into db.parted values (4, date '2020-01-03', 'x/y=z')")
    assert ask.rows("select x, dt, kind from db.parted order by x") == [
        ("1", "2020-01-01", "a b"),
        ("2", "2020-01-02", None),
        ("3", "2020-01-01", "a b"),
        ("4", "2020-01-03", "x/y=z"),
    ]
    # What dbt-athena asks before it deletes partitions: all of them would be a disaster.
    asked = {"DatabaseName": "db", "TableName": "parted"}
    some = athena.catalog.glue.get_partitions(
        **asked, Expression="(dt='2020-01-01' and kind='a b') or (dt='2020-01-02')"
    )["Partitions"]
    assert sorted(one["Values"] for one in some) == [
        ["2020-01-01", "a b"],
        ["2020-01-02", "__HIVE_DEFAULT_PARTITION__"],
    ]
    assert len(athena.catalog.glue.get_partitions(**asked)["Partitions"]) == 3
    assert some[0]["StorageDescriptor"]["Location"].startswith(f"{place}/p/dt=")


def test_hive_opens_a_hundred_partitions_at_most_too(ask: Asker, place: str) -> None:
    numbers = "select 0 as y, x from unnest(sequence(1, {})) as t (x)"
    create = (
        f"create table db.many with (external_location = '{place}', "
        "partitioned_by = ARRAY['x']) as "
    )
    assert ask.failure(create + numbers.format(101)).startswith("HIVE_TOO_MANY_OPEN_PARTITIONS")
    ask.run(create + numbers.format(100))
    failure = ask.failure(f"insert into db.many {numbers.format(101)}")
    assert failure.startswith("HIVE_TOO_MANY_OPEN_PARTITIONS")
    assert ask.failure(create.replace("many", "other") + "select 1 as x, 2 as y").startswith(
        "HIVE_COLUMN_ORDER_MISMATCH"
    )


def test_a_table_without_a_place_lies_among_the_results(ask: Asker, athena: LocalAthena) -> None:
    ask.run("create table db.placeless as select 1 as x")
    location = athena.catalog.must_describe("db", "placeless")["StorageDescriptor"]["Location"]
    assert location.startswith(f"{athena.lake}/results/tables/")
    assert ask.rows("select * from db.placeless") == [("1",)]


def test_a_table_of_text_is_written_as_text_and_a_wrong_value_is_null(
    ask: Asker, athena: LocalAthena, place: str
) -> None:
    ask.run(f"create external table db.lines (n int, at timestamp, t string) location '{place}'")
    ask.run("insert into db.lines values (1, timestamp '2020-01-01 00:00:00', null), (2, null, '')")
    [(url, _, _)] = athena.catalog.objects.list(place)
    text = athena.catalog.objects.client.get_object(
        Bucket=split_url(url)[0], Key=split_url(url)[1]
    )["Body"].read()
    assert text == b"1\x012020-01-01 00:00:00.000\x01\\N\n2\x01\\N\x01\n"
    athena.catalog.objects.put(f"{place}/wrong", b"x\x01never\x01z\n")
    assert ask.rows("select * from db.lines order by n") == [
        ("1", "2020-01-01 00:00:00.000", None),
        ("2", None, ""),
        (None, None, "z"),
    ]


def test_columns_of_an_external_table_are_replaced_by_name(ask: Asker, place: str) -> None:
    ask.run(f"create table db.named with (external_location = '{place}') as select 1 as a, 2 as b")
    ask.run("alter table db.named replace columns (b int, `select` string)")
    assert columns_shown(ask, "named") == ["b", "select"]
    assert ask.rows("select * from db.named") == [("2", None)]


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
