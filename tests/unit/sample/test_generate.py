from __future__ import annotations

import csv
import gzip
import json
import re
from collections import Counter
from datetime import datetime
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cdp_assets.sample.generate import generate
from cdp_assets.sample.size import SampleSize
from tests.unit.sample.landed import Landed, read_csv

DAYS = {f"2026-08-{day}" for day in range(25, 31)}


def content(landing: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(landing)): path.read_bytes()
        for path in landing.rglob("*")
        if path.is_file()
    }


def test_equal_seeds_give_equal_bytes_and_other_seeds_another_company(tiny: Landed, tmp_path: Path):
    again = generate(tmp_path / "landing", tmp_path / "truth.parquet", SampleSize.tiny())
    assert content(tmp_path / "landing") == content(tiny.home / "landing")
    assert (tmp_path / "truth.parquet").read_bytes() == (tiny.home / "truth.parquet").read_bytes()
    assert again == tiny.report
    generate(tmp_path / "other", tmp_path / "other.parquet", SampleSize.tiny(), seed=8)
    assert content(tmp_path / "other") != content(tiny.home / "landing")


def test_rows_are_about_as_many_as_asked_for(tiny: Landed):
    size, report = SampleSize.tiny(), tiny.report
    unique = report.rows - report.repeated_rows
    crm_rows = unique.pop("crm__contacts")
    assert abs(crm_rows - size.crm_rows) <= 0.05 * size.crm_rows
    assert abs(unique.total() - size.events) <= 0.08 * size.events


def test_the_report_counts_what_is_there(tiny: Landed):
    files = content(tiny.home / "landing")
    assert tiny.report.objects == len(files)
    assert tiny.report.landed_bytes == sum(map(len, files.values()))
    # Three good rows in the damaged CSV exports are counted, but not read here.
    assert tiny.report.rows["crm__contacts"] == len(tiny.contacts) + 3
    assert tiny.report.rows["contact_center__contacts"] == len(tiny.calls)
    assert tiny.report.rows["email__events"] == len(tiny.mails) + 3
    assert tiny.report.rows["web__events"] == len(tiny.events("web"))
    assert tiny.report.truth_rows == len(tiny.truth)


def test_every_object_lands_in_the_folder_of_a_day(tiny: Landed):
    unknown = "crm/notes.txt"
    pattern = re.compile(r"(\w+)/(\w+)/dt=(\d{4}-\d{2}-\d{2})/[^/]+")
    for key in content(tiny.home / "landing"):
        match = pattern.fullmatch(key)
        assert key == unknown or (match and match[3] in DAYS), key


def test_truth_names_a_person_for_every_well_formed_row(tiny: Landed):
    keys = {("crm", row["Id"]) for row in tiny.contacts}
    keys |= {("pos", row["receipt_id"]) for row in tiny.receipts}
    keys |= {("contact_center", record["ContactId"]) for record in tiny.calls}
    keys |= {("email", event["mail"]["messageId"]) for event in tiny.mails}
    keys |= {(s, call["messageId"]) for s in ("web", "mobile") for call in tiny.events(s)}
    assert keys == set(tiny.truth)


def test_salesforce_rows_have_18_character_ids_and_streets_with_line_breaks(tiny: Landed):
    assert all(re.fullmatch(r"003[0-9A-Za-z]{12}[A-Z0-5]{3}", row["Id"]) for row in tiny.contacts)
    assert any("\n" in row["MailingStreet"] for row in tiny.contacts)
    assert all(row["IsDeleted"] in ("true", "false") for row in tiny.contacts)
    assert all(datetime.fromisoformat(row["SystemModstamp"]).tzinfo for row in tiny.contacts)


def test_receipts_add_up_to_their_lines_to_the_cent(tiny: Landed):
    totals: Counter[str] = Counter()
    for path in tiny.objects("pos", "receipt_lines"):
        table = pq.read_table(path)
        assert table.schema.field("line_amount").type == pa.decimal128(18, 2)
        assert table.schema.field("quantity").type == pa.int32()
        assert table.schema.field("sold_at").type == pa.timestamp("us", tz="UTC")
        if path.name.startswith("redelivered"):
            continue
        for line in table.to_pylist():
            assert line["line_amount"] == line["quantity"] * line["unit_price"]
            totals[line["receipt_id"]] += line["line_amount"]
    for receipt in tiny.receipts:
        assert Decimal(receipt["total_amount"]) == totals[receipt["receipt_id"]]


def test_till_times_carry_the_offset_of_the_shop(tiny: Landed):
    offsets = {datetime.fromisoformat(row["sold_at"]).utcoffset() for row in tiny.receipts}
    assert None not in offsets
    assert len(offsets) > 3


def test_connect_records_follow_each_other_with_nothing_between(tiny: Landed):
    assert b"\n" not in b"".join(
        path.read_bytes() for path in tiny.objects("contact_center", "contacts")
    )
    channels = Counter(record["Channel"] for record in tiny.calls)
    assert channels["VOICE"] > channels["CHAT"] > 0
    for record in tiny.calls:
        endpoint = record["CustomerEndpoint"]
        kind = {"VOICE": "TELEPHONE_NUMBER", "EMAIL": "EMAIL_ADDRESS"}.get(record["Channel"])
        assert (endpoint or {}).get("Type") == kind


def test_a_connect_record_that_changed_comes_again_with_a_later_update(tiny: Landed):
    updates: dict[str, set[str]] = {}
    for record in tiny.calls:
        updates.setdefault(record["ContactId"], set()).add(record["LastUpdateTimestamp"])
    assert any(len(stamps) > 1 for stamps in updates.values())


def test_an_ses_event_holds_the_object_of_its_own_type_only(tiny: Landed):
    kinds = Counter(event["eventType"] for event in tiny.mails)
    assert set(kinds) == {
        "Send", "Delivery", "Open", "Click", "Bounce", "Complaint", "Subscription",
    }  # fmt: skip
    for event in tiny.mails:
        assert set(event) == {"eventType", "mail", event["eventType"].lower()}
        assert event["mail"]["tags"]["campaign"]
        assert len(event["mail"]["destination"]) == 1


def test_segment_calls_follow_their_type(tiny: Landed):
    calls = tiny.events("web") + tiny.events("mobile")
    assert {call["type"] for call in calls} == {
        "identify", "track", "page", "screen", "alias", "group",
    }  # fmt: skip
    for call in calls:
        assert call["anonymousId"]
        assert ("event" in call) == (call["type"] == "track")
        assert ("traits" in call) == (call["type"] in ("identify", "group"))
    assert not any("device" in call["context"] for call in tiny.events("web"))
    assert all(call["context"]["device"]["id"] for call in tiny.events("mobile"))


def test_people_browse_anonymously_before_they_log_in(tiny: Landed):
    calls = sorted(tiny.events("web"), key=lambda call: call["timestamp"])
    by_device: dict[str, list[str | None]] = {}
    for call in calls:
        by_device.setdefault(call["anonymousId"], []).append(call["userId"])
    assert any(
        before is None and after is not None
        for users in by_device.values()
        for before, after in pairwise(users)
    )


def test_some_devices_are_used_by_several_logins_of_one_household(tmp_path: Path):
    size = SampleSize(people=3_000, crm_rows=1_000, events=40_000, days=6, object_rows=50_000)
    landed = Landed(tmp_path, generate(tmp_path / "landing", tmp_path / "truth.parquet", size))
    users: dict[str, set[str]] = {}
    for call in landed.events("web"):
        if call["userId"]:
            users.setdefault(call["anonymousId"], set()).add(call["userId"])
    assert max(map(len, users.values())) in (2, 3)


def test_some_rows_land_days_after_they_happened_and_none_before(tiny: Landed):
    lateness = Counter()
    for path in tiny.objects("mobile", "events"):
        landing_day = datetime.fromisoformat(path.parent.name.removeprefix("dt=")).date()
        for line in gzip.decompress(path.read_bytes()).splitlines():
            happened = datetime.fromisoformat(json.loads(line)["timestamp"]).date()
            lateness[(landing_day - happened).days] += 1
    assert min(lateness) >= -1
    assert 2 <= max(lateness) <= 31


def test_rows_and_whole_objects_are_delivered_twice(tiny: Landed):
    assert all(tiny.report.repeated_rows[table] for table in ("crm__contacts", "web__events"))
    copies = list((tiny.home / "landing").rglob("redelivered-*"))
    assert copies
    for copy in copies:
        original = copy.with_name(copy.name.removeprefix("redelivered-"))
        assert copy.read_bytes() == original.read_bytes()


def test_a_message_sent_again_has_the_same_id_and_a_later_receipt(tmp_path: Path):
    size = SampleSize(people=500, crm_rows=500, events=20_000, days=3, object_rows=50_000)
    size_without_copies = SampleSize(**{**vars(size), "has_faults": False})
    report = generate(tmp_path / "landing", tmp_path / "truth.parquet", size_without_copies)
    received: dict[str, list[str]] = {}
    for call in Landed(tmp_path, report).events("web"):
        received.setdefault(call["messageId"], []).append(call["receivedAt"])
    again = [sorted(times) for times in received.values() if len(times) > 1]
    assert any(first == second for first, second in again)
    assert any(first < second for first, second in again)


def test_contacts_change_are_deleted_and_opt_out(tiny: Landed):
    versions: dict[str, list[dict[str, str]]] = {}
    for row in sorted(tiny.contacts, key=lambda row: row["SystemModstamp"]):
        versions.setdefault(row["Id"], []).append(row)

    def changes(column: str) -> int:
        return sum(len({row[column] for row in rows}) > 1 for rows in versions.values())

    for column in ("MailingStreet", "Email", "HasOptedOutOfEmail", "IsDeleted"):
        assert changes(column), column


def test_nobody_who_opted_out_is_written_to_days_later(tiny: Landed):
    left = {
        event["mail"]["destination"][0]: event["subscription"]["timestamp"]
        for event in tiny.mails
        if event["eventType"] == "Subscription"
    }
    assert left
    for event in tiny.mails:
        gone = left.get(event["mail"]["destination"][0])
        if gone and event["eventType"] == "Send":
            assert event["mail"]["timestamp"] <= gone


def test_values_are_written_in_many_ways_and_some_are_junk(tiny: Landed):
    emails = [row["Email"] for row in tiny.contacts if row["Email"]]
    assert any("+fernhill@" in email for email in emails)
    assert any(email != email.lower() for email in emails)
    assert any(email.endswith(("@test.com", "@none.com", "fernhill.example")) for email in emails)
    numbers = [row[column] for row in tiny.contacts for column in ("Phone", "MobilePhone")]
    for shape in (r"\+\d{9,13}", r"\(\d{3}\) \d{3}-\d{4}", r"\d\.\d{5}E\d+", r"0{10}|N/A|-"):
        assert any(re.fullmatch(shape, number) for number in numbers), shape
    assert any(not row["LastName"].isascii() for row in tiny.contacts)
    assert {"Null", "NA"} <= {row["LastName"] for row in tiny.contacts}


@pytest.mark.parametrize(
    ("word", "records"),
    [("manual-fix", 4), ("till-crash", 5)],
)
def test_a_damaged_csv_holds_one_broken_record_after_good_ones(
    tiny: Landed, word: str, records: int
):
    with tiny.broken(word).open(newline="") as file:
        rows = list(csv.reader(file))
    assert len(rows) in (records, records + 1)
    assert len({len(row) for row in rows}) == 2


def test_the_other_broken_objects_are_broken_in_their_own_way(tiny: Landed):
    with pytest.raises(EOFError):
        gzip.decompress(tiny.broken("truncated").read_bytes())
    lines = gzip.decompress(tiny.broken("cut-line").read_bytes()).splitlines()
    with pytest.raises(json.JSONDecodeError):
        json.loads(lines[1])
    bad_clock = json.loads(tiny.broken("bad-clock").read_text().splitlines()[0])
    with pytest.raises(ValueError, match="month must be"):
        datetime.fromisoformat(bad_clock["mail"]["timestamp"])
    assert read_csv(tiny.broken("delta-empty")) == []
    assert tiny.broken("connect-contacts-empty").stat().st_size == 0
    assert (tiny.home / "landing" / "crm" / "notes.txt").exists()
    assert tiny.report.broken_records == 5


def test_no_unfinished_file_is_left(tiny: Landed):
    assert not list(tiny.home.rglob("*.tmp"))
