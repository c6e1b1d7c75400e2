"""The documentation is true: its commands, paths, settings, tables and worked example are real."""

from __future__ import annotations

import contextlib
import csv
import io
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path

import pytest
import typer
from typer.core import TyperGroup

from cdp_assets.cli import app
from cdp_assets.settings import (
    PROJECT_ROOT,
    GateBudget,
    Limits,
    export_match_model,
    export_serving,
    export_settings,
    load_settings,
)

SEEDS = PROJECT_ROOT / "dbt_project" / "seeds"
PAGES = sorted([*PROJECT_ROOT.glob("*.md"), *(PROJECT_ROOT / "docs").rglob("*.md")])
# What begins with one of these names a place in the repository.
TOP_FOLDERS = ("cdp_assets/", "dbt_project/", "docs/", "tests/", "deploy/", "benchmarks/", ".ci/")
UNITS = {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30}

every_page = pytest.mark.parametrize(
    "page", PAGES, ids=lambda page: str(page.relative_to(PROJECT_ROOT))
)


def blocks(page: Path, language: str) -> list[str]:
    """The fenced code blocks of one language ('' for none)."""
    pattern = rf"^[ ]*```{language}\n(.*?)^[ ]*```$"
    return re.findall(pattern, page.read_text(), flags=re.MULTILINE | re.DOTALL)


def code(page: Path) -> list[str]:
    """What is set as code: inline spans, and lines of blocks without a language."""
    prose = re.sub(r"^[ ]*```.*?^[ ]*```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks(page, "") for line in block.splitlines()]
    return re.findall(r"`([^`\n]+)`", prose) + lines


def table(page: str, heading: str) -> list[list[str]]:
    """The cells of the first table below a heading or a line, without its head."""
    text = (PROJECT_ROOT / page).read_text().split(f"\n{heading}", maxsplit=1)[1]
    lines = text[text.index("\n|") + 1 :].splitlines()
    rows = []
    for line in lines[2:]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split(" | ")])
    return rows


def test_the_readme_takes_two_screens_at_most() -> None:
    assert len((PROJECT_ROOT / "README.md").read_text().splitlines()) <= 95


@every_page
def test_every_make_target_named_exists(page: Path) -> None:
    makefile = (PROJECT_ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z-]+):", makefile, flags=re.MULTILINE))
    named = {match for text in code(page) for match in re.findall(r"\bmake ([a-z-]+)", text)}
    assert named - targets == set()


@every_page
def test_every_cdp_command_and_option_named_exists(page: Path) -> None:
    group = typer.main.get_command(app)
    assert isinstance(group, TyperGroup)
    for text in code(page):
        for words in re.findall(r"(?:^|[\s/])cdp ([a-z][^|;&]*)", text):
            command, rest = group, words.split()
            while isinstance(command, TyperGroup) and rest:
                name = rest.pop(0)
                assert name in command.commands, text
                command = command.commands[name]
            options = {option for p in command.params for option in p.opts}
            assert set(re.findall(r"--[a-z-]+", " ".join(rest))) <= options, text


@every_page
def test_every_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        if anchor:
            assert anchor in _anchors(target), link


@every_page
def test_every_path_named_exists(page: Path) -> None:
    for text in code(page):
        for word in re.findall(r"[\w./*<>-]+", text):
            if word.startswith(TOP_FOLDERS) and "<" not in word:
                assert list(PROJECT_ROOT.glob(word.rstrip("/."))), word


@every_page
def test_no_page_names_a_machine_or_a_host(page: Path) -> None:
    text = page.read_text()
    hosts = set(re.findall(r"https?://([^/\s:)`]+)", text))
    assert hosts <= {"127.0.0.1"}
    assert re.findall(r"(?:^|[\s`\"'(=])(/[A-Za-z][\w.-]*/[\w.-]+)", text) == []


@every_page
def test_every_asset_and_job_named_to_dagster_exists(page: Path) -> None:
    text = page.read_text()
    for layer, name in re.findall(r'key:"(\w+)/(\w+)"', text):
        assert _is_asset(layer, name), name
    jobs = (PROJECT_ROOT / "cdp_assets" / "jobs.py").read_text()
    for job in re.findall(r"dagster job backfill .*-j (\w+)", text):
        assert f'"{job}"' in jobs


def test_the_table_of_environment_variables_is_what_the_settings_read() -> None:
    read = _Recorder({"CDP_PROFILE": "aws", "CDP_LAKE_URL": "s3://b", "AWS_REGION": "r"})
    load_settings(read)
    documented = table("docs/running.md", "### Environment variables")
    defaults = {row[0].strip("`"): row[1].strip("`") for row in documented}
    assert set(defaults) == read.names
    settings = load_settings({})
    assert defaults["CDP_PROFILE"] == settings.profile
    assert defaults["CDP_TENANT"] == settings.tenant
    assert defaults["CDP_WAREHOUSE_MEMORY"] == settings.warehouse_memory
    assert defaults["CDP_IDENTITY_MODEL"] == settings.identity_model
    assert defaults["AWS_REGION"] == settings.region
    assert defaults["CDP_UNATTENDED"] == str(int(settings.unattended))


def test_the_variables_set_for_children_are_documented(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    told: dict[str, str] = {}
    monkeypatch.setattr(os, "environ", told)
    settings = load_settings({"CDP_HOME": str(tmp_path)})
    export_settings(settings)
    export_match_model("{}")
    export_serving(settings, unattended=True)
    rows = table("docs/running.md", "### Variables that the platform sets")
    assert set(re.findall(r"[A-Z_]{5,}", " ".join(row[0] for row in rows))) == set(told)


def test_every_variable_that_dbt_reads_is_documented() -> None:
    profiles = (PROJECT_ROOT / "dbt_project" / "profiles.yml").read_text()
    text = (PROJECT_ROOT / "docs" / "running.md").read_text()
    for name in re.findall(r"env_var\('(\w+)'", profiles):
        assert f"`{name}`" in text, name


@pytest.mark.parametrize(
    ("page", "heading"),
    [("docs/running.md", "### Limits"), ("docs/identity.md", "## The change gate")],
)
def test_documented_limits_and_budgets_are_the_defaults(page: str, heading: str) -> None:
    settings = load_settings({})
    documented = {row[0].strip("`"): row[1] for row in table(page, heading)}
    for name, text in documented.items():
        group, _, field = name.partition(".")
        assert _number(text) == getattr(getattr(settings, group), field), name
    assert {f"gate.{field.name}" for field in fields(GateBudget)} <= documented.keys()
    if page == "docs/running.md":
        assert {f"limits.{field.name}" for field in fields(Limits)} <= documented.keys()


def test_the_table_of_identifier_rules_is_the_seed() -> None:
    documented = table("docs/identity.md", "## Identifiers")
    with (SEEDS / "identity" / "identity_rules.csv").open(newline="") as handle:
        rules = {row["identifier_type"]: row for row in csv.DictReader(handle)}
    stated = {row[0].strip("`"): row[2:] for row in documented if row[2].startswith("`")}
    assert stated == {name: _stated_rule(rule) for name, rule in rules.items()}


def test_the_survivorship_rules_named_are_those_of_the_seed() -> None:
    documented = {row[0].strip("`") for row in table("docs/profile.md", "## Which value survives")}
    with (SEEDS / "profile" / "survivorship.csv").open(newline="") as handle:
        assert documented == {row["rule"] for row in csv.DictReader(handle)}


def test_the_worked_example_of_a_source_prints_what_the_page_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = PROJECT_ROOT / "docs" / "adding-a-source.md"
    for name, text in _files(page):
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(blocks(page, "python")[0], page.name, "exec"), {})
    assert printed.getvalue() == blocks(page, "text")[0]


class _Recorder(dict[str, str]):
    """An environment that remembers which variables were asked for."""

    def __init__(self, values: Mapping[str, str]) -> None:
        super().__init__(values)
        self.names: set[str] = set()

    def get(self, key: str, default: object = None) -> object:  # pyright: ignore[reportIncompatibleMethodOverride]
        self.names.add(key)
        return super().get(key, default)


def _files(page: Path) -> Iterator[tuple[str, str]]:
    """The files of the worked example: blocks that begin with their name."""
    for language in ("yaml", "csv"):
        for block in blocks(page, language):
            first, _, rest = block.partition("\n")
            yield first.removeprefix("# file: "), rest


def _anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", page.read_text(), flags=re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def _is_asset(layer: str, name: str) -> bool:
    contract = name.removeprefix("raw_")
    places = [
        PROJECT_ROOT / "cdp_assets" / layer / "contracts" / f"{contract}.yaml",
        *(PROJECT_ROOT / "dbt_project" / "models" / layer).rglob(f"{name}.sql"),
    ]
    python = [path.read_text() for path in (PROJECT_ROOT / "cdp_assets" / layer).glob("*.py")]
    return any(path.exists() for path in places) or any(f'"{name}"' in text for text in python)


def _number(text: str) -> float:
    number, _, unit = text.partition(" ")
    return float(number) * UNITS.get(unit, 1)


def _stated_rule(rule: Mapping[str, str]) -> list[str]:
    people = f", {rule['max_people']} people" if rule["max_people"] else ""
    return [
        f"`{rule['rule']}`",
        rule["tier"],
        rule["score"],
        "yes" if rule["needs_compatible_person"] == "true" else "no",
        f"{rule['max_records']} records{people}",
    ]
