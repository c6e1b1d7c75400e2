"""Reads a landed sample company back with the standard library and pyarrow alone."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from cdp_assets.sample.size import SampleReport

BROKEN = ("manual-fix", "delta-empty", "till-crash", "truncated", "cut-line", "bad-clock")


@dataclass(frozen=True)
class Landed:
    """A folder with `landing/` and `truth.parquet`, and what the generator said of it."""

    home: Path
    report: SampleReport

    def objects(self, source: str, entity: str) -> list[Path]:
        """Well-formed objects of one entity."""
        found = sorted((self.home / "landing" / source / entity).glob("dt=*/*"))
        return [path for path in found if not any(word in path.name for word in BROKEN)]

    def broken(self, word: str) -> Path:
        """The one broken object with `word` in its name."""
        (path,) = (self.home / "landing").glob(f"*/*/dt=*/*{word}*")
        return path

    @cached_property
    def contacts(self) -> list[dict[str, str]]:
        """Rows of the CRM exports."""
        return [row for path in self.objects("crm", "contacts") for row in read_csv(path)]

    @cached_property
    def receipts(self) -> list[dict[str, str]]:
        """Receipts."""
        return [row for path in self.objects("pos", "receipts") for row in read_csv(path)]

    @cached_property
    def calls(self) -> list[dict[str, Any]]:
        """Amazon Connect contact records."""
        paths = self.objects("contact_center", "contacts")
        return [record for path in paths for record in read_concatenated(path)]

    @cached_property
    def mails(self) -> list[dict[str, Any]]:
        """Amazon SES events."""
        lines = (path.read_text().splitlines() for path in self.objects("email", "events"))
        return [json.loads(line) for some in lines for line in some]

    def events(self, source: str) -> list[dict[str, Any]]:
        """Segment calls of `web` or `mobile`."""
        lines = (
            gzip.decompress(path.read_bytes()).decode().splitlines()
            for path in self.objects(source, "events")
        )
        return [json.loads(line) for some in lines for line in some]

    @cached_property
    def truth(self) -> dict[tuple[str, str], str]:
        """Person by (source, natural key)."""
        rows = pq.read_table(self.home / "truth.parquet").to_pylist()
        return {(row["source"], row["natural_key"]): row["person_id"] for row in rows}


def read_csv(path: Path) -> list[dict[str, str]]:
    """Rows of a CSV object."""
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file, strict=True))


def read_concatenated(path: Path) -> Iterator[dict[str, Any]]:
    """Records of an object that holds JSON after JSON with nothing between."""
    decoder, text, at = json.JSONDecoder(), path.read_text(), 0
    while at < len(text):
        record, at = decoder.raw_decode(text, at)
        yield record
