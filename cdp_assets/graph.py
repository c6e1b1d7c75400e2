"""The table of contents: everything that exists, in the order in which data flows.

A function of the settings, so that tests and tools wire the same graph to another place. Not
here: how any of it works.
"""

from __future__ import annotations

from collections.abc import Mapping

import dagster as dg

from cdp_assets.activation.assets import profile_store
from cdp_assets.checks.activation import profile_store_is_complete
from cdp_assets.checks.conservation import build_conservation_checks
from cdp_assets.checks.identity import build_identity_checks
from cdp_assets.checks.profile import published_is_whole
from cdp_assets.checks.sources import build_source_checks
from cdp_assets.dbt.assets import build_dbt_assets
from cdp_assets.dbt.project import build_dbt_resource, prepared_project
from cdp_assets.identity.assets import build_identity_assets
from cdp_assets.identity.model_files import load_model
from cdp_assets.jobs import EVERYTHING, JOBS
from cdp_assets.local import keep_claim_from_children
from cdp_assets.profile.assets import published_profiles
from cdp_assets.resources.build import (
    build_leases,
    build_ledger,
    build_metrics,
    build_notifier,
    build_object_events,
    build_object_store,
    build_profile_store,
    build_secrets,
    build_warehouse,
)
from cdp_assets.schedules import build_schedules
from cdp_assets.sensors.dead_runs import build_dead_run_sensors
from cdp_assets.sensors.events import build_event_sensors
from cdp_assets.sensors.landing import build_landing_sensors
from cdp_assets.sensors.run_failures import build_run_sensors
from cdp_assets.sensors.unpublished import build_unpublished_sensor
from cdp_assets.sensors.unsynced import build_unsynced_sensor
from cdp_assets.settings import Settings, export_match_model, export_settings
from cdp_assets.sources.assets import build_source_asset
from cdp_assets.sources.contracts import load_contracts
from cdp_assets.sqlite_files import spare_disk_syncs


def build_defs(
    settings: Settings, loggers: Mapping[str, dg.LoggerDefinition] | None = None
) -> dg.Definitions:
    """The platform for one tenant's settings."""
    export_settings(settings)
    if settings.profile == "local":
        # Here, because the processes of Dagster that write events all load the graph.
        spare_disk_syncs()
        keep_claim_from_children()
    store = build_object_store(settings)
    model = load_model(settings.identity_model, store)
    export_match_model(model.compact_json())
    contracts = load_contracts()
    project = prepared_project(settings)
    return dg.Definitions(
        assets=[
            *[build_source_asset(contract, settings) for contract in contracts.values()],
            *build_dbt_assets(project, list(contracts.values())),
            *build_identity_assets(model),
            published_profiles,
            profile_store,
        ],
        asset_checks=[
            build_source_checks(list(contracts)),
            build_conservation_checks(list(contracts)),
            *build_identity_checks(settings.gate),
            published_is_whole,
            profile_store_is_complete,
        ],
        jobs=JOBS,
        schedules=build_schedules(unattended=settings.unattended),
        sensors=[
            *build_event_sensors(list(contracts.values()), settings),
            *build_landing_sensors(list(contracts.values()), settings),
            *build_run_sensors(unattended=settings.unattended),
            *build_dead_run_sensors(settings),
            build_unpublished_sensor(settings),
            build_unsynced_sensor(settings),
            dg.AutomationConditionSensorDefinition(
                "follow_upstream",
                target=EVERYTHING,
                default_status=(
                    dg.DefaultSensorStatus.RUNNING
                    if settings.unattended
                    else dg.DefaultSensorStatus.STOPPED
                ),
                description="Tables whose upstream changed by hand or by backfill follow it.",
            ),
        ],
        resources={
            "store": store,
            "ledger": build_ledger(settings),
            "leases": build_leases(settings),
            "events": build_object_events(settings),
            "warehouse": build_warehouse(settings),
            "profiles": build_profile_store(settings),
            "secrets": build_secrets(settings),
            "notifier": build_notifier(settings),
            "metrics": build_metrics(settings),
            "dbt": build_dbt_resource(project, settings.dbt_target),
        },
        loggers=loggers,
        # One process per run: the multiprocess executor would load the definitions for every step.
        executor=dg.in_process_executor,
    )
