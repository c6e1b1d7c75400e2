from __future__ import annotations

from datetime import datetime

import pytest

from cdp_assets.identity.decisions import (
    Decision,
    DecisionsError,
    keep_decisions,
    parse_decisions,
    read_decisions,
    unpublished_decisions,
    write_decisions,
)
from cdp_assets.resources.object_store import LocalObjectStore
from cdp_assets.resources.warehouse import DuckDBWarehouse

HEADER = "decision,left_record_id,right_record_id,decided_by,decided_at,note\n"


def parse(line: str) -> list[dict[str, object]]:
    return parse_decisions("decisions/a.csv", (HEADER + line).encode())


def test_a_decision_is_about_an_unordered_pair_in_utc():
    assert parse("cannot_link,b,a,kim,2026-01-02T10:00:00+02:00,twins\n") == [
        {
            "decision": "cannot_link",
            "left_record_id": "a",
            "right_record_id": "b",
            "decided_by": "kim",
            "decided_at": datetime.fromisoformat("2026-01-02T08:00:00"),
            "note": "twins",
        }
    ]


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("perhaps,a,b,kim,2026-01-02,\n", "line 2: decision takes"),
        ("must_link,,b,kim,2026-01-02,\n", "line 2: left_record_id is empty"),
        ("must_link,a,a,kim,2026-01-02,\n", "line 2: both record ids are the same"),
        ("must_link,a,b,kim,yesterday,\n", "line 2: decided_at is no ISO 8601 time"),
        ('must_link,"a\n', "not readable as UTF-8 CSV"),
    ],
)
def test_a_line_that_is_no_decision_is_refused_by_name_and_line(line, complaint):
    with pytest.raises(DecisionsError, match=complaint):
        parse(line)


def test_a_refusal_repeats_no_value_of_the_file():
    with pytest.raises(DecisionsError) as error:
        parse("must_link,crm:contact:secret,b,kim,yesterday,\n")
    assert "secret" not in str(error.value)


def test_another_header_is_refused():
    with pytest.raises(DecisionsError, match="the header must be"):
        parse_decisions("decisions/a.csv", b"left,right\n")


def test_an_empty_file_is_refused():
    with pytest.raises(DecisionsError, match="the header must be"):
        parse_decisions("decisions/a.csv", b"")


def test_a_decision_that_was_read_once_stays_when_its_file_goes(tmp_path):
    store = LocalObjectStore(tmp_path / "lake")
    warehouse = DuckDBWarehouse(tmp_path / "cdp.duckdb", tmp_path / "published.duckdb", "1GB")
    store.write("decisions/a.csv", (HEADER + "must_link,a,b,kim,2026-01-02,\n").encode())
    assert keep_decisions(warehouse, store) == 1
    assert keep_decisions(warehouse, store) == 1
    store.delete("decisions/a.csv")
    store.write("decisions/b.csv", (HEADER + "cannot_link,a,b,kim,2026-01-03,\n").encode())
    assert keep_decisions(warehouse, store) == 2


def decision(kind: str = "must_link", note: str = "", minute: int = 0) -> Decision:
    at = datetime.fromisoformat(f"2026-01-02T10:{minute:02}:00+02:00")
    return Decision(kind, "b", "a", "kim", at, note)


def test_a_written_decision_is_read_back_whatever_its_note_holds(tmp_path):
    store = LocalObjectStore(tmp_path)
    key = write_decisions(store, [decision(note='twins, "sure"\nasked')])
    assert key.startswith("decisions/20260102T080000Z-")
    assert read_decisions(store).to_pylist() == [
        {
            "decision": "must_link",
            "left_record_id": "a",
            "right_record_id": "b",
            "decided_by": "kim",
            "decided_at": datetime.fromisoformat("2026-01-02T08:00:00"),
            "note": 'twins, "sure"\nasked',
        }
    ]


def test_what_is_no_decision_is_not_written(tmp_path):
    store = LocalObjectStore(tmp_path)
    with pytest.raises(DecisionsError, match="decision takes"):
        write_decisions(store, [decision(), decision("perhaps")])
    assert list(store.list("decisions/")) == []


def test_decisions_that_a_version_does_not_know_are_counted_once(tmp_path):
    store = LocalObjectStore(tmp_path)
    nothing = read_decisions(store)
    assert unpublished_decisions(store, nothing) == 0
    write_decisions(store, [decision()])
    known = read_decisions(store)
    store.write("decisions/again.csv", store.read(next(store.list("decisions/")).key))
    assert unpublished_decisions(store, nothing) == 1
    assert unpublished_decisions(store, known) == 0
    write_decisions(store, [decision("withdrawn", minute=1)])
    assert unpublished_decisions(store, known) == 1
