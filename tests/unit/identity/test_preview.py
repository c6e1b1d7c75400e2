"""What a preview reads and prints; tests/pipeline/test_people.py makes a real one."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from cdp_assets.identity.evaluate import Agreement
from cdp_assets.identity.gate import ChangeCounts, Verdict
from cdp_assets.identity.preview import (
    Example,
    Preview,
    PreviewError,
    Quality,
    as_json,
    as_lines,
    copy_warehouse,
    preview,
    read_labels,
)
from cdp_assets.local import claim_home
from cdp_assets.resources.warehouse import NothingPublishedError
from cdp_assets.settings import load_settings

FOUND = Preview(
    model="strict-1",
    basis="warehouse",
    counts=ChangeCounts(before=2000, created=7, merged=5, split=60, reidentified=0, retired=0),
    verdict=Verdict(passed=False, reasons=["60 of 2000 customers would be split."]),
    examples=[Example("merge", "c_1", "c_2", "crm:contact:7", "probabilistic")],
    qualities=[
        Quality("truth", 4000, Agreement(0.97, 0.89), Agreement(0.99, 0.87)),
        Quality("decisions", 12, None, Agreement(1.0, 0.5)),
    ],
)


def test_the_text_says_what_would_change_how_well_and_whether_the_gate_lets_it():
    assert list(as_lines(FOUND)) == [
        "With model strict-1 and the rules as they are, of 2,000 customers:",
        "          7  would begin",
        "          5  would be merged into another",
        "             c_1 from c_2, with crm:contact:7, by probabilistic",
        "         60  would lose records to another",
        "          0  would get another id",
        "          0  would end",
        "On 4,000 records of the truth: precision 0.9900, recall 0.8700 (now 0.9700 and 0.8900).",
        "The model alone on 12 decided pairs: precision 1.0000, recall 0.5000.",
        "The gate would stop it:",
        "  60 of 2000 customers would be split.",
        "Nothing was changed.",
    ]


def test_the_json_holds_the_same():
    told = json.loads(json.dumps(as_json(FOUND)))
    assert told["customers"]["split"] == 60
    assert told["gate"] == {"passed": False, "reasons": ["60 of 2000 customers would be split."]}
    assert told["examples"][0]["record_id"] == "crm:contact:7"
    assert told["quality"]["truth"]["before"]["precision"] == 0.97
    assert told["quality"]["decisions"]["before"] is None


def test_labels_are_unordered_pairs(tmp_path: Path):
    path = tmp_path / "labels.csv"
    path.write_text("left_record_id,right_record_id,is_match,why\nb,a,True,x\na,c,0,y\n")
    assert read_labels(path).to_pylist() == [
        {"left_id": "a", "right_id": "b", "is_match": True},
        {"left_id": "a", "right_id": "c", "is_match": False},
    ]


@pytest.mark.parametrize("line", ["a,b,perhaps", "a,,true", "a"])
def test_a_line_that_is_no_label_is_refused_by_its_number(tmp_path: Path, line: str):
    path = tmp_path / "labels.csv"
    path.write_text(f"left_record_id,right_record_id,is_match\na,b,true\n{line}\n")
    with pytest.raises(PreviewError, match="line 3"):
        read_labels(path)


def test_without_a_published_version_there_is_nothing_to_compare_with(tmp_path: Path):
    with pytest.raises(NothingPublishedError):
        preview(load_settings({"CDP_HOME": str(tmp_path)}))


def test_while_another_process_works_the_published_version_is_looked_at(tmp_path: Path):
    settings = load_settings({"CDP_HOME": str(tmp_path / "home")})
    settings.warehouse_path.parent.mkdir(parents=True)
    settings.warehouse_path.write_text("half written")
    settings.published_path.write_text("whole")
    busy, idle = (replace(settings, home=tmp_path / name) for name in ("busy", "idle"))
    with claim_home(settings, "cdp run"):
        assert copy_warehouse(settings, busy) == "published"
    assert busy.warehouse_path.read_text() == "whole"
    assert copy_warehouse(settings, idle) == "warehouse"
    assert idle.warehouse_path.read_text() == "half written"
