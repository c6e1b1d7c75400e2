from __future__ import annotations

from pathlib import Path

from cdp_assets.dbt.project import build_dbt_resource, dbt_project


def test_a_run_that_calls_dbt_makes_no_adapter_of_its_own(tmp_path: Path):
    call = build_dbt_resource(dbt_project, "local").cli(["--version"], target_path=tmp_path)
    assert call.adapter is None
    assert call.process.wait() == 0
