from __future__ import annotations

from dataclasses import replace

import pytest

from cdp_assets.checks.conservation import Conservation

WHOLE = Conservation(
    source="crm",
    entity="contacts",
    records_in=10,
    ledger_loaded=8,
    raw=8,
    delivered=8,
    loaded=5,
    suppressed=0,
    quarantined=2,
)


def test_records_that_are_all_accounted_for_are_no_fault():
    assert WHOLE.duplicate == 3
    assert WHOLE.faults() == []


@pytest.mark.parametrize(
    ("loss", "sentence"),
    [
        ({"raw": 7}, "the ledger loaded 8, the raw files hold 7"),
        ({"delivered": 7}, "raw holds 8, cleansed stands for 7"),
        ({"quarantined": 1}, "10 records came in, 9 are accounted for"),
        ({"records_in": 11}, "11 records came in, 10 are accounted for"),
    ],
)
def test_a_lost_record_is_told_with_both_counts(loss, sentence):
    assert sentence in replace(WHOLE, **loss).faults()
