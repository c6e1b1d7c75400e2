"""The made-up town is one to learn from: the same for a seed, and hard where real files are."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from benchmarks.households import generate

RECORDS = 20_000


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("town") / "town.parquet"
    generate(file, RECORDS, seed=1)
    return file


def one(sql: str) -> float:
    [(value,)] = duckdb.execute(sql).fetchall()
    return value


def test_the_file_has_as_many_records_as_were_asked_for(town):
    assert one(f"select count(*) from '{town}'") == RECORDS
    assert one(f"select count(distinct record_id) from '{town}'") == RECORDS


def test_a_seed_gives_the_same_town_and_another_seed_another(town, tmp_path):
    for name, seed in (("same", 1), ("other", 2)):
        generate(tmp_path / f"{name}.parquet", RECORDS, seed)
    differing = f"select count(*) from (from '{town}' except from '{tmp_path}/%s.parquet')"
    assert one(differing % "same") == 0
    assert one(differing % "other") > RECORDS / 2


def test_people_have_from_one_to_twelve_records(town):
    sizes = f"(select count(*) as n from '{town}' group by person_id)"
    assert one(f"select max(n) from {sizes}") == 12
    assert one(f"select avg((n = 1)::int) from {sizes}") == pytest.approx(0.3, abs=0.05)


@pytest.mark.parametrize("shared", ["email", "phone", "address"])
def test_relatives_share_what_people_are_told_by(town, shared):
    owners = f"""(
        select count(distinct person_id) as people, count(distinct person_id) > 1
            and count(distinct person_id) < 10 as is_shared
        from '{town}' where {shared} is not null group by {shared} having count(*) > 1
    )"""
    assert one(f"select avg(is_shared::int) from {owners}") > 0.1


def test_names_have_a_long_tail(town):
    names = f"(select count(distinct person_id) as n from '{town}' group by lower(last_name))"
    assert one(f"select max(n) / sum(n) from {names}") == pytest.approx(0.01, abs=0.005)
    assert one(f"select sum((n <= 3)::int * n) / sum(n) from {names}") > 0.2
