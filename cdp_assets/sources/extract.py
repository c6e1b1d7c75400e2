"""Extracting landing objects: each becomes one raw file, one quarantine file and one ledger entry.

Here: the order of the steps, which makes a kill at any point harmless: files are swapped in
whole, the ledger is told last, and what it was not told is done again under a new load id.
Not here: reading (`parse`), judging (`validate`), what is due (`planner`), Dagster (`assets`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import IO, Final

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from cdp_assets.errors import PlatformError
from cdp_assets.resources.object_ledger import (
    LedgerEntry,
    ObjectLedger,
    Reservation,
    Status,
    utc_now,
)
from cdp_assets.resources.object_store import (
    ObjectChangedError,
    ObjectInfo,
    ObjectMissingError,
    ObjectStore,
    seekable,
)
from cdp_assets.settings import Limits, Settings
from cdp_assets.sources.contracts import Contract
from cdp_assets.sources.parse import read_chunks
from cdp_assets.sources.phones import e164
from cdp_assets.sources.quarantine import message, quarantine_rows, refused_object
from cdp_assets.sources.refusal import ObjectRefused, Refusal
from cdp_assets.sources.tables import (
    QUARANTINE,
    RAW,
    ensure_empty_file,
    file_key,
    landing_prefix,
    parse_landing_key,
    raw_schema,
)
from cdp_assets.sources.validate import Judge

# Two objects at a time: gunzip, DuckDB and Parquet release the interpreter lock.
_WORKERS: Final = 2


class ConservationError(PlatformError):
    """An extract lost or doubled records: a fault of ours, never of the object."""


@dataclass
class Counts:
    """Records of some objects. `records_in` = loaded + quarantined + suppressed."""

    objects: int = 0
    records_in: int = 0
    loaded: int = 0
    quarantined: int = 0
    suppressed: int = 0
    values_discarded: int = 0

    def add(self, entry: LedgerEntry) -> None:
        """Count one more object."""
        self.objects += 1
        self.records_in += entry.records_in
        self.loaded += entry.records_loaded
        self.quarantined += entry.records_quarantined
        self.suppressed += entry.records_suppressed
        self.values_discarded += entry.values_discarded


@dataclass
class ExtractReport:
    """What an extract did.

    Attributes:
        by_day: counts per landing day, days without work left out.
        total: of all days.
        skipped: objects that the ledger had already.
        new_columns: undeclared columns and keys that were seen.
        problems: sentences about objects refused or gone, for the log.
    """

    by_day: dict[str, Counts] = field(default_factory=dict)
    total: Counts = field(default_factory=Counts)
    skipped: int = 0
    new_columns: set[str] = field(default_factory=set)
    problems: list[str] = field(default_factory=list)

    def add(self, entry: LedgerEntry) -> None:
        """Count one more object."""
        self.by_day.setdefault(entry.dt, Counts()).add(entry)
        self.total.add(entry)
        self.new_columns.update(filter(None, entry.new_columns.split(", ")))
        if entry.error:
            self.problems.append(entry.error)


def extract_days(
    contract: Contract,
    days: Iterable[str],
    *,
    store: ObjectStore,
    ledger: ObjectLedger,
    settings: Settings,
) -> ExtractReport:
    """Extract every object of these landing days that the ledger does not have."""
    infos = [
        info
        for day in days
        for info in store.list(landing_prefix(contract.source, contract.entity, day))
    ]
    loaded = ledger.loaded_versions(contract.source)
    due = [info for info in infos if loaded.get(info.key) != (info.version, contract.version)]
    report = extract_objects(contract, due, store=store, ledger=ledger, limits=settings.limits)
    report.skipped = len(infos) - len(due)
    return report


def extract_objects(
    contract: Contract,
    infos: Sequence[ObjectInfo],
    *,
    store: ObjectStore,
    ledger: ObjectLedger,
    limits: Limits,
) -> ExtractReport:
    """Extract these objects, whether the ledger has them or not."""
    ensure_empty_file(contract, store)
    report = ExtractReport()
    with ThreadPoolExecutor(_WORKERS) as pool:
        entries = pool.map(
            lambda info: extract_object(contract, info, store=store, ledger=ledger, limits=limits),
            sorted(infos, key=lambda info: info.key),
        )
        for entry in entries:
            report.add(entry)
    return report


def extract_object(
    contract: Contract,
    info: ObjectInfo,
    *,
    store: ObjectStore,
    ledger: ObjectLedger,
    limits: Limits,
) -> LedgerEntry:
    """Extract one object. Idempotent; a kill at any point leaves nothing half-done behind.

    Raises:
        ConservationError: the counts do not add up.
    """
    dt = parse_landing_key(info.key).dt
    reservation = ledger.begin(info.key, info.version)
    extraction = _Extraction(contract, dt, reservation, store, limits)
    try:
        entry = extraction.run(info)
    except ObjectMissingError:
        entry = extraction.passed_over(info, "is gone since it was listed")
    except ObjectChangedError:
        entry = extraction.passed_over(info, "was written to while it was read: next time")
    ledger.commit(entry)
    return entry


@dataclass
class _Tally:
    """What was counted while an object was read."""

    records_in: int = 0
    loaded: int = 0
    refusals: list[Refusal] = field(default_factory=list)
    new_columns: set[str] = field(default_factory=set)

    @property
    def quarantined(self) -> int:
        """Records (or the object itself) that were not loaded."""
        return sum(refusal.scope != "value" for refusal in self.refusals)

    def check(self, object_key: str) -> None:
        """Prove that every record is loaded or quarantined, and none is both."""
        if self.records_in != self.loaded + self.quarantined:
            raise ConservationError(
                f"{object_key}: {self.records_in} records came in, {self.loaded} were loaded and "
                f"{self.quarantined} quarantined. Nothing was kept: please report this."
            )


class _Extraction:
    """One object on its way through."""

    def __init__(
        self,
        contract: Contract,
        dt: str,
        reservation: Reservation,
        store: ObjectStore,
        limits: Limits,
    ) -> None:
        self._contract = contract
        self._dt = dt
        self._reservation = reservation
        self._store = store
        self._limits = limits
        self._now = utc_now()
        self._schema = raw_schema(contract)

    def passed_over(self, info: ObjectInfo, reason: str) -> LedgerEntry:
        """The entry of an object that could not be read this time."""
        return self._entry(info, "missing", _Tally(), error=f"{info.key} {reason}.")

    def run(self, info: ObjectInfo) -> LedgerEntry:
        """Write the raw and the quarantine file; give the entry that says so."""
        raw_key = file_key(RAW, self._contract, self._dt, info.key)
        quarantine_key = file_key(QUARANTINE, self._contract, self._dt, info.key)
        tally, error = _Tally(), ""
        try:
            info = self._load(info, raw_key, tally)
            status: Status = "loaded" if tally.records_in else "empty"
        except ObjectRefused as refused:
            refusal = refused_object(refused)
            tally = _Tally(records_in=1, refusals=[refusal])
            status, error = "refused", message(self._contract, info.key, refusal)
        if not tally.loaded:
            self._store.delete(raw_key)
        self._write_quarantine(info, quarantine_key, tally.refusals)
        return self._entry(
            info,
            status,
            tally,
            error=error,
            raw_path=raw_key if tally.loaded else "",
            quarantine_path=quarantine_key if tally.refusals else "",
        )

    def _entry(
        self,
        info: ObjectInfo,
        status: Status,
        tally: _Tally,
        *,
        error: str,
        raw_path: str = "",
        quarantine_path: str = "",
    ) -> LedgerEntry:
        return LedgerEntry(
            source=self._contract.source,
            entity=self._contract.entity,
            dt=self._dt,
            object_key=info.key,
            object_version=info.version,
            size=info.size,
            status=status,
            load_id=self._reservation.load_id,
            attempt=self._reservation.attempt,
            contract_version=self._contract.version,
            loaded_at=self._now,
            records_in=tally.records_in,
            records_loaded=tally.loaded,
            records_quarantined=tally.quarantined,
            values_discarded=len(tally.refusals) - tally.quarantined,
            new_columns=", ".join(sorted(tally.new_columns)),
            error=error,
            raw_path=raw_path,
            quarantine_path=quarantine_path,
        )

    def _load(self, info: ObjectInfo, raw_key: str, tally: _Tally) -> ObjectInfo:
        with ExitStack() as stack:
            # The reader closes before the writer: an object that changed leaves no raw file.
            write = stack.enter_context(self._raw_writer(raw_key))
            info, handle = stack.enter_context(self._store.open_reader(info.key))
            for rows in self._good_rows(handle, tally):
                write(self._raw_rows(rows, info))
            # Before the file is swapped in: a wrong count keeps nothing.
            tally.check(info.key)
        return info

    def _good_rows(self, handle: IO[bytes], tally: _Tally) -> Iterator[pa.Table]:
        with ExitStack() as stack:
            if self._contract.format.kind == "parquet":
                handle = stack.enter_context(seekable(handle))
            connection = stack.enter_context(_connection())
            layout, chunks = read_chunks(handle, self._contract, self._limits)
            judge = Judge(self._contract, layout, self._dt, self._limits)
            for chunk in chunks:
                tally.records_in += len(chunk.rows) + len(chunk.refusals)
                tally.refusals += chunk.refusals
                if len(chunk.rows):
                    judged = judge.judge(connection, chunk)
                    tally.refusals += judged.refusals
                    tally.new_columns |= judged.new_columns
                    tally.loaded += len(judged.rows)
                    yield judged.rows

    def _raw_rows(self, rows: pa.Table, info: ObjectInfo) -> pa.Table:
        columns = {name: rows[name] for name in rows.column_names}
        for column in self._contract.columns:
            if column.type == "phone":
                region = rows[column.region_column] if column.region_column else None
                columns[f"{column.name}_e164"] = e164(rows[column.name], region)
        constants = {
            "_object_key": info.key,
            "_object_version": info.version,
            "_load_id": self._reservation.load_id,
            "_loaded_at": self._now,
            "_contract_version": self._contract.version,
        }
        for name, value in constants.items():
            scalar = pa.scalar(value, self._schema.field(name).type)
            columns[name] = pa.repeat(scalar, len(rows))
        return pa.table({name: columns[name] for name in self._schema.names}, schema=self._schema)

    @contextmanager
    def _raw_writer(self, key: str) -> Iterator[Callable[[pa.Table], None]]:
        with (
            self._store.open_writer(key) as handle,
            pq.ParquetWriter(
                handle,
                self._schema,
                compression="zstd",
                compression_level=1,
                use_dictionary=self._repetitive_columns(),  # pyright: ignore[reportArgumentType]
                store_schema=False,
            ) as writer,
        ):
            yield writer.write_table

    def _repetitive_columns(self) -> list[str]:
        # A dictionary of values that hardly repeat costs more than it saves.
        own = [c.name for c in self._contract.columns if c.allowed or c.type == "boolean"]
        return [*own, "_object_key", "_object_version", "_contract_version"]

    def _write_quarantine(self, info: ObjectInfo, key: str, refusals: list[Refusal]) -> None:
        if not refusals:
            self._store.delete(key)
            return
        rows = quarantine_rows(
            self._contract, self._dt, info, self._reservation.load_id, self._now, refusals
        )
        with self._store.open_writer(key) as handle:
            pq.write_table(rows, handle)


@contextmanager
def _connection() -> Iterator[duckdb.DuckDBPyConnection]:
    """A DuckDB of its own for one object, which reaches nothing outside memory."""
    with duckdb.connect(config={"threads": 1, "memory_limit": "512MB"}) as connection:
        connection.execute("set TimeZone = 'UTC'")
        connection.execute("set enable_external_access = false")
        connection.execute("set lock_configuration = true")
        yield connection
