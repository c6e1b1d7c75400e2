"""A home of its own in which the shipped identity stages run on one table of people.

The stages are those of an ordinary run, in its order: the cleansed and the identity models by dbt,
`resolve` and `apply_assignments` as the assets call them, each measured. Only Dagster itself and
dbt's data tests are left out.
Not here: where the people come from (`labelled.py`, `households.py`), judging the result.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import duckdb
import numpy as np
import pyarrow.parquet as pq

from benchmarks.measure import Meter
from cdp_assets.errors import PlatformError
from cdp_assets.identity.apply import apply_assignments
from cdp_assets.identity.decisions import keep_decisions
from cdp_assets.identity.evaluate import Agreement, Evaluation, evaluate, evaluate_pairs
from cdp_assets.identity.match_model import MatchModel
from cdp_assets.identity.model_files import keep_model, load_model, use_model
from cdp_assets.identity.resolve import resolve
from cdp_assets.identity.tables import MAP
from cdp_assets.naming import CLEANSED, IDENTITY
from cdp_assets.resources.build import build_duckdb, build_object_store
from cdp_assets.resources.warehouse import DuckDBWarehouse
from cdp_assets.settings import (
    DBT_PROJECT_DIR,
    Settings,
    export_match_model,
    export_settings,
    load_settings,
)
from cdp_assets.sources.contracts import load_contracts
from cdp_assets.sources.tables import ensure_empty_file, raw_table

MEMORY: Final = "1GB"
_RAW: Final = "raw/crm/contacts"


class StageFailedError(PlatformError):
    """A stage of the pipeline failed; the message names it and holds the end of its log."""


@dataclass(frozen=True)
class Found:
    """How well the platform matched.

    Attributes:
        clusters: agreement of the customers with the truth.
        pairs: agreement of the directly linked pairs, before closure and constrained merging.
        held_back: records that got no customer; each is counted as one of its own.
    """

    clusters: Evaluation
    pairs: Agreement
    held_back: int


@dataclass
class MatchingHome:
    """One CDP_HOME.

    Args:
        folder: the home; created if missing.
        model: the identity model, as the setting takes it.
        memory: DuckDB's limit, of dbt and of the Python stages.
    """

    folder: Path
    model: str = "default"
    memory: str = MEMORY
    meter: Meter = field(default_factory=Meter)
    loads: int = 0

    def __post_init__(self) -> None:
        self.settings: Settings = load_settings(
            {
                "CDP_HOME": str(self.folder),
                "CDP_WAREHOUSE_MEMORY": self.memory,
                "CDP_IDENTITY_MODEL": self.model,
            }
        )
        self.store = build_object_store(self.settings)
        self.warehouse: DuckDBWarehouse = build_duckdb(self.settings)
        self.raw = self.folder / "lake" / _RAW

    @contextmanager
    def connect(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection of little memory, to no file, to make contacts in."""
        spill = str(self.folder / "spill")
        with duckdb.connect(
            config={"memory_limit": self.memory, "temp_directory": spill}
        ) as connection:
            connection.execute("set TimeZone = 'UTC'")
            yield connection

    def deliver(self, connection: duckdb.DuckDBPyConnection, contacts: str) -> None:
        """Put raw contacts into the lake as one load.

        Args:
            connection: to run it in.
            contacts: SELECT of raw CRM contacts.
        """
        self.loads += 1
        folder = self.raw / "dt=2020-01-01"
        folder.mkdir(parents=True, exist_ok=True)
        connection.execute(
            f"""
            copy (select * replace ({self.loads} as _load_id) from ({contacts}))
            to '{folder}/{self.loads:06d}.parquet' (format parquet, row_group_size 50000)
            """
        )

    def prepare(self) -> None:
        """What a home has before its first ordinary run: views, seeds, the parsed project."""
        with self.meter.stage("set-up"):
            export_settings(self.settings)
            tables = []
            for contract in load_contracts().values():
                ensure_empty_file(contract, self.store)
                tables.append(raw_table(contract, self.store))
            self.warehouse.expose_raw(tables)
            self.use(load_model(self.model, self.store))
            self._dbt("seed")

    def use(self, model: MatchModel) -> None:
        """Score with this model from now on, as the asset `match_model` does."""
        export_match_model(model.compact_json())
        use_model(model, self.warehouse)

    def train(self) -> MatchModel:
        """Train a model on the cleansed records, without labels, and score with it from now on."""
        # Imported here: Splink takes a second, and few callers train.
        from cdp_assets.identity.training import train_model

        with self.meter.stage("training"):
            select = ("--select", "+match_records", "--exclude", f"config.schema:{CLEANSED}")
            self._dbt("run", *select)
            model = train_model(self.warehouse)
            keep_model(model, self.store)
            self.use(model)
        return model

    def clean(self, *, full_refresh: bool = False) -> None:
        """Run the cleansed models."""
        with self.meter.stage("cleansed"):
            self._dbt("run", "--select", f"config.schema:{CLEANSED}", *_refresh(full_refresh))

    def match(self, *, full_refresh: bool = False) -> None:
        """Run the identity stages."""
        with self.meter.stage("identity models"):
            self._dbt("run", "--select", f"config.schema:{IDENTITY}", *_refresh(full_refresh))
        with self.meter.stage("clusters"):
            keep_decisions(self.warehouse, self.store)
            resolve(self.warehouse)
        with self.meter.stage("customer map"):
            apply_assignments(self.warehouse, f"benchmark-{self.loads}")

    def map_to(self, file: Path) -> None:
        """Write the customer map into a Parquet file."""
        rows = self.warehouse.query(f"select record_id, customer_id from {MAP.address}")
        pq.write_table(rows, file)

    def judge(self, truth: Path) -> Found:
        """Compare links and customers with the truth.

        Args:
            truth: Parquet with record_id and entity.
        """
        with self.warehouse.connect() as connection:
            connection.register("truth", pq.read_table(truth))
            records = connection.execute(
                f"""
                create temp table judged as
                select
                    row_number() over () - 1 as number,
                    truth.record_id,
                    dense_rank() over (order by entity) as entity,
                    dense_rank() over (
                        order by coalesce(customer_id, 'none of ' || truth.record_id)
                    ) as cluster,
                    customer_id is null as is_held_back
                from truth
                left join {MAP.address} as mapped using (record_id);
                select entity, cluster, is_held_back from judged order by number
                """
            ).fetchnumpy()
            links = connection.execute(
                """
                select a.number as "left", b.number as "right"
                from identity.identity_edges as links
                inner join judged as a on links.left_record_id = a.record_id
                inner join judged as b on links.right_record_id = b.record_id
                """
            ).fetchnumpy()
        entities = records["entity"].astype(np.int64)
        sides = [links[side].astype(np.int64) for side in ("left", "right")]
        return Found(
            clusters=evaluate(records["cluster"].astype(np.int64), entities),
            pairs=evaluate_pairs(sides[0], sides[1], entities),
            held_back=int(np.asarray(records["is_held_back"]).sum()),
        )

    def _dbt(self, *arguments: str) -> None:
        log = self.folder / "dbt.log"
        command = [
            str(Path(sys.executable).parent / "cdp-dbt"),
            *("--no-use-colors", "--log-path", str(self.folder / "logs")),
            *arguments,
            *("--project-dir", str(DBT_PROJECT_DIR), "--profiles-dir", str(DBT_PROJECT_DIR)),
            *("--target", self.settings.dbt_target),
        ]
        with log.open("w") as output:
            done = subprocess.run(command, stdout=output, stderr=output, check=False)
        if done.returncode != 0:
            last = "\n".join(log.read_text().splitlines()[-30:])
            raise StageFailedError(f"dbt {' '.join(arguments)} failed:\n{last}")


def _refresh(full: bool) -> list[str]:
    return ["--full-refresh"] if full else []
