"""Laws of the dbt project that its text and manifest can show, and its SQL for Athena."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlglot
import yaml
from dbt.config.renderer import ProfileRenderer
from dbt.contracts.graph.manifest import Manifest
from dbt.contracts.graph.nodes import ModelNode
from dbt_common.context import set_invocation_context
from sqlglot import exp

from cdp_assets.identity.match_model import load_default
from cdp_assets.settings import DBT_PROJECT_DIR
from cdp_assets.sources.tables import raw_schema
from tests.athena_local.errors import AthenaFailure
from tests.athena_local.translate import parse

from .conftest import CONTRACTS

SEEDS = sorted((DBT_PROJECT_DIR / "seeds").rglob("*.csv"))
MODELS = sorted((DBT_PROJECT_DIR / "models").rglob("*.sql"))
OWN_MACROS = [
    path
    for path in sorted((DBT_PROJECT_DIR / "macros").rglob("*.sql"))
    if "engine" not in path.relative_to(DBT_PROJECT_DIR).parts
]
# Spelt differently by the engines, or known to one of them only.
ENGINE_WORDS = re.compile(
    r"\b(arg_m(?:ax|in)|array_\w+|date_format|date_trunc|epoch\w*|exclude|from_big_endian_64"
    r"|from_unixtime|hash|json_\w+|levenshtein\w*|list_\w+|m(?:ax|in)_by|md5|nfc_normalize"
    r"|normalize|qualify|regexp_\w+|sha256|slice|strftime|strip_accents|strptime|struct_\w+"
    r"|to_hex|to_unixtime|to_utf8|unnest|xxhash64)\s*\(|::|\bgroup by all\b"
)
ENGINE_MACROS = {
    name
    for path in (DBT_PROJECT_DIR / "macros/engine").glob("*.sql")
    for name in re.findall(r"macro (\w+)\(", path.read_text())
}


def project_models(manifest: Manifest, layer: str) -> dict[str, Any]:
    return {
        node.name: node
        for node in manifest.nodes.values()
        if node.resource_type == "model" and node.config.schema == layer
    }


def test_no_model_names_a_target() -> None:
    guilty = [path.name for path in MODELS if re.search(r"\btarget\b", path.read_text())]
    assert guilty == []


@pytest.mark.parametrize("path", MODELS + OWN_MACROS, ids=lambda path: path.stem)
def test_what_engines_spell_differently_stands_in_macros_engine_alone(path: Path) -> None:
    code = re.sub(r"\{#.*?#\}|--[^\n]*|'[^']*'", "", path.read_text(), flags=re.DOTALL)
    found = {match[1] or match[0] for match in ENGINE_WORDS.finditer(code)}
    assert found - ENGINE_MACROS == set()


@pytest.mark.parametrize("path", SEEDS, ids=lambda path: path.stem)
def test_a_seed_holds_nothing_that_athenas_csv_reader_would_drop(path: Path) -> None:
    assert "\\" not in path.read_text()


@pytest.mark.parametrize("key", ["alias/acme", ""])
def test_seeds_are_uploaded_with_the_key_that_is_set(
    key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CDP_KMS_KEY", key)
    wanted = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": key} if key else {}
    assert athena_profile()["seed_s3_upload_args"] == wanted


def athena_profile() -> dict[str, Any]:
    """The target `aws` with the environment as it is."""
    set_invocation_context(dict(os.environ))
    profile = yaml.safe_load((DBT_PROJECT_DIR / "profiles.yml").read_text())["cdp"]
    return ProfileRenderer({}).render_data(profile["outputs"]["aws"])


def test_the_address_of_a_server_is_not_set_in_the_profile() -> None:
    # It would reach the queries alone, and Glue and S3 would be those of an account.
    assert "endpoint_url" not in athena_profile()


def test_sources_are_read_in_cleansed_and_else_only_what_python_hands_over(
    manifest: Manifest,
) -> None:
    read: dict[str, set[str]] = {}
    for node in manifest.nodes.values():
        if isinstance(node, ModelNode):
            names = {".".join(source) for source in node.sources}
            read.setdefault(str(node.config.schema), set()).update(names)
    read = {layer: names for layer, names in read.items() if names}
    assert read.pop("cleansed") == {f"sources.raw_{entity}" for entity in CONTRACTS}
    assert read == {
        "identity": {"identity.match_term_frequencies"},
        "profile": {"identity.customer_map", "identity.touched_customers"},
    }


@pytest.mark.parametrize("entity", CONTRACTS)
def test_a_source_table_declares_what_its_contract_says(manifest: Manifest, entity: str) -> None:
    source = manifest.sources[f"source.cdp.sources.raw_{entity}"]
    contract = CONTRACTS[entity]
    assert list(source.columns) == [*raw_schema(contract).names, "dt"]
    assert source.description == contract.description
    for column, pii in contract.pii.items():
        if not column.endswith("_utc"):
            assert source.columns[column].meta.get("pii", "none") == pii, column


@pytest.mark.parametrize("layer", ["cleansed", "profile"])
def test_every_model_has_a_grain_a_contract_and_described_columns(
    manifest: Manifest, layer: str
) -> None:
    for name, node in project_models(manifest, layer).items():
        assert node.description.startswith("One row per "), name
        assert node.contract.enforced or node.config.materialized == "view", name
        for column in node.columns.values():
            assert column.description, f"{name}.{column.name}"
            assert column.data_type, f"{name}.{column.name}"


@pytest.mark.parametrize("entity", CONTRACTS)
def test_a_cleansed_table_keeps_every_contract_column_with_its_class_of_personal_data(
    manifest: Manifest, entity: str
) -> None:
    columns = project_models(manifest, "cleansed")[f"clean_{entity}"].columns
    for column in CONTRACTS[entity].columns:
        assert columns[column.name].meta.get("pii", "none") == column.pii, column.name


@pytest.fixture(scope="module")
def athena_target(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What dbt compiles for Athena without network, credentials or cache."""
    target = tmp_path_factory.mktemp("aws")
    done = dbt_compile("aws", target, CDP_MATCH_MODEL=load_default().compact_json())
    assert done.returncode == 0, done.stdout
    return target


@pytest.fixture(scope="module")
def athena_sql(athena_target: Path) -> dict[str, str]:
    """Compiled SQL of every model for Athena."""
    return {
        path.stem: path.read_text()
        for path in athena_target.glob("compiled/cdp/models/**/*.sql")
        if path.parent.suffix != ".yml"
    }


def test_athena_loses_and_doubles_no_rows_by_the_ways_that_are_known(athena_target: Path) -> None:
    # insert_overwrite deletes before it inserts, and without partitions it appends; runs that meet
    # share `__dbt_tmp`; values of partitions go into SQL as they are, and a build by batches of
    # partitions makes no table of no rows, after which the old one is gone.
    manifest = json.loads((athena_target / "manifest.json").read_text())
    for node in manifest["nodes"].values():
        if node["resource_type"] != "model":
            continue
        name, config = node["name"], node["config"]
        assert config["table_type"] == "iceberg", name
        assert config["unique_tmp_table_suffix"] is True, name
        assert not config.get("partitioned_by"), name
        assert not config.get("force_batch"), name
        if config["materialized"] == "incremental":
            assert config["incremental_strategy"] in ("merge", "append"), name
    assert athena_profile()["s3_data_naming"] == "schema_table_unique"


def dbt_compile(
    name: str, folder: Path, *arguments: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Compile for the target of that name, in a process of its own."""
    variables = {
        "AWS_ACCESS_KEY_ID": "none",
        "AWS_SECRET_ACCESS_KEY": "none",
        "CDP_LAKE_URL": "s3://bucket/tenant",
        "CDP_TENANT": "acme",
        "DBT_TARGET_PATH": str(folder),
        "DBT_LOG_PATH": str(folder / "logs"),
        **environment,
    }
    return subprocess.run(
        [
            *["env", "-u", "CDP_MATCH_MODEL", *(f"{key}={variables[key]}" for key in variables)],
            str(Path(sys.executable).parent / "dbt"),
            *["compile", "--target", name, "--no-introspect", "--no-populate-cache", *arguments],
            *["--project-dir", str(DBT_PROJECT_DIR), "--profiles-dir", str(DBT_PROJECT_DIR)],
        ],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.fault("F47")
def test_every_model_compiles_for_athena_without_a_network(athena_sql: dict[str, str]) -> None:
    assert {path.stem for path in MODELS} <= athena_sql.keys()


def test_the_athena_sql_is_trino_and_calls_no_function_of_another_engine(
    athena_sql: dict[str, str],
) -> None:
    for name, sql in athena_sql.items():
        try:
            parse(sql)
        except AthenaFailure as failure:
            raise AssertionError(f"{name}: {failure}") from failure


def test_a_model_whose_blocking_rules_have_no_caps_compiles(tmp_path: Path) -> None:
    model = load_default()
    uncapped = replace(
        model, blocking=tuple(replace(rule, max_records=None) for rule in model.blocking)
    )
    chosen = {"CDP_MATCH_MODEL": uncapped.compact_json()}
    done = dbt_compile("local", tmp_path, "--select", "oversized_blocks", **chosen)
    assert done.returncode == 0, done.stdout
    [compiled] = tmp_path.glob("compiled/**/oversized_blocks.sql")
    assert sqlglot.parse(compiled.read_text(), dialect="duckdb")


@pytest.mark.slow
def test_without_an_identity_model_dbt_says_what_to_do(tmp_path: Path) -> None:
    done = dbt_compile("local", tmp_path, "--select", "match_pairs")
    assert done.returncode != 0
    assert "CDP_MATCH_MODEL is not set" in done.stdout


@pytest.mark.fault("F39")
def test_a_tenant_on_athena_has_databases_of_its_own(athena_sql: dict[str, str]) -> None:
    databases = {
        table.db
        for table in sqlglot.parse_one(athena_sql["customer_profiles"], dialect="trino").find_all(
            exp.Table
        )
        if table.db
    }
    assert databases == {"acme_cleansed", "acme_identity", "acme_profile"}
