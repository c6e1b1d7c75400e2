"""How big a sample company is, and what a generation reports.

Here: plain values. Not here: how rows are made.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import date


@dataclass(frozen=True)
class SampleSize:
    """One size of the company.

    Attributes:
        people: customers of the company, known or not.
        crm_rows: CRM export rows (contact versions), before repeated deliveries.
        events: rows over the five other channels, receipt lines included, before repetitions.
        days: landing days; the last one is `last_day`.
        object_rows: rows per landing object at most.
        has_event_truth: also write who is behind each event (always done for CRM contacts).
        has_faults: also land a few broken objects and whole objects delivered twice.
    """

    people: int
    crm_rows: int
    events: int
    days: int
    object_rows: int
    has_event_truth: bool = True
    has_faults: bool = True
    last_day: date = date(2026, 8, 30)

    @classmethod
    def tiny(cls) -> SampleSize:
        """For tests: every phenomenon, a few thousand rows, under a second."""
        return cls(people=300, crm_rows=360, events=5_000, days=6, object_rows=400)

    @classmethod
    def demo(cls) -> SampleSize:
        """For `make demo`: a company one can believe in, small enough for a laptop minute."""
        return cls(people=20_000, crm_rows=22_000, events=280_000, days=30, object_rows=2_500)

    @classmethod
    def bench(cls, scale: int = 1) -> SampleSize:
        """For `make bench`: 200,000 CRM rows and 1,000,000 events for each unit of `scale`."""
        return cls(
            people=180_000 * scale,
            crm_rows=200_000 * scale,
            events=1_000_000 * scale,
            days=10,
            object_rows=100_000,
            has_event_truth=False,
            has_faults=False,
        )

    @property
    def first_epoch_day(self) -> int:
        """The first landing day, in days since 1970-01-01."""
        return self.last_day.toordinal() - date(1970, 1, 1).toordinal() - self.days + 1


@dataclass
class SampleReport:
    """What was landed.

    Attributes:
        rows: well-formed rows written per `<source>__<entity>`, repeated deliveries included.
        repeated_rows: how many of them had been written before, per `<source>__<entity>`.
        objects: landing objects written, broken and unknown ones included.
        landed_bytes: their total size.
        broken_records: records (or whole objects) that no contract accepts.
        people: distinct people in the truth.
        truth_rows: rows of truth.parquet.
    """

    rows: Counter[str] = field(default_factory=Counter)
    repeated_rows: Counter[str] = field(default_factory=Counter)
    objects: int = 0
    landed_bytes: int = 0
    broken_records: int = 0
    people: int = 0
    truth_rows: int = 0

    def count(self, key: str, rows: int, written: int, *, is_repeat: bool) -> None:
        """Note one object.

        Args:
            key: `<source>/<entity>/...`.
            rows: well-formed rows in it.
            written: bytes.
            is_repeat: the rows had been delivered before.
        """
        table = "__".join(key.split("/")[:2])
        self.objects += 1
        self.landed_bytes += written
        if rows:
            self.rows[table] += rows
            self.repeated_rows[table] += rows if is_repeat else 0

    def add(self, other: SampleReport) -> None:
        """Put another part's counts to this one's."""
        self.rows += other.rows
        self.repeated_rows += other.repeated_rows
        self.objects += other.objects
        self.landed_bytes += other.landed_bytes

    @property
    def total_rows(self) -> int:
        """All rows over all channels."""
        return self.rows.total()
