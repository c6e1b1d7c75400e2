"""The project's own models, by unmodified dbt-athena over HTTP: the same rows as on DuckDB.

One company over a full build, a late day, and a full refresh. Not here: what the models should
hold (tests/dbt).
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cdp_assets.sample.generate import generate
from cdp_assets.sample.size import SampleSize
from tests.athena_local.company import TENANT, Company
from tests.athena_local.server import running

SIZE = SampleSize(people=40, crm_rows=48, events=600, days=4, object_rows=200)
# These say when dbt ran, or how the engine hashes a text (docs: text_hash is not to be kept).
OF_THE_RUN = {
    "profile.profile_history": ("valid_from", "valid_to"),
    "identity.oversized_blocks": ("block_number",),
}
ONLY_MODELS = ("--exclude-resource-type", "unit_test", "test")

# A known gap, not a pass: it held before the increments were made cheaper and was not found since.
not_yet = pytest.mark.xfail(run=False, reason="the late day fails on the merged models")

pytestmark = [pytest.mark.athena, pytest.mark.slow]


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Company]:
    """Its landing days but the last but one, which comes late."""
    folder = tmp_path_factory.mktemp("company")
    with running(folder / "objects") as athena, pytest.MonkeyPatch.context() as environment:
        for name, value in athena.environment.items():
            environment.setenv(name, value)
        generate(folder / "home/lake/landing", folder / "truth.parquet", SIZE, seed=11)
        company = Company(folder / "home", athena)
        company.load([day for day in landing_days(company) if day != late_day(company)])
        company.make_python_tables()
        yield company


def landing_days(company: Company) -> list[str]:
    return sorted({day.name[3:] for day in (company.folder / "lake/landing").glob("*/*/dt=*")})


def late_day(company: Company) -> str:
    return landing_days(company)[-2]


def test_a_full_build_with_its_tests_gives_duckdbs_rows(company: Company) -> None:
    company.dbt("local", "build", *ONLY_MODELS)
    company.athena.service.forget()
    company.dbt("aws", "build", "--exclude-resource-type", "unit_test")
    counts = company.athena.service.statements()
    assert counts["ctas"] >= 30, counts
    assert counts["merge"] == 0, counts
    company.settle()
    assert company.differences(OF_THE_RUN) == {}


@not_yet
def test_a_late_day_is_added_and_not_built_anew(company: Company) -> None:
    company.load([late_day(company)])
    company.dbt("local", "run")
    company.athena.service.forget()
    company.dbt("aws", "run")
    counts = company.athena.service.statements()
    assert counts["merge"] >= 9, counts
    assert counts["insert"] >= 20, counts
    assert counts["delete"] >= 15, counts
    assert company.differences(OF_THE_RUN) == {}
    rebuilt = company.run(f"select count(*) from {TENANT}_identity.source_changes where is_rebuild")
    assert company.athena.service.outcome(rebuilt["QueryExecutionId"]).rows == [["0"]]


@not_yet
def test_a_full_refresh_gives_duckdbs_rows(company: Company) -> None:
    company.settle()
    company.dbt("local", "run", "--full-refresh")
    company.dbt("aws", "run", "--full-refresh")
    assert company.differences(OF_THE_RUN) == {}
    left = [
        table["Name"]
        for layer in ("cleansed", "identity", "profile")
        for table in company.glue.tables(f"{TENANT}_{layer}")
        if "__" in table["Name"].removeprefix("clean_").partition("__")[2]
    ]
    assert left == []
