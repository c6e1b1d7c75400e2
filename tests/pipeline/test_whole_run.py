"""The main job end to end: what came in is accounted for, and how it came does not matter."""

from __future__ import annotations

import random
import re
import shutil

import duckdb
import pytest

from tests.homes import Home


def _query(home: Home, sql: str) -> list[tuple]:
    with duckdb.connect(str(home.published), read_only=True) as connection:
        return connection.execute(sql).fetchall()


def test_the_summary_adds_up_for_every_source(loaded):
    lines = loaded.cdp("summary").stdout.splitlines()
    rows = [re.findall(r"[\d,]+", line.split(maxsplit=1)[1]) for line in lines if "adds up" in line]
    assert len(rows) == 7
    for records_in, loaded_, duplicate, suppressed, quarantined in (
        (int(cell.replace(",", "")) for cell in row) for row in rows
    ):
        assert records_in == loaded_ + duplicate + suppressed + quarantined


def test_identity_agrees_with_the_ground_truth(loaded):
    text = loaded.cdp("summary").stdout
    found = re.search(r"precision ([\d.]+), recall ([\d.]+)", text)
    assert found is not None
    precision, recall = float(found[1]), float(found[2])
    assert precision >= 0.99
    assert recall >= 0.80


def test_every_published_profile_value_names_the_record_it_came_from(loaded):
    orphans = _query(
        loaded,
        """
        select count(*) from profile.customer_attributes as a
        anti join identity.customer_map as m using (customer_id, record_id)
        """,
    )
    assert orphans == [(0,)]


def test_a_second_run_finds_nothing_new_and_changes_nothing(loaded, tmp_path):
    home = loaded.copy(tmp_path / "home")
    before = home.published.stat().st_mtime_ns
    text = home.cdp("run").stdout
    assert "Nothing new in landing" in text
    assert home.published.stat().st_mtime_ns == before


@pytest.mark.fault("F44")
def test_no_run_tells_the_event_log_whose_data_it_was(loaded):
    """Addresses and numbers of real customers are looked for in everything Dagster wrote."""
    values = _query(
        loaded,
        """
        select value from profile.customer_attributes
        where attribute in ('email', 'phone') and length(value) > 8
        """,
    )
    canaries = {value.encode() for (value,) in random.Random(1).sample(values, 200)}
    written = b"".join(
        path.read_bytes() for path in (loaded.path / "dagster").rglob("*") if path.is_file()
    )
    assert [value for value in canaries if value in written] == []


@pytest.mark.slow
def test_a_home_that_was_moved_is_set_right_by_the_next_run(loaded, tmp_path):
    home = Home(tmp_path / "elsewhere")
    shutil.copytree(loaded.path, home.path)
    refused = home.cdp("summary", check=False)
    assert refused.returncode == 1
    assert "after a home was moved, `cdp run`" in refused.stderr
    assert "This home was moved" in home.cdp("run").stdout
    assert home.cdp("summary").stdout == loaded.cdp("summary").stdout
    assert home.hashes() == loaded.hashes()
    assert "moved" not in home.cdp("run").stdout
