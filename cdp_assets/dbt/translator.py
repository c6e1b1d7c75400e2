"""How a dbt node becomes a Dagster asset: key, tags, freshness, code version.

Not here: which nodes run together (`assets.py`) and what they compute (`dbt_project/`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import dagster as dg
from dagster_dbt import DagsterDbtTranslator, DagsterDbtTranslatorSettings, DbtProject

from cdp_assets.automation import DAILY_FRESHNESS, WHEN_UPSTREAM_CHANGES

# From the least to the most telling; an asset is tagged with the worst of its columns.
PII_CLASSES: Final = ("none", "pseudonymous", "quasi_identifier", "sensitive", "direct_identifier")


class Translator(DagsterDbtTranslator):
    """dbt nodes as assets: key = layer and name, which is dbt's own schema and model name."""

    def __init__(self) -> None:
        super().__init__(DagsterDbtTranslatorSettings(enable_duplicate_source_asset_keys=True))

    def get_asset_spec(
        self, manifest: Mapping[str, Any], unique_id: str, project: DbtProject | None
    ) -> dg.AssetSpec:
        """The asset of one node, with its worst PII class, freshness and automation."""
        spec = super().get_asset_spec(manifest, unique_id, project)
        if unique_id.startswith("source."):
            return spec
        node = self.get_resource_props(manifest, unique_id)
        # The default adds the model's SQL, which pushes the columns off the page.
        spec = spec.replace_attributes(description=node["description"])
        spec = spec.merge_attributes(tags={"pii": worst_pii(node.get("columns", {}))})
        if node["resource_type"] == "model":
            spec = spec.replace_attributes(
                freshness_policy=DAILY_FRESHNESS, automation_condition=WHEN_UPSTREAM_CHANGES
            )
        return spec


def worst_pii(columns: Mapping[str, Mapping[str, Any]]) -> str:
    """The most telling PII class among a node's columns."""
    found = [
        (column.get("config", {}).get("meta") or column.get("meta") or {}).get("pii", "none")
        for column in columns.values()
    ]
    return max(found, key=PII_CLASSES.index, default="none")
