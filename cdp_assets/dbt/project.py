"""Where the dbt project lies, and its manifest.

Alone in this module because `dagster-dbt project prepare-and-package` imports it before a
manifest exists. Not here: assets, resources.
"""

from __future__ import annotations

from pathlib import Path

from dagster_dbt import DbtProject

from cdp_assets.settings import DBT_PROJECT_DIR

dbt_project = DbtProject(project_dir=DBT_PROJECT_DIR, profiles_dir=DBT_PROJECT_DIR)


def prepared_manifest() -> Path:
    """The path of the manifest, parsed anew when it is missing or older than the project."""
    if _is_stale(dbt_project.manifest_path):
        dbt_project.preparer.prepare(dbt_project)
    return dbt_project.manifest_path


def _is_stale(manifest: Path) -> bool:
    if not manifest.exists():
        return True
    written = manifest.stat().st_mtime
    inputs = ("models", "macros", "seeds", "tests")
    files = [DBT_PROJECT_DIR / "dbt_project.yml", DBT_PROJECT_DIR / "profiles.yml"]
    files += [file for folder in inputs for file in (DBT_PROJECT_DIR / folder).rglob("*")]
    return any(file.stat().st_mtime > written for file in files)
