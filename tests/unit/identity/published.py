"""A published version with a few records, made by hand: what the commands for people read.

The tables have the columns of the real ones; `match_evidence` and `review_queue`, which are views
there, are tables here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import duckdb

from cdp_assets.identity.tables import (
    DECISIONS,
    EVENTS,
    HISTORY,
    MAP,
    MATCH_MODEL,
    REDIRECTS,
    REFUSED_MERGES,
)
from cdp_assets.settings import Settings, load_settings

DAY = datetime.fromisoformat("2026-09-01T12:00:00")
_EVIDENCE = "left_record_id, right_record_id, gamma_last_name, weight_last_name, match_weight"


@dataclass
class Published:
    """A version that is being made.

    Attributes:
        path: of the DuckDB file.
        connection: open for writing until `settings` is asked for.
    """

    path: Path
    connection: duckdb.DuckDBPyConnection = field(init=False)

    def __post_init__(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.connection = duckdb.connect(str(self.path))
        self.connection.execute("create schema identity")
        for table in (DECISIONS, EVENTS, HISTORY, MAP, MATCH_MODEL, REDIRECTS, REFUSED_MERGES):
            self.connection.execute(table.create_if_missing)
        for statement in _DBT_TABLES:
            self.connection.execute(statement)

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
        self.connection.execute(f"insert into identity.{table} values ({marks})", list(values))

    def settings(self) -> Settings:
        """Settings of a home in which this is published; nothing more can be added."""
        self.connection.close()
        return load_settings({"CDP_HOME": str(self.path.parent.parent)})


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
