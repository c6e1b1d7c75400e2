"""The API as boto3 sees it."""

from __future__ import annotations

import csv
import io
import time
import uuid
from typing import Any

import boto3
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from botocore.exceptions import ClientError

from tests.athena_local.catalog import split_url
from tests.athena_local.conftest import Asker
from tests.athena_local.server import REGION, LocalAthena

LONG = (
    "select count(*) from unnest(sequence(1, 200000)) as a (x) "
    "cross join unnest(sequence(1, 200000)) as b (y) where x * y % 7 = 3"
)


def content(athena: LocalAthena, url: str) -> bytes:
    bucket, key = split_url(url)
    return athena.catalog.objects.client.get_object(Bucket=bucket, Key=key)["Body"].read()


def test_results_come_page_by_page_with_the_header_once(ask: Asker) -> None:
    query_id = ask.run("select x from unnest(sequence(1, 2500)) as t (x) order by x")[
        "QueryExecutionId"
    ]
    first = ask.client.get_query_results(QueryExecutionId=query_id)
    assert len(first["ResultSet"]["Rows"]) == 1000
    assert first["ResultSet"]["Rows"][0]["Data"] == [{"VarCharValue": "x"}]
    pages = ask.client.get_paginator("get_query_results").paginate(
        QueryExecutionId=query_id, PaginationConfig={"PageSize": 700}
    )
    values = [row["Data"][0]["VarCharValue"] for page in pages for row in page["ResultSet"]["Rows"]]
    assert values == ["x", *(str(number) for number in range(1, 2501))]


def test_columns_have_athenas_types(ask: Asker) -> None:
    kinds = {
        "varchar": "'a'",
        "bigint": "bigint '1'",
        "integer": "1",
        "double": "1e0",
        "decimal": "decimal '1.50'",
        "boolean": "true",
        "date": "date '2020-01-01'",
        "timestamp": "timestamp '2020-01-01 00:00:00.000'",
        "timestamp with time zone": "now()",
        "varbinary": "to_utf8('a')",
        "array": "array[1]",
        "row": "row(1, 'a')",
    }
    query_id = ask.run(f"select {', '.join(kinds.values())}")["QueryExecutionId"]
    answer = ask.client.get_query_results(QueryExecutionId=query_id)
    columns = answer["ResultSet"]["ResultSetMetadata"]["ColumnInfo"]
    assert [column["Type"] for column in columns] == list(kinds)
    assert [column["Name"] for column in columns] == [f"_col{n}" for n in range(len(kinds))]
    assert (columns[4]["Precision"], columns[4]["Scale"]) == (3, 2)


def test_null_is_an_empty_datum_and_the_csv_tells_it_from_an_empty_text(
    ask: Asker, athena: LocalAthena
) -> None:
    execution = ask.run("""select cast(null as varchar) as a, '' as b, 'say "x", y' as c""")
    answer = ask.client.get_query_results(QueryExecutionId=execution["QueryExecutionId"])
    assert answer["ResultSet"]["Rows"][1]["Data"][:2] == [{}, {"VarCharValue": ""}]
    url = execution["ResultConfiguration"]["OutputLocation"]
    assert url.endswith(f"/results/{execution['QueryExecutionId']}.csv")
    text = content(athena, url).decode()
    assert text == '"a","b","c"\n,"","say ""x"", y"\n'
    assert next(csv.reader(io.StringIO(text))) == ["a", "b", "c"]


@pytest.mark.fault("F25")
def test_a_client_request_token_starts_a_statement_once(ask: Asker) -> None:
    token = uuid.uuid4().hex
    first = ask.start("select 1", ClientRequestToken=token)
    assert ask.start("select 1", ClientRequestToken=token) == first
    with pytest.raises(ClientError, match="Idempotent parameters do not match"):
        ask.start("select 2", ClientRequestToken=token)


def test_a_running_statement_can_be_stopped(ask: Asker) -> None:
    query_id = ask.start(LONG)
    time.sleep(0.3)
    ask.client.stop_query_execution(QueryExecutionId=query_id)
    status = ask.end(query_id)["Status"]
    assert (status["State"], status["StateChangeReason"]) == (
        "CANCELLED",
        "Query cancelled by user",
    )


def test_a_failure_has_a_reason_a_category_and_no_result(ask: Asker) -> None:
    execution = ask.end(ask.start("select * from missing"))
    status: dict[str, Any] = execution["Status"]
    assert status["State"] == "FAILED"
    assert status["StateChangeReason"].startswith("TABLE_NOT_FOUND: line 1:15")
    assert status["AthenaError"]["ErrorCategory"] == 2
    assert not status["AthenaError"]["Retryable"]
    with pytest.raises(ClientError, match="Final query state: FAILED"):
        ask.client.get_query_results(QueryExecutionId=execution["QueryExecutionId"])


@pytest.mark.fault("F27")
@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        ("", "min length|must not be empty"),
        ("select '" + "x" * 262_144 + "'", "length less than or equal to 262144|max length"),
    ],
    ids=["empty", "too long"],
)
def test_a_statement_of_no_length_or_too_much_is_refused(ask: Asker, sql: str, reason: str) -> None:
    with pytest.raises(Exception, match=reason):
        ask.start(sql)


def test_without_an_output_location_nothing_starts(ask: Asker) -> None:
    with pytest.raises(ClientError, match="No output location provided"):
        ask.client.start_query_execution(QueryString="select 1")


def test_an_enforced_workgroup_says_where_results_go(ask: Asker, place: str) -> None:
    name = f"group-{uuid.uuid4().hex[:8]}"
    ask.client.create_work_group(
        Name=name,
        Configuration={
            "EnforceWorkGroupConfiguration": True,
            "ResultConfiguration": {"OutputLocation": f"{place}/"},
        },
    )
    execution = ask.end(ask.start("select 1", WorkGroup=name))
    assert execution["ResultConfiguration"]["OutputLocation"].startswith(f"{place}/")
    assert execution["WorkGroup"] == name
    listed = ask.client.list_work_groups()["WorkGroups"]
    assert {"primary", name} <= {group["Name"] for group in listed}
    with pytest.raises(ClientError, match="WorkGroup nope is not found"):
        ask.start("select 1", WorkGroup="nope")


def test_a_statement_that_would_scan_more_than_its_workgroup_allows_is_cancelled(
    ask: Asker, athena: LocalAthena, place: str
) -> None:
    name = f"group-{uuid.uuid4().hex[:8]}"
    # The least that may be set.
    ask.client.create_work_group(
        Name=name, Configuration={"BytesScannedCutoffPerQuery": 10_000_000}
    )
    numbers = np.random.default_rng(1).integers(0, 2**62, 1_400_000)
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"x": numbers}), sink, use_dictionary=False)
    athena.catalog.objects.put(f"{place}/numbers", sink.getvalue().to_pybytes())
    ask.run(f"create external table db.numbers (x bigint) stored as parquet location '{place}'")
    status = ask.end(ask.start("select max(x) from db.numbers", WorkGroup=name))["Status"]
    assert status["State"] == "CANCELLED"
    assert "Bytes scanned limit was exceeded" in status["StateChangeReason"]
    execution = ask.run("select max(x) from db.numbers")
    assert execution["Statistics"]["DataScannedInBytes"] > 10_000_000


def test_runtime_statistics_count_rows_and_bytes(
    ask: Asker, athena: LocalAthena, place: str
) -> None:
    ask.run(
        f"create table db.counted_rows with (external_location = '{place}') as"
        " select x from unnest(sequence(1, 10)) as t (x)"
    )
    execution = ask.run("select x from db.counted_rows where x > 3")
    query_id = execution["QueryExecutionId"]
    told = ask.client.get_query_runtime_statistics(QueryExecutionId=query_id)
    statistics = told["QueryRuntimeStatistics"]
    assert statistics["Rows"]["OutputRows"] == 7
    assert (
        statistics["Rows"]["InputBytes"]
        == execution["Statistics"]["DataScannedInBytes"]
        == sum(size for _, _, size in athena.catalog.objects.list(place))
    )
    assert statistics["Timeline"]["TotalExecutionTimeInMillis"] >= 0


def test_plain_text_results_have_no_header_of_their_own(ask: Asker) -> None:
    execution = ask.run("explain select 1")
    answer = ask.client.get_query_results(QueryExecutionId=execution["QueryExecutionId"])
    assert answer["ResultSet"]["Rows"][0]["Data"] == [{"VarCharValue": "Query Plan"}]
    execution = ask.run("show databases")
    answer = ask.client.get_query_results(QueryExecutionId=execution["QueryExecutionId"])
    listed = [row["Data"][0]["VarCharValue"] for row in answer["ResultSet"]["Rows"]]
    assert "db" in listed
    assert "database_name" not in listed


def test_executions_are_listed_newest_first_and_described_in_batches(ask: Asker) -> None:
    ids = [ask.run(f"select {number}")["QueryExecutionId"] for number in range(3)]
    listed = ask.client.list_query_executions(MaxResults=3)
    assert listed["QueryExecutionIds"] == ids[::-1]
    assert listed["NextToken"]
    answer = ask.client.batch_get_query_execution(QueryExecutionIds=[*ids, "none"])
    assert [one["Query"] for one in answer["QueryExecutions"]] == [
        "select 0",
        "select 1",
        "select 2",
    ]
    assert answer["UnprocessedQueryExecutionIds"][0]["QueryExecutionId"] == "none"


def test_unload_writes_parquet_and_a_manifest_into_an_empty_folder(
    ask: Asker, athena: LocalAthena, place: str
) -> None:
    statement = f"unload (select 1 as a, 'x' as b) to '{place}/' with (format = 'PARQUET')"
    execution = ask.run(statement)
    manifest = content(athena, execution["Statistics"]["DataManifestLocation"]).decode()
    rows = pq.read_table(pa.BufferReader(content(athena, manifest.strip())))
    assert rows.to_pylist() == [{"a": 1, "b": "x"}]
    assert ask.failure(statement).startswith("HIVE_PATH_ALREADY_EXISTS")


def test_unload_keeps_no_microseconds(ask: Asker, place: str) -> None:
    moment = "cast('2020-01-01 00:00:00' as timestamp({}))"
    unload = f"unload (select {{}} as at) to '{place}/' with (format = 'PARQUET')"
    assert ask.failure(unload.format(moment.format(6))).startswith(
        "NOT_SUPPORTED: Incorrect timestamp precision for timestamp(6)"
    )
    ask.run(unload.format(moment.format(3)))


def test_the_record_counts_what_was_executed_by_kind(ask: Asker, athena: LocalAthena) -> None:
    before = athena.service.statements()
    ask.run("select 1")
    ask.run("create or replace view counted as select 1 as x")
    ask.run("drop view counted")
    ask.failure("select nothing")
    done = athena.service.statements() - before
    assert done == {"select": 1, "create view": 1, "drop view": 1}


def test_the_server_listens_on_loopback_alone(athena: LocalAthena) -> None:
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_ATHENA"):
        assert athena.environment[name].startswith("http://127.0.0.1:")


def test_the_data_catalog_is_glue(athena: LocalAthena) -> None:
    client = boto3.client("athena", region_name=REGION)
    assert client.get_data_catalog(Name="AwsDataCatalog")["DataCatalog"]["Type"] == "GLUE"
