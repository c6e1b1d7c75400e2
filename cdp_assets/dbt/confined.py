"""A plugin of dbt-duckdb: what dbt's own connection may read, and what it may tell of an error.

`profiles.yml` names this module. Its settings cannot confine: dbt sets those anew for each cursor,
and DuckDB refuses to be told twice. The values that an error repeats would go to dbt's log, and
from there to Dagster's.
"""

from __future__ import annotations

from typing import Any

import duckdb
from dbt.adapters.duckdb.environments.local import DuckDBCursorWrapper
from dbt.adapters.duckdb.plugins import BasePlugin
from dbt_common.exceptions import DbtDatabaseError

from cdp_assets.resources.confinement import confine
from cdp_assets.resources.sql_errors import told
from cdp_assets.settings import DBT_PROJECT_DIR, load_settings


class Plugin(BasePlugin):
    """Named as dbt-duckdb looks for it."""

    def initialize(self, plugin_config: dict[str, Any]) -> None:
        """Put errors into words without values; dbt-duckdb has no place of its own for that."""
        DuckDBCursorWrapper.execute = _execute

    def configure_connection(self, conn: duckdb.DuckDBPyConnection) -> None:
        """Confine a connection that was just opened to the raw files and the seeds."""
        confine(conn, load_settings().raw_folder, DBT_PROJECT_DIR / "seeds")


def _execute(self: DuckDBCursorWrapper, sql: str, bindings: Any = None) -> Any:
    try:
        if bindings is None:
            return self._cursor.execute(sql)
        return self._cursor.execute(sql, bindings)
    except duckdb.Error as error:
        raise DbtDatabaseError(told(error)) from None
