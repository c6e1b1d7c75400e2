"""One hash for the content of the published tables, whatever the order or number of deliveries.

Two platforms that loaded the same objects have the same hash: ids, values and rows are in it.
Not in it: when and how often something was delivered, and the SCD2 and event tables of identity
and profile, which record when this platform learned a thing and so depend on when it ran.
"""

from __future__ import annotations

import hashlib
from typing import Final

import duckdb

from cdp_assets.naming import CLEANSED, IDENTITY, PROFILE

# Columns about the delivery of a row, in every layer; `*_run_id` and load numbers differ by run.
DELIVERY_COLUMNS: Final = frozenset(
    {
        "_deliveries",
        "_last_load_id",
        "_line",
        "_load_id",
        "_loaded_at",
        "_moved_from",
        "_object_key",
        "_object_version",
    }
)
HISTORY_TABLES: Final = frozenset(
    {
        (IDENTITY, "customer_id_events"),
        (IDENTITY, "customer_map_history"),
        (IDENTITY, "customer_redirects"),
        (PROFILE, "profile_history"),
    }
)

# How far a run got and what it looked at, which says nothing of the result.
PROGRESS_TABLES: Final = frozenset(
    (IDENTITY, name)
    for name in (
        "applied_loads",
        "changed_records",
        "cluster_assignments",
        "customer_id_changes",
        "match_affected",
        "match_candidates",
        "source_changes",
        "touched_customers",
        "touched_identifiers",
        "touched_keys",
    )
)


def table_hashes(connection: duckdb.DuckDBPyConnection) -> dict[str, str]:
    """The content hash of each table of the cleansed, identity and profile layers.

    Args:
        connection: an open DuckDB file; it is only read.

    Returns:
        `layer.table` to 32 hex digits. Row order does not matter; duplicate rows do.
    """
    columns = connection.execute(
        """
        select table_schema, table_name, list(column_name order by column_name)
        from information_schema.columns
        join information_schema.tables using (table_schema, table_name)
        where table_schema in (?, ?, ?) and table_type = 'BASE TABLE'
        group by all
        order by all
        """,
        [CLEANSED, IDENTITY, PROFILE],
    ).fetchall()
    return {
        f"{layer}.{table}": _table_hash(connection, f'{layer}."{table}"', names)
        for layer, table, names in columns
        if (layer, table) not in HISTORY_TABLES | PROGRESS_TABLES
    }


def overall_hash(hashes: dict[str, str]) -> str:
    """One hash over all the tables' hashes."""
    text = "\n".join(f"{name} {value}" for name, value in sorted(hashes.items()))
    return hashlib.sha256(text.encode()).hexdigest()


def _table_hash(connection: duckdb.DuckDBPyConnection, table: str, names: list[str]) -> str:
    cells = ", ".join(f'"{name}"::varchar' for name in names if name not in DELIVERY_COLUMNS)
    # A sum, unlike an exclusive or, also sees a row that is there twice.
    row = connection.execute(
        f"""
        select count(*), sum(md5_number_lower(to_json([{cells}])::varchar)::hugeint)
        from {table}
        """
    ).fetchone()
    return hashlib.md5(repr(row).encode(), usedforsecurity=False).hexdigest()
