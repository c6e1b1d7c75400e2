"""Object names that mean harm, on both kinds of lake: nothing leaves it, the rest is loaded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.s3.models import s3_backends

from cdp_assets.resources.confinement import confine
from cdp_assets.resources.object_store import LocalObjectStore, S3ObjectStore
from cdp_assets.resources.warehouse import DuckDBWarehouse, RawTable, StatementError
from cdp_assets.settings import load_settings
from cdp_assets.sources.planner import plan_source
from tests.unit.s3 import s3_endpoint, s3_store  # noqa: F401 - fixtures
from tests.unit.sources.conftest import (  # noqa: F401 - fixtures
    DAY,
    Lake,
    contracts,
    crm,
    crm_csv,
    crm_row,
    lakes,
)

pytestmark = pytest.mark.fault("F40")

FOLDER = f"landing/crm/contacts/dt={DAY}"
# Below the root of a bucket; a folder can hold only some of them.
ON_S3 = (
    f"{FOLDER}/../../../etc/passwd",
    f"{FOLDER}//double.csv",
    f"{FOLDER}/./dot.csv",
    f"{FOLDER}/line\nbreak.csv",
    f"{FOLDER}/nul\x00.csv",
    f"{FOLDER}/escape\x1b[2J.csv",
    f"{FOLDER}/\u202evsc.exe",
    f"landing/crm//etc/passwd/dt={DAY}/x.csv",
    f"landing/crm/contacts; drop table x/dt={DAY}/x.csv",
    "landing/crm/contacts/dt=2026-03-01'--/x.csv",
    "landing/crm/contacts/dt={{ var('x') }}/x.csv",
    "landing/crm/contacts/dt=2026-02-30/x.csv",
    "landing/crm/contacts/dt=9999-12-31/x.csv",
    "landing/crm/unheard_of/dt=2026-03-01/x.csv",
    "landing/crm/Contacts/dt=2026-03-01/x.csv",
    "landing/crm/x.csv",
)
IN_A_FOLDER = tuple(
    key
    for key in ON_S3
    if not any(p in ("", ".", "..") for p in key.split("/")) and "\0" not in key
)


def problems(lake: Lake) -> list[str]:
    """What is told of the landing folder before a run; the ledger knows it, too."""
    plan = plan_source("crm", [lake.contract], lake.store, lake.ledger, load_settings({}))
    assert {found.object_key for found in lake.ledger.unknown()} == {
        found.object_key for found in plan.unknown
    }
    assert [landed.info.key for landed in plan.objects] == [f"{FOLDER}/good.csv"]
    return plan.problems


@pytest.fixture
def good(crm: Lake) -> Lake:  # noqa: F811
    crm.land("good.csv", crm_csv(crm_row(1)))
    return crm


def test_odd_names_in_a_folder_are_reported_and_the_rest_is_loaded(good: Lake) -> None:
    for key in IN_A_FOLDER:
        path = Path(good.store.url(key))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(crm_csv(crm_row(2)))
    told = problems(good)
    assert len(told) == len(IN_A_FOLDER) == 11
    assert all(line.isprintable() for line in told)
    assert good.extract_day().total.objects == 1
    assert [row["contact_id"] for row in good.raw()] == ["1"]


def test_odd_names_in_a_bucket_are_reported_and_the_rest_is_loaded(
    good: Lake,
    s3_store: S3ObjectStore,  # noqa: F811
) -> None:
    lake = replace(good, store=s3_store)
    lake.land("good.csv", crm_csv(crm_row(1)))
    client, bucket = s3_store._client, s3_store._bucket
    # Not by a request: moto's routes, unlike S3, end at a line break.
    backend = s3_backends[DEFAULT_ACCOUNT_ID]["aws"]
    for key in ON_S3:
        backend.put_object(bucket, f"tenant/lake/{key}", crm_csv(crm_row(2)))
    told = problems(lake)
    # A report names ten, and counts the others.
    assert told[10:] == [f"{len(ON_S3) - 10} more unknown objects are not loaded."]
    assert all(line.isprintable() for line in told)
    assert lake.extract_day().total.objects == 1
    assert [row["contact_id"] for row in lake.raw()] == ["1"]
    written = client.list_objects_v2(Bucket=bucket)["Contents"]
    assert all(item["Key"].startswith("tenant/lake/") for item in written)


def test_a_name_of_a_thousand_bytes_is_loaded_from_a_bucket(
    good: Lake,
    s3_store: S3ObjectStore,  # noqa: F811
) -> None:
    lake = replace(good, store=s3_store)
    longest = 1024 - len(f"tenant/lake/{FOLDER}/".encode())
    entry = lake.load(crm_csv(crm_row(1)), "ü" * (longest // 2))
    assert (entry.status, len(lake.raw())) == ("loaded", 1)
    assert len(entry.raw_path) < 100


def test_a_name_as_long_as_a_folder_takes_is_loaded(good: Lake) -> None:
    assert good.load(crm_csv(crm_row(1)), "/".join(["f" * 255] * 3)).status == "loaded"


@pytest.mark.parametrize("target", ["file", "folder", "day", "entity", "source", "itself"])
def test_a_symbolic_link_is_reported_and_not_followed(
    good: Lake, tmp_path: Path, target: str
) -> None:
    outside = tmp_path / "outside" / "contacts" / f"dt={DAY}"
    outside.mkdir(parents=True)
    (outside / "secret.csv").write_bytes(crm_csv(crm_row("secret")))
    landing = tmp_path / "lake" / "landing"
    link, leads_to = {
        "file": (landing / f"crm/contacts/dt={DAY}/a.csv", outside / "secret.csv"),
        "folder": (landing / f"crm/contacts/dt={DAY}/a", outside),
        "day": (landing / "crm/contacts/dt=2026-03-02", outside),
        "entity": (landing / "crm/more", outside.parent),
        "source": (landing / "web", outside.parent.parent),
        # One that leads back into the lake would load its objects again, or for ever.
        "itself": (landing / "crm/contacts/loop", landing),
    }[target]
    link.symlink_to(leads_to)
    source = "web" if target == "source" else "crm"
    plan = plan_source(source, [good.contract], good.store, good.ledger, load_settings({}))
    assert [found.object_key for found in plan.unknown] == [
        str(link.relative_to(tmp_path / "lake"))
    ]
    assert "symbolic link" in plan.problems[0]
    for day in (DAY, "2026-03-02"):
        good.extract_day(day)
    assert [row["contact_id"] for row in good.raw()] == ["1"]


class TestConfinedSql:
    """DuckDB reads files by names that come from data: the views over raw files."""

    @pytest.fixture
    def raw(self, tmp_path: Path) -> Path:
        raw = tmp_path / "it's a lake" / "raw"
        for folder in (raw / "dt=2026-03-01", tmp_path / "secrets"):
            folder.mkdir(parents=True)
            pq.write_table(pa.table({"word": [folder.parent.name]}), folder / "a.parquet")
        (raw / "link.parquet").symlink_to(tmp_path / "secrets" / "a.parquet")
        (raw / "up").symlink_to(tmp_path)
        return raw

    @pytest.fixture
    def warehouse(self, raw: Path, tmp_path: Path) -> DuckDBWarehouse:
        made = DuckDBWarehouse(tmp_path / "w.duckdb", tmp_path / "p.duckdb", "1GB", raw)
        table = RawTable("raw_words", pa.schema([("word", pa.string())]), str(raw))
        made.expose_raw([table])
        made.publish()
        return made

    def elsewhere(self, raw: Path) -> Iterator[str]:
        for path in (
            raw.parent.parent / "secrets" / "a.parquet",
            raw / ".." / ".." / "secrets" / "a.parquet",
            raw / "link.parquet",
            raw / "up" / "secrets" / "a.parquet",
        ):
            yield str(path).replace("'", "''")

    def test_a_warehouse_reads_its_raw_files_and_no_others(
        self, warehouse: DuckDBWarehouse, raw: Path
    ) -> None:
        sql = "select word from sources.raw_words"
        assert warehouse.query(sql)["word"].to_pylist() == ["raw"]
        with warehouse.published() as reader:
            assert reader.query(sql)["word"].to_pylist() == ["raw"]
            for path in self.elsewhere(raw):
                for run in (warehouse.query, reader.query):
                    with pytest.raises(StatementError, match="disabled by configuration"):
                        run(f"from read_parquet('{path}')")
                    with pytest.raises(StatementError, match="disabled by configuration"):
                        run("select content from read_text('/etc/passwd')")

    @pytest.mark.parametrize(
        "sql",
        [
            "copy (select 1) to '{outside}/x.csv'",
            "attach '{outside}/x.duckdb'",
            "export database '{outside}'",
            "install httpfs",
            "load '{outside}/x.duckdb_extension'",
            "set allowed_directories = ['/']",
            "set enable_external_access = true",
            "set allowed_paths = ['/etc/passwd']",
            "select * from 'https://attacker.example/x.parquet'",
        ],
    )
    def test_nothing_is_written_elsewhere_and_no_statement_lifts_the_limits(
        self, warehouse: DuckDBWarehouse, tmp_path: Path, sql: str
    ) -> None:
        outside = tmp_path / "outside"
        outside.mkdir()
        with pytest.raises(StatementError), warehouse.session() as session:
            session.execute(sql.format(outside=outside))
        assert list(outside.iterdir()) == []

    def test_a_connection_is_confined_once_and_all_of_its_file_are(self, tmp_path: Path) -> None:
        with duckdb.connect(str(tmp_path / "x")) as first, duckdb.connect(str(tmp_path / "x")) as x:
            confine(first)
            confine(x, tmp_path)
            for connection in (first, x, x.cursor()):
                with pytest.raises(duckdb.PermissionException):
                    connection.sql(f"from read_text('{tmp_path}/*')")

    def test_a_lake_keeps_to_its_own_folder_whatever_it_is_called(self, raw: Path) -> None:
        beside = raw.with_name("raw and more")
        beside.mkdir()
        (beside / "x.csv").write_text("secret")
        with duckdb.connect() as connection:
            confine(connection, raw)
            quoted = str(beside).replace("'", "''")
            with pytest.raises(duckdb.PermissionException):
                connection.sql(f"from read_csv('{quoted}/x.csv')")


def test_the_lake_writes_through_no_link(tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    (lake / "raw").mkdir(parents=True)
    (tmp_path / "outside").mkdir()
    (lake / "raw" / "crm").symlink_to(tmp_path / "outside")
    with pytest.raises(Exception, match="symbolic link"):
        LocalObjectStore(lake).write("raw/crm/x", b"1")
    assert list((tmp_path / "outside").iterdir()) == []
