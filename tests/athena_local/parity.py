"""Two whole platforms side by side, one per engine: the same landing objects, the same tables.

    python -m tests.athena_local.parity [--size tiny|demo] [--kills]

Each is the installed command line in a home of its own: Dagster, dbt and the Python stages, on a
laptop with DuckDB and files, and with `CDP_PROFILE=aws` over HTTP on the local Athena, S3, Glue,
DynamoDB, SNS and Secrets Manager. After each step every row of every published table is compared,
and every entry of the profile store.
Not here: the servers (`server.py`), what the tables should hold (tests/dbt).
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import boto3
import duckdb
import pyarrow as pa

from cdp_assets.naming import CLEANSED, IDENTITY, PROFILE
from cdp_assets.resources.athena_warehouse import AthenaWarehouse
from cdp_assets.resources.build import build_athena, build_profile_store
from cdp_assets.resources.dynamodb import create_table
from cdp_assets.resources.profile_store import ProfileStore
from cdp_assets.sample.generate import SampleSize, generate
from cdp_assets.settings import load_settings
from tests.athena_local.server import REGION, LocalAthena, running

TENANT: Final = "acme"
_CDP: Final = str(Path(sys.executable).parent / "cdp")
_SEED: Final = 11
_LAYERS: Final = [CLEANSED, IDENTITY, PROFILE]
# The databases that hold DuckDB's tables and Athena's while they are compared.
_SIDES: Final = ("local", "memory")
# When and in which order something was loaded, and the version of an object: each platform's own.
_OF_THE_LOAD: Final = frozenset({"_last_load_id", "_load_id", "_loaded_at", "_object_version"})
# When a run was, and numbers that each engine hashes in its own way.
_OF_THE_RUN: Final[Mapping[str, frozenset[str]]] = {
    "identity.applied_loads": frozenset({"load_id"}),
    "identity.customer_id_events": frozenset({"occurred_at", "run_id"}),
    "identity.customer_map_history": frozenset({"run_id", "valid_from", "valid_to"}),
    "identity.source_changes": frozenset({"load_id", "since_load_id"}),
    "identity.touched_keys": frozenset({"block_number"}),
    "profile.profile_history": frozenset({"valid_from", "valid_to"}),
}

# Where runs of the late day are killed, once it is extracted, in the order in which they get there.
_KILLS: Final = (
    "warehouse.object_ledger.after_statement#2",
    "dbt.clean_crm__contacts.statement#1",
    "dbt.clean_web__events.finished#1",
    "dbt.event#40",
    "dbt.match_records.statement#2",
    "warehouse.customer_map.after_statement#1",
    "dbt.customer_profiles.statement#1",
    "glue.UpdateTable.after#3",
    "publish.before_ledger#1",
    "sync.after_read#1",
)
# And where runs are that extract: after these, as after an object replaced, all is built anew.
_KILLS_OF_EXTRACT: Final = (
    "extract.before_read#1",
    "dynamodb.TransactWriteItems.after#1",
    "s3.PutObject.after#1",
    "extract.before_ledger#1",
)
# What the last run looked at, which after one that was killed half way is less.
_OF_THE_LAST_RUN: Final = frozenset(
    f"{IDENTITY}.{name}"
    for name in (
        "changed_records",
        "cluster_assignments",
        "cluster_refusals",
        "match_affected",
        "match_candidates",
        "source_changes",
        "touched_identifiers",
        "touched_keys",
    )
)
_STORE: Final = "activation.profile_store"
_KEY: Final = b"k" * 32


@dataclass(frozen=True)
class Step:
    """What one step came to.

    Attributes:
        name: what happened before the run.
        tables: published tables that were compared.
        rows: of these, on one engine.
        differences: by table, the rows that only one of the engines has: their number and a few.
        seconds: of the run on DuckDB and of the run on Athena; both at the same time.
        statements: that Athena executed, by kind.
        incremental: dbt models that added to a table, or merged into it, instead of making it.
    """

    name: str
    tables: int
    rows: int
    differences: Mapping[str, str]
    seconds: tuple[float, float]
    statements: Counter[str]
    incremental: int


class Platforms:
    """Both platforms, and what happens to them.

    Args:
        folder: for the homes.
        athena: the running servers.
        size: of the sample company.
        with_kills: also kill runs of the late day on Athena, before one is left alone.
    """

    def __init__(
        self, folder: Path, athena: LocalAthena, size: SampleSize, *, with_kills: bool = False
    ) -> None:
        self._with_kills = with_kills
        self._athena = athena
        self._landing = folder / "sample" / "landing"
        generate(self._landing, folder / "sample" / "truth.parquet", size, seed=_SEED)
        self._days = sorted({day.name for day in self._landing.glob("*/*/dt=*")})
        self._local = folder / "local"
        self._local.mkdir(parents=True)
        # Hashes of identifiers are equal under the same key alone.
        key = self._local / "hmac.key"
        key.touch(0o600)
        key.write_bytes(_KEY)
        inherited = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("AWS_", "CDP_", "DBT_", "DAGSTER_"))
        }
        self._local_environment = {**inherited, "CDP_HOME": str(self._local)}
        of_aws = {
            **athena.of_tenant(TENANT),
            "CDP_HOME": str(folder / "aws"),
            "CDP_ALERTS_TOPIC_ARN": _deploy(athena),
            # No statement here takes longer, so a killed run need not be waited for longer.
            "CDP_LEASE_SECONDS": "5",
        }
        self._aws_environment = {**inherited, **of_aws}
        self.warehouse: AthenaWarehouse = build_athena(load_settings(of_aws))
        self._stores = [
            build_profile_store(load_settings(environment))
            for environment in (self._local_environment, of_aws)
        ]
        self._objects = boto3.client(
            "s3", region_name=REGION, endpoint_url=athena.environment["AWS_ENDPOINT_URL"]
        )

    def steps(self) -> Iterator[Step]:
        """Each step, when it is done and compared."""
        late = self._days[-2]
        self._land([day for day in self._days if day != late])
        yield self._step("all days but one")
        self._land([late])
        # Killed runs have looked at what the last one need not look at again.
        passed_over = _OF_THE_LAST_RUN if self._with_kills else frozenset[str]()
        self._kill(_KILLS)
        yield self._step("the late day", passed_over)
        yield self._step("nothing new", passed_over)
        self._replace_an_object()
        self._kill(_KILLS_OF_EXTRACT)
        yield self._step("an object replaced: a full refresh")
        self._part_two_records()
        yield self._step("two records of a customer parted")

    def _land(self, days: Sequence[str]) -> None:
        for file in sorted(self._landing.rglob("*")):
            if file.is_file() and (file.parent.name in days or "dt=" not in file.parent.name):
                self._put(f"landing/{file.relative_to(self._landing)}", file.read_bytes())

    def _put(self, key: str, content: bytes) -> None:
        target = self._local / "lake" / key
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        bucket = self._athena.lake.removeprefix("s3://")
        self._objects.put_object(Bucket=bucket, Key=f"{TENANT}/{key}", Body=content)

    def _kill(self, points: Sequence[str]) -> None:
        """Kill runs on Athena, each a little further on; each goes on where the last one died."""
        for point in points if self._with_kills else ():
            done = _cdp({**self._aws_environment, "CDP_FAILPOINT": point})
            # The run itself is killed, or sees its dbt killed.
            is_of_dbt = point.startswith("dbt.") and not point.startswith("dbt.event#")
            if done.returncode != (1 if is_of_dbt else -signal.SIGKILL):
                raise AssertionError(f"{point}: {done.returncode}\n{done.stdout}{done.stderr}")

    def _replace_an_object(self) -> None:
        """The last line of an object of contacts, of which there is no copy, is gone."""
        files = set(self._landing.glob("contact_center/contacts/dt=*/*"))
        copied = {file for file in files if file.with_name(f"redelivered-{file.name}") in files}
        file = min(file for file in files - copied if not file.name.startswith("redelivered-"))
        lines = file.read_bytes().splitlines(keepends=True)
        self._put(f"landing/{file.relative_to(self._landing)}", b"".join(lines[:-1]))

    def _part_two_records(self) -> None:
        [left, right] = self._query_local(
            """
            select left_record_id, right_record_id
            from identity.identity_edges
            where rule = 'probabilistic'
            order by all
            limit 1
            """
        )[0]
        line = f"cannot_link,{left},{right},parity,2026-09-01T00:00:00Z,"
        header = "decision,left_record_id,right_record_id,decided_by,decided_at,note"
        self._put("decisions/parity.csv", f"{header}\n{line}\n".encode())

    def _step(self, name: str, passed_over: Collection[str] = ()) -> Step:
        self._athena.service.forget()
        with ThreadPoolExecutor(max_workers=2) as pool:
            runs = [
                pool.submit(_cdp_run, environment)
                for environment in (self._local_environment, self._aws_environment)
            ]
        local, aws = (run.result() for run in runs)
        statements = self._athena.service.statements()
        incremental = len(self._athena.service.models({"insert", "merge"}))
        rows, differences = self._compare(passed_over)
        return Step(
            name, len(rows), sum(rows.values()), differences, (local, aws), statements, incremental
        )

    def _compare(self, passed_over: Collection[str]) -> tuple[dict[str, int], dict[str, str]]:
        """Rows per table on DuckDB, and what differs."""
        rows: dict[str, int] = {}
        differences: dict[str, str] = {}
        with duckdb.connect() as connection:
            connection.execute("set TimeZone = 'UTC'")
            # Read as the platform's own stages read: by statement, as Arrow.
            self.warehouse.copy_published(connection, lambda address: address[0] in _LAYERS)
            theirs = _tables(connection)
            connection.execute(f"attach '{self._published}' as local (read_only)")
            ours = _tables(connection, "local")
            for table in sorted(ours.keys() ^ theirs.keys()):
                differences[table] = "published by one engine only"
            for table in sorted(ours.keys() & theirs.keys() - set(passed_over)):
                if ours[table].keys() == theirs[table].keys():
                    sides = (_lines(side, table, ours[table]) for side in _SIDES)
                    rows[table], difference = _difference(connection, *sides)
                else:
                    rows[table] = 0
                    difference = f"columns: {sorted(ours[table].keys() ^ theirs[table].keys())}"
                if difference:
                    differences[table] = difference
            stores = ("our_store", "their_store")
            for name, store in zip(stores, self._stores, strict=True):
                connection.register(name, _entries(store))
            lines = [f"select {name} as line from {name}" for name in stores]
            rows[_STORE], difference = _difference(connection, *lines)
            if difference:
                differences[_STORE] = difference
        return rows, differences

    @property
    def _published(self) -> Path:
        return self._local / "warehouse" / "published.duckdb"

    def _query_local(self, sql: str) -> list[tuple[Any, ...]]:
        with duckdb.connect(str(self._published), read_only=True) as connection:
            return connection.execute(sql).fetchall()


def _entries(store: ProfileStore) -> pa.Table:
    """Whom a store knows, and the profile that it finds; each engine hashes in its own way."""
    held = store.held().drop_columns(["content_hash"])
    found = [store.get(each) for each in held["customer_id"].to_pylist()]
    documents = [one.document if one else None for one in found]
    return held.append_column("document", pa.array(documents, pa.string()))


def _tables(
    connection: duckdb.DuckDBPyConnection, catalog: str = "memory"
) -> dict[str, dict[str, str]]:
    """The columns of each published table of a database, with their types."""
    found: dict[str, dict[str, str]] = {}
    for layer, table, column, kind in connection.execute(
        """
        select columns.schema_name, columns.table_name, column_name, columns.data_type
        from duckdb_columns() as columns
        inner join duckdb_tables() as tables using (database_name, schema_name, table_name)
        where database_name = ? and list_contains(?, schema_name)
        """,
        [catalog, _LAYERS],
    ).fetchall():
        found.setdefault(f"{layer}.{table}", {})[column] = kind
    return found


def _lines(side: str, table: str, columns: Mapping[str, str]) -> str:
    """A SELECT of the rows of a table, each as one value, `line`.

    Args:
        side: the database: DuckDB's tables are attached as `local`.
        table: with its layer.
        columns: with the types that they have on DuckDB.
    """
    shown = [_shown(table, name, kind) for name, kind in sorted(columns.items())]
    return f"select row({', '.join(text for text in shown if text)}) as line from {side}.{table}"


def _difference(connection: duckdb.DuckDBPyConnection, ours: str, theirs: str) -> tuple[int, str]:
    """How many lines DuckDB's SELECT gives, and which ones only one of the two gives."""
    [[rows]] = connection.execute(f"select count(*) from ({ours})").fetchall()
    [[mine, my_first], [other, their_first]] = (
        connection.execute(
            f"select count(*), min(line::varchar) from ({one} except all {without})"
        ).fetchall()[0]
        for one, without in ((ours, theirs), (theirs, ours))
    )
    if not mine + other:
        return rows, ""
    return rows, f"{mine} rows of DuckDB ({my_first}), {other} of Athena ({their_first})"


def _shown(table: str, column: str, kind: str) -> str | None:
    """A column as text in the type that it has on DuckDB; None where it is not compared."""
    if column in _OF_THE_LOAD:
        return None
    if column in _OF_THE_RUN.get(table, ()):
        # Whether a period has ended is the data's; when, is the run's.
        return f'"{column}" is null' if column == "valid_to" else None
    return f'cast(cast("{column}" as {kind}) as varchar)'


def _deploy(athena: LocalAthena) -> str:
    """Make what a deployment makes: tables, the secret, the topic; gives the topic's address."""
    endpoint = athena.environment["AWS_ENDPOINT_URL"]

    def client(service: str) -> Any:
        return boto3.client(service, region_name=REGION, endpoint_url=endpoint)  # pyright: ignore[reportArgumentType, reportCallIssue]

    for name in ("ledger", "profiles", "checkpoints"):
        create_table(client("dynamodb"), f"cdp-{TENANT}-{name}")
    client("secretsmanager").create_secret(Name=f"cdp/{TENANT}/hmac-key", SecretBinary=_KEY)
    return client("sns").create_topic(Name="cdp-alerts")["TopicArn"]


def _cdp_run(environment: Mapping[str, str]) -> float:
    """`cdp run` in a home; gives the seconds."""
    started = time.perf_counter()
    done = _cdp(environment)
    if done.returncode != 0:
        raise AssertionError(f"cdp run ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return time.perf_counter() - started


def _cdp(environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [_CDP, "run"], env=dict(environment), capture_output=True, text=True, check=False
    )


def report(step: Step) -> str:
    """One step as text."""
    kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(step.statements.items()))
    lines = [
        f"{step.name}: {step.tables} tables, {step.rows:,} rows,"
        f" {len(step.differences)} differences",
        f"    DuckDB {step.seconds[0]:.0f} s, Athena {step.seconds[1]:.0f} s;"
        f" {step.incremental} models incremental; statements: {kinds}",
        *(f"    {table}: {text}" for table, text in step.differences.items()),
    ]
    return "\n".join(lines)


_SIZES: Final[Mapping[str, Callable[[], SampleSize]]] = {
    "tiny": SampleSize.tiny,
    "demo": SampleSize.demo,
}


def main() -> None:
    """Run the steps, print them, and exit with 1 where the engines differ."""
    parser = argparse.ArgumentParser(description="Both engines, whole runs, every table.")
    parser.add_argument("--size", choices=_SIZES, default="tiny")
    parser.add_argument("--kills", action="store_true", help="also kill runs on Athena")
    parser.add_argument("--keep", type=Path, help="a new folder for the homes, which stay")
    arguments = parser.parse_args()
    started = time.perf_counter()
    folder = arguments.keep or Path(tempfile.mkdtemp(prefix="cdp-parity-"))
    steps = []
    try:
        with running(folder / "server") as athena:
            os.environ.update(athena.environment)
            for step in Platforms(
                folder, athena, _SIZES[arguments.size](), with_kills=arguments.kills
            ).steps():
                steps.append(step)
                sys.stdout.write(report(step) + "\n")
                sys.stdout.flush()
    finally:
        if arguments.keep is None:
            shutil.rmtree(folder, ignore_errors=True)
    differences = sum(len(step.differences) for step in steps)
    sys.stdout.write(
        f"{len(steps)} steps, {differences} differences, {time.perf_counter() - started:.0f} s\n"
    )
    sys.exit(1 if differences else 0)


if __name__ == "__main__":
    main()
