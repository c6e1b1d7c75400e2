"""What a DuckDB connection may touch on disk: its own file, and a folder or two to read from.

Data names files: the views over raw files hold a glob, and a hostile value that came to be taken
for SQL would name any. DuckDB refuses what lies elsewhere, `..` and symbolic links included, and
takes neither setting back while the file is open. Not here: who opens what (`warehouse`, `dbt`).
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Final

import duckdb

# Readers in other threads open the same file: only the first may set what none can set again.
_LOCK: Final = threading.Lock()


def confine(connection: duckdb.DuckDBPyConnection, *folders: Path | None) -> None:
    """Let a connection read files of these folders and no others. Safe to repeat.

    All connections to one file in one process share this. `lock_configuration` would lock what
    dbt sets for each of its cursors, too, and adds nothing: neither setting can be undone.

    Args:
        connection: just opened.
        folders: absolute; None counts for none.
    """
    with _LOCK:
        asked = connection.execute("select current_setting('enable_external_access')").fetchone()
        if asked == (False,):
            return
        paths = [f"{folder.resolve()}/".replace("'", "''") for folder in folders if folder]
        quoted = ", ".join(f"'{path}'" for path in paths)
        connection.execute(f"set allowed_directories = [{quoted}]")
        connection.execute("set enable_external_access = false")
