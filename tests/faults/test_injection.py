"""Texts that would do harm where they are taken for something else, part by part.

A whole run over them is in `test_hostile_run.py`.
"""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cdp_assets.errors import PlatformError
from cdp_assets.identity.decisions import Decision, read_decisions, write_decisions
from cdp_assets.identity.evidence import Evidence
from cdp_assets.identity.model_files import load_model
from cdp_assets.identity.review import read_answers, write_queue
from cdp_assets.printing import printable
from cdp_assets.resources.object_store import LocalObjectStore
from cdp_assets.settings import SettingsError, load_settings
from cdp_assets.sources.contracts import ContractError, load_contract
from tests.faults.hostile import VALUES

LEFT, RIGHT = "crm:contact:1", "pos:party:2"
AT = datetime(2026, 3, 1, 9, tzinfo=UTC)
PHONE = "+447700900123"
FORMULAS = ("=", "+", "-", "@", "\t", "\r", "\n", "\0", " ", "＝", "＋", "－", "＠")
CONTRACT = """
source: {source}
entity: contacts
version: 1
description: x
owner: team:crm
format: {{kind: csv, encoding: utf-8}}
dedup_key: [id]
event_time: at
drift: {{table: freeze, column: evolve, type: discard_row}}
columns:
  - {{name: id, type: text, required: true, pii: none}}
  - {{name: at, type: timestamp, pii: none}}
  - {{name: {column}, from: "{header}", type: text, pii: none}}
"""


def queue_file(path: Path, value: str, left: str = LEFT) -> Path:
    """An exported queue of one pair, in which this is a first name and a phone."""
    item = Evidence(left, RIGHT, 0.0, (), 0.0, None)
    written = io.StringIO(newline="")
    write_queue([item], {left: {"first_name": value, "phone": PHONE}}, written)
    path.write_text(written.getvalue(), encoding="utf-8", newline="")
    return path


@pytest.mark.fault("F42")
@pytest.mark.parametrize(
    "value", [*VALUES.values(), *(f"{c}x" for c in FORMULAS), "'quoted", "''="]
)
def test_a_cell_is_no_formula_and_its_value_can_be_had_again(tmp_path: Path, value: str) -> None:
    with queue_file(tmp_path / "queue.csv", value).open(encoding="utf-8", newline="") as handle:
        [line] = csv.DictReader(handle)
    assert not line["left_first_name"].startswith(FORMULAS)
    assert line["left_first_name"].removeprefix("'") == value
    assert line["left_phone"] == f"'{PHONE}"


@pytest.mark.fault("F42")
@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
def test_a_hostile_record_id_is_answered_for_as_it_is(tmp_path: Path, value: str) -> None:
    left = f"crm:contact:{value}"
    path = queue_file(tmp_path / "queue.csv", value, left)
    with path.open(encoding="utf-8", newline="") as handle:
        lines = csv.DictReader(handle)
        rows = [{**row, "answer": "yes"} for row in lines]
    with path.open("w", encoding="utf-8", newline="") as handle:
        writer = csv.DictWriter(handle, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    [answer] = read_answers(path)
    assert answer.pair == (left, RIGHT)


@pytest.mark.fault("F42")
@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
def test_a_decision_about_a_hostile_record_id_is_one_decision(tmp_path: Path, value: str) -> None:
    store = LocalObjectStore(tmp_path)
    # People pad cells with spaces: an id cannot end in one.
    left, right = sorted((f"crm:contact:{value.strip()}", RIGHT))
    write_decisions(store, [Decision("cannot_link", left, right, value.strip() or "x", AT, value)])
    [row] = read_decisions(store).to_pylist()
    assert (row["left_record_id"], row["right_record_id"]) == (left, right)
    assert row["decision"] == "cannot_link"


@pytest.mark.fault("F42")
@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
def test_a_terminal_is_sent_nothing_that_it_would_act_on(value: str) -> None:
    assert printable(value).isprintable()
    assert printable("Zoë Müller 👋") == "Zoë Müller 👋"


@pytest.mark.fault("F39", "F41")
@pytest.mark.parametrize(
    "tenant",
    ["../b", "a%2Fb", "A", "a-b", "a b", "a'--", 'a"', "a;drop", "{{ x }}", "$(id)", "", "1a", "_a",
     "é", "a\n", "a" * 64],
)  # fmt: skip
def test_a_tenant_is_a_plain_name(tenant: str) -> None:
    with pytest.raises(SettingsError, match="CDP_TENANT"):
        load_settings({"CDP_TENANT": tenant})


@pytest.mark.fault("F41")
@pytest.mark.parametrize(
    "size", ["4GB'; drop table x; --", "", "4", "lots", "-1GB", "4GB\n", "٤GB"]
)
def test_a_memory_limit_is_a_size(size: str) -> None:
    with pytest.raises(SettingsError, match="CDP_WAREHOUSE_MEMORY"):
        load_settings({"CDP_WAREHOUSE_MEMORY": size})


@pytest.mark.fault("F40", "F41")
@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "/etc/passwd", "x'; drop table y", "{{ x }}", "a/b", "", "x.json"]
)
def test_a_model_is_a_version_or_a_file_of_weights(tmp_path: Path, name: str) -> None:
    with pytest.raises(PlatformError, match="CDP_IDENTITY_MODEL"):
        load_model(name, LocalObjectStore(tmp_path))


@pytest.mark.fault("F41")
@pytest.mark.parametrize("name", ["'x; drop'", '"x y"', "Name", "_x", "x-y", "'{{ x }}'", "a" * 64])
@pytest.mark.parametrize("field", ["source", "column"])
def test_names_that_become_part_of_sql_are_plain(tmp_path: Path, field: str, name: str) -> None:
    names = {"source": "crm", "column": "word", "header": "Word"}
    path = tmp_path / "crm__contacts.yaml"
    path.write_text(CONTRACT.format(**names))
    assert load_contract(path).by_name["word"].paths == ("Word",)
    path.write_text(CONTRACT.format(**{**names, field: name}))
    with pytest.raises(ContractError, match="must match"):
        load_contract(path)
