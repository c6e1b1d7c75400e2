"""A raw lake of a few rows, a DuckDB file of its own per test, and real dbt run in this process."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from dbt.cli.main import dbtRunner
from dbt.contracts.graph.manifest import Manifest

from cdp_assets.identity.match_model import MatchModel, load_default
from cdp_assets.identity.model_files import term_frequency_table
from cdp_assets.identity.tables import TERM_FREQUENCIES
from cdp_assets.naming import LAYERS
from cdp_assets.settings import DBT_PROJECT_DIR, export_match_model
from cdp_assets.sources.contracts import load_contracts
from cdp_assets.sources.tables import raw_schema

CONTRACTS = {
    f"{contract.source}__{contract.entity}": contract for contract in load_contracts().values()
}
Row = Mapping[str, Any]


@dataclass
class RawLake:
    """Raw Parquet files as the extracts leave them. Each delivery is one object and one load."""

    root: Path
    loads: int = 0

    def deliver(self, entity: str, rows: Sequence[Row], dt: str = "2025-03-01") -> None:
        """Write one object with these rows; time stamps are text like 2025-03-01T10:00:00Z."""
        self.loads += 1
        contract = CONTRACTS[entity]
        content = repr((entity, dt, [sorted(row.items()) for row in rows]))
        # The key follows from the content: the same object keeps its key in any order of arrival.
        name = hashlib.sha1(content.encode(), usedforsecurity=False).hexdigest()
        key = f"landing/{contract.source}/{contract.entity}/dt={dt}/{name}"
        folder = self.root / "raw" / contract.source / contract.entity / f"dt={dt}"
        folder.mkdir(parents=True, exist_ok=True)
        filled = [self._fill(entity, row, key, line) for line, row in enumerate(rows, start=1)]
        table = pa.Table.from_pylist(filled, raw_schema(contract))
        pq.write_table(table, folder / f"{self.loads:06d}.parquet")

    def _fill(self, entity: str, row: Row, key: str, line: int) -> dict[str, Any]:
        columns = CONTRACTS[entity].columns
        times = {
            column.derived_name: _utc(row[column.name])
            for column in columns
            if column.type == "timestamp" and column.derived_name and row.get(column.name)
        }
        text = "\x1f".join(str(row.get(column.name)) for column in columns)
        return {
            **row,
            **times,
            "_row_hash": hashlib.md5(text.encode(), usedforsecurity=False).hexdigest(),
            "_object_key": key,
            "_object_version": "1",
            "_line": line,
            "_load_id": self.loads,
            "_loaded_at": datetime(2025, 4, 1, tzinfo=UTC).replace(tzinfo=None),
            "_contract_version": 1,
        }


@dataclass
class Platform:
    """One warehouse file over one raw lake.

    Attributes:
        folder: for both.
        run_dbt: runs a dbt command on a warehouse file.
        blank: the warehouse file that this one begins as a copy of; without one it is made.
    """

    folder: Path
    run_dbt: Callable[..., Any]
    blank: Path | None = None
    lake: RawLake = field(init=False)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.lake = RawLake(self.folder / "lake")
        if self.blank is None:
            self._make()
        else:
            shutil.copyfile(self.blank, self.path)
            export_match_model(load_default().compact_json())

    def _make(self) -> None:
        with self.connect() as connection:
            for layer in LAYERS:
                connection.execute(f"create schema {layer}")
            connection.execute(
                "create table identity.customer_map as from (values "
                "(null::varchar, null::varchar)) t (record_id, customer_id) limit 0"
            )
            connection.execute(
                "create table identity.touched_customers as from "
                "(values (null::varchar)) t (customer_id) limit 0"
            )
            connection.execute(TERM_FREQUENCIES.create_if_missing)
        self.choose_model(load_default())
        self.dbt("seed")
        self.query("checkpoint")

    @property
    def path(self) -> Path:
        return self.folder / "cdp.duckdb"

    @contextmanager
    def connect(self) -> Iterator[duckdb.DuckDBPyConnection]:
        with duckdb.connect(str(self.path)) as connection:
            connection.execute("set TimeZone = 'UTC'")
            yield connection

    def dbt(self, *arguments: str) -> Any:
        """Run dbt on this warehouse, and return its result; the raw views see every delivery."""
        with self.connect() as connection:
            for entity, contract in CONTRACTS.items():
                folder = self.lake.root / "raw" / contract.source / contract.entity
                empty = folder / "dt=1970-01-01" / "empty.parquet"
                if not empty.exists():
                    empty.parent.mkdir(parents=True)
                    pq.write_table(raw_schema(contract).empty_table(), empty)
                connection.execute(
                    f"create or replace view sources.raw_{entity} as select * from "
                    f"read_parquet('{folder}/*/*.parquet', hive_partitioning = true)"
                )
        return self.run_dbt(self.path, *arguments)

    def choose_model(self, model: MatchModel) -> None:
        """Let dbt compile this identity model, and the warehouse hold its term frequencies."""
        export_match_model(model.compact_json())
        with self.connect() as connection:
            connection.register("frequencies", term_frequency_table(model))
            connection.execute(f"delete from {TERM_FREQUENCIES.address}")
            connection.execute(f"insert into {TERM_FREQUENCIES.address} from frequencies")

    def clean(self, *entities: str, full_refresh: bool = False) -> None:
        """Run these cleansed models, or the whole layer."""
        models = [f"clean_{entity}" for entity in entities] or ["config.schema:cleansed"]
        self.dbt("run", "--select", *models, *_refresh(full_refresh))

    def assign(self, customers: Mapping[str, str], touched: Sequence[str]) -> None:
        """Write what identity hands over: record_id to customer_id, and who was touched."""
        mapping = {"record_id": list(customers), "customer_id": list(customers.values())}
        names = {"customer_id": pa.array(touched, pa.string())}
        with self.connect() as connection:
            # By name alone a confined connection finds nothing of Python.
            connection.register("mapping", pa.table(mapping))
            connection.register("names", pa.table(names))
            connection.execute("create or replace table identity.customer_map as from mapping")
            connection.execute("create or replace table identity.touched_customers as from names")

    def records(self) -> None:
        """Run what the profile layer reads of identity."""
        self.dbt(
            "run",
            "--select",
            "+identity_records",
            "+suppressed_identifiers",
            "--exclude",
            "config.schema:cleansed",
        )

    def profile(self, full_refresh: bool = False) -> None:
        """Run the profile layer."""
        self.dbt("run", "--select", "config.schema:profile", *_refresh(full_refresh))

    def check(self, *layers: str, kind: str = "data") -> None:
        """Run the data tests or the unit tests that stand beside the models of these layers."""
        other = {"data": "unit", "unit": "data"}[kind]
        tests = self.dbt(
            "test",
            *["--select", *(f"config.schema:{layer}" for layer in layers)],
            *["--exclude", f"test_type:{other}", "--indirect-selection", "cautious"],
        )
        assert len(tests.results) > 0

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        with self.connect() as connection:
            return connection.execute(sql).fetchall()

    def rows(self, table: str, leaving_out: Sequence[str] = ()) -> list[tuple[Any, ...]]:
        """Every row of a table as text, in one order whatever the order on disk."""
        exclude = f"exclude ({', '.join(leaving_out)})" if leaving_out else ""
        return self.query(f"select columns(* {exclude})::varchar from {table} order by all")


@pytest.fixture(scope="session")
def dbt_target(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("dbt_target")


@pytest.fixture(scope="session")
def invoke_dbt(dbt_target: Path) -> Callable[..., Any]:
    """Runs a dbt command and returns its result; fails the test with dbt's own words."""

    def invoke(*arguments: str, manifest: Manifest | None = None) -> Any:
        result = dbtRunner(manifest=manifest).invoke(
            [
                *("--quiet", "--log-level-file", "none"),
                *arguments,
                "--project-dir",
                str(DBT_PROJECT_DIR),
                "--profiles-dir",
                str(DBT_PROJECT_DIR),
                "--target-path",
                str(dbt_target),
            ]
        )
        if not result.success:
            failed = [
                f"{one.node.name}: {one.message}"
                for one in getattr(result.result, "results", [])
                if one.status in ("error", "fail", "runtime error")
            ]
            raise AssertionError("\n".join([str(result.exception or ""), *failed]))
        return result.result

    return invoke


@pytest.fixture(scope="session")
def manifest(invoke_dbt: Callable[..., Any]) -> Manifest:
    """The project, parsed once per session."""
    return invoke_dbt("parse")


@pytest.fixture(scope="session")
def run_dbt(invoke_dbt: Callable[..., Any], manifest: Manifest) -> Callable[..., Any]:
    def run(warehouse: Path, *arguments: str) -> Any:
        os.environ["CDP_WAREHOUSE_PATH"] = str(warehouse)
        os.environ["CDP_LAKE_URL"] = (warehouse.parent / "lake").as_uri()
        return invoke_dbt(*arguments, manifest=manifest)

    return run


@pytest.fixture(scope="session")
def platform_in(
    tmp_path_factory: pytest.TempPathFactory, run_dbt: Callable[..., Any]
) -> Callable[[Path], Platform]:
    """Makes a platform in this folder: it has the seeds, the shipped model and no record."""
    blank = Platform(tmp_path_factory.mktemp("blank"), run_dbt).path
    return lambda folder: Platform(folder, run_dbt, blank)


@pytest.fixture
def new_platform(
    tmp_path: Path, platform_in: Callable[[Path], Platform]
) -> Callable[[str], Platform]:
    """Makes a platform of this name."""
    return lambda name: platform_in(tmp_path / name)


@pytest.fixture
def platform(new_platform: Callable[[str], Platform]) -> Platform:
    return new_platform("main")


def _refresh(full: bool) -> list[str]:
    return ["--full-refresh"] if full else []


def _utc(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC).replace(tzinfo=None)
