"""A SQLite file of the platform's own: how it is opened, changed at once, and given its tables.

Not here: what is in the tables (`object_ledger`, `profile_store`, `checkpoints`), what is said of a
damaged file; Dagster's own files (`cdp_assets.sqlite_files`).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from cdp_assets.errors import disk_fault
from cdp_assets.failpoints import reach

# The rest of an error's code says more than anybody can act on.
_KIND: Final = 0xFF
_WHAT_TO_DO: Final = {
    sqlite3.SQLITE_FULL: "Free space there",
    sqlite3.SQLITE_IOERR: "Look at the disk, and at the limit of file sizes (`ulimit -f`)",
    sqlite3.SQLITE_CANTOPEN: "Free space there, or give this user the right to its folder",
    sqlite3.SQLITE_PERM: "Give this user the right",
    sqlite3.SQLITE_READONLY: "Give this user the right, or mount it for writing",
    sqlite3.SQLITE_BUSY: "Let the process that uses it end",
}


@contextmanager
def open_file(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a file, made with its folder on first use. A statement outside a transaction commits."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise sqlite3.OperationalError(disk_fault(error)) from error
    with closing(sqlite3.connect(path, timeout=30, isolation_level=None)) as connection:
        yield connection


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Let all statements of the block take effect, or none."""
    # Immediate: two writers queue at the start instead of failing half-way.
    connection.execute("begin immediate")
    try:
        yield
        reach("sqlite.before_commit")
        connection.execute("commit")
    except BaseException:
        # SQLite itself goes back where a disk is full.
        if connection.in_transaction:
            connection.execute("rollback")
        raise
    reach("sqlite.after_commit")


def file_fault(error: sqlite3.OperationalError) -> str:
    """What SQLite said of a file and what to do, as it stands after `... cannot be used: `."""
    # An error of ours has no code, and says what to do by itself.
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:
        return str(error)
    return f"{error}. {_WHAT_TO_DO.get(code & _KIND, 'Mend that')}, then run again."


def make_tables(connection: sqlite3.Connection, versions: Sequence[Iterable[str]]) -> int:
    """Make the tables of a new file, and give those of an older release what they lack.

    Args:
        connection: of the file.
        versions: for each version of the schema the statements that lead to it from the one before,
            the first from nothing.

    Returns:
        The version of the file's schema: a larger one than there are is of a newer release.
    """
    found = _version(connection)
    if found >= len(versions):
        return found
    with transaction(connection):
        # Another process may have been faster.
        for statements in versions[_version(connection) :]:
            for statement in statements:
                connection.execute(statement)
        connection.execute(f"pragma user_version = {len(versions)}")
    return len(versions)


def _version(connection: sqlite3.Connection) -> int:
    return connection.execute("pragma user_version").fetchone()[0]
