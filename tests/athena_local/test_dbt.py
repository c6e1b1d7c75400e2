"""The project's own models, by unmodified dbt-athena over HTTP: the same rows as on DuckDB.

One company over a full build, a late day, and a full refresh. Not here: what the models should
hold (tests/dbt).
"""

from __future__ import annotations

import duckdb
import pytest

from cdp_assets.fingerprint import is_hashed, table_hashes
from cdp_assets.identity.evidence import read_evidence
from cdp_assets.identity.match_model import load_default
from cdp_assets.resources.build import build_athena
from cdp_assets.resources.warehouse import DuckDBWarehouse
from cdp_assets.sample.generate import generate
from cdp_assets.sample.size import SampleSize
from tests.athena_local.company import TENANT, Company
from tests.athena_local.server import LocalAthena

SIZE = SampleSize(people=40, crm_rows=48, events=600, days=4, object_rows=200)
# These say when dbt ran, or how the engine hashes a text (docs: text_hash is not to be kept).
OF_THE_RUN = {
    "profile.profile_history": ("valid_from", "valid_to"),
    "identity.oversized_blocks": ("block_number",),
    "identity.touched_keys": ("block_number",),
}
SCORED = (
    "select left_record_id, right_record_id, rule, identifier_type from identity.identity_edges"
    " where rule = 'probabilistic' order by left_record_id, right_record_id limit 20"
)
ONLY_MODELS = ("--exclude-resource-type", "unit_test", "test")

pytestmark = [pytest.mark.athena, pytest.mark.parity, pytest.mark.slow]


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory, athena: LocalAthena) -> Company:
    """Its landing days but the last but one, which comes late."""
    folder = tmp_path_factory.mktemp("company")
    generate(folder / "home/lake/landing", folder / "truth.parquet", SIZE, seed=11)
    company = Company(folder / "home", athena)
    company.load([day for day in landing_days(company) if day != late_day(company)])
    company.make_python_tables()
    return company


def landing_days(company: Company) -> list[str]:
    return sorted({day.name[3:] for day in (company.folder / "lake/landing").glob("*/*/dt=*")})


def late_day(company: Company) -> str:
    return landing_days(company)[-2]


def _a_full_build_with_its_tests(company: Company) -> None:
    company.athena.service.forget()
    company.dbt_on_both(["build", *ONLY_MODELS], ["build", "--exclude-resource-type", "unit_test"])
    counts = company.athena.service.statements()
    assert counts["ctas"] >= 30, counts
    assert counts["merge"] == 0, counts
    company.settle()
    assert company.differences(OF_THE_RUN) == {}


def _a_late_day_is_added_and_not_built_anew(company: Company) -> None:
    company.load([late_day(company)])
    company.athena.service.forget()
    company.dbt_on_both(["run"], ["run"])
    counts = company.athena.service.statements()
    assert counts["merge"] >= 9, counts
    assert counts["insert"] >= 20, counts
    assert counts["delete"] >= 15, counts
    assert company.differences(OF_THE_RUN) == {}
    rebuilt = company.run(f"select count(*) from {TENANT}_identity.source_changes where is_rebuild")
    assert company.athena.service.outcome(rebuilt["QueryExecutionId"]).rows == [["0"]]


def _a_full_refresh(company: Company) -> None:
    company.settle()
    company.dbt_on_both(["run", "--full-refresh"], ["run", "--full-refresh"])
    assert company.differences(OF_THE_RUN) == {}
    left = [
        table["Name"]
        for layer in ("cleansed", "identity", "profile")
        for table in company.glue.tables(f"{TENANT}_{layer}")
        if "__" in table["Name"].removeprefix("clean_").partition("__")[2]
    ]
    assert left == []


def _what_is_published_is_read_and_hashed_alike(company: Company) -> None:
    warehouse = build_athena(company.aws_settings)
    warehouse.publish()
    local = DuckDBWarehouse(company.duckdb_path, company.duckdb_path, "1GB")
    with local.published() as ours, warehouse.published() as theirs:
        both = (ours, theirs)
        # Views, which read the published tables.
        pairs = [reader.query(SCORED).to_pylist() for reader in both]
        assert pairs[0] == pairs[1] != []
        chosen = [(row["left_record_id"], row["right_record_id"]) for row in pairs[0]]
        evidence = [read_evidence(reader, chosen, load_default()) for reader in both]
        assert evidence[0] == evidence[1] != {}
    with duckdb.connect() as copy, local.read_published() as connection:
        warehouse.copy_published(copy, is_hashed)
        assert table_hashes(copy) == table_hashes(connection)


def test_full_build_late_day_and_full_refresh_give_duckdbs_rows(company: Company) -> None:
    """One test: each step goes on where the one before it left the company."""
    _a_full_build_with_its_tests(company)
    _a_late_day_is_added_and_not_built_anew(company)
    _a_full_refresh(company)
    _what_is_published_is_read_and_hashed_alike(company)
