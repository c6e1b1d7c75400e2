"""`python -m benchmarks.identity`, as anybody runs it: the shipped pipeline on a small town."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import duckdb
import pytest

from benchmarks.households import MAPPING, TRUTH, generate
from cdp_assets.settings import PROJECT_ROOT

pytestmark = pytest.mark.slow
RECORDS = 3_000


def command(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "benchmarks.identity", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        cwd=PROJECT_ROOT,
    )


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A small town, half of it as CSV and half as Parquet."""
    folder = tmp_path_factory.mktemp("town")
    generate(folder / "town.parquet", RECORDS, seed=3)
    halves = (folder / "first.csv", folder / "second.parquet")
    for place, half in enumerate(halves):
        rows = f"from '{folder}/town.parquet' where record_id::int % 2 = {place}"
        duckdb.execute(f"copy ({rows}) to '{half}'")
    return halves


@pytest.fixture(scope="module")
def done(town: tuple[Path, Path]) -> subprocess.CompletedProcess[str]:
    """The command on both halves, with its defaults."""
    options = ("--truth", TRUTH, "--map", MAPPING, "--country", "US")
    found = command(*town, *options, "--json")
    assert found.returncode == 0, found.stderr
    return found


@pytest.fixture(scope="module")
def figures(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    return json.loads(done.stdout.splitlines()[-1])


def test_the_last_line_is_one_object_with_exactly_these_keys(figures):
    agreements = {"pair", "cluster", "b_cubed"}
    assert set(figures) == agreements | {
        *("records", "entities", "clusters", "exact_entity_rate", "over_merged_share"),
        *("largest_cluster", "cpu_seconds", "peak_rss_bytes"),
    }
    for name in agreements:
        assert set(figures[name]) == {"precision", "recall", "f1"}


def test_every_record_of_every_file_is_matched(figures, town):
    assert figures["records"] == RECORDS
    people = f"(select {TRUTH} from '{town[0]}' union all select {TRUTH} from '{town[1]}')"
    [(entities,)] = duckdb.execute(f"select count(distinct {TRUTH}) from {people}").fetchall()
    assert figures["entities"] == entities


def test_people_are_found_and_relatives_kept_apart(figures):
    assert figures["cluster"]["f1"] > 0.95
    assert figures["b_cubed"]["f1"] > 0.96
    assert figures["cluster"]["precision"] > 0.98
    assert figures["over_merged_share"] < 0.015
    assert figures["largest_cluster"] <= 3 * 12


def test_the_cost_is_that_of_all_processes(figures):
    assert figures["cpu_seconds"] > 1
    assert figures["peak_rss_bytes"] > 100 * 2**20


def test_the_table_names_every_stage(done):
    stages = ("reading", "cleansed", "training", "identity models", "clusters", "customer map")
    for stage in stages:
        assert f"\n{stage} " in done.stdout


def test_a_mistake_is_one_sentence_and_no_traceback(town):
    found = command(town[0], "--truth", "entity", "--map", "first_name=first_name")
    assert found.returncode == 1
    assert found.stdout == ""
    assert found.stderr.startswith("benchmarks.identity: --truth: there is no column entity")
    assert "Traceback" not in found.stderr
