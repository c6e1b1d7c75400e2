"""Where the dbt project lies, and its manifest.

Alone in this module because `dagster-dbt project prepare-and-package` imports it before a
manifest exists. Not here: assets, resources.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path
from typing import Final

from dagster_dbt import DbtCliResource, DbtProject

from cdp_assets.settings import DBT_PROJECT_DIR

dbt_project = DbtProject(project_dir=DBT_PROJECT_DIR, profiles_dir=DBT_PROJECT_DIR)

# dbt of this environment, which need not be on PATH, as a child that dies with its run.
DBT_EXECUTABLE: Final = str(Path(sys.executable).parent / "cdp-dbt")


def prepared_manifest() -> Path:
    """The path of the manifest, parsed anew when it is missing or older than the project."""
    manifest = dbt_project.manifest_path
    if _is_stale(manifest):
        _parse(manifest.parent)
    return manifest


def _parse(target: Path) -> None:
    # Several processes load the definitions at once: each parses aside and swaps whole files in.
    target.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix="parse-", dir=target))
    try:
        dbt = DbtCliResource(project_dir=dbt_project, dbt_executable=DBT_EXECUTABLE)
        dbt.cli(["parse", "--quiet"], target_path=aside).wait()
        for name in ("partial_parse.msgpack", "manifest.json"):
            (aside / name).replace(target / name)
    finally:
        shutil.rmtree(aside)


def _is_stale(manifest: Path) -> bool:
    if not manifest.exists():
        return True
    written = manifest.stat().st_mtime
    inputs = ("models", "macros", "seeds", "tests")
    files = [DBT_PROJECT_DIR / "dbt_project.yml", DBT_PROJECT_DIR / "profiles.yml"]
    files += [file for folder in inputs for file in (DBT_PROJECT_DIR / folder).rglob("*")]
    return any(file.stat().st_mtime > written for file in files)
