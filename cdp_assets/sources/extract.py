"""Extracting landing objects: each becomes one raw file, one quarantine file and one ledger entry.

Here: the order of the steps, which makes a kill at any point harmless: files are swapped in
whole, the ledger is told last, and what it was not told is done again under a new load id.
Not here: reading (`parse`), judging (`validate`), what is due (`planner`), Dagster (`assets`).
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import chain
from typing import IO, Final

import pyarrow as pa

from cdp_assets.errors import PlatformError
from cdp_assets.failpoints import reach
from cdp_assets.resources.leases import Hold
from cdp_assets.resources.object_ledger import (
    LedgerEntry,
    LedgerError,
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
    is_key,
    seekable,
)
from cdp_assets.settings import Limits, Settings
from cdp_assets.sources.chunk import listed
from cdp_assets.sources.contracts import Contract
from cdp_assets.sources.parse import read_chunks
from cdp_assets.sources.phones import e164
from cdp_assets.sources.planner import is_due
from cdp_assets.sources.quarantine import (
    QUARANTINE_SCHEMA,
    message,
    quarantine_rows,
    refused_object,
)
from cdp_assets.sources.refusal import ObjectRefused, Refusal
from cdp_assets.sources.tables import (
    QUARANTINE,
    RAW,
    ParquetFile,
    ensure_empty_file,
    file_key,
    is_empty_file,
    landing_prefix,
    parse_landing_key,
    raw_schema,
)
from cdp_assets.sources.validate import Judge, Session

# Two objects at a time: gunzip, DuckDB and Parquet release the interpreter lock.
_WORKERS: Final = 2
# Up to here planning every query for a second worker costs more than it saves.
_FEW_OBJECTS: Final = 4
_FEW_BYTES: Final = 200_000


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
    hold: Hold | None = None,
    session: Session | None = None,
) -> ExtractReport:
    """Extract every object of these landing days that the ledger does not have.

    Raises:
        TableTakenError: the lease of the raw table was lost.
    """
    infos = [
        info
        for day in days
        for info in store.list(landing_prefix(contract.source, contract.entity, day))
        # What is no key, or a link, is an unknown object, which the planner reports.
        if is_key(info.key) and not info.is_link
    ]
    settled = ledger.settled([info.key for info in infos])
    due = [info for info in infos if is_due(info, contract, settled.get(info.key))]
    report = extract_objects(
        contract,
        due,
        store=store,
        ledger=ledger,
        limits=settings.limits,
        hold=hold,
        session=session,
    )
    report.skipped = len(infos) - len(due)
    return report


def extract_objects(
    contract: Contract,
    infos: Sequence[ObjectInfo],
    *,
    store: ObjectStore,
    ledger: ObjectLedger,
    limits: Limits,
    hold: Hold | None = None,
    session: Session | None = None,
) -> ExtractReport:
    """Extract these objects, whether the ledger has them or not.

    Told to stop, or where one of them fails, it ends with the objects at hand: the rest may be an
    hour's work. A session that is given does all the work and stays open: one who extracts little
    and often need not plan the same queries again.

    Raises:
        TableTakenError: the lease of the raw table was lost.
        LedgerError: the ledger is new and the lake is not: its load ids would start again below
            those that the tables have seen.
    """
    _check_ledger_fits(contract, store, ledger)
    ensure_empty_file(contract, store)
    report = ExtractReport()
    # One iterator for all workers: each takes the next object when it is done with one.
    due = iter(sorted(infos, key=lambda info: info.key))
    stop = threading.Event()

    def work(_: int) -> list[LedgerEntry]:
        with ExitStack() as stack, _set_by_errors(stop):
            own = session or stack.enter_context(closing(Session()))
            extraction = Extraction(contract, store, ledger, limits, own)
            entries = []
            for info in due:
                if stop.is_set():
                    break
                if hold is not None:
                    hold.check()
                entries.append(extraction.extract(info))
            return entries

    is_little = len(infos) <= _FEW_OBJECTS and sum(info.size for info in infos) <= _FEW_BYTES
    workers = min(1 if is_little or session else _WORKERS, len(infos))
    if workers:
        with ThreadPoolExecutor(workers) as pool, _set_by_errors(stop):
            for entry in sorted(chain(*pool.map(work, range(workers))), key=lambda e: e.load_id):
                report.add(entry)
    return report


@contextmanager
def _set_by_errors(stop: threading.Event) -> Iterator[None]:
    try:
        yield
    except BaseException:
        stop.set()
        raise


def replay(
    contract: Contract, *, store: ObjectStore, ledger: ObjectLedger, limits: Limits
) -> ExtractReport:
    """Extract again every object that has rows in quarantine, after it or the contract was mended.

    Idempotent: what is still broken is in quarantine again, what was loaded is loaded again.
    """
    broken = [
        row["object_key"]
        for row in ledger.rows().to_pylist()
        if (row["source"], row["entity"]) == (contract.source, contract.entity)
        and row["status"] in ("loaded", "refused")
        and row["quarantine_path"]
    ]
    prefix = landing_prefix(contract.source, contract.entity)
    infos = [info for info in store.list(prefix) if info.key in set(broken) and not info.is_link]
    report = extract_objects(contract, infos, store=store, ledger=ledger, limits=limits)
    gone = sorted(set(broken) - {info.key for info in infos})
    report.problems += [f"{key} is gone from landing: its quarantine stays." for key in gone]
    return report


def _check_ledger_fits(contract: Contract, store: ObjectStore, ledger: ObjectLedger) -> None:
    if ledger.max_load_id():
        return
    raw_files = store.list(f"{RAW}/{contract.source}/{contract.entity}")
    if any(not is_empty_file(info.key) for info in raw_files):
        raise LedgerError(
            f"The object ledger is empty, but {RAW}/{contract.source}/{contract.entity} holds "
            "files: run `cdp doctor`, which can rebuild it from them."
        )


@dataclass
class _Tally:
    """What was counted while one object was read."""

    records_in: int = 0
    loaded: int = 0
    quarantined: int = 0
    values_discarded: int = 0
    new_columns: set[str] = field(default_factory=set)

    def count(self, refusals: Sequence[Refusal]) -> None:
        """Count broken records, and broken values of records that were loaded."""
        values = sum(refusal.scope == "value" for refusal in refusals)
        self.values_discarded += values
        self.quarantined += len(refusals) - values

    def check(self, object_key: str) -> None:
        """Prove that every record is loaded or quarantined, and none is both."""
        if self.records_in != self.loaded + self.quarantined:
            raise ConservationError(
                f"{object_key}: {self.records_in} records came in, {self.loaded} were loaded and "
                f"{self.quarantined} quarantined. Nothing was kept: please report this."
            )


@dataclass(frozen=True)
class _Load:
    """One object at one version, under one load id."""

    info: ObjectInfo
    dt: str
    reservation: Reservation
    at: datetime


class Extraction:
    """Extracts objects of one contract, one after another.

    Args:
        contract: of the objects.
        store: where they are, and where raw and quarantine files go.
        ledger: is told of each.
        limits: what one object may cost.
        session: judges the records; not shared with another thread.
    """

    def __init__(
        self,
        contract: Contract,
        store: ObjectStore,
        ledger: ObjectLedger,
        limits: Limits,
        session: Session,
    ) -> None:
        self._contract = contract
        self._store = store
        self._ledger = ledger
        self._limits = limits
        self._session = session
        self._schema = raw_schema(contract)

    def extract(self, info: ObjectInfo) -> LedgerEntry:
        """Extract one object. Idempotent; a kill at any point leaves nothing half-done behind.

        Raises:
            ConservationError: the counts do not add up.
        """
        dt = parse_landing_key(info.key).dt
        load = _Load(info, dt, self._ledger.begin(info.key, info.version), utc_now())
        reach("extract.before_read")
        try:
            entry = self._run(load)
        except ObjectMissingError:
            entry = self._passed_over(load, "is gone since it was listed")
        except ObjectChangedError:
            entry = self._passed_over(load, "was written to while it was read: next time")
        reach("extract.before_ledger")
        self._ledger.commit(entry)
        reach("extract.after_ledger")
        return entry

    def _run(self, load: _Load) -> LedgerEntry:
        """Write the raw and the quarantine file; give the entry that says so."""
        tally = _Tally()
        try:
            with ExitStack() as stack:
                # Closed in reverse: an object that changed meanwhile leaves no file.
                raw = stack.enter_context(self._raw_file(load))
                quarantine = stack.enter_context(self._quarantine_file(load))
                info, handle = stack.enter_context(self._store.open_reader(load.info.key))
                load = replace(load, info=info)
                for rows, refusals in self._judged(handle, load, tally):
                    if rows is not None:
                        raw.write(self._raw_rows(rows, load))
                    if refusals:
                        quarantine.write(self._quarantine_rows(refusals, load))
                tally.check(info.key)
                reach("extract.after_read")
        except ObjectRefused as refused:
            return self._refuse(load, refused)
        return self._entry(load, "loaded" if tally.records_in else "empty", tally)

    def _refuse(self, load: _Load, refused: ObjectRefused) -> LedgerEntry:
        """Keep nothing of the object but one quarantine row that says why."""
        refusal = refused_object(refused)
        with self._raw_file(load), self._quarantine_file(load) as quarantine:
            quarantine.write(self._quarantine_rows([refusal], load))
        error = message(self._contract, load.info.key, refusal)
        return self._entry(load, "refused", _Tally(records_in=1, quarantined=1), error)

    def _passed_over(self, load: _Load, reason: str) -> LedgerEntry:
        """The entry of an object that could not be read this time."""
        return self._entry(load, "missing", _Tally(), f"{load.info.key} {reason}.")

    def _entry(self, load: _Load, status: Status, tally: _Tally, error: str = "") -> LedgerEntry:
        has_quarantine = tally.quarantined + tally.values_discarded > 0
        return LedgerEntry(
            source=self._contract.source,
            entity=self._contract.entity,
            dt=load.dt,
            object_key=load.info.key,
            object_version=load.info.version,
            size=load.info.size,
            status=status,
            load_id=load.reservation.load_id,
            attempt=load.reservation.attempt,
            contract_version=self._contract.version,
            loaded_at=load.at,
            records_in=tally.records_in,
            records_loaded=tally.loaded,
            records_quarantined=tally.quarantined,
            values_discarded=tally.values_discarded,
            new_columns=listed(tally.new_columns),
            error=error,
            raw_path=self._file_key(RAW, load) if tally.loaded else "",
            quarantine_path=self._file_key(QUARANTINE, load) if has_quarantine else "",
        )

    def _judged(
        self, handle: IO[bytes], load: _Load, tally: _Tally
    ) -> Iterator[tuple[pa.Table | None, Sequence[Refusal]]]:
        """The good rows and the refusals of one chunk after another."""
        with ExitStack() as stack:
            if self._contract.format.kind == "parquet":
                handle = stack.enter_context(seekable(handle))
            layout, chunks = read_chunks(handle, self._contract, self._limits)
            judge = Judge(self._contract, layout, load.dt, self._limits)
            for chunk in chunks:
                rows, refusals = None, chunk.refusals
                if len(chunk.rows):
                    judged = judge.judge(self._session, chunk)
                    rows, refusals = judged.rows, [*chunk.refusals, *judged.refusals]
                    tally.loaded += len(rows)
                    tally.new_columns |= judged.new_columns
                tally.records_in += len(chunk.rows) + len(chunk.refusals)
                tally.count(refusals)
                yield rows, refusals

    def _raw_rows(self, rows: pa.Table, load: _Load) -> pa.Table:
        columns = {name: rows[name] for name in rows.column_names}
        for column in self._contract.columns:
            if column.type == "phone":
                region = rows[column.region_column] if column.region_column else None
                columns[f"{column.name}_e164"] = e164(rows[column.name], region)
        constants = {
            "_object_key": load.info.key,
            "_object_version": load.info.version,
            "_load_id": load.reservation.load_id,
            "_loaded_at": load.at,
            "_contract_version": self._contract.version,
        }
        for name, value in constants.items():
            columns[name] = pa.repeat(pa.scalar(value, self._schema.field(name).type), len(rows))
        return pa.table({name: columns[name] for name in self._schema.names}, schema=self._schema)

    def _quarantine_rows(self, refusals: Sequence[Refusal], load: _Load) -> pa.Table:
        return quarantine_rows(
            self._contract, load.dt, load.info, load.reservation.load_id, load.at, refusals
        )

    def _raw_file(self, load: _Load) -> ParquetFile:
        # A dictionary of values that hardly repeat costs more than it saves.
        repetitive = [c.name for c in self._contract.columns if c.allowed or c.type == "boolean"]
        repetitive += ["_object_key", "_object_version"]
        return ParquetFile(self._store, self._file_key(RAW, load), self._schema, repetitive)

    def _quarantine_file(self, load: _Load) -> ParquetFile:
        key = self._file_key(QUARANTINE, load)
        return ParquetFile(self._store, key, QUARANTINE_SCHEMA, ["source", "entity", "object_key"])

    def _file_key(self, layer: str, load: _Load) -> str:
        return file_key(layer, self._contract, load.dt, load.info.key)
