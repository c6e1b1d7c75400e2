"""Sparing SQLite the disk syncs that took half of a small run.

Dagster opens and closes its database files for each of the six hundred events of a run. Every
close checkpoints and every commit waits for the disk: 13 syncs for one event. Here the files stay
open and commits do not wait, which SQLite documents as safe in WAL mode: a killed process loses
nothing, a power cut loses the last events but never the file (https://sqlite.org/pragma.html,
"synchronous"). What was loaded is in the object ledger, which does wait for the disk.

Not here: where the files lie (Dagster's home), and the object ledger, which opens SQLite itself.
"""

from __future__ import annotations

import os
import sqlite3
from collections import OrderedDict
from threading import Lock
from typing import Any, Final

from sqlalchemy import event
from sqlalchemy.engine import Engine
from sqlalchemy.pool import ConnectionPoolEntry, Pool

# The index, the runs, the schedules and a few runs' events; each costs three file handles.
_MAX_OPEN: Final = 8
_PATH: Final = "cdp_sqlite_path"


def spare_disk_syncs() -> None:
    """From now on this process keeps SQLAlchemy's SQLite files open. Safe to repeat."""
    if not event.contains(Engine, "connect", spare_syncs):
        event.listen(Engine, "connect", spare_syncs)
        event.listen(Pool, "close", tell_watchers)


class _OpenFiles:
    """An idle connection to each of the files that were used last.

    SQLite checkpoints a file when its last connection closes; with one left open it does so only
    every thousand pages.
    """

    def __init__(self) -> None:
        self._connections: OrderedDict[str, sqlite3.Connection] = OrderedDict()
        self._lock = Lock()

    def keep(self, path: str) -> None:
        """Keep this file open, and let the one go that was used least recently."""
        with self._lock:
            if path not in self._connections:
                connection = sqlite3.connect(path, check_same_thread=False)
                # SQLite opens the write-ahead log at the first read.
                connection.execute("select count(*) from sqlite_master").fetchone()
                self._connections[path] = connection
            self._connections.move_to_end(path)
            if len(self._connections) > _MAX_OPEN:
                self._connections.popitem(last=False)[1].close()


_OPEN_FILES: Final = _OpenFiles()


def spare_syncs(connection: Any, record: ConnectionPoolEntry) -> None:
    """Make a new connection of SQLAlchemy to a SQLite file in WAL mode wait for no disk."""
    if not isinstance(connection, sqlite3.Connection):
        return
    path = connection.execute("pragma database_list").fetchone()[2]
    if path and connection.execute("pragma journal_mode").fetchone()[0] == "wal":
        connection.execute("pragma synchronous = normal")
        _OPEN_FILES.keep(path)
        record.info[_PATH] = path


def tell_watchers(connection: Any, record: ConnectionPoolEntry) -> None:
    """Touch a file that was written to: the UI shows a run's new events when its file changes.

    What is written goes to the write-ahead log beside it, until the next checkpoint.
    """
    if _PATH in record.info and connection.total_changes:
        os.utime(record.info[_PATH])
