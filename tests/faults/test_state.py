"""State that is damaged, gone or of another release is named in one line, and can be built anew."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pytest

from cdp_assets import built_by
from cdp_assets.cli import main
from cdp_assets.dbt.project import prepared_project
from cdp_assets.doctor import DamagedStateError, check_state, damage_told, diagnose
from cdp_assets.run import RunFailedError
from cdp_assets.settings import Settings, load_settings
from tests.homes import Home


@dataclass(frozen=True)
class Damage:
    """One fault of a home.

    Attributes:
        do: brings it about.
        told: what names it.
        at_once: seen before work begins, and not by the doctor alone.
    """

    do: Callable[[Home], object]
    told: str
    at_once: bool = True


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _flip(path: Path) -> None:
    """Change one bit in the middle of the file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def _raw_file(home: Home) -> Path:
    """The largest of them."""
    files = (home.path / "lake" / "raw").rglob("*.parquet")
    return max(files, key=lambda path: path.stat().st_size)


def _damage_the_event_log(home: Home) -> None:
    path = home.path / "dagster" / "history" / "runs" / "index.db"
    # The home was loaded by a command of Dagster that keeps its log elsewhere.
    path.parent.mkdir(parents=True)
    path.write_bytes(b"no database" * 99)


def _of_release(home: Home, release: str, fingerprint: str) -> None:
    for path in (home.warehouse, home.published):
        with duckdb.connect(str(path)) as connection:
            connection.execute(
                "update sources.built_by set release = ?, fingerprint = ?", [release, fingerprint]
            )


DAMAGES = {
    "ledger cut short": Damage(lambda home: _cut(home.ledger), "ledger.sqlite is damaged"),
    "ledger emptied": Damage(
        lambda home: home.ledger.write_bytes(b""), "files are in no row of the ledger"
    ),
    "ledger gone": Damage(lambda home: home.ledger.unlink(), "files are in no row of the ledger"),
    "warehouse cut short": Damage(lambda home: _cut(home.warehouse), "cdp.duckdb cannot be read"),
    "published version cut short": Damage(
        lambda home: _cut(home.published), "published.duckdb cannot be read"
    ),
    "bit of the warehouse flipped": Damage(
        lambda home: _flip(home.warehouse), "cdp.duckdb cannot be read", at_once=False
    ),
    "Dagster's event log cut short": Damage(
        _damage_the_event_log,
        "index.db is damaged",
    ),
    "profile store cut short": Damage(
        lambda home: home.profile_store.write_bytes(b"no database" * 99),
        "profiles.sqlite is damaged",
    ),
    "raw file gone": Damage(
        lambda home: _raw_file(home).unlink(), "1 files that the ledger names are gone: raw/"
    ),
    "raw file cut short": Damage(
        lambda home: _cut(_raw_file(home)), ".parquet is damaged", at_once=False
    ),
    "bit of a raw file flipped": Damage(
        lambda home: _flip(_raw_file(home)), ".parquet is damaged", at_once=False
    ),
    "key of the hashes gone": Damage(lambda home: home.hmac_key.unlink(), "hmac.key is gone"),
    "key of the hashes cut short": Damage(
        lambda home: _cut(home.hmac_key), "hmac.key holds 16 bytes in place of 32"
    ),
}


@pytest.fixture
def home(loaded: Home, tmp_path: Path) -> Home:
    return loaded.copy(tmp_path / "home")


@pytest.fixture
def cdp(home: Home, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """The command line in this process: gives its exit code and what it printed."""

    def call(*arguments: str) -> tuple[int, str]:
        with monkeypatch.context() as patched:
            patched.setattr(sys, "argv", ["cdp", *arguments])
            patched.setenv("CDP_HOME", str(home.path))
            patched.setenv("CDP_LAKE_URL", (home.path / "lake").as_uri())
            try:
                main()
                code = 0
            except SystemExit as ended:
                code = int(ended.code or 0)
        printed = capsys.readouterr()
        return code, printed.out + printed.err

    return call


def _settings(home: Home) -> Settings:
    return load_settings({"CDP_HOME": str(home.path)})


@pytest.mark.fault("F32")
@pytest.mark.parametrize("damage", DAMAGES.values(), ids=list(DAMAGES))
def test_damage_is_named_by_the_doctor_and_before_a_run_begins(home: Home, cdp, damage: Damage):
    damage.do(home)
    for command in ("run", "doctor") if damage.at_once else ("doctor",):
        code, printed = cdp(command)
        assert code == 1
        assert damage.told in printed
        assert "cdp doctor --rebuild" in printed
        assert "Traceback" not in printed
        assert len([line for line in printed.splitlines() if damage.told in line]) == 1


@pytest.mark.fault("F32")
def test_damage_is_named_where_a_run_failed_of_something_unforeseen(home: Home):
    _cut(_raw_file(home))
    told = pytest.raises(DamagedStateError, match=r"The run failed\.\nraw/.* is damaged")
    with told, damage_told(_settings(home)):
        raise RunFailedError("The run failed.", is_explained=False)
    with pytest.raises(RunFailedError), damage_told(_settings(home)):
        raise RunFailedError("crm.yaml: version is missing.", is_explained=True)


@pytest.mark.fault("F32")
def test_dagsters_history_may_be_thrown_away(home: Home):
    for path in (home.path / "dagster").rglob("*.db*"):
        path.unlink()
    assert diagnose(_settings(home)) == []
    assert "Nothing new in landing" in home.cdp("run").stdout


@pytest.mark.faults
@pytest.mark.slow
@pytest.mark.fault("F32")
def test_an_edited_manifest_is_made_anew(home: Home):
    project = prepared_project(_settings(home))
    sound = json.loads(project.manifest_path.read_bytes())
    project.manifest_path.write_bytes(project.manifest_path.read_bytes().replace(b"crm", b"CRM"))
    assert prepared_project(_settings(home)).manifest_path == project.manifest_path
    assert json.loads(project.manifest_path.read_bytes())["nodes"].keys() == sound["nodes"].keys()


@pytest.mark.fault("F33")
def test_tables_of_a_newer_release_are_refused(home: Home, cdp):
    _of_release(home, "99.1", "another")
    for command in ("run", "doctor"):
        code, printed = cdp(command)
        assert code == 1
        assert "Release 99.1 built the tables, and this is" in printed
        assert "Traceback" not in printed


@pytest.mark.fault("F33")
def test_tables_of_this_release_or_an_older_one_are_no_fault(home: Home):
    _of_release(home, "0.0.9", "another")
    check_state(_settings(home))
    assert built_by.this_release() >= "0.1"


@pytest.mark.faults
@pytest.mark.slow
@pytest.mark.fault("F32")
def test_with_everything_damaged_a_rebuild_gives_the_hash_of_an_undamaged_home(
    loaded: Home, home: Home
):
    for name in (
        "raw file gone",
        "ledger cut short",
        "warehouse cut short",
        "published version cut short",
        "Dagster's event log cut short",
        "profile store cut short",
        "key of the hashes cut short",
    ):
        DAMAGES[name].do(home)
    home.cdp("doctor", "--rebuild")
    assert diagnose(_settings(home)) == []
    assert home.hashes() == loaded.hashes()


@pytest.mark.faults
@pytest.mark.slow
@pytest.mark.fault("F33")
def test_tables_of_an_older_release_are_built_anew_by_the_next_run(loaded: Home, home: Home):
    """As if older code had made other columns, and other values in those that stayed."""
    with duckdb.connect(str(home.warehouse)) as connection:
        for statement in (
            "alter table cleansed.clean_crm__contacts drop column first_name",
            "update cleansed.clean_crm__contacts set last_name = 'of old'",
            "alter table profile.customer_profiles add column of_old varchar",
            "alter table profile.profile_history drop column city",
        ):
            connection.execute(statement)
    _of_release(home, "0.0.9", "another")
    told = home.cdp("run").stdout
    assert "Other code built cleansed, identity, profile" in told
    assert home.hashes() == loaded.hashes()
    assert "Other code" not in home.cdp("run").stdout
