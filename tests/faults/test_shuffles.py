"""However the objects arrive, the tables and the ids are the same."""

from __future__ import annotations

import pytest

from tests.faults.shuffles import (
    company,
    differences,
    record_scripts,
    run_case,
    run_in_order,
)

_CASES = 5


@pytest.mark.slow
@pytest.mark.fault("F05", "F06", "F07", "F22")
def test_objects_in_any_order_number_and_packing_give_the_same_tables_and_ids(tmp_path):
    objects = company()
    scripts, by_dbt = record_scripts(tmp_path, objects)
    expected = run_in_order(tmp_path, scripts, objects)
    assert expected == by_dbt, "a replay has to give what dbt gives"
    wrong = {
        case: differences(expected, run_case(tmp_path, scripts, objects, case))
        for case in range(_CASES)
    }
    assert not any(wrong.values()), wrong
    # The control: one object less is seen.
    fewer = dict(list(objects.items())[1:])
    assert differences(expected, run_in_order(tmp_path / "fewer", scripts, fewer))
