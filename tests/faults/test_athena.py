"""Faults of Athena, Glue and the network to them, at each call of what Python stages ask."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from itertools import count as numbers
from types import SimpleNamespace
from typing import Any, Final

import pyarrow as pa
import pytest

from cdp_assets.errors import PlatformError
from cdp_assets.resources.athena_warehouse import AthenaError, AthenaWarehouse
from cdp_assets.resources.build import build_athena
from cdp_assets.resources.glue_tables import GlueError
from cdp_assets.resources.warehouse import RawTable
from cdp_assets.settings import Settings, load_settings
from tests.athena_local.engine import Request
from tests.athena_local.errors import AthenaFailure
from tests.athena_local.server import LocalAthena
from tests.faults.counting import count
from tests.unit.aws import Fault, Line, refusal, without_pauses

pytestmark = pytest.mark.athena

FAULTS: Final[tuple[Fault, ...]] = ("throttled", "500", "reset", "lost")
LOST: Final[tuple[Fault, ...]] = ("lost",)
# Not in `make test`.
HEAVY: Final = (pytest.mark.slow, pytest.mark.faults)


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    without_pauses(monkeypatch)


@pytest.fixture(scope="module")
def settings(athena: LocalAthena) -> Settings:
    """A tenant whose tables hold one version, which is published."""
    settings = load_settings(athena.of_tenant())
    warehouse = build_athena(settings)
    for work in (write_map, write_profiles, publish):
        work(warehouse, 0)
    return settings


def warehouse_and_line(settings: Settings) -> tuple[AthenaWarehouse, Line]:
    warehouse = build_athena(settings)
    glue, store = warehouse._glue, warehouse._store
    return warehouse, Line(warehouse._athena, glue._client, vars(store)["_client"])


def write_map(warehouse: AthenaWarehouse, version: int) -> None:
    """Several statements, of which all take effect or none."""
    warehouse.execute(
        "create table if not exists identity.customer_map (record_id varchar, customer_id varchar)",
        "delete from identity.customer_map",
        f"insert into identity.customer_map values ('a', 'c_{version}')",
        f"insert into identity.customer_map values ('b', 'c_{version}')",
    )


def write_profiles(warehouse: AthenaWarehouse, version: int) -> None:
    """A table replaced by rows that are uploaded."""
    rows = pa.table({"customer_id": [f"c_{version}"] * 2})
    warehouse.replace_table("profile", "customer_profiles", rows)


def publish(warehouse: AthenaWarehouse, version: int) -> None:
    """Raw files shown as a table, and everything shown to readers."""
    schema = pa.schema([("contact_id", pa.string()), (f"column_{version % 2}", pa.string())])
    url = f"{warehouse.table_location('raw', 'x').rpartition('/')[0]}/crm/contacts"
    warehouse.expose_raw([RawTable("raw_crm__contacts", schema, url)])
    warehouse.publish()


def ask(warehouse: AthenaWarehouse, version: int) -> None:
    """A question about rows of its own."""
    known = pa.table({"record_id": ["a", "z"], "version": [version, version]})
    sql = "select record_id, version from identity.customer_map join known using (record_id)"
    found = warehouse.query(sql, {"known": known})
    assert found.to_pylist() == [{"record_id": "a", "version": version}]


def versions(warehouse: AthenaWarehouse) -> dict[str, set[str]]:
    """Which version each table holds, each row of it once."""
    found: dict[str, set[str]] = {}
    for table, key in (("identity.customer_map", "record_id"), ("profile.customer_profiles", "1")):
        rows = warehouse.query(f"select {key}, customer_id from {table}")
        assert rows.num_rows == 2, f"{table}: {rows.num_rows} rows"
        found[table] = set(rows["customer_id"].to_pylist())
    return found


def published(warehouse: AthenaWarehouse) -> set[str]:
    with warehouse.published() as reader:
        rows = reader.query("select customer_id from profile.customer_profiles")
    assert rows.num_rows == 2
    return set(rows["customer_id"].to_pylist())


@pytest.mark.fault("F24", "F25", "F27")
@pytest.mark.parametrize(
    ("work", "table", "faults", "for_good", "step", "least"),
    [
        (write_map, "identity.customer_map", FAULTS, True, 4, 3),
        (ask, "", LOST, False, 3, 4),
        (ask, "", FAULTS, True, 3, 4),
        (publish, "", LOST, False, 3, 5),
        pytest.param(publish, "", FAULTS, True, 2, 7, marks=HEAVY),
        pytest.param(publish, "", LOST, True, 4, 4, marks=HEAVY),
        pytest.param(write_map, "identity.customer_map", LOST, True, 3, 5, marks=HEAVY),
        pytest.param(write_profiles, "profile.customer_profiles", FAULTS, True, 3, 7, marks=HEAVY),
        pytest.param(write_profiles, "profile.customer_profiles", LOST, False, 4, 5, marks=HEAVY),
    ],
)
def test_tables_are_right_whichever_call_fails(
    settings: Settings,
    work: Callable[[AthenaWarehouse, int], None],
    table: str,
    faults: tuple[Fault, ...],
    for_good: bool,
    step: int,
    least: int,
) -> None:
    runs = lost = 0
    plain = build_athena(settings)
    for nth in numbers(1, step):
        before = versions(plain) if table else {}
        readers = published(plain)
        warehouse, line = warehouse_and_line(settings)
        fault = faults[nth // step % len(faults)]
        line.fail_nth(nth, fault, for_good=for_good)
        error = failure(lambda nth=nth, warehouse=warehouse: work(warehouse, nth))
        if not line.spoilt:
            break
        runs, lost = runs + 1, lost + (line.spoilt if fault == "lost" else 0)
        assert for_good or not error, (nth, fault, error)
        assert "\n" not in error
        if work is not publish:
            assert published(plain) == readers
        if table:
            now = versions(build_athena(settings))
            assert now[table] in (before[table], {f"c_{nth}"}), (nth, fault, line.calls)
        work(plain, nth)
        if table:
            assert versions(plain) == {**before, table: {f"c_{nth}"}}, (nth, fault)
    assert runs >= least
    count("nth-call runs", runs)
    count("lost responses", lost)
    leaves_nothing(plain)


def failure(work: Callable[[], None]) -> str:
    """What the work failed of, in words for a user; empty when it did not fail."""
    try:
        work()
    except PlatformError as error:
        return str(error)
    return ""


def leaves_nothing(warehouse: AthenaWarehouse) -> None:
    """A sweep finds sessions, scratch tables, results and folders that nobody points at."""
    held = versions(warehouse)
    warehouse.sweep(timedelta(0))
    again = warehouse.sweep(timedelta(0))
    assert (again.tables, again.files) == (0, 0)
    assert warehouse._glue.databases(warehouse.database("session_")) == []
    files = {item.key.split("/")[0] for item in warehouse._store.list("")}
    assert files <= {"warehouse"}
    assert [item.key for item in warehouse._store.list("warehouse") if "undo" in item.key] == []
    assert versions(warehouse) == held


@pytest.mark.slow
@pytest.mark.fault("F25")
def test_a_statement_whose_beginning_was_never_heard_of_runs_once(
    athena: LocalAthena, settings: Settings
) -> None:
    for version, for_good in ((9001, False), (9002, True)):
        warehouse, line = warehouse_and_line(settings)
        # Each of the statements begins, and each first answer is lost.
        starts = [place for place, name in enumerate(told(settings), 1) if "Start" in name]
        for place in starts:
            line.fail_nth(place, "lost", for_good=for_good)
            write_map(warehouse, version)
            assert line.spoilt
            count("lost responses", line.spoilt)
        assert versions(build_athena(settings))["identity.customer_map"] == {f"c_{version}"}
        ran = [
            one.request.sql
            for one in athena.service._executions.values()
            if f"('a', 'c_{version}')" in one.request.sql
        ]
        assert len(ran) == len(starts)


def told(settings: Settings) -> list[str]:
    warehouse, line = warehouse_and_line(settings)
    write_map(warehouse, 9000)
    return list(line.calls)


@pytest.mark.fault("F25", "F27")
def test_what_a_stopped_statement_commits_before_it_ends_is_undone(
    athena: LocalAthena, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = athena.service._engine
    execute = engine.execute

    def late(request: Request) -> Any:
        if request.sql.startswith("delete from"):
            time.sleep(0.5)
        return execute(request)

    asked = [place for place, name in enumerate(told(settings), 1) if name == "GetQueryExecution"]
    settled = versions(build_athena(settings))
    monkeypatch.setattr(engine, "execute", late)
    warehouse, line = warehouse_and_line(settings)
    # That of the deletion: nobody hears how it goes on.
    line.fail_nth(asked[1], "500", for_good=True)
    with pytest.raises(AthenaError, match="get_query_execution"):
        write_map(warehouse, 6000)
    # Whatever goes on by itself has ended by then.
    time.sleep(1.5)
    assert versions(build_athena(settings)) == settled


@pytest.fixture
def conflicts(athena: LocalAthena, monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """How often a statement that holds this text still loses against another writer."""
    left: dict[str, int] = {}
    engine = athena.service._engine
    execute = engine.execute

    def losing(request: Request) -> Any:
        for text in left:
            if text in request.sql and left[text]:
                left[text] -= 1
                raise AthenaFailure("ICEBERG_COMMIT_ERROR", "Failed to commit")
        return execute(request)

    monkeypatch.setattr(engine, "execute", losing)
    return left


@pytest.mark.fault("F27")
@pytest.mark.parametrize("text", ["delete from", "('a', 'c_", "('b', 'c_"])
def test_a_statement_that_loses_against_another_writer_is_tried_again_or_undone(
    settings: Settings, conflicts: dict[str, int], text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    warehouse = build_athena(settings)
    clock = SimpleNamespace(sleep=lambda _: None, monotonic=lambda: 0.0)
    monkeypatch.setattr("cdp_assets.resources.athena_warehouse.time", clock)
    write_map(warehouse, 8000)
    conflicts[text] = 3
    write_map(warehouse, 8001)
    assert conflicts[text] == 0
    assert versions(warehouse)["identity.customer_map"] == {"c_8001"}
    conflicts[text] = 4
    with pytest.raises(AthenaError, match="ICEBERG_COMMIT_ERROR"):
        write_map(warehouse, 8002)
    assert versions(warehouse)["identity.customer_map"] == {"c_8001"}
    write_map(warehouse, 8002)
    assert versions(warehouse)["identity.customer_map"] == {"c_8002"}
    count("nth-call runs", 2)


@pytest.mark.fault("F28")
@pytest.mark.parametrize(
    ("service", "told"),
    [
        ("AWSGlue", r"glue:\w+ on t\w+ failed: AccessDeniedException \(r may not\)\. Let this"),
        ("AmazonAthena", r"start_query_execution on Athena's work group primary failed: Access"),
    ],
)
def test_a_denial_names_action_and_resource(settings: Settings, service: str, told: str) -> None:
    warehouse, line = warehouse_and_line(settings)

    def deny(_: int, request: Any) -> Any:
        target = str(request.headers.get("X-Amz-Target", ""))
        is_hit = service in target
        return refusal(request, 400, "AccessDeniedException", "r may not") if is_hit else None

    before = versions(build_athena(settings))
    line.answer(deny)
    with pytest.raises((AthenaError, GlueError), match=told):
        warehouse.query("select 1 as one", {"known": pa.table({"n": [1]})})
    with pytest.raises((AthenaError, GlueError), match=r"AccessDeniedException \(r may not\)"):
        write_map(warehouse, 7000)
    assert versions(build_athena(settings)) == before
