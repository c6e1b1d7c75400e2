"""The search of `test_hostile_run.py` is proven, and what is told of errors that hold values."""

from __future__ import annotations

import ast
import base64
import gzip
import json
import sqlite3
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import pyarrow as pa
import pytest

from cdp_assets.discretion import discreet
from cdp_assets.resources.sql_errors import told
from cdp_assets.resources.warehouse import DuckDBWarehouse, StatementError
from cdp_assets.settings import PROJECT_ROOT
from tests.faults.search import find, hits
from tests.unit.sources.conftest import (  # noqa: F401 - fixtures
    CRM_HEADER,
    Lake,
    contracts,
    crm,
    crm_csv,
    crm_row,
    event,
    json_lines,
    lakes,
    web,
)

MARK = "cnry7q"
pytestmark = pytest.mark.fault("F44")


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"the name is cnry7q.", id="plain"),
        pytest.param(b"CNRY7Q@EXAMPLE.COM", id="capitals"),
        pytest.param(json.dumps({"name": "Zo\u00eb Cnry7q"}).encode(), id="JSON"),
        pytest.param("cnry7q".encode("utf-16"), id="UTF-16"),
        pytest.param(b"key " + b"cnry7q".hex().encode(), id="hexadecimal"),
        *(
            pytest.param(
                base64.b64encode(b"x" * before + b"cnry7q and more"), id=f"base64+{before}"
            )
            for before in range(4)
        ),
        pytest.param(gzip.compress(b"log of cnry7q"), id="gzip"),
        pytest.param(zlib.compress(b"snapshot of cnry7q"), id="zlib"),
    ],
)
def test_a_planted_mark_is_found_however_it_is_written(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "deep" / "er" / "file").write_bytes(content)
    assert len(find(tmp_path, [MARK])) == 1
    assert find(tmp_path, [MARK], but=["deep"]) == []
    assert find(tmp_path, ["another"]) == []


def test_a_planted_mark_is_found_in_the_name_of_a_file_and_in_a_packed_cell(tmp_path: Path) -> None:
    (tmp_path / "of-Cnry7q.log").touch()
    with sqlite3.connect(tmp_path / "events.db") as connection:
        connection.execute("create table events (body)")
        connection.execute("insert into events values (?)", [zlib.compress(b"x cnry7q" * 99)])
        # Longer than a page: in the file it lies in pieces.
        text = "".join(f"{number}cnry7q" for number in range(3))
        connection.execute("insert into events values (?)", ["-" * 4076 + text + "-" * 20_000])
    assert len(find(tmp_path, [MARK])) >= 3
    assert len(hits(tmp_path / "of-Cnry7q.log", [MARK])) == 1


@pytest.mark.parametrize(
    ("sql", "kept"),
    [
        ("insert into people values ('cnry7q', 1)", "Constraint Error: Duplicate key (a value)"),
        ("insert into people values ('Cnry\"''7q', 1)", "Constraint Error"),
        (
            "select word::integer from people",
            "Conversion Error: Could not convert string (a value)",
        ),
        ("insert into people values ('cnry7q\n\nLINE 1: cnry7q', 1)", "Duplicate key (a value)"),
        ("select strptime(word, '%Y') from people", "(a value)"),
        ("select cast(447911555001 + n as integer) from people", "(a number)"),
        ("select word::json -> '$.x' from people", "Malformed JSON"),
    ],
)
def test_an_error_is_told_without_the_values_that_it_repeats(
    tmp_path: Path, sql: str, kept: str
) -> None:
    warehouse = DuckDBWarehouse(tmp_path / "w", tmp_path / "p", "1GB")
    warehouse.execute(
        "create table people (word varchar primary key, n bigint)",
        "insert into people values ('cnry7q', 1), ('Cnry\"''7q', 2)",
        "insert into people values ('cnry7q\n\nLINE 1: cnry7q', 3)",
    )
    with pytest.raises(StatementError) as error:
        warehouse.execute(sql)
    assert kept in str(error.value)
    for value in ("cnry", "7q", "4479"):
        assert value not in str(error.value).lower()
    assert error.value.__cause__ is None
    assert error.value.__suppress_context__


def test_a_table_given_as_an_input_is_told_of_without_its_values(tmp_path: Path) -> None:
    warehouse = DuckDBWarehouse(tmp_path / "w", tmp_path / "p", "1GB")
    with pytest.raises(StatementError) as error:
        warehouse.query("select word::date from words", {"words": pa.table({"word": ["cnry7q"]})})
    assert MARK not in str(error.value)


def test_a_mistake_in_a_statement_is_told_in_full() -> None:
    with pytest.raises(duckdb.CatalogException) as error:
        duckdb.sql("select * from no_such_table")
    assert "no_such_table" in told(error.value)


@pytest.mark.fault("F17")
def test_a_table_without_a_header_row_gives_none_of_its_values_away(crm: Lake) -> None:  # noqa: F811
    for policy in ("freeze", "evolve"):
        lake = crm.with_drift(table=policy, column="freeze")
        for row in ("cnry7q,cnry7q,1", "cnry7q@example.com,+447911555001,1"):
            entry = lake.load(f"{row}\n{row}\n".encode())
            assert entry.status == "refused"
            [found] = lake.quarantine()
            for text in (entry.error, entry.new_columns, found["column"] or "", found["message"]):
                assert MARK not in text
                assert "447911" not in text


@pytest.mark.fault("F18", "F19")
def test_keys_that_are_addresses_or_numbers_are_only_counted(web: Lake) -> None:  # noqa: F811
    keys = {"cnry7q@example.com": 1, "+447911555001": 2, "4111111111111111": 3, "tier": 4}
    entry = web.load(json_lines(event(1, **keys)))
    assert entry.new_columns == "tier, 3 that are no names"
    assert web.raw()[0]["_extra"].count(":") == 4


def test_a_refusal_of_a_file_format_names_no_value(crm: Lake) -> None:  # noqa: F811
    header = f'{CRM_HEADER},"cnry7q@example.com","cnry7q@example.com"'
    entry = crm.load(crm_csv(crm_row(1) + ",cnry7q,cnry7q", header=header))
    assert entry.status == "refused"
    assert "header 17" in entry.error
    assert MARK not in entry.error


@pytest.mark.parametrize("is_generator", [False, True])
def test_the_text_of_an_unforeseen_error_is_not_in_the_event_log(is_generator: bool) -> None:
    def fails(context) -> Any:
        try:
            pa.array([f"{MARK} of a record"]).cast(pa.int64())
        except pa.ArrowInvalid as error:
            raise KeyError(f"{MARK}, too") from error

    def fails_later(context) -> Iterator[Any]:
        fails(context)
        yield dg.MaterializeResult()

    step = dg.asset(name="step")(discreet(fails_later if is_generator else fails))
    with dg.DagsterInstance.ephemeral() as instance:
        done = dg.materialize([step], instance=instance, raise_on_error=False)
        log = "".join(str(entry) for entry in instance.all_logs(done.run_id))
    [failure] = done.get_step_failure_events()
    error = failure.step_failure_data.error
    assert error is not None
    assert error.cause is not None
    assert MARK not in log + str(error)
    assert error.cause.cls_name == "KeyError"
    assert "in fails" in "".join(error.cause.stack)


def test_our_own_errors_keep_their_words() -> None:
    def fails() -> None:
        raise StatementError("in our words")

    with pytest.raises(StatementError, match="in our words"):
        discreet(fails)()


def test_every_asset_is_discreet() -> None:
    """A step that is not would be the one that fails."""
    found = 0
    for path in sorted((PROJECT_ROOT / "cdp_assets").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef):
                names = [ast.unparse(each).partition("(")[0] for each in node.decorator_list]
                if {"dg.asset", "dg.multi_asset", "dbt_assets"} & set(names):
                    found += 1
                    assert names[-1] == "discreet", f"{path.name}: {node.name}"
    assert found == 9
