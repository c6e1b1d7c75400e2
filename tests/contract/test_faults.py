"""The page of faults says what the tests show."""

from __future__ import annotations

from tests.faults.catalogue import FAULTS, NUMBERS
from tests.faults.document import PAGE, marks, page


def test_the_page_is_what_the_tests_show():
    assert PAGE.read_text(encoding="utf-8") == page(), "run `python -m tests.faults.document`"


def test_a_mark_names_a_fault_of_the_catalogue():
    assert not marks().keys() - NUMBERS


def test_every_fault_has_a_test_or_says_why_not():
    shown = marks()
    silent = [
        fault.number
        for faults in FAULTS.values()
        for fault in faults
        if not shown.get(fault.number) and not fault.gap
    ]
    assert not silent
