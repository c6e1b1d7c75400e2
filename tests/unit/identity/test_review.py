from __future__ import annotations

import csv
import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cdp_assets.identity.console import (
    export_queue,
    give_answers,
    import_answers,
    queue_lines,
    unapplied,
)
from cdp_assets.identity.match_model import DEFAULT_MODEL, load_default
from cdp_assets.identity.review import Answer, ReviewError, read_answers
from cdp_assets.resources.build import build_object_store
from cdp_assets.settings import Settings
from tests.unit.identity.published import DAY, Published

ANN, BOB, CEM, DEE = "crm:contact:ann", "pos:party:bob", "web:login:cem", "web:login:dee"
ONE, TWO, THREE = "c_" + "1" * 20, "c_" + "2" * 20, "c_" + "3" * 20


@pytest.fixture
def published(published: Published) -> Published:
    """Three customers; the pairs Ann-Bob, Ann-Cem and Cem-Dee are in the band, the last settled."""
    made = published
    made.customer(ONE, ANN)
    made.customer(TWO, BOB)
    made.customer(THREE, CEM, DEE)
    for left, right, weight in ((ANN, BOB, 2.0), (ANN, CEM, 4.0), (CEM, DEE, 5.0)):
        made.add("review_queue", left, right, 1 / (1 + 2**-weight), weight, 1, 3.0)
    return made


def pairs_waiting(settings: Settings) -> list[str]:
    return [line for line in queue_lines(settings, 10) if line.startswith(("crm", "pos", "web"))]


def decided(settings: Settings) -> list[dict[str, str]]:
    """What lies in the lake, the oldest first."""
    store = build_object_store(settings)
    files = [store.read(info.key).decode() for info in store.list("decisions/")]
    rows = [row for text in files for row in csv.DictReader(text.splitlines())]
    return sorted(rows, key=lambda row: row["decided_at"])


def fill_in(path: Path, answers: dict[str, str]) -> None:
    """Write answers into an exported file, by its right record."""
    with path.open(newline="") as handle:
        lines = csv.DictReader(handle)
        rows, header = list(lines), list(lines.fieldnames or [])
    with path.open("w", newline="") as handle:
        writer = csv.DictWriter(handle, header)
        writer.writeheader()
        for row in rows:
            writer.writerow({**row, "answer": answers.get(row["right_record_id"], "")})


def test_the_queue_holds_pairs_of_different_customers_the_likeliest_first(published):
    assert pairs_waiting(published.settings()) == [f"{ANN} {CEM}", f"{ANN} {BOB}"]


def doubting(published: Published, folder: Path, condition: str) -> Settings:
    """Settings with the model that the version was scored with, which doubts."""
    content = json.loads(DEFAULT_MODEL.read_bytes())
    content |= {
        "version": "doubting-1",
        "doubts": [{"reason": "last_name_alone", "condition": condition}],
    }
    model = folder / "doubting.json"
    model.write_text(json.dumps(content))
    published.add("match_model", "doubting-1")
    return replace(published.settings(), identity_model=str(model))


def test_pairs_that_the_model_doubts_are_only_asked_about_on_demand(published, tmp_path):
    published.customer("c_" + "4" * 20, "pos:party:eve")
    published.add("review_queue", ANN, "pos:party:eve", 0.999, 9.0, 2, 3.0)
    settings = doubting(published, tmp_path, "gamma_last_name = 2")
    assert f"{ANN} pos:party:eve" not in pairs_waiting(settings)
    assert list(queue_lines(settings, 1))[-1].startswith("1 more agree on too little")
    assert f"{ANN} pos:party:eve" in "\n".join(queue_lines(settings, 1, show_all=True))


def test_where_every_pair_is_doubted_nothing_waits_and_more_are_told_of(published, tmp_path):
    settings = doubting(published, tmp_path, "gamma_last_name = 1")
    assert list(queue_lines(settings, 10)) == [
        "Nothing waits for an answer.",
        "2 more agree on too little to ask about; --all shows them.",
    ]


def test_a_pair_shows_its_weights_and_values_only_when_asked_for(published):
    published.add("match_records", ANN, True, "ann", *[None] * 11)
    settings = published.settings()
    text = "\n".join(queue_lines(settings, 1))
    assert "+3.00  last_name" in text
    assert "first_name ann" not in text
    assert "first_name ann" in "\n".join(queue_lines(settings, 1, show_values=True))


def test_an_answer_becomes_a_decision_in_the_lake_and_leaves_the_queue_at_once(published):
    settings = published.settings()
    said = give_answers(settings, [Answer((BOB, ANN), "no", "siblings")], "kim")
    assert said.startswith("1 decision written to decisions/")
    assert "cdp run" in said
    (row,) = decided(settings)
    assert datetime.fromisoformat(row.pop("decided_at")).tzinfo is not None
    assert row == {
        "decision": "cannot_link",
        "left_record_id": ANN,
        "right_record_id": BOB,
        "decided_by": "kim",
        "note": "siblings",
    }
    assert pairs_waiting(settings) == [f"{ANN} {CEM}"]


def test_a_withdrawn_answer_puts_the_pair_back_into_the_queue(published):
    settings = published.settings()
    give_answers(settings, [Answer((ANN, BOB), "yes")], "kim")
    give_answers(settings, [Answer((ANN, BOB), "withdraw")], "kim")
    assert [row["decision"] for row in decided(settings)] == ["must_link", "withdrawn"]
    assert f"{ANN} {BOB}" in pairs_waiting(settings)


def test_a_published_decision_leaves_the_queue_until_it_is_withdrawn(published):
    published.add("identity_decisions", "cannot_link", ANN, BOB, "kim", DAY, None)
    settings = published.settings()
    assert pairs_waiting(settings) == [f"{ANN} {CEM}"]
    give_answers(settings, [Answer((ANN, BOB), "withdraw")], "kim")
    assert decided(settings)[0]["decision"] == "withdrawn"


def test_the_same_answer_again_is_no_new_decision(published):
    settings = published.settings()
    give_answers(settings, [Answer((ANN, BOB), "yes")], "kim")
    assert give_answers(settings, [Answer((BOB, ANN), "yes")], "lee").startswith("Nothing new")
    assert len(decided(settings)) == 1


@pytest.mark.parametrize(
    ("pair", "answer", "by", "complaint"),
    [
        ((ANN, "crm:contact:secret"), "yes", "kim", "1 of the record ids are not known"),
        ((ANN, ANN), "yes", "kim", "both record ids are the same"),
        ((ANN, BOB), "perhaps", "kim", "an answer is one of yes, no, withdraw"),
        ((ANN, BOB), "yes", " ", "say who answers"),
    ],
)
def test_a_wrong_answer_is_refused_and_nothing_is_written(published, pair, answer, by, complaint):
    settings = published.settings()
    with pytest.raises(ReviewError, match=f"(?i){complaint}") as error:
        give_answers(settings, [Answer((ANN, CEM), "yes"), Answer(pair, answer)], by)
    assert "secret" not in str(error.value)
    assert decided(settings) == []


def test_a_file_is_exported_filled_in_and_imported(published, tmp_path):
    settings = published.settings()
    path = tmp_path / "queue.csv"
    assert export_queue(settings, path).startswith("2 pairs are in the file")
    fill_in(path, {BOB: "No", CEM: ""})
    assert import_answers(settings, path, "kim").startswith("1 decision written")
    assert [(row["decision"], row["right_record_id"]) for row in decided(settings)] == [
        ("cannot_link", BOB)
    ]
    # The rest of the same file can be handed in later.
    fill_in(path, {BOB: "no", CEM: "yes"})
    assert import_answers(settings, path, "kim").startswith("1 decision written")
    assert len(decided(settings)) == 2
    assert pairs_waiting(settings) == []


@pytest.mark.fault("F42", "F44")
def test_an_exported_file_holds_values_only_when_asked_for_and_no_formula(published, tmp_path):
    published.add("match_records", ANN, True, "=cmd()", *[None] * 11)
    settings = published.settings()
    path = tmp_path / "queue.csv"
    export_queue(settings, path)
    assert "cmd" not in path.read_text()
    export_queue(settings, path, show_values=True)
    with path.open(newline="") as handle:
        assert next(csv.DictReader(handle))["left_first_name"] == "'=cmd()"


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("left_record_id,answer\na,yes\n", "no column right_record_id"),
        ("left_record_id,right_record_id,answer\na,b,perhaps\n", "Line 2: answer takes"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_by_line_and_column(tmp_path, content, complaint):
    path = tmp_path / "queue.csv"
    path.write_text(content)
    with pytest.raises(ReviewError, match=complaint):
        read_answers(path)


def test_decisions_wait_until_a_published_version_knows_them(published):
    published.add("match_model", load_default().version)
    settings = published.settings()
    assert unapplied(settings) == []
    give_answers(settings, [Answer((ANN, BOB), "yes")], "kim")
    assert unapplied(settings) == ["1 new decision about records"]
    at = datetime.fromisoformat(decided(settings)[0]["decided_at"]).astimezone(UTC)
    published.add("identity_decisions", "must_link", ANN, BOB, "kim", at.replace(tzinfo=None), None)
    assert unapplied(published.settings()) == []


def test_another_model_waits_until_a_published_version_was_scored_with_it(published):
    published.add("match_model", "older-1")
    assert unapplied(published.settings()) == [f"the identity model {load_default().version}"]
