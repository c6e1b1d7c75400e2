"""`cdp doctor`: is the state of this home sound, and how to build it anew from landing.

State is what can be made again: the ledger, the raw files, the warehouse, the profile store.
Customer ids are a function of the data, so a rebuild gives the same ones. Not here: landing and the
decisions files, which nobody can make again and nothing here touches; nor the key of the hashes.
"""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path

import duckdb

from cdp_assets.errors import PlatformError
from cdp_assets.local import claim_home
from cdp_assets.resources.build import build_ledger, build_object_store
from cdp_assets.settings import Settings
from cdp_assets.sources.tables import RAW, is_empty_file


def diagnose(settings: Settings) -> list[str]:
    """What is wrong with the state of this home, one sentence each; empty when it is sound."""
    return [*_ledger_faults(settings), *_warehouse_faults(settings)]


def set_state_aside(settings: Settings) -> Path:
    """Move the state out of the way; the next run builds it from landing.

    Returns:
        The folder that the old state is in. It is never deleted from here.

    Raises:
        PlatformError: the lake is not on this machine.
        HomeInUseError: another process works in this home.
    """
    lake = settings.lake_folder
    if lake is None:
        raise PlatformError(
            "The lake is not on this machine: move its raw/ and quarantine/ folders aside by hand, "
            "then the ledger and the warehouse of this home."
        )
    aside = settings.home / f"aside-{datetime.now(UTC):%Y%m%dT%H%M%S}"
    state = [
        settings.ledger_path,
        settings.profile_store_path,
        settings.warehouse_path.parent,
        lake / RAW,
        lake / "quarantine",
    ]
    with claim_home(settings, "cdp doctor"):
        aside.mkdir()
        for path in state:
            if path.exists():
                shutil.move(path, aside / path.name)
    return aside


def _ledger_faults(settings: Settings) -> list[str]:
    try:
        rows = build_ledger(settings).rows().to_pylist()
        files = {
            info.key
            for info in build_object_store(settings).list(RAW)
            if not is_empty_file(info.key)
        }
    except PlatformError as error:
        return [str(error)]
    named = {row["raw_path"] for row in rows if row["status"] == "loaded" and row["raw_path"]}
    faults = []
    if named - files:
        faults.append(f"{len(named - files)} raw files that the ledger names are gone.")
    if files - named:
        faults.append(f"{len(files - named)} raw files are in no row of the ledger.")
    return faults


def _warehouse_faults(settings: Settings) -> list[str]:
    faults = []
    for path in (settings.warehouse_path, settings.published_path):
        if not path.exists():
            continue
        try:
            with duckdb.connect(str(path), read_only=True) as connection:
                tables = connection.execute(
                    "select schema_name, table_name from duckdb_tables()"
                ).fetchall()
                for schema, table in tables:
                    connection.execute(f'select count(*) from {schema}."{table}"').fetchone()
        except duckdb.Error as error:
            faults.append(f"{path} cannot be read: {str(error).splitlines()[0]}")
    return faults
