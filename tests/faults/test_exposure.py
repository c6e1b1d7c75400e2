"""What the platform opens to others, and what others may bring into it."""

from __future__ import annotations

import ast
import itertools
import os
import re
import tomllib
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path

import pytest

from cdp_assets.local import claim_home, serve
from cdp_assets.settings import PROJECT_ROOT, load_settings
from tests.homes import Home
from tests.stacks import looking

CODE = sorted((PROJECT_ROOT / "cdp_assets").rglob("*.py"))


@pytest.mark.fault("F48")
def test_the_ui_has_no_login_and_is_bound_to_this_machine_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What Dagster and the settings read from the environment must not hold elsewhere.
    monkeypatch.setattr(os, "environ", dict(os.environ))
    started: list[list[str]] = []
    monkeypatch.setattr(
        "cdp_assets.local._run_group", lambda command, _: started.append(command) or 0
    )
    with pytest.raises(SystemExit):
        serve(load_settings({"CDP_HOME": str(tmp_path)}), port=3333, unattended=False)
    [command] = started
    assert command[command.index("-h") + 1] == "127.0.0.1"
    assert "0.0.0.0" not in "".join(command)


@pytest.mark.fault("F48")
def test_another_address_is_refused_unless_a_proxy_asks_who_comes(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    refused = home.cdp("look", "--host", "0.0.0.0", check=False)
    assert refused.returncode == 1
    assert refused.stderr.startswith("cdp: The UI has no login")
    assert "--behind-proxy" in refused.stderr
    assert not home.path.exists()


@pytest.mark.slow
@pytest.mark.faults
@pytest.mark.fault("F48")
def test_who_looks_sees_everything_and_can_delete_and_switch_nothing(
    loaded: Home, tmp_path: Path
) -> None:
    home = loaded.copy(tmp_path / "home")
    with claim_home(load_settings({"CDP_HOME": str(home.path)}), "a run"), looking(home) as stack:
        assert "landing_web" in stack.sensors()
        for mutation in ('deleteRun(runId: "any")', "reloadWorkspace"):
            answer = stack.ask(f"mutation {{{mutation} {{__typename}}}}")
            assert [*answer.values()] == [{"__typename": "UnauthorizedError"}]


@pytest.mark.fault("F49")
def test_every_package_is_locked_by_its_hash() -> None:
    lock = tomllib.loads((PROJECT_ROOT / "uv.lock").read_text())
    packages = [package for package in lock["package"] if package["name"] != "cdp-assets"]
    assert len(packages) > 100
    for package in packages:
        assert "registry" in package["source"], package["name"]
        files = [*package.get("wheels", []), *([package["sdist"]] if "sdist" in package else [])]
        assert files, package["name"]
        assert all(file["hash"].startswith("sha256:") for file in files), package["name"]


@pytest.mark.fault("F49")
def test_no_package_of_the_product_forbids_what_its_own_licence_allows() -> None:
    """Of a choice of licences one has to do; a file under the MPL may be passed on as it is."""
    asked = {name: licence for name in _product() if (licence := _licence(name))}
    assert len(asked) > 80
    refused = {
        name: licence
        for name, licence in asked.items()
        if not re.search(r"MIT|BSD|Apache|ISC|PSF|Python Software|MPL|Artistic", licence)
    }
    assert refused == {}


def _product() -> set[str]:
    """The packages that the product needs to run, by the lock."""
    lock = tomllib.loads((PROJECT_ROOT / "uv.lock").read_text())
    needs: dict[str, set[str]] = {}
    for package in lock["package"]:
        extras = package.get("optional-dependencies", {}).values()
        listed = [*package.get("dependencies", []), *itertools.chain.from_iterable(extras)]
        needs.setdefault(package["name"], set()).update(one["name"] for one in listed)
    found, waiting = set(), ["cdp-assets"]
    while waiting:
        new = needs[waiting.pop()] - found
        found |= new
        waiting += new
    return found


def _licence(name: str) -> str:
    """What a package says of its licence; empty for one that this system does not need."""
    try:
        about = metadata(name)
    except PackageNotFoundError:
        return ""
    classifiers = [text for text in about.get_all("Classifier", []) if "License ::" in text]
    expression, free_text = (about.get_all(key, []) for key in ("License-Expression", "License"))
    return next(text for text in (*expression, "; ".join(classifiers), *free_text, "none") if text)


@pytest.mark.fault("F49")
def test_no_data_is_read_by_something_that_would_run_it() -> None:
    """Pickle runs what it reads; so do `eval`, `exec` and the unsafe loaders of YAML."""
    for path in CODE:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = {alias.name for alias in node.names} | {getattr(node, "module", "") or ""}
                assert not names & {"pickle", "dill", "joblib", "marshal", "shelve"}, path
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id not in ("eval", "exec", "compile"), path
            if isinstance(node, ast.Attribute):
                assert node.attr not in ("unsafe_load", "full_load", "UnsafeLoader"), path


@pytest.mark.fault("F49")
def test_dbt_brings_no_packages_of_others() -> None:
    assert not (PROJECT_ROOT / "dbt_project" / "packages.yml").exists()
    assert not (PROJECT_ROOT / "dbt_project" / "dependencies.yml").exists()
