"""A lake in a temporary folder, with what a test wants to do to it."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cdp_assets.resources.leases import Hold
from cdp_assets.resources.object_ledger import LedgerEntry, ObjectLedger, SQLiteObjectLedger
from cdp_assets.resources.object_store import LocalObjectStore, ObjectInfo, ObjectStore
from cdp_assets.resources.warehouse import raw_select
from cdp_assets.settings import Limits, load_settings
from cdp_assets.sources.contracts import Contract, load_contracts
from cdp_assets.sources.extract import ExtractReport, extract_days, extract_objects
from cdp_assets.sources.quarantine import read_quarantine
from cdp_assets.sources.tables import landing_prefix, raw_table
from cdp_assets.sources.validate import Session

DAY = "2026-03-01"
CRM_HEADER = (
    "Id,FirstName,LastName,Email,Phone,MobilePhone,MailingStreet,MailingCity,MailingState,"
    "MailingPostalCode,MailingCountry,Birthdate,HasOptedOutOfEmail,IsDeleted,CreatedDate,"
    "SystemModstamp"
)


@dataclass
class Lake:
    """One entity's corner of a lake."""

    contract: Contract
    store: ObjectStore
    ledger: ObjectLedger
    limits: Limits

    def land(self, name: str, content: bytes, day: str = DAY) -> str:
        """Put an object into the entity's landing folder; its key."""
        folder = landing_prefix(self.contract.source, self.contract.entity, day)
        key = f"{folder}/{name}"
        self.store.write(key, content)
        return key

    def extract(
        self, *keys: str, hold: Hold | None = None, session: Session | None = None
    ) -> ExtractReport:
        """Extract these objects."""
        infos = (self.store.head(key) for key in keys)
        return self.extract_infos(*infos, hold=hold, session=session)

    def extract_infos(
        self, *infos: ObjectInfo, hold: Hold | None = None, session: Session | None = None
    ) -> ExtractReport:
        """Extract objects as they were listed."""
        return extract_objects(
            self.contract,
            infos,
            store=self.store,
            ledger=self.ledger,
            limits=self.limits,
            hold=hold,
            session=session,
        )

    def extract_day(self, day: str = DAY) -> ExtractReport:
        """Extract what the ledger does not have of a landing day."""
        settings = replace(load_settings({}), limits=self.limits)
        return extract_days(
            self.contract, [day], store=self.store, ledger=self.ledger, settings=settings
        )

    def load(self, content: bytes, name: str = "object") -> LedgerEntry:
        """Land and extract one object; its ledger entry."""
        key = self.land(name, content)
        self.extract(key)
        entry = self.ledger.current(key)
        assert entry is not None
        return entry

    def raw(self) -> list[dict[str, Any]]:
        """The rows of the raw view, by object and line."""
        with duckdb.connect() as connection:
            self.store.register(connection)
            sql = f"{raw_select(raw_table(self.contract, self.store))} order by _object_key, _line"
            return connection.sql(sql).to_arrow_table().to_pylist()

    def quarantine(self) -> list[dict[str, Any]]:
        """The rows in quarantine, by object and line."""
        rows = read_quarantine(self.store, [self.contract]).to_pylist()
        return sorted(rows, key=lambda row: (row["object_key"], row["line"] or 0))

    def found(self) -> list[tuple[int | None, str, str | None]]:
        """(line, rule, column) of each row in quarantine."""
        return [(row["line"], row["rule"], row["column"]) for row in self.quarantine()]

    def with_contract(self, **changes: Any) -> Lake:
        """The same lake under a changed contract."""
        return replace(self, contract=replace(self.contract, **changes))

    def with_format(self, **changes: Any) -> Lake:
        """The same lake under a contract of another format."""
        return self.with_contract(format=replace(self.contract.format, **changes))

    def with_column(self, name: str, **changes: Any) -> Lake:
        """The same lake under a contract with one column changed."""
        columns = tuple(
            replace(column, **changes) if column.name == name else column
            for column in self.contract.columns
        )
        return self.with_contract(columns=columns)

    def with_drift(self, **changes: Any) -> Lake:
        """The same lake under another drift policy."""
        return self.with_contract(drift=replace(self.contract.drift, **changes))

    def with_limits(self, **changes: Any) -> Lake:
        """The same lake under other limits."""
        return replace(self, limits=replace(self.limits, **changes))


@pytest.fixture(scope="session")
def contracts() -> dict[tuple[str, str], Contract]:
    return load_contracts()


@pytest.fixture
def lakes(tmp_path: Path, contracts: dict[tuple[str, str], Contract]) -> dict[str, Lake]:
    """A lake per source entity, over one folder and one ledger."""
    store = LocalObjectStore(tmp_path / "lake")
    ledger = SQLiteObjectLedger(tmp_path / "ledger.sqlite")
    return {
        "__".join(key): Lake(contract, store, ledger, Limits())
        for key, contract in contracts.items()
    }


@pytest.fixture
def crm(lakes: dict[str, Lake]) -> Lake:
    return lakes["crm__contacts"]


@pytest.fixture
def web(lakes: dict[str, Lake]) -> Lake:
    """JSON lines, without the compression that would only hide the bytes of a test."""
    return lakes["web__events"].with_format(compression="none")


@pytest.fixture
def center(lakes: dict[str, Lake]) -> Lake:
    return lakes["contact_center__contacts"]


@pytest.fixture
def receipt_lines(lakes: dict[str, Lake]) -> Lake:
    return lakes["pos__receipt_lines"]


def crm_row(contact_id: object, **fields: str) -> str:
    """One CSV row of the CRM export, by header name."""
    row = dict.fromkeys(CRM_HEADER.split(","), "")
    row |= {"Id": str(contact_id), "IsDeleted": "false", "SystemModstamp": f"{DAY}T09:00:00.000Z"}
    row |= fields
    return ",".join(row.values())


def crm_csv(*rows: str, header: str = CRM_HEADER) -> bytes:
    """A CRM export of these rows."""
    return "".join(f"{line}\n" for line in (header, *rows)).encode()


def event(message_id: object, **fields: Any) -> dict[str, Any]:
    """A Segment call."""
    return {
        "messageId": str(message_id),
        "type": "track",
        "timestamp": f"{DAY}T09:00:00.000Z",
        **fields,
    }


def json_lines(*records: dict[str, Any] | str) -> bytes:
    """Records, or lines as they are, one a line."""
    lines = (record if isinstance(record, str) else json.dumps(record) for record in records)
    return "".join(f"{line}\n" for line in lines).encode()


def contact_record(contact_id: object, **fields: Any) -> str:
    """An Amazon Connect contact record, as Firehose would write it."""
    record = {
        "ContactId": str(contact_id),
        "Channel": "VOICE",
        "InitiationTimestamp": f"{DAY}T09:00:00Z",
        "LastUpdateTimestamp": f"{DAY}T09:05:00Z",
    }
    return json.dumps({**record, **fields}, separators=(",", ":"))


def parquet(columns: Mapping[str, Any]) -> bytes:
    """A Parquet object of these columns."""
    buffer = io.BytesIO()
    pq.write_table(pa.table(dict(columns)), buffer)
    return buffer.getvalue()


def gzipped(content: bytes) -> bytes:
    """One gzip member."""
    return gzip.compress(content, mtime=0)
