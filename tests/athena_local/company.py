"""One small company's raw files on both engines, and real dbt run on each.

Here: the same lake for DuckDB (a folder) and for Athena (a bucket), the tables that Python hands to
dbt, and every row of a table in one order. Not here: what is expected (`test_dbt`).
"""

# boto3 answers with all keys that are read here; its types call them optional.
# pyright: reportTypedDictNotRequiredAccess=false

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import duckdb
import pyarrow as pa

from cdp_assets.identity.match_model import load_default
from cdp_assets.identity.tables import MAP, TERM_FREQUENCIES, TOUCHED, IdentityTable
from cdp_assets.naming import LAYERS, SOURCES
from cdp_assets.resources.glue_tables import GlueTables
from cdp_assets.resources.object_ledger import SQLiteObjectLedger
from cdp_assets.resources.object_store import LocalObjectStore
from cdp_assets.settings import DBT_PROJECT_DIR, Settings, load_settings
from cdp_assets.sources.contracts import load_contracts
from cdp_assets.sources.extract import extract_days
from cdp_assets.sources.tables import ensure_empty_file, raw_table
from tests.athena_local.server import LocalAthena

TENANT = "acme"
PYTHON_TABLES = (TERM_FREQUENCIES, MAP, TOUCHED)

# As cdp_assets/identity/apply.py leaves it: the next run looks at later loads only.
SETTLE = (
    "delete from identity.touched_customers where true",
    """insert into identity.touched_customers
    select 'c-' || record_id from identity.changed_records
    union
    select 'c-' || record_id from identity.identity_records
    where record_id not in (select record_id from identity.customer_map)""",
    "delete from identity.customer_map where true",
    """insert into identity.customer_map
    select record_id, 'c-' || record_id from identity.identity_records""",
    "delete from identity.applied_loads",
    "insert into identity.applied_loads select entity, load_id from identity.source_changes",
    "delete from identity.identifiers where not is_current",
    "delete from identity.match_records where not is_current",
    "update identity.oversized_blocks set has_flipped = false where has_flipped",
    "delete from identity.oversized_blocks where not is_oversized",
    "delete from identity.applied_rules",
    "insert into identity.applied_rules select distinct fingerprint from identity.source_changes",
)


@dataclass
class Company:
    """A lake in a folder, copied to the bucket, and a warehouse on each engine.

    Args:
        folder: of the lake, the DuckDB file and dbt's targets.
        athena: the running server.
    """

    folder: Path
    athena: LocalAthena
    uploaded: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.settings: Settings = load_settings({"CDP_HOME": str(self.folder)})
        self.store = LocalObjectStore(self.folder / "lake")
        self.ledger = SQLiteObjectLedger(self.settings.ledger_path)
        self.contracts = list(load_contracts().values())
        client = boto3.client(
            "glue", region_name="eu-central-1", endpoint_url=self.athena.catalog.endpoint
        )
        self.glue = GlueTables(client)
        for layer in LAYERS:
            self.glue.ensure_database(f"{TENANT}_{layer}")

    @property
    def aws_settings(self) -> Settings:
        """Of the profile that has the warehouse on Athena."""
        return load_settings(
            {
                "CDP_PROFILE": "aws",
                "CDP_TENANT": TENANT,
                "CDP_LAKE_URL": f"{self.athena.lake}/cdp",
                **self.athena.environment,
            }
        )

    @property
    def duckdb_path(self) -> Path:
        """DuckDB's warehouse."""
        return self.folder / "cdp.duckdb"

    def load(self, days: list[str]) -> None:
        """Extract landing days, and show the raw files to both engines."""
        for contract in self.contracts:
            extract_days(
                contract, days, store=self.store, ledger=self.ledger, settings=self.settings
            )
            ensure_empty_file(contract, self.store)
        self._upload()
        with duckdb.connect(str(self.duckdb_path)) as connection:
            for layer in LAYERS:
                connection.execute(f"create schema if not exists {layer}")
            for contract in self.contracts:
                table = raw_table(contract, self.store)
                connection.execute(
                    f"create or replace view {SOURCES}.{table.name} as select * from read_parquet("
                    f"'{table.url}/dt=*/*.parquet', hive_partitioning = true, "
                    "hive_types = {'dt': date}, union_by_name = true)"
                )
                self.glue.replace_projected(
                    f"{TENANT}_{SOURCES}",
                    table.name,
                    table.schema,
                    f"{self.athena.lake}/cdp/raw/{contract.source}/{contract.entity}",
                )

    def _upload(self) -> None:
        for info in self.store.list("raw"):
            if info.key + info.version not in self.uploaded:
                url = f"{self.athena.lake}/cdp/{info.key}"
                self.athena.catalog.objects.put(url, self.store.read(info.key))
                self.uploaded.add(info.key + info.version)

    def make_python_tables(self) -> None:
        """The empty tables that Python fills between two runs of dbt, with the model's words."""
        # Each field's default, and enough values: all of them would cost more than they show.
        words = sorted(load_default().term_frequency_rows(), key=lambda row: bool(row[1]))[:200]
        with duckdb.connect(str(self.duckdb_path)) as connection:
            for table in PYTHON_TABLES:
                connection.execute(table.create_if_missing)
            connection.executemany(
                f"insert into {TERM_FREQUENCIES.address} values (?, ?, ?)", words
            )
        for table in PYTHON_TABLES:
            self.run(_iceberg(table, f"{self.athena.lake}/cdp/warehouse/python/{table.name}"))
        rows = ", ".join(
            f"('{_quoted(field)}', '{_quoted(value)}', {share:e})" for field, value, share in words
        )
        self.run(f"insert into {TENANT}_identity.{TERM_FREQUENCIES.name} values {rows}")

    def settle(self) -> None:
        """What Python does between identity and profile; every record a customer of its own."""
        with duckdb.connect(str(self.duckdb_path)) as connection:
            for statement in SETTLE:
                connection.execute(statement)
        for statement in SETTLE:
            self.run(re.sub(r"\b(identity)\.", rf"{TENANT}_\1.", statement))

    def dbt(self, target: str, *arguments: str) -> float:
        """Run dbt on a target; gives the seconds it took."""
        started = time.perf_counter()
        folder = self.folder / f"dbt-{target}"
        done = subprocess.run(
            [
                str(Path(sys.executable).parent / "dbt"),
                *arguments,
                *["--target", target, "--target-path", str(folder)],
                *["--log-path", str(folder / "logs")],
                *["--project-dir", str(DBT_PROJECT_DIR), "--profiles-dir", str(DBT_PROJECT_DIR)],
            ],
            env={
                **os.environ,
                **self.athena.environment,
                "CDP_LAKE_URL": f"{self.athena.lake}/cdp",
                "CDP_TENANT": TENANT,
                "CDP_WAREHOUSE_PATH": str(self.duckdb_path),
                "CDP_MATCH_MODEL": load_default().compact_json(),
            },
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise AssertionError(
                f"dbt {' '.join(arguments)} on {target} ended with {done.returncode}:\n"
                f"{done.stdout[-8000:]}{done.stderr[-2000:]}"
            )
        return time.perf_counter() - started

    def dbt_on_both(self, local: Sequence[str], aws: Sequence[str]) -> None:
        """Run dbt on both targets side by side: they share nothing that either writes."""
        with ThreadPoolExecutor(max_workers=2) as pool:
            runs = [pool.submit(self.dbt, "local", *local), pool.submit(self.dbt, "aws", *aws)]
        for run in runs:
            run.result()

    def run(self, sql: str) -> Mapping[str, Any]:
        """Run one statement through the API, and give the description of its end."""
        client = boto3.client(
            "athena",
            region_name="eu-central-1",
            endpoint_url=self.athena.environment["AWS_ENDPOINT_URL_ATHENA"],
        )
        started = client.start_query_execution(
            QueryString=sql,
            QueryExecutionContext={"Database": f"{TENANT}_identity"},
            ResultConfiguration={"OutputLocation": f"{self.athena.lake}/athena-results/"},
        )
        described = client.get_query_execution(QueryExecutionId=started["QueryExecutionId"])
        execution = described["QueryExecution"]
        assert execution["Status"]["State"] == "SUCCEEDED", execution["Status"]
        return execution

    def relations(self) -> list[str]:
        """Every table and view that dbt made on DuckDB."""
        with duckdb.connect(str(self.duckdb_path)) as connection:
            rows = connection.execute(
                "select table_schema || '.' || table_name from information_schema.tables "
                "where table_schema in ('cleansed', 'identity', 'profile') order by 1"
            ).fetchall()
        return [row[0] for row in rows]

    def differences(self, leaving_out: Mapping[str, Sequence[str]]) -> dict[str, Any]:
        """What tables hold on one engine and not on the other, by table: DuckDB's rows, Athena's.

        Args:
            leaving_out: columns that cannot be equal, by table.
        """
        found = {}
        for table in self.relations():
            columns = leaving_out.get(table, ())
            ours, theirs = self._duckdb_rows(table, columns), self._athena_rows(table, columns)
            if ours != theirs:
                found[table] = (
                    sorted(set(ours) - set(theirs))[:3],
                    sorted(set(theirs) - set(ours))[:3],
                )
                found[table] = found[table] + (len(ours), len(theirs))
        return found

    def _duckdb_rows(self, table: str, leaving_out: Sequence[str]) -> list[str]:
        with duckdb.connect(str(self.duckdb_path)) as connection:
            return _sorted_rows(connection, table, leaving_out)

    def _athena_rows(self, table: str, leaving_out: Sequence[str]) -> list[str]:
        layer, name = table.split(".")
        execution = self.run(f'select * from "{TENANT}_{layer}"."{name}"')
        outcome = self.athena.service.outcome(execution["QueryExecutionId"])
        given = pa.table(
            [
                pa.array([row[place] for row in outcome.rows], pa.string())
                for place in range(len(outcome.columns))
            ],
            names=[column.name for column in outcome.columns],
        )
        with duckdb.connect() as connection:
            connection.register("given", given)
            typed = ", ".join(
                f'cast("{column.name}" as {column.duck}) as "{column.name}"'
                for column in outcome.columns
            )
            return _sorted_rows(connection, f"(select {typed} from given)", leaving_out)


def _sorted_rows(
    connection: duckdb.DuckDBPyConnection, source: str, leaving_out: Sequence[str]
) -> list[str]:
    """The rows as text, with the columns in the order of their names."""
    connection.execute("set TimeZone = 'UTC'")
    names = sorted(set(connection.sql(f"from {source} limit 0").columns) - set(leaving_out))
    texts = ", ".join(
        f"""'{name}=' || coalesce(cast("{name}" as varchar), '-')""" for name in names
    )
    rows = connection.execute(
        f"select concat_ws('; ', {texts}) from {source} order by 1"
    ).fetchall()
    return [row[0] for row in rows]


def _iceberg(table: IdentityTable, location: str) -> str:
    kinds = {"varchar": "string", "integer": "int"}
    columns = ", ".join(f"{one.name} {kinds.get(one.type, one.type)}" for one in table.columns)
    return (
        f"create table {TENANT}_identity.{table.name} ({columns}) location '{location}' "
        "tblproperties ('table_type' = 'ICEBERG')"
    )


def _quoted(text: str) -> str:
    return text.replace("'", "''")
