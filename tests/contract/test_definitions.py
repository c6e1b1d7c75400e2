"""Every asset of the graph keeps the promises that people in the UI rely on.

Walks the real definitions; a new asset that forgets its owner, check or freshness fails here.
"""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pytest

from cdp_assets.dbt.translator import PII_CLASSES
from cdp_assets.graph import build_defs
from cdp_assets.naming import CHANNELS, IDENTITY, LAYERS, SOURCES, TRAINED_MODEL
from cdp_assets.settings import load_settings


@pytest.fixture(scope="session")
def definitions(tmp_path_factory: pytest.TempPathFactory) -> dg.Definitions:
    home = tmp_path_factory.mktemp("home")
    return build_defs(load_settings({"CDP_HOME": str(home), "CDP_UNATTENDED": "1"}))


@pytest.fixture(scope="session")
def graph(definitions: dg.Definitions) -> dg.AssetGraph:
    return definitions.resolve_asset_graph()


@pytest.fixture(scope="session")
def keys(graph: dg.AssetGraph) -> list[dg.AssetKey]:
    return sorted(graph.materializable_asset_keys)


def test_a_key_is_its_layer_and_its_name_and_the_layer_is_its_group(graph, keys):
    wrong = [
        key.to_user_string()
        for key in keys
        if len(key.path) != 2
        or key.path[0] not in LAYERS
        or graph.get(key).group_name != key.path[0]
    ]
    assert wrong == []


@pytest.mark.parametrize("promise", ["description", "owners", "kinds", "code_version"])
def test_every_asset_states_its(promise, graph, keys):
    missing = [key.to_user_string() for key in keys if not getattr(graph.get(key), promise)]
    assert missing == []


def test_every_asset_says_how_personal_its_data_is(graph, keys):
    unknown = [
        key.to_user_string() for key in keys if graph.get(key).tags.get("pii") not in PII_CLASSES
    ]
    assert unknown == []


def test_every_table_shows_its_columns(graph, keys):
    without = [
        key.to_user_string()
        for key in keys
        if "dagster/column_schema" not in graph.get(key).metadata
        and key.path[1] not in ("published_profiles", TRAINED_MODEL)
    ]
    assert without == []


def test_every_asset_but_the_seeds_has_a_freshness_policy(graph, keys):
    without = [
        key.to_user_string()
        for key in keys
        if graph.get(key).freshness_policy is None
        and not _is_seed(key)
        and key.path[1] != TRAINED_MODEL
    ]
    assert without == []


def test_every_asset_but_the_seeds_has_a_check(graph, keys):
    checked = {check.asset_key for check in graph.asset_check_keys}
    without = [key.to_user_string() for key in keys if key not in checked and not _is_seed(key)]
    assert without == []


def test_every_asset_below_sources_follows_its_upstream_under_one_labelled_condition(graph, keys):
    labels = {
        graph.get(key).automation_condition.get_label()
        if graph.get(key).automation_condition
        else key.to_user_string()
        for key in keys
        if key.path[0] != SOURCES and not _is_seed(key) and key.path[1] != TRAINED_MODEL
    }
    assert labels == {"follow upstream, late days included"}


def test_a_model_is_trained_by_its_own_job_alone(definitions, graph):
    trained = dg.AssetKey([IDENTITY, TRAINED_MODEL])
    jobs = {
        job.name
        for job in definitions.jobs or []
        if trained in job.selection.resolve(graph)  # pyright: ignore[reportAttributeAccessIssue]
    }
    assert jobs == {"train_identity_model"}
    assert graph.get(trained).automation_condition is None
    assert graph.get(trained).child_keys == set()


def test_every_asset_can_be_backfilled_in_one_run(graph, keys):
    refused = [
        key.to_user_string()
        for key in keys
        if graph.get(key).backfill_policy != dg.BackfillPolicy.single_run()
    ]
    assert refused == []


def test_every_asset_that_writes_tables_or_profiles_holds_leases(definitions):
    unleased = {
        key.to_user_string()
        for assets in definitions.assets or []
        if "leases" not in assets.required_resource_keys
        for key in assets.keys
    }
    # It writes a file of the lake.
    assert unleased == {f"{IDENTITY}/{TRAINED_MODEL}"}


def test_sources_are_partitioned_by_landing_day_and_nothing_else_is(graph, keys):
    partitioned = {key for key in keys if graph.get(key).partitions_def is not None}
    assert partitioned == {key for key in keys if key.path[0] == SOURCES}


@pytest.mark.parametrize("channel", CHANNELS)
def test_a_channel_flows_to_the_profiles_that_readers_see(channel, graph, keys):
    published = dg.AssetKey(["profile", "published_profiles"])
    upstream = dg.AssetSelection.assets(published).upstream().resolve(graph)
    raw = [key for key in keys if key.path[1].startswith(f"raw_{channel}__")]
    assert raw
    assert set(raw) <= upstream


def test_each_source_has_its_landing_sensor(definitions):
    names = {sensor.name for sensor in definitions.sensors or []}
    assert {f"landing_{channel}" for channel in CHANNELS} <= names


def _is_seed(key: dg.AssetKey) -> bool:
    seeds = Path(__file__).parents[2] / "dbt_project" / "seeds" / key.path[0]
    return (seeds / f"{key.path[1]}.csv").exists()
