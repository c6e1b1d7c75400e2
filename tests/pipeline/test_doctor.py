"""State that was damaged is named, set aside and built anew from landing."""

from __future__ import annotations

import pytest


@pytest.mark.fault("F32")
def test_a_sound_home_is_told_to_be_sound(loaded):
    assert "sound and agree" in loaded.cdp("doctor").stdout


@pytest.mark.slow
@pytest.mark.fault("F32")
def test_a_damaged_ledger_is_named_and_a_run_from_landing_gives_the_hash_of_a_backfill(
    loaded, tmp_path
):
    home = loaded.copy(tmp_path / "home")
    (home.path / "ledger.sqlite").write_bytes(b"not a database, but long enough to be read as one")

    refused = home.cdp("run", check=False)
    assert refused.returncode == 1
    assert "ledger.sqlite is damaged" in refused.stderr
    assert "Traceback" not in refused.stderr
    found = home.cdp("doctor", check=False)
    assert found.returncode == 1
    assert "ledger.sqlite is damaged" in found.stdout

    home.cdp("doctor", "--rebuild")
    assert home.hashes() == loaded.hashes()
    assert list(home.path.glob("aside-*/ledger.sqlite"))
