"""Contracts are read strictly: an error names the file, the field and what it takes."""

from __future__ import annotations

from pathlib import Path

import pytest

from cdp_assets.sources.contracts import ContractError, load_contract, load_contracts

GOOD = """
source: crm
entity: people
version: 2
description: One row per person.
owner: team:crm
format: {kind: csv, encoding: utf-8}
dedup_key: [person_id]
event_time: seen_at
drift: {table: freeze, column: evolve, type: discard_row}
columns:
  - {name: person_id, from: Id, type: text, required: true, pii: pseudonymous}
  - {name: seen_at, type: timestamp, required: true, pii: none}
  - {name: paid, type: "decimal(10,2)", pii: none}
  - {name: phone, type: phone, region_column: country, pii: direct_identifier}
  - {name: country, type: text, optional: true, pii: none}
"""


def write(folder: Path, text: str, name: str = "crm__people.yaml") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_a_contract_is_what_its_file_says(tmp_path: Path) -> None:
    contract = load_contract(write(tmp_path, GOOD))
    assert (contract.source, contract.entity, contract.version) == ("crm", "people", 2)
    assert contract.by_name["person_id"].paths == ("Id",)
    assert contract.by_name["seen_at"].paths == ("seen_at",)
    assert (contract.by_name["paid"].precision, contract.by_name["paid"].scale) == (10, 2)
    assert contract.worst_pii == "direct_identifier"
    assert contract.format.delimiter == ","


def test_json_paths_make_their_roots_known(tmp_path: Path) -> None:
    text = GOOD.replace("kind: csv", "kind: json").replace("from: Id", "from: '$.a.b[0]'")
    text = text.replace("name: seen_at,", "name: seen_at, from: [$.t, $.u.t],")
    for name in ("paid", "phone", "country"):
        text = text.replace(f"name: {name},", f"name: {name}, from: $.{name},")
    contract = load_contract(write(tmp_path, text + "ignored: [noise]\n"))
    assert contract.known_fields == {"a", "t", "u", "paid", "phone", "country", "noise"}


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("version: 2", "version: two", "version: takes a int, not str"),
        ("version: 2", "version: 0", "version: takes a whole number from 1"),
        ("version: 2", "version: true", "version: takes a int, not bool"),
        ("version: 2", "", "version: is missing"),
        ("version: 2", "version: 2\nversion: 3", "a key is given twice"),
        ("version: 2", "version: 2\nnote: hello", "note: unknown field"),
        ("entity: people", "entity: People", "entity: 'People' must match"),
        ("entity: people", 'entity: x"; drop table', "must match"),
        ("entity: people", 'entity: "x; drop table y"', "must match"),
        ("kind: csv", "kind: xml", "format.kind: takes one of csv, json, parquet"),
        ("kind: csv", "kind: csv, framing: lines", "format.framing: unknown field"),
        ("kind: csv", "kind: csv, delimiter: ';;'", "format.delimiter: takes one ASCII"),
        ("utf-8", "klingon", "format.encoding: 'klingon' is no encoding"),
        ("evolve", "ignore", "drift.column: takes one of evolve, freeze"),
        ("[person_id]", "[nobody]", "dedup_key: 'nobody' is not one of the columns"),
        ("[person_id]", "[paid]", "dedup_key: paid must be a required column"),
        ("event_time: seen_at", "event_time: paid", "event_time: names a column of type timestamp"),
        ("decimal(10,2)", "decimal(2,10)", "columns.paid.type: takes decimal(p,s)"),
        ("decimal(10,2)", "decimal", "columns.paid.type: 'decimal' is no type"),
        ("decimal(10,2)", "money", "columns.paid.type: 'money' is no type"),
        ("name: country", "name: paid", "columns: paid is taken twice"),
        ("name: country", "name: seen_at_utc", "columns: seen_at_utc is taken twice"),
        ("name: country", "name: dt", "columns: dt is taken twice or reserved"),
        ("region_column: country", "region_column: state", "region_column: 'state' is not one"),
        ("optional: true, pii: none", "pii: secret", "columns.country.pii: takes one of"),
        (
            "type: text, required: true",
            "type: text, required: true, optional: true",
            "columns.person_id.required: a required column cannot be optional",
        ),
        (
            "type: text, required: true",
            "type: text, required: true, on_type_error: discard_value",
            "columns.person_id.on_type_error: a required value takes freeze or discard_row",
        ),
        ("required: true, pii: none", "required: yes please, pii: none", "takes a bool, not str"),
        ("kind: csv", "kind: json", "takes JSON paths such as"),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, old: str, new: str, told: str) -> None:
    path = write(tmp_path, GOOD.replace(old, new, 1))
    with pytest.raises(ContractError) as caught:
        load_contract(path)
    assert str(caught.value).startswith("crm__people.yaml: ")
    assert told in str(caught.value)


def test_a_contract_file_is_named_after_its_entity(tmp_path: Path) -> None:
    write(tmp_path, GOOD, "people.yaml")
    with pytest.raises(ContractError, match=r"people\.yaml: speaks of crm__people"):
        load_contracts(tmp_path)
