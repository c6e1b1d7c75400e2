"""One hash for the content of the published tables, whatever the order or number of deliveries.

Two platforms that loaded the same objects have the same hash: ids, values and rows are in it.
Not in it: when and how often something was delivered, and the SCD2 and event tables of identity
and profile, which record when this platform learned a thing and so depend on when it ran.

DuckDB computes it, also of tables on Athena, which are downloaded for it: so two engines can be
compared by one function. They work out doubles (scores, weights) alike but for the last digits, so
a double counts to six of them.
"""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path
from typing import Final

import duckdb

from cdp_assets.identity.tables import CANDIDATE
from cdp_assets.naming import CLEANSED, IDENTITY, PROFILE
from cdp_assets.resources.build import build_athena, build_duckdb
from cdp_assets.resources.warehouse import TableAddress
from cdp_assets.settings import Settings

_LAYERS: Final = (CLEANSED, IDENTITY, PROFILE)
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
        "match_affected",
        "match_candidates",
        "source_changes",
        "touched_customers",
        "touched_identifiers",
        "touched_keys",
        *(table.name for table in CANDIDATE),
    )
)


def published_hashes(settings: Settings) -> dict[str, str]:
    """The content hash of each published table, as `table_hashes` gives them.

    On Athena the tables are downloaded, whole, into a file that is gone afterwards.

    Raises:
        NothingPublishedError: nothing was published yet.
    """
    if settings.profile == "local":
        with build_duckdb(settings).read_published() as connection:
            return table_hashes(connection)
    with (
        tempfile.TemporaryDirectory(prefix="cdp-hash-") as folder,
        duckdb.connect(str(Path(folder) / "published.duckdb")) as connection,
    ):
        build_athena(settings).copy_published(connection, is_hashed)
        return table_hashes(connection)


def is_hashed(address: TableAddress) -> bool:
    """Whether a table counts."""
    layer, _ = address
    return layer in _LAYERS and address not in HISTORY_TABLES | PROGRESS_TABLES


def table_hashes(connection: duckdb.DuckDBPyConnection) -> dict[str, str]:
    """The content hash of each table of the cleansed, identity and profile layers.

    Args:
        connection: an open DuckDB file; it is only read.

    Returns:
        `layer.table` to 32 hex digits. Row order does not matter; duplicate rows do.
    """
    columns = connection.execute(
        """
        select table_schema, table_name, list((column_name, data_type) order by column_name)
        from information_schema.columns
        join information_schema.tables using (table_schema, table_name)
        where table_type = 'BASE TABLE'
        group by all
        order by all
        """
    ).fetchall()
    return {
        f"{layer}.{table}": _table_hash(connection, f'{layer}."{table}"', listed)
        for layer, table, listed in columns
        if is_hashed((layer, table))
    }


def overall_hash(hashes: dict[str, str]) -> str:
    """One hash over all the tables' hashes."""
    text = "\n".join(f"{name} {value}" for name, value in sorted(hashes.items()))
    return hashlib.sha256(text.encode()).hexdigest()


def _table_hash(
    connection: duckdb.DuckDBPyConnection, table: str, columns: list[tuple[str, str]]
) -> str:
    cells = ", ".join(_cell(name, kind) for name, kind in columns if name not in DELIVERY_COLUMNS)
    # A sum, unlike an exclusive or, also sees a row that is there twice.
    row = connection.execute(
        f"""
        select count(*), sum(md5_number_lower(to_json([{cells}])::varchar)::hugeint)
        from {table}
        """
    ).fetchone()
    return hashlib.md5(repr(row).encode(), usedforsecurity=False).hexdigest()


def _cell(name: str, kind: str) -> str:
    """The text that stands for a value: the same on both engines."""
    # The sum makes 0 of -0.
    return f"""printf('%.6g', "{name}" + 0e0)""" if kind == "DOUBLE" else f'"{name}"::varchar'
