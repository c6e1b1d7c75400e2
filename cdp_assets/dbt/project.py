"""Where the dbt project lies, and its manifest.

Alone in this module because `dagster-dbt project prepare-and-package` imports it before a
manifest exists. Not here: assets, resources.
"""

from __future__ import annotations

import hashlib
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from dagster_dbt import DbtCliResource, DbtProject

from cdp_assets.settings import DBT_PROJECT_DIR, Settings

dbt_project = DbtProject(project_dir=DBT_PROJECT_DIR, profiles_dir=DBT_PROJECT_DIR)

# What dbt makes of the project, and the checksum beside it.
_PARSED: Final = ("partial_parse.msgpack", "manifest.json")
_SEAL: Final = "manifest.sha256"

# dbt of this environment, which need not be on PATH, as a child that dies with its run.
_DBT_EXECUTABLE: Final = Path(sys.executable).parent / "cdp-dbt"


def prepared_project(settings: Settings) -> DbtProject:
    """The dbt project with its build products in this home, parsed when missing or stale.

    Each home has its own: dbt parses everything again when the warehouse path differs from the
    one it parsed for. Elsewhere (a container image) the packaged manifest serves.
    """
    if settings.profile != "local" and dbt_project.manifest_path.exists():
        return dbt_project
    project = DbtProject(
        project_dir=DBT_PROJECT_DIR,
        profiles_dir=DBT_PROJECT_DIR,
        target_path=settings.dbt_target_path,
    )
    if _is_stale(project.manifest_path):
        _parse(project, settings.dbt_target)
    return project


class _Dbt(DbtCliResource):
    """dagster-dbt's resource without an adapter in the run itself, as it has none for dbt Fusion.

    Dagster would count rows and read columns with it; we ask the warehouse (`assets.py`). Making it
    took two seconds of each call: every macro is parsed.
    """

    def _initialize_dbt_core_adapter(self, args: Sequence[str]) -> Any:
        return None


def build_dbt_resource(
    project: DbtProject, target: str, executable: Path = _DBT_EXECUTABLE
) -> DbtCliResource:
    """The dbt command line of this environment, with the warehouse of this target."""
    return _Dbt(
        project_dir=str(project.project_dir),
        profiles_dir=str(project.profiles_dir),
        target=target,
        dbt_executable=str(executable),
        global_config_flags=["--no-use-colors"],
    )


def prune_invocations(project: DbtProject, keep: int = 12) -> None:
    """Remove what old dbt invocations compiled and logged, but for the newest `keep`."""
    folders = [path.parent for path in project.manifest_path.parent.glob("*/dbt.log")]
    for folder in sorted(folders, key=lambda path: path.stat().st_mtime, reverse=True)[keep:]:
        shutil.rmtree(folder, ignore_errors=True)


def _parse(project: DbtProject, target: str) -> None:
    # Several processes load the definitions at once: each parses aside and swaps whole files in.
    products = project.manifest_path.parent
    products.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix="parse-", dir=products))
    try:
        dbt = build_dbt_resource(project, target)
        dbt.cli(["parse", "--quiet"], target_path=aside).wait()
        (aside / _SEAL).write_text(_seal(aside))
        for name in (*_PARSED, _SEAL):
            (aside / name).replace(products / name)
    finally:
        shutil.rmtree(aside)


def _seal(folder: Path) -> str:
    """A checksum of what dbt parsed: the graph is never loaded from what somebody edited."""
    contents = [(folder / name).read_bytes() for name in _PARSED]
    return " ".join(hashlib.sha256(content).hexdigest() for content in contents)


def _is_stale(manifest: Path) -> bool:
    parts = [manifest.with_name(name) for name in (*_PARSED, _SEAL)]
    if not all(part.exists() for part in parts):
        return True
    if parts[-1].read_text() != _seal(manifest.parent):
        return True
    written = manifest.stat().st_mtime
    inputs = ("models", "macros", "seeds", "tests")
    files = [DBT_PROJECT_DIR / "dbt_project.yml", DBT_PROJECT_DIR / "profiles.yml"]
    files += [file for folder in inputs for file in (DBT_PROJECT_DIR / folder).rglob("*")]
    return any(file.stat().st_mtime > written for file in files)
