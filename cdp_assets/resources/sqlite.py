"""A SQLite file of the platform's own: how it is opened, changed at once, and given its tables.

Not here: what is in the tables (`object_ledger`, `profile_store`, `checkpoints`), what is said of a
damaged file; Dagster's own files (`cdp_assets.sqlite_files`).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from cdp_assets.failpoints import reach


@contextmanager
def open_file(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a file, made with its folder on first use. A statement outside a transaction commits."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(path, timeout=30, isolation_level=None)) as connection:
        yield connection


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Let all statements of the block take effect, or none."""
    # Immediate: two writers queue at the start instead of failing half-way.
    connection.execute("begin immediate")
    try:
        yield
    except BaseException:
        connection.execute("rollback")
        raise
    reach("sqlite.before_commit")
    connection.execute("commit")
    reach("sqlite.after_commit")


def make_tables(connection: sqlite3.Connection, version: int, statements: Iterable[str]) -> int:
    """Make the tables of a new file, and leave those of any other as they are.

    Args:
        connection: of the file.
        version: of the schema that the statements make; above 0.
        statements: each of which may find its work done.

    Returns:
        The version of the file's schema: another than `version` is of another release.
    """
    found: int = connection.execute("pragma user_version").fetchone()[0]
    if found:
        return found
    # Another process may be making the same tables: each statement may find its work done.
    with transaction(connection):
        for statement in statements:
            connection.execute(statement)
        connection.execute(f"pragma user_version = {version}")
    return version
