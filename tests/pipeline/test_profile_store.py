"""`cdp run` fills the profile store, and `cdp profile get` finds whom it should."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import duckdb
import pytest

from tests.homes import BIN, NEW_CUSTOMER, NEW_EMAIL, Home


def _one(home: Home, sql: str) -> tuple:
    with duckdb.connect(str(home.published), read_only=True) as connection:
        found = connection.execute(sql).fetchone()
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("option", "kind"),
    [
        ("--email", "email"),
        ("--phone", "phone"),
        ("--loyalty-id", "loyalty_id"),
        ("--user-id", "user_id"),
    ],
)
def test_a_customer_is_found_by_an_identifier_of_its_own(loaded: Home, option: str, kind: str):
    customer_id, value = _one(
        loaded,
        f"""
        select min(customer_id), identifier_value from profile.customer_identifiers
        where identifier_type = '{kind}'
        group by identifier_value having count(*) = 1 order by identifier_value desc limit 1
        """,
    )
    found = json.loads(loaded.cdp("profile", "get", option, value).stdout)
    assert found["customer_id"] == customer_id
    assert {"type": kind, "value": value} in found["identifiers"]


def test_a_customer_is_found_by_its_id_and_by_a_record_with_what_is_published(loaded: Home):
    customer_id, record_id, first_name, order_count = _one(
        loaded,
        """
        select customer_id, min(record_id), min(first_name), min(order_count)
        from profile.customer_profiles
        join profile.customer_traits using (customer_id)
        join identity.customer_map using (customer_id)
        where first_name is not null and not is_deleted and order_count > 0
        group by customer_id order by customer_id limit 1
        """,
    )
    found = json.loads(loaded.cdp("profile", "get", "--customer-id", customer_id).stdout)
    assert found["profile"]["first_name"] == first_name
    assert found["traits"]["order_count"] == order_count
    assert found["written_by"]["sync_number"] == 1
    assert json.loads(loaded.cdp("profile", "get", "--record", record_id).stdout) == found


@pytest.mark.fault("F44")
@pytest.mark.slow
@pytest.mark.fault("F01")
@pytest.mark.parametrize(
    ("point", "goes_on"),
    [
        ("extract.after_ledger#1", "Going on where a run failed"),
        ("sync.after_read#1", "Bringing the profile store up"),
    ],
)
def test_what_a_killed_run_did_not_bring_to_the_store_the_next_run_brings(
    loaded: Home, tmp_path: Path, point: str, goes_on: str
):
    home = loaded.copy(tmp_path / "home")
    home.land_new_customer()
    killed = home.command("env", f"CDP_FAILPOINT={point}", str(BIN / "cdp"), "run", check=False)
    assert killed.returncode == -signal.SIGKILL
    assert home.cdp("profile", "get", "--email", NEW_EMAIL, check=False).returncode
    assert goes_on in home.cdp("run").stdout
    found = json.loads(home.cdp("profile", "get", "--email", NEW_EMAIL).stdout)
    assert found["profile"]["last_name"] == NEW_CUSTOMER
    assert goes_on not in home.cdp("run").stdout


def test_nobody_found_is_said_without_repeating_what_was_typed(loaded: Home):
    for option in ("--email", "--customer-id", "--record"):
        done = loaded.cdp("profile", "get", option, "canary@example.com", check=False)
        assert (done.returncode, done.stdout) == (1, "")
        assert "cdp: Not found" in done.stderr
        assert "canary" not in done.stderr


def test_one_option_is_asked_for_and_no_second(loaded: Home):
    for options in ([], ["--email", "a@example.com", "--user-id", "7"]):
        assert loaded.cdp("profile", "get", *options, check=False).returncode == 2


@pytest.mark.fault("F44")
def test_the_key_of_the_hashes_is_its_owners_alone_and_in_no_log(loaded: Home):
    assert (loaded.path / "hmac.key").stat().st_mode & 0o777 == 0o600
    assert len((loaded.path / "hmac.key").read_bytes()) == 32
    key = (loaded.path / "hmac.key").read_bytes()
    told = [path for folder in ("dagster", "dbt") for path in (loaded.path / folder).rglob("*")]
    assert any(path.suffix == ".log" for path in told)
    for path in filter(Path.is_file, told):
        content = path.read_bytes()
        assert key not in content, path
        assert key.hex().encode() not in content, path
