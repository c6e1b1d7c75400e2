"""The raw tables: where their files lie in the lake, what is in them, how the warehouse sees them.

Here: keys below raw/, quarantine/ and landing/, Arrow schemas, and the views over the files.
Not here: filling the files (`extract`).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import date
from types import TracebackType
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from cdp_assets.failpoints import reach
from cdp_assets.naming import SOURCES, raw_name
from cdp_assets.resources.object_ledger import ObjectLedger
from cdp_assets.resources.object_store import ObjectMissingError, ObjectStore
from cdp_assets.resources.warehouse import TRANSACTIONS, RawTable, TableAddress, Warehouse
from cdp_assets.sources.contracts import IDENTIFIER, Contract

LANDING: Final = "landing"
RAW: Final = "raw"
QUARANTINE: Final = "quarantine"
LEDGER_TABLE: Final = "object_ledger"

_DAY: Final = re.compile(r"dt=(\d{4}-\d{2}-\d{2})")
# A file without rows keeps DuckDB's view valid before the first object lands; Athena needs none. It
# sorts before any day.
_EMPTY_DAY: Final = "1970-01-01"
_LINEAGE: Final = pa.schema(
    [
        pa.field("_extra", pa.string()),
        pa.field("_row_hash", pa.string()),
        pa.field("_object_key", pa.string()),
        pa.field("_object_version", pa.string()),
        pa.field("_line", pa.int64()),
        pa.field("_load_id", pa.int64()),
        pa.field("_loaded_at", pa.timestamp("us")),
        pa.field("_contract_version", pa.int32()),
    ]
)


@dataclass(frozen=True)
class LandingKey:
    """What the key of a landing object says: landing/<source>/<entity>/dt=YYYY-MM-DD/<name>."""

    source: str
    entity: str
    dt: str


class LandingKeyError(ValueError):
    """A key below landing/ that names no source, entity and day; the message says what is wrong."""


def parse_landing_key(key: str) -> LandingKey:
    """Take a landing key apart.

    Raises:
        LandingKeyError: a part is missing, or is not what it should be.
    """
    parts = key.split("/")
    if parts[0] != LANDING or len(parts) < 5:
        raise LandingKeyError("it is not landing/<source>/<entity>/dt=YYYY-MM-DD/<name>")
    _, source, entity, day, *_ = parts
    if not (IDENTIFIER.fullmatch(source) and IDENTIFIER.fullmatch(entity)):
        raise LandingKeyError("its source or entity is no lower-case name")
    match = _DAY.fullmatch(day)
    try:
        dt = date.fromisoformat(match[1]) if match else None
    except ValueError:
        dt = None
    if dt is None:
        raise LandingKeyError("its third folder is no day dt=YYYY-MM-DD")
    return LandingKey(source, entity, dt.isoformat())


def landing_prefix(source: str, entity: str | None = None, dt: str | None = None) -> str:
    """The folder of a source, an entity or a landing day."""
    day = f"dt={dt}" if dt else None
    return "/".join(part for part in (LANDING, source, entity, day) if part)


def file_key(layer: str, contract: Contract, dt: str, object_key: str) -> str:
    """Where the raw or quarantine file of one landing object lies: one file per object key."""
    digest = hashlib.sha1(object_key.encode(), usedforsecurity=False).hexdigest()
    return f"{layer}/{contract.source}/{contract.entity}/dt={dt}/{digest}.parquet"


def raw_schema(contract: Contract) -> pa.Schema:
    """The columns of a raw file, in order; `dt` is in its path."""
    texts = [pa.field(column.name, pa.string()) for column in contract.columns]
    derived = [
        pa.field(
            column.derived_name, pa.timestamp("us") if column.type == "timestamp" else pa.string()
        )
        for column in contract.columns
        if column.derived_name
    ]
    return pa.schema([*texts, *derived, *_LINEAGE])


def raw_table(contract: Contract, store: ObjectStore) -> RawTable:
    """Every raw file of an entity, as the table that the cleansed layer reads."""
    return RawTable(
        name=raw_name(contract.source, contract.entity),
        schema=raw_schema(contract),
        url=store.url(f"{RAW}/{contract.source}/{contract.entity}"),
    )


def ensure_empty_file(contract: Contract, store: ObjectStore) -> None:
    """Put the file without rows where the raw view looks, one per contract version."""
    folder = f"{RAW}/{contract.source}/{contract.entity}/dt={_EMPTY_DAY}"
    key = f"{folder}/empty-v{contract.version}.parquet"
    try:
        store.head(key)
    except ObjectMissingError:
        with store.open_writer(key) as handle:
            pq.write_table(raw_schema(contract).empty_table(), handle)


class ParquetFile:
    """A file of the lake that holds exactly the rows written to it; without rows there is none.

    It is swapped in when its block ends, and left as it was when the block raises.

    Args:
        store: the lake.
        key: of the file.
        schema: of its rows.
        repetitive: columns whose values repeat enough for a dictionary.
    """

    def __init__(
        self, store: ObjectStore, key: str, schema: pa.Schema, repetitive: list[str]
    ) -> None:
        self._store = store
        self._key = key
        self._schema = schema
        self._repetitive = repetitive
        self._stack = ExitStack()
        self._writer: pq.ParquetWriter | None = None

    def write(self, rows: pa.Table) -> None:
        """Append rows."""
        if not len(rows):
            return
        if self._writer is None:
            handle = self._stack.enter_context(self._store.open_writer(self._key))
            # Level 1 of zstd costs less CPU than snappy here, and a third of the bytes.
            self._writer = pq.ParquetWriter(
                handle,
                self._schema,
                compression="zstd",
                compression_level=1,
                use_dictionary=self._repetitive,  # pyright: ignore[reportArgumentType]
                store_schema=False,
                # Nobody else would notice a flipped bit; `cdp doctor` does.
                write_page_checksum=True,
            )
            self._stack.enter_context(self._writer)
        self._writer.write_table(rows)
        reach("lake.mid_write")

    def __enter__(self) -> ParquetFile:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.__exit__(kind, error, trace)
        if error is None and self._writer is None:
            self._store.delete(self._key)


def is_empty_file(key: str) -> bool:
    """Tell whether a raw file is one that `ensure_empty_file` put there."""
    return f"/dt={_EMPTY_DAY}/" in key


def source_tables(contracts: Iterable[Contract]) -> list[TableAddress]:
    """What `refresh_source_tables` writes."""
    names = [raw_name(contract.source, contract.entity) for contract in contracts]
    return [*((SOURCES, name) for name in (*names, LEDGER_TABLE)), TRANSACTIONS]


def refresh_source_tables(
    contracts: Iterable[Contract], warehouse: Warehouse, ledger: ObjectLedger, store: ObjectStore
) -> None:
    """Bring the warehouse's views of the raw tables and its copy of the ledger up to date.

    All of them, whichever source was extracted: a table that joins several sources must find each
    of them, if only without rows.
    """
    tables = []
    for contract in contracts:
        ensure_empty_file(contract, store)
        tables.append(raw_table(contract, store))
    warehouse.expose_raw(tables)
    warehouse.replace_table(SOURCES, LEDGER_TABLE, ledger.rows())
