"""A published version with a few records, made by hand: what the commands for people read.

In a DuckDB file, and where a test asks for it also on the local Athena server.

The tables have the columns of the real ones; `match_evidence` and `review_queue`, which are views
there, are tables here.
"""

from __future__ import annotations

import io
import uuid
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import duckdb
import pyarrow.parquet as pq

from cdp_assets.identity.tables import (
    DECISIONS,
    EVENTS,
    HISTORY,
    MAP,
    MATCH_MODEL,
    REDIRECTS,
    REFUSED_MERGES,
)
from cdp_assets.resources.build import build_warehouse
from cdp_assets.resources.warehouse import Reader
from cdp_assets.settings import Settings, load_settings
from tests.athena_local.hive import parquet_table
from tests.athena_local.server import REGION, LocalAthena
from tests.athena_local.values import ResultColumn

DAY = datetime.fromisoformat("2026-09-01T12:00:00")
_EVIDENCE = "left_record_id, right_record_id, gamma_last_name, weight_last_name, match_weight"


@dataclass
class Published:
    """A version that is being made, for one engine.

    Attributes:
        home: of the tenant.
        athena: where the version is published, if not in a DuckDB file.
    """

    home: Path
    athena: LocalAthena | None = None
    _connection: duckdb.DuckDBPyConnection | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self.path = self.home / "warehouse" / "published.duckdb"
        self.path.parent.mkdir(parents=True)
        self._name = f"t{uuid.uuid4().hex[:8]}"
        self._execute("create schema identity")
        for table in (DECISIONS, EVENTS, HISTORY, MAP, MATCH_MODEL, REDIRECTS, REFUSED_MERGES):
            self._execute(table.create_if_missing)
        for statement in _DBT_TABLES:
            self._execute(statement)

    def customer(self, customer_id: str, *records: str, since: datetime = DAY) -> None:
        """Records that are one customer, known by nothing yet."""
        for record in records:
            self.add("identity_records", record)
            self.add(MAP.name, record, customer_id)
            self.add(HISTORY.name, record, customer_id, since, None, "run")

    def identifier(self, kind: str, value: str, *records: str) -> None:
        """A value that records have."""
        for record in records:
            self.add("identifiers", record, kind, value, True)

    def link(self, left: str, right: str, rule: str = "same_email", **facts: object) -> None:
        """A link that was not refused."""
        given = {"version": "1", "tier": 2, "score": 0.95, "kind": "email", **facts}
        self.add("identity_edges", left, right, rule, *given.values())

    def compare(self, left: str, right: str, gamma: int, bits: float, total: float) -> None:
        """What the model says of a pair: its level and weight for the last name, and in all."""
        self.add("match_evidence", left, right, gamma, bits, total, None)

    def add(self, table: str, *values: object) -> None:
        """One row."""
        marks = ", ".join("?" for _ in values)
        self._execute(f"insert into identity.{table} values ({marks})", *values)

    def settings(self) -> Settings:
        """Settings with which the version as it is now is the published one."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        if self.athena is None:
            return load_settings({"CDP_HOME": str(self.home)})
        return load_settings(
            {
                "CDP_HOME": str(self.home),
                "CDP_PROFILE": "aws",
                "CDP_TENANT": self._shown_to(self.athena),
                "CDP_LAKE_URL": self._lake_of(self.athena),
                "AWS_REGION": REGION,
                **self.athena.environment,
            }
        )

    def reader(self) -> AbstractContextManager[Reader]:
        """Read the version as it is now."""
        return build_warehouse(self.settings()).published()

    def _lake_of(self, athena: LocalAthena) -> str:
        return f"{athena.lake}/{self._name}"

    def _shown_to(self, athena: LocalAthena) -> str:
        """A tenant whose published tables are these: plain files, which costs no statements.

        How a run publishes is shown in tests/athena_local/test_console.py.
        """
        tenant = f"t{uuid.uuid4().hex[:8]}"
        catalog = athena.catalog
        for layer in ("identity", "profile"):
            catalog.glue.create_database(DatabaseInput={"Name": f"{tenant}_published_{layer}"})
        with duckdb.connect(str(self.path), read_only=True) as connection:
            # Without a profile there is nothing published.
            for layer, name in (*_tables(connection), ("profile", "customer_profiles")):
                location = f"{self._lake_of(athena)}/by-hand/{uuid.uuid4().hex}"
                rows = connection.sql(
                    f"from identity.{name}" if layer == "identity" else "select 1"
                )
                columns = [
                    ResultColumn(column, str(kind))
                    for column, kind in zip(rows.columns, rows.types, strict=True)
                ]
                catalog.glue.create_table(
                    DatabaseName=f"{tenant}_published_{layer}",
                    TableInput=parquet_table(name, location, columns),
                )
                if len(rows):
                    content = io.BytesIO()
                    pq.write_table(rows.to_arrow_table(), content)
                    catalog.objects.put(f"{location}/rows.parquet", content.getvalue())
        return tenant

    def _execute(self, sql: str, *values: object) -> None:
        if self._connection is None:
            self._connection = duckdb.connect(str(self.path))
        self._connection.execute(sql, list(values))


def _tables(connection: duckdb.DuckDBPyConnection) -> list[tuple[str, str]]:
    return connection.execute("select schema_name, table_name from duckdb_tables()").fetchall()


def columns(**types: str) -> str:
    return ", ".join(f"{name} {kind}" for name, kind in types.items())


def _table(name: str, definition: str) -> str:
    return f"create table identity.{name} ({definition})"


_PAIR = "left_record_id varchar, right_record_id varchar"
_DBT_TABLES: Sequence[str] = (
    _table("identity_records", "record_id varchar"),
    _table(
        "identifiers",
        "record_id varchar, identifier_type varchar, identifier_value varchar, is_current boolean",
    ),
    _table(
        "identity_edges",
        f"{_PAIR}, rule varchar, rule_version varchar, tier integer, score double,"
        " identifier_type varchar",
    ),
    _table(
        "refused_edges",
        f"{_PAIR}, reason varchar, rule varchar, tier integer, identifier_type varchar,"
        " identifier_value varchar",
    ),
    _table(
        "suppressed_identifiers",
        "identifier_type varchar, identifier_value varchar, reason varchar,"
        " record_count bigint, people_count bigint",
    ),
    _table(
        "match_evidence",
        f"{_PAIR}, gamma_last_name integer, weight_last_name double, match_weight double,"
        " veto varchar",
    ),
    _table("match_pairs", f"{_PAIR}, band varchar"),
    _table(
        "review_queue",
        f"{_PAIR}, match_probability double, match_weight double, gamma_last_name integer,"
        " weight_last_name double",
    ),
    _table(
        "match_keys", "record_id varchar, block_rule varchar, block_key varchar, is_current boolean"
    ),
    _table("oversized_blocks", "block_rule varchar, block_key varchar, is_oversized boolean"),
    _table(
        "match_records",
        "record_id varchar, is_current boolean, first_name varchar, last_name varchar,"
        " birth_date varchar, gender varchar, email varchar, phone varchar, street varchar,"
        " city varchar, state varchar, postcode varchar, national_id varchar, loyalty_id varchar",
    ),
    "create table identity.match_settings as"
    " select 0.99 as auto_probability, 0.5 as review_probability",
)
