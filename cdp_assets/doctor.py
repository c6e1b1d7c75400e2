"""`cdp doctor`: is the state of this home sound, and how to build it anew from landing.

State is what can be made again: the ledger, the raw files, the warehouse, the profile store, dbt's
build products. Customer ids are a function of the data, so a rebuild gives the same ones. Not
here: landing and the decisions files, which nobody can make again and nothing here touches.

Two depths: what a command looks at before it begins costs milliseconds (`check_state`); the doctor
reads everything there is, page checksums included (`diagnose`).
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from cdp_assets.built_by import BUILT_BY, refuse_newer
from cdp_assets.errors import PlatformError
from cdp_assets.local import claim_home
from cdp_assets.naming import SOURCES
from cdp_assets.resources.build import (
    build_ledger,
    build_object_store,
    build_profile_store,
    build_secrets,
)
from cdp_assets.resources.object_store import ObjectStore, seekable
from cdp_assets.resources.sqlite import open_file
from cdp_assets.resources.warehouse import open_duckdb
from cdp_assets.run import RunFailedError
from cdp_assets.settings import Settings
from cdp_assets.sources.tables import QUARANTINE, RAW, is_empty_file

_WHAT_TO_DO: Final = "`cdp doctor --rebuild` sets the state aside and builds it anew from landing."


class DamagedStateError(PlatformError):
    """The state of this home is damaged; the message says what of it, and what to do."""


def check_state(settings: Settings) -> None:
    """Look over the state before work begins, as far as that takes no time worth mentioning.

    Raises:
        DamagedStateError: something of it is damaged or gone.
    """
    if settings.profile == "local":
        _raise(_faults(settings, is_thorough=False))


def was_moved(settings: Settings) -> bool:
    """Whether what is published shows raw files of another folder than this home's."""
    if settings.raw_folder is None or not settings.published_path.exists():
        return False
    folder = str(settings.raw_folder).replace("'", "''")
    with open_duckdb(settings.published_path, read_only=True) as connection:
        shown = connection.execute(
            "select bool_and(contains(sql, ?)) from duckdb_views() where schema_name = ?",
            [folder, SOURCES],
        ).fetchone()
    return shown == (False,)


@contextmanager
def damage_told(settings: Settings) -> Iterator[None]:
    """Tell of damaged state where a run fails of something that nobody foresaw.

    Raises:
        DamagedStateError: in place of the run's own error, which it repeats.
    """
    try:
        yield
    except RunFailedError as error:
        if settings.profile == "local" and not error.is_explained:
            _raise(diagnose(settings), after=error)
        raise


def diagnose(settings: Settings) -> list[str]:
    """What is wrong with the state of this home, one sentence each; empty when it is sound."""
    return list(_faults(settings, is_thorough=True))


def set_state_aside(settings: Settings) -> Path:
    """Move the state out of the way; the next run builds it from landing.

    What cannot be made again goes only where it is of no use any more: Dagster's history when it
    cannot be read, the key of the hashes when it is cut short.

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
        settings.dbt_target_path,
        lake / RAW,
        lake / QUARANTINE,
    ]
    with claim_home(settings, "cdp doctor"):
        if any(_log_faults(settings, is_thorough=True)):
            state.append(settings.dagster_home)
        if any(_key_faults(settings)):
            state.append(settings.hmac_key_path)
        aside.mkdir()
        for path in state:
            if path.exists():
                shutil.move(path, aside / path.name)
    return aside


def _raise(faults: Iterable[str], after: Exception | None = None) -> None:
    told = [*([str(after)] if after else []), *faults]
    if len(told) > bool(after):
        raise DamagedStateError("\n".join([*told, _WHAT_TO_DO])) from after


def _faults(settings: Settings, *, is_thorough: bool) -> Iterator[str]:
    yield from _log_faults(settings, is_thorough=is_thorough)
    yield from _key_faults(settings)
    yield from _store_faults(settings, is_thorough=is_thorough)
    yield from _ledger_faults(settings, is_thorough=is_thorough)
    yield from _warehouse_faults(settings, is_thorough=is_thorough)


def _log_faults(settings: Settings, *, is_thorough: bool) -> Iterator[str]:
    """What is wrong with Dagster's storage. A file that is gone is made anew, without a past."""
    for path in sorted(settings.dagster_home.rglob("*.db")):
        said = _sqlite_fault(path, is_thorough=is_thorough)
        if said:
            yield f"Dagster's history {path} is damaged ({said})."


def _key_faults(settings: Settings) -> Iterator[str]:
    if settings.hmac_key_path.exists() or settings.profile_store_path.exists():
        try:
            build_secrets(settings).hmac_key()
        except PlatformError as error:
            yield str(error)


def _store_faults(settings: Settings, *, is_thorough: bool) -> Iterator[str]:
    path = settings.profile_store_path
    if not path.exists():
        return
    try:
        build_profile_store(settings).get("")
    except PlatformError as error:
        yield str(error)
        return
    said = _sqlite_fault(path, is_thorough=is_thorough)
    if said:
        yield f"The profile store {path} is damaged ({said})."


def _ledger_faults(settings: Settings, *, is_thorough: bool) -> Iterator[str]:
    path, store = settings.ledger_path, build_object_store(settings)
    said = _sqlite_fault(path, is_thorough=is_thorough) if path.exists() else None
    if said:
        yield f"The object ledger {path} is damaged ({said})."
        return
    try:
        rows = build_ledger(settings).rows().to_pylist()
        there = {
            info.key
            for layer in (RAW, QUARANTINE)
            for info in store.list(layer)
            if not is_empty_file(info.key)
        }
    except PlatformError as error:
        yield str(error)
        return
    named = _files_named(rows)
    gone, unnamed = sorted(named.keys() - there), sorted(there - named.keys())
    if gone:
        yield f"{len(gone)} files that the ledger names are gone: {gone[0]}{_more(gone)}."
    # One that a killed run left is replaced by the next run; the doctor is asked after that.
    if unnamed and (is_thorough or not rows):
        yield f"{len(unnamed)} files are in no row of the ledger: {unnamed[0]}{_more(unnamed)}."
    # A lake elsewhere keeps checksums of its own, and reading all of it costs.
    if is_thorough and settings.lake_folder is not None:
        yield from _file_faults(store, {key: named[key] for key in named.keys() & there})


def _files_named(rows: Iterable[dict[str, Any]]) -> dict[str, int | None]:
    """Keys of files that should be there, with the number of their rows where it is known."""
    named: dict[str, int | None] = {}
    for row in rows:
        if row["status"] == "loaded" and row["raw_path"]:
            named[row["raw_path"]] = row["records_loaded"]
        if row["status"] in ("loaded", "refused") and row["quarantine_path"]:
            named[row["quarantine_path"]] = None
    return named


def _file_faults(store: ObjectStore, files: dict[str, int | None]) -> Iterator[str]:
    """Files that cannot be read from the first page to the last, or hold another number of rows."""
    for key, expected in sorted(files.items()):
        try:
            with store.open_reader(key) as (_, handle), seekable(handle) as file:
                parquet = pq.ParquetFile(file, page_checksum_verification=True)
                count = sum(batch.num_rows for batch in parquet.iter_batches())
        except (pa.ArrowException, OSError) as error:
            yield f"{key} is damaged ({str(error).partition(chr(10))[0]})."
            continue
        if expected is not None and count != expected:
            yield f"{key} holds {count:,} rows, and the ledger says {expected:,}."


def _warehouse_faults(settings: Settings, *, is_thorough: bool) -> Iterator[str]:
    for path in (settings.warehouse_path, settings.published_path):
        if not path.exists():
            continue
        try:
            with open_duckdb(path, read_only=True) as connection:
                tables = connection.execute(
                    "select schema_name, table_name from duckdb_tables() order by all"
                ).fetchall()
                for schema, table in tables if is_thorough else ():
                    connection.execute(
                        f'select bit_xor(hash(whole)) from {schema}."{table}" as whole'
                    ).fetchone()
                if BUILT_BY in tables:
                    releases = connection.execute(f"select release from {'.'.join(BUILT_BY)}")
                    refuse_newer(release for (release,) in releases.fetchall())
        except PlatformError as error:
            yield str(error)


def _sqlite_fault(path: Path, *, is_thorough: bool) -> str | None:
    """What SQLite has against a file, or None."""
    look = "pragma integrity_check(1)" if is_thorough else "select count(*) from sqlite_master"
    try:
        with open_file(path) as connection:
            said = str(connection.execute(look).fetchone()[0])
    except sqlite3.DatabaseError as error:
        return str(error)
    return said if is_thorough and said != "ok" else None


def _more(items: list[str]) -> str:
    return f" and {len(items) - 1} more" if len(items) > 1 else ""
