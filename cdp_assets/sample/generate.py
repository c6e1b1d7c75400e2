"""Make the sample company's landing folder, and the truth about who is who.

Here: which days and channels there are, their writing in parallel, the truth file and the report.
Not here: what a channel writes. Equal seed and size give equal bytes, whatever the threads do.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from cdp_assets.sample import contact_center, crm, faults, pos, segment, ses, visits
from cdp_assets.sample.company import Company
from cdp_assets.sample.landing import Delivery, iso_day, write
from cdp_assets.sample.size import SampleReport, SampleSize

TRUTH_SCHEMA = pa.schema(
    [
        ("source", pa.string()),
        ("entity", pa.string()),
        ("natural_key", pa.string()),
        ("person_id", pa.string()),
    ]
)

_Job = Callable[[], Iterator[Delivery]]


@dataclass
class _Landed:
    """What jobs wrote: rows of each object by its key, the truth, and who was seen."""

    report: SampleReport = field(default_factory=SampleReport)
    objects: dict[str, int] = field(default_factory=dict)
    truth: list[pa.Table] = field(default_factory=list)
    people: list[np.ndarray] = field(default_factory=list)

    def add(self, other: _Landed) -> None:
        """Put another job's work to this one's."""
        self.report.add(other.report)
        self.objects |= other.objects
        self.truth += other.truth
        self.people += other.people


def generate(destination: Path, truth_path: Path, size: SampleSize, seed: int = 7) -> SampleReport:
    """Land the sample company's objects, then write the truth.

    The truth file is written last: where it exists, the landing folder is whole.

    Args:
        destination: landing root; objects go to `<source>/<entity>/dt=YYYY-MM-DD/<name>` in it.
        truth_path: Parquet file with source, entity, natural_key, person_id.
        size: how big.
        seed: another seed is another company.
    """
    company = Company.found(size, seed)
    landed = _land(destination, company, _jobs(company, range(size.days)))
    if size.has_faults:
        _land_again(destination, landed, size)
        _land_broken(destination, landed.report, size)
    landed.report.truth_rows = _write_truth(truth_path, landed.truth)
    landed.report.people = len(np.unique(np.concatenate(landed.people)))
    return landed.report


def write_increment(
    destination: Path,
    size: SampleSize,
    share: float = 0.01,
    day: int | None = None,
    seed: int = 7,
) -> SampleReport:
    """Land one more day, on which about `share` of the customers are seen.

    New events of known people, changed CRM contacts, and a few new people. Rows grow like people:
    one percent of the customers makes about one percent of the window's rows.

    Args:
        destination: landing root that `generate` filled with the same size and seed.
        size: the size given to `generate`.
        share: of the customers, 0 to 1.
        day: landing day, counted from 0; `size.days` (the first day after the window) if None.
        seed: the seed given to `generate`.

    Raises:
        ValueError: `day` is not one of the fifty days after the window.
    """
    day = size.days if day is None else day
    company = Company.found(size, seed).on_increment(day, share)
    landed = _land(destination, company, _jobs(company, range(day, day + 1)))
    landed.report.people = len(np.unique(np.concatenate(landed.people)))
    return landed.report


def _jobs(company: Company, days: range) -> list[_Job]:
    """One job per channel and day, each on its own dice; the biggest first."""
    if days.start < company.size.days:
        plan = crm.export_plan(company)
    else:
        plan = crm.increment_plan(company, days.start)
    channels: list[Callable[[int], Iterator[Delivery]]] = [
        partial(crm.objects, company, plan),
        partial(segment.objects, company, visits.WEB),
        partial(segment.objects, company, visits.MOBILE),
        partial(ses.objects, company),
        partial(pos.objects, company),
        partial(contact_center.objects, company),
    ]
    return [partial(channel, day) for channel in channels for day in days]


def _land(destination: Path, company: Company, jobs: list[_Job]) -> _Landed:
    total = _Landed()
    names = company.people.ids()
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        for landed in pool.map(partial(_run, destination, company.size, names), jobs):
            total.add(landed)
    return total


def _run(destination: Path, size: SampleSize, names: pa.Array, job: _Job) -> _Landed:
    landed = _Landed()
    for delivery in job():
        written = write(destination, delivery.key, delivery.data)
        landed.report.count(delivery.key, delivery.rows, written, is_repeat=delivery.is_repeat)
        landed.objects[delivery.key] = delivery.rows
        if delivery.keys is None or delivery.people is None:
            continue
        landed.people.append(np.unique(delivery.people))
        if size.has_event_truth or delivery.source == "crm":
            landed.truth.append(
                _truth(delivery, delivery.keys, names.take(pa.array(delivery.people)))
            )
    return landed


def _truth(delivery: Delivery, keys: pa.Array, people: pa.Array) -> pa.Table:
    constant = [pa.repeat(value, len(keys)) for value in (delivery.source, delivery.entity)]
    table = pa.Table.from_arrays([*constant, keys, people], schema=TRUTH_SCHEMA)
    return table.filter(keys.is_valid())


def _write_truth(path: Path, tables: list[pa.Table]) -> int:
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(path.name + ".tmp")
    truth = pa.concat_tables(tables)
    pq.write_table(truth, unfinished, compression="zstd")
    unfinished.replace(path)
    return len(truth)


def _land_again(destination: Path, landed: _Landed, size: SampleSize) -> None:
    """Whole objects delivered a second time, byte for byte."""
    last_day = iso_day(size.first_epoch_day + size.days - 1)
    for key, again in faults.redeliveries(sorted(landed.objects), last_day):
        written = write(destination, again, (destination / key).read_bytes())
        landed.report.count(again, landed.objects[key], written, is_repeat=True)


def _land_broken(destination: Path, report: SampleReport, size: SampleSize) -> None:
    for broken in faults.broken_objects(destination, size):
        written = write(destination, broken.key, broken.data)
        report.count(broken.key, broken.rows, written, is_repeat=True)
        report.broken_records += broken.broken
