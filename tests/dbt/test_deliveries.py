"""One row per key: which delivery wins, what is counted, and ordinary runs against full builds."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest

from .conftest import Platform

CONNECT_CONTACT = {
    "contact_id": "c1",
    "channel": "VOICE",
    "initiated_at": "2025-03-01T09:00:00Z",
    "updated_at": "2025-03-01T10:00:00Z",
    "endpoint_type": "TELEPHONE_NUMBER",
    "endpoint_address": "+442079460018",
    "endpoint_address_e164": "+442079460018",
}
ENTITIES = ("contact_center__contacts", "pos__receipt_lines")
WEB_EVENT = {"message_id": "m1", "call_type": "page", "occurred_at": "2025-03-01T09:00:00Z"}


def lineage(platform: Platform, table: str) -> list[tuple]:
    return platform.query(
        f"select _deliveries, _has_conflict, _load_id, _last_load_id from cleansed.{table}"
    )


@pytest.mark.fault("F05", "F07")
def test_the_same_event_three_times_over_two_days_is_one_row(platform: Platform) -> None:
    platform.lake.deliver("web__events", [WEB_EVENT, WEB_EVENT], dt="2025-03-01")
    platform.clean("web__events")
    platform.lake.deliver("web__events", [WEB_EVENT], dt="2025-03-02")
    platform.clean("web__events")
    assert lineage(platform, "clean_web__events") == [(3, False, 1, 2)]


@pytest.mark.fault("F07")
def test_two_events_of_equal_content_and_different_ids_are_both_kept(platform: Platform) -> None:
    platform.lake.deliver("web__events", [WEB_EVENT, {**WEB_EVENT, "message_id": "m2"}])
    platform.clean("web__events")
    assert platform.query("select message_id from cleansed.clean_web__events order by 1") == [
        ("m1",),
        ("m2",),
    ]


@pytest.mark.fault("F07")
def test_one_id_with_two_contents_keeps_the_earlier_day_and_reports_the_conflict(
    platform: Platform,
) -> None:
    platform.lake.deliver("web__events", [{**WEB_EVENT, "page_path": "/late"}], dt="2025-03-02")
    platform.clean("web__events")
    platform.lake.deliver("web__events", [{**WEB_EVENT, "page_path": "/early"}], dt="2025-03-01")
    platform.clean("web__events")
    assert platform.query("select page_path from cleansed.clean_web__events") == [("/early",)]
    assert lineage(platform, "clean_web__events") == [(2, True, 2, 2)]


@pytest.mark.fault("F22")
def test_the_greatest_version_wins_and_an_older_one_arriving_late_changes_nothing(
    platform: Platform,
) -> None:
    newer = {**CONNECT_CONTACT, "updated_at": "2025-03-01T11:00:00Z", "reason": "refund"}
    platform.lake.deliver("contact_center__contacts", [newer], dt="2025-03-02")
    platform.clean("contact_center__contacts")
    platform.lake.deliver("contact_center__contacts", [CONNECT_CONTACT], dt="2025-03-01")
    platform.clean("contact_center__contacts")
    assert platform.query("select reason from cleansed.clean_contact_center__contacts") == [
        ("refund",)
    ]
    assert lineage(platform, "clean_contact_center__contacts") == [(2, False, 1, 2)]


def test_contents_of_an_older_version_make_no_conflict(platform: Platform) -> None:
    newer = {**CONNECT_CONTACT, "updated_at": "2025-03-01T11:00:00Z"}
    other = {**CONNECT_CONTACT, "reason": "refund"}
    platform.lake.deliver("contact_center__contacts", [CONNECT_CONTACT, other, newer])
    platform.clean("contact_center__contacts")
    assert lineage(platform, "clean_contact_center__contacts") == [(3, False, 1, 1)]


def test_two_spellings_of_one_instant_are_one_version(platform: Platform) -> None:
    contact = {
        "contact_id": "1",
        "is_deleted": "false",
        "modified_at": "2025-03-01T10:00:00Z",
    }
    platform.lake.deliver(
        "crm__contacts", [contact, {**contact, "modified_at": "2025-03-01T11:00:00+01:00"}]
    )
    platform.clean("crm__contacts")
    assert lineage(platform, "clean_crm__contacts") == [(2, True, 1, 1)]


def deliveries() -> list[tuple[str, list[dict], str]]:
    """Objects that repeat, contradict and outdate each other, in all shapes of key."""
    line = {
        "receipt_id": "r1",
        "sold_at": "2025-03-01T10:00:00Z",
        "sku": "s",
        "quantity": "1",
        "unit_price": "2.50",
        "line_amount": "2.50",
    }
    older = {**CONNECT_CONTACT, "reason": "old"}
    newer = {**CONNECT_CONTACT, "updated_at": "2025-03-01T12:00:00Z", "reason": "new"}
    rival = {**newer, "reason": "rival"}
    first = [{**line, "line_number": "1"}, {**line, "line_number": "2"}]
    second = [{**line, "line_number": "01", "sku": "t"}, {**line, "line_number": "3"}]
    return [
        ("contact_center__contacts", [older, newer], "2025-03-03"),
        ("contact_center__contacts", [newer, rival], "2025-03-01"),
        ("contact_center__contacts", [older, {**older, "contact_id": "c2"}], "2025-03-02"),
        ("pos__receipt_lines", first, "2025-03-02"),
        ("pos__receipt_lines", second, "2025-03-01"),
        ("pos__receipt_lines", first, "2025-03-03"),
    ]


def tables(platform: Platform, leaving_out: tuple[str, ...] = ()) -> list[list[tuple]]:
    return [platform.rows(f"cleansed.clean_{entity}", leaving_out) for entity in ENTITIES]


@pytest.mark.slow
@pytest.mark.fault("F22")
def test_ordinary_runs_in_any_order_equal_a_full_build(
    new_platform: Callable[[str], Platform],
) -> None:
    objects = deliveries()
    whole = new_platform("whole")
    for entity, rows, dt in objects:
        whole.lake.deliver(entity, rows, dt)
    whole.clean(*ENTITIES)
    expected = tables(whole, ("_load_id", "_last_load_id"))
    for order in itertools.islice(itertools.permutations(range(6)), 100, None, 250):
        daily = new_platform("daily" + "".join(map(str, order)))
        for batch in (order[:1], order[1:3], order[3:]):
            for number in batch:
                daily.lake.deliver(*objects[number])
            daily.clean(*ENTITIES)
        assert tables(daily, ("_load_id", "_last_load_id")) == expected, order
        incremental = tables(daily)
        daily.clean(*ENTITIES, full_refresh=True)
        assert tables(daily) == incremental, order
