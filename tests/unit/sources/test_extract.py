"""From landing to raw, quarantine and ledger: what holds whatever happens in between."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from cdp_assets.resources.leases import Hold, TableTakenError
from cdp_assets.resources.object_ledger import LedgerEntry, LedgerError, SQLiteObjectLedger
from cdp_assets.resources.object_store import S3ObjectStore
from cdp_assets.sources.chunk import Chunk
from cdp_assets.sources.extract import ConservationError, replay
from cdp_assets.sources.tables import file_key
from cdp_assets.sources.validate import Judge, Judged, Session
from tests.unit.s3 import s3_endpoint, s3_store
from tests.unit.sources.conftest import (
    CRM_HEADER,
    DAY,
    Lake,
    contact_record,
    crm_csv,
    crm_row,
    event,
    gzipped,
    json_lines,
)

__all__ = ["s3_endpoint", "s3_store"]

NOTHING = pa.table({"x": pa.array([], pa.string())})


def replayed(lake: Lake) -> Any:
    return replay(lake.contract, store=lake.store, ledger=lake.ledger, limits=lake.limits)


def contents(lake: Lake) -> list[dict[str, Any]]:
    """The raw rows without what names their load."""
    return [
        {k: v for k, v in row.items() if k not in ("_load_id", "_loaded_at")} for row in lake.raw()
    ]


class TestARawRow:
    def test_it_can_be_walked_back_to_its_object_and_line(self, crm: Lake) -> None:
        entry = crm.load(crm_csv(crm_row(1), crm_row(2)))
        row = crm.raw()[1]
        assert (row["_object_key"], row["_line"]) == (entry.object_key, 3)
        assert (row["_object_version"], row["_load_id"]) == (entry.object_version, entry.load_id)
        assert (row["_contract_version"], str(row["dt"])) == (1, DAY)
        assert row["_loaded_at"] == entry.loaded_at

    @pytest.mark.fault("F07")
    def test_equal_content_has_an_equal_hash_wherever_it_was_delivered(self, crm: Lake) -> None:
        crm.load(crm_csv(crm_row(1, Email="a@b.c"), crm_row(2)), "a.csv")
        crm.load(crm_csv(crm_row(1, Email="a@b.c"), crm_row(1, Email="a@b.d")), "b.csv")
        hashes = [row["_row_hash"] for row in crm.raw()]
        assert hashes[0] == hashes[2]
        assert len(set(hashes)) == 3

    def test_a_null_and_a_neighbours_value_do_not_hash_alike(self, crm: Lake) -> None:
        crm.load(crm_csv(crm_row(1, FirstName="x"), crm_row(1, LastName="x")))
        first, second = crm.raw()
        assert first["_row_hash"] != second["_row_hash"]

    def test_empty_text_is_null_and_an_absent_column_too(self, crm: Lake) -> None:
        crm.load(crm_csv(crm_row(1, FirstName='""')))
        [row] = crm.raw()
        assert (row["first_name"], row["loyalty_id"]) == (None, None)

    def test_the_first_path_that_is_there_counts(self, web: Lake) -> None:
        web.load(
            json_lines(
                event(1, context={"traits": {"email": "b@b.c"}}),
                event(2, traits={"email": "a@b.c"}, context={"traits": {"email": "b@b.c"}}),
                event(3, traits={"email": ""}, context={"traits": {"email": "b@b.c"}}),
            )
        )
        assert [row["email"] for row in web.raw()] == ["b@b.c", "a@b.c", "b@b.c"]

    def test_json_is_kept_as_json_text(self, web: Lake) -> None:
        properties = {"total": 12.5, "items": [{"sku": "a"}], "note": 'é " \\'}
        web.load(json_lines(event(1, properties=properties)))
        [row] = web.raw()
        assert json.loads(row["properties"]) == properties
        assert row["order_total"] == "12.5"

    def test_a_view_without_any_object_has_no_rows(self, crm: Lake) -> None:
        crm.extract()
        assert crm.raw() == []


class TestStopping:
    """A run that is told to stop ends with the objects at hand, and not hours later."""

    @pytest.mark.fault("F04")
    @pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
    def test_where_one_object_fails_the_rest_waits(
        self, crm: Lake, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
    ) -> None:
        for name in range(20):
            crm.land(f"{name:02}.csv", crm_csv(crm_row(name)))
        commit = crm.ledger.commit

        def fail_once(entry: LedgerEntry) -> None:
            if entry.object_key.endswith("03.csv"):
                raise error
            commit(entry)

        with monkeypatch.context() as broken:
            broken.setattr(crm.ledger, "commit", fail_once)
            with pytest.raises(error):
                crm.extract_day()
        assert crm.ledger.max_load_id() < 8
        crm.extract_day()
        assert len(crm.raw()) == 20

    @pytest.mark.fault("F30")
    def test_without_its_lease_it_extracts_nothing_more(self, crm: Lake) -> None:
        key = crm.land("a.csv", crm_csv(crm_row(1)))
        hold = Hold()
        hold.lose(TableTakenError("taken"))
        with pytest.raises(TableTakenError):
            crm.extract(key, hold=hold)
        assert crm.ledger.max_load_id() == 0


class TestIdempotence:
    @pytest.mark.fault("F05")
    def test_a_day_extracted_twice_is_loaded_once(self, crm: Lake) -> None:
        for name in ("a.csv", "b.csv", "c.csv"):
            crm.land(name, crm_csv(crm_row(name)))
        first, second = crm.extract_day(), crm.extract_day()
        assert (first.total.objects, first.skipped) == (3, 0)
        assert (second.total.objects, second.skipped) == (0, 3)
        assert len(crm.raw()) == 3
        assert crm.ledger.max_load_id() == 3

    def test_a_session_that_is_given_serves_the_next_extract_too(self, crm: Lake) -> None:
        with closing(Session()) as session:
            for name in ("a.csv", "b.csv"):
                crm.extract(crm.land(name, crm_csv(crm_row(name))), session=session)
            assert session.run("one as (select 1 as n) select n from one", NOTHING).num_rows == 1
        assert len(crm.raw()) == 2

    def test_ten_thousand_lines_in_many_objects_are_all_there(self, crm: Lake) -> None:
        keys = [
            crm.land(f"{i}.csv", crm_csv(*(crm_row(f"{i}-{j}") for j in range(250))))
            for i in range(40)
        ]
        report = crm.extract(*keys)
        assert report.total.loaded == len({row["contact_id"] for row in crm.raw()}) == 10_000
        assert sorted(row["load_id"] for row in crm.ledger.rows().to_pylist()) == list(range(1, 41))

    @pytest.mark.fault("F06")
    def test_a_new_version_of_an_object_replaces_the_old_rows(self, crm: Lake) -> None:
        crm.load(crm_csv(crm_row(1), crm_row(2), "broken"))
        crm.load(crm_csv(crm_row(3)))
        assert [row["contact_id"] for row in crm.raw()] == ["3"]
        assert crm.quarantine() == []
        assert crm.ledger.needs_full_refresh(1)

    @pytest.mark.fault("F06")
    def test_a_new_version_that_is_refused_leaves_no_old_rows(self, crm: Lake) -> None:
        crm.load(crm_csv(crm_row(1)))
        crm.load(b"no;such;header\n")
        assert crm.raw() == []
        assert [row["status"] for row in crm.ledger.rows().to_pylist()] == ["superseded", "refused"]

    def test_a_new_contract_version_extracts_again(self, crm: Lake) -> None:
        crm.load(crm_csv(crm_row(1)))
        newer = crm.with_contract(version=2)
        assert newer.extract_day().total.objects == 1
        assert [row["_contract_version"] for row in newer.raw()] == [2]

    def test_a_new_column_is_null_in_files_of_the_older_contract(self, crm: Lake) -> None:
        crm.load(crm_csv(crm_row(1)))
        column = replace(crm.contract.columns[1], name="tier", paths=("Tier",), is_optional=True)
        newer = crm.with_contract(version=2, columns=(*crm.contract.columns, column))
        newer.load(crm_csv(crm_row(2) + ",gold", header=f"{CRM_HEADER},Tier"), "b.csv")
        assert {row["contact_id"]: row["tier"] for row in newer.raw()} == {"1": None, "2": "gold"}

    def test_a_new_ledger_over_an_old_lake_is_refused(self, crm: Lake, tmp_path: Path) -> None:
        crm.load(crm_csv(crm_row(1)))
        lost = replace(crm, ledger=SQLiteObjectLedger(tmp_path / "other.sqlite"))
        with pytest.raises(LedgerError, match="run `cdp doctor`"):
            lost.load(crm_csv(crm_row(2)), "b.csv")


class TestConservation:
    def test_what_came_in_is_loaded_or_in_quarantine(self, crm: Lake) -> None:
        rows = [crm_row(i, FirstName='"' if i % 7 == 0 else "Ann") for i in range(500)]
        rows += [crm_row("")] * 5 + ["short"] * 5 + [crm_row(9, Birthdate="soon")] * 5
        entry = crm.load(crm_csv(*rows))
        assert entry.records_in == 515
        assert entry.records_loaded == len(crm.raw())
        records = [row for row in crm.quarantine() if row["scope"] == "record"]
        assert entry.records_quarantined == len(records)
        assert entry.records_in == entry.records_loaded + entry.records_quarantined
        assert entry.values_discarded == 5

    def test_an_extract_that_lost_a_record_keeps_nothing(
        self, crm: Lake, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        judge = Judge.judge

        def forgetful(self: Judge, session: Session, chunk: Chunk) -> Judged:
            judged = judge(self, session, chunk)
            return replace(judged, rows=judged.rows.slice(1))

        monkeypatch.setattr(Judge, "judge", forgetful)
        key = crm.land("a.csv", crm_csv(crm_row(1), crm_row(2)))
        with pytest.raises(ConservationError, match="2 records came in, 1 were loaded and 0"):
            crm.extract(key)
        assert crm.raw() == []
        assert crm.ledger.rows().num_rows == 0


class TestQuarantine:
    @pytest.mark.fault("F44")
    def test_a_message_says_where_why_and_what_to_do_but_never_the_value(self, crm: Lake) -> None:
        crm.load(crm_csv(crm_row(1, LastName="Canary", IsDeleted="secret-value")))
        [row] = crm.quarantine()
        assert row["message"] == (
            f"crm/contacts {row['object_key']}, line 2, column is_deleted: not_boolean: "
            "none of true, false, yes, no, 1, 0 [contract version 1]."
        )
        assert "Canary" in row["payload"]

    def test_a_payload_is_kept_up_to_its_limit(self, web: Lake) -> None:
        web.load(json_lines("x" * 10_000))
        assert web.quarantine()[0]["payload"] == "x" * 4096

    def test_a_mended_object_leaves_quarantine(self, crm: Lake) -> None:
        crm.load(crm_csv(crm_row(1), crm_row("")), "a.csv")
        crm.load(crm_csv(crm_row(3)), "b.csv")
        crm.land("a.csv", crm_csv(crm_row(1), crm_row(2)))
        assert replayed(crm).total.objects == 1
        assert [row["contact_id"] for row in crm.raw()] == ["1", "2", "3"]
        assert crm.quarantine() == []

    def test_a_mended_contract_takes_what_it_refused(self, crm: Lake) -> None:
        crm.load(crm_csv(crm_row(1), header=CRM_HEADER.replace("Email", "EMail", 1)))
        mended = crm.with_column("email", paths=("Email", "EMail"))
        assert replayed(mended).total.loaded == 1
        assert mended.quarantine() == []

    def test_a_replay_without_a_change_changes_nothing(self, crm: Lake) -> None:
        crm.load(crm_csv(crm_row(1), crm_row("")))
        before = (contents(crm), crm.found())
        replayed(crm)
        assert (contents(crm), crm.found()) == before

    def test_a_replay_tells_of_objects_that_are_gone(self, crm: Lake) -> None:
        entry = crm.load(crm_csv(crm_row("")))
        crm.store.delete(entry.object_key)
        assert replayed(crm).problems == [
            f"{entry.object_key} is gone from landing: its quarantine stays."
        ]


class TestHostileInput:
    NASTY = 'x"; drop table chunk; --'

    @pytest.mark.fault("F41")
    def test_f41_a_header_is_only_a_name(self, crm: Lake) -> None:
        header = f'{CRM_HEADER},"{self.NASTY.replace(chr(34), chr(34) * 2)}",\'{{{{ 1 }}}}'
        crm.load(crm_csv(crm_row(1) + ",a,b", header=header))
        [row] = crm.raw()
        assert json.loads(row["_extra"]) == {self.NASTY: "a", "'{{ 1 }}": "b"}

    @pytest.mark.fault("F41")
    def test_f41_a_key_is_only_a_name(self, web: Lake) -> None:
        keys = {self.NASTY: 1, "a/b~c": {"d": 2}, "it's": 3, "$.type": 4, "": 5}
        web.load(json_lines(event(1, **keys)))
        [row] = web.raw()
        assert json.loads(row["_extra"]) == keys

    @pytest.mark.fault("F41")
    def test_f41_a_value_is_only_a_value(self, crm: Lake) -> None:
        values = ["'; drop table x; --", "{{ env_var('HOME') }}", "=cmd|'/c calc'!A1", "\\", "%s"]
        crm.load(crm_csv(*(crm_row(i, LastName=value) for i, value in enumerate(values))))
        assert [row["last_name"] for row in crm.raw()] == values

    @pytest.mark.fault("F40")
    def test_f40_an_odd_object_name_is_only_a_name(self, crm: Lake) -> None:
        name = "it's 100%25 {odd} [name] *.csv"
        entry = crm.load(crm_csv(crm_row(1)), name)
        assert [row["_object_key"] for row in crm.raw()] == [entry.object_key]

    @pytest.mark.fault("F40")
    def test_f40_a_name_that_breaks_lines_stops_nothing(self, crm: Lake) -> None:
        key = crm.land("a.csv", crm_csv(crm_row(1)))
        path = Path(crm.store.url(key))
        path.with_name("b\n.csv").write_bytes(crm_csv(crm_row(2)))
        assert crm.extract_day().total.objects == 1

    @pytest.mark.fault("F40")
    def test_the_judging_connection_reaches_no_file(self, tmp_path: Path) -> None:
        import pyarrow as pa

        (tmp_path / "secret.csv").write_text("secret\n")
        session = Session()
        rows = pa.table({"n": [1]})
        with pytest.raises(Exception, match="disabled by configuration"):
            session.run(f"s as (from '{tmp_path}/secret.csv') select * from s", rows)
        session.close()


class TestKill:
    SCRIPT = """
import os, signal, sys
from pathlib import Path
from cdp_assets.resources import object_ledger, object_store
from cdp_assets.settings import Limits
from cdp_assets.sources.contracts import load_contracts
from cdp_assets.sources.extract import extract_objects

folder, target, nth = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
store = object_store.LocalObjectStore(folder / "lake")
ledger = object_ledger.SQLiteObjectLedger(folder / "ledger.sqlite")
calls = 0
def audit(event, args):
    global calls
    if event == target:
        calls += 1
        if calls == nth:
            os.kill(os.getpid(), signal.SIGKILL)
contract = load_contracts()["crm", "contacts"]
infos = list(store.list("landing"))
sys.addaudithook(audit)
extract_objects(contract, infos, store=store, ledger=ledger, limits=Limits())
"""

    @pytest.mark.parametrize(
        ("target", "nth"),
        [("os.rename", 1), ("os.rename", 2), ("os.rename", 3), ("sqlite3.connect", 4), ("open", 9)],
    )
    def test_f01_a_retry_after_a_kill_gives_the_same_rows(
        self, crm: Lake, tmp_path: Path, target: str, nth: int
    ) -> None:
        crm.land("a.csv", crm_csv(crm_row(1), crm_row("")))
        crm.land("b.csv", crm_csv(crm_row(2)))
        killed = subprocess.run(
            [sys.executable, "-c", self.SCRIPT, str(tmp_path), target, str(nth)],
            check=False,
            env={**os.environ, "PYTHONPATH": str(Path.cwd())},
        )
        assert killed.returncode == -signal.SIGKILL
        crm.extract_day()
        assert [row["contact_id"] for row in crm.raw()] == ["1", "2"]
        assert [rule for _, rule, _ in crm.found()] == ["required"]
        counted = [row for row in crm.ledger.rows().to_pylist() if row["status"] != "superseded"]
        assert sorted(row["records_in"] for row in counted) == [1, 2]


class TestS3Lake:
    def test_the_whole_way_works_on_s3(
        self, lakes: dict[str, Lake], s3_store: S3ObjectStore
    ) -> None:
        for entity, content, loaded in (
            ("crm__contacts", crm_csv(crm_row(1), crm_row("")), 1),
            ("web__events", gzipped(json_lines(event(1), event(2))), 2),
            ("contact_center__contacts", (contact_record(1) * 3).encode(), 3),
        ):
            lake = replace(lakes[entity], store=s3_store)
            entry = lake.load(content)
            assert entry.records_loaded == len(lake.raw()) == loaded
            assert entry.raw_path == file_key("raw", lake.contract, DAY, entry.object_key)
        assert [row["rule"] for row in replace(lakes["crm__contacts"], store=s3_store).quarantine()]

    @pytest.mark.fault("F06")
    def test_a_new_version_on_s3_replaces_the_old_rows(
        self, crm: Lake, s3_store: S3ObjectStore
    ) -> None:
        lake = replace(crm, store=s3_store)
        lake.load(crm_csv(crm_row(1)))
        lake.load(crm_csv(crm_row(2)))
        assert [row["contact_id"] for row in lake.raw()] == ["2"]
