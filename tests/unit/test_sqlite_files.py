from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import dagster as dg
import psutil
from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

from cdp_assets.local import dagster_instance
from cdp_assets.settings import load_settings
from cdp_assets.sqlite_files import spare_disk_syncs


@dg.asset
def something():
    return dg.MaterializeResult()


def test_a_copy_of_files_that_are_still_open_holds_every_event(tmp_path):
    settings = load_settings({"CDP_HOME": str(tmp_path / 'a "quoted" home')})
    with dagster_instance(settings) as instance:
        run_id = dg.materialize([something], instance=instance).run_id
        history = settings.dagster_home / "history" / "runs"
        assert (history / f"{run_id}.db-wal").exists(), "closing the file would have removed it"
        as_after_a_kill = shutil.copytree(history, tmp_path / "copy")

    with closing(sqlite3.connect(as_after_a_kill / f"{run_id}.db")) as connection:
        assert connection.execute("pragma integrity_check").fetchone() == ("ok",)
        (events,) = connection.execute(
            "select count(*) from event_logs where dagster_event_type = 'PIPELINE_SUCCESS'"
        ).fetchone()
    assert events == 1


def test_a_file_changes_with_every_write_and_with_no_read(tmp_path):
    spare_disk_syncs()
    path = tmp_path / "run.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("pragma journal_mode = wal")
        connection.execute("create table t (x)")
    engine = create_engine(f"sqlite:///{path}", poolclass=NullPool)

    def changes_with(statement: str) -> bool:
        os.utime(path, (0, 0))
        with engine.begin() as connection:
            connection.execute(text(statement))
        return path.stat().st_mtime > 0

    assert changes_with("insert into t values (1)")
    assert not changes_with("select * from t")


def test_only_the_files_that_were_used_last_stay_open(tmp_path):
    spare_disk_syncs()
    for number in range(20):
        path = tmp_path / f"{number:02}.db"
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("pragma journal_mode = wal")
            connection.execute("create table t (x)")
        with create_engine(f"sqlite:///{path}", poolclass=NullPool).connect():
            pass
    open_files = {Path(file.path) for file in psutil.Process().open_files()}
    assert tmp_path / "19.db" in open_files
    assert tmp_path / "00.db" not in open_files
