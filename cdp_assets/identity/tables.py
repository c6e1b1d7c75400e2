"""The identity tables that Python writes: their columns, once, for SQL and for the Dagster UI.

Not here: the tables that dbt makes (dbt_project/models/identity).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import dagster as dg

from cdp_assets.naming import IDENTITY
from cdp_assets.resources.warehouse import TRANSACTIONS, TableAddress


@dataclass(frozen=True)
class Column:
    """One column: name, SQL type of both engines, meaning, PII class."""

    name: str
    type: str
    description: str
    pii: str = "none"


@dataclass(frozen=True)
class IdentityTable:
    """One table.

    Attributes:
        name: in the identity layer.
        description: grain first.
        columns: in order.
    """

    name: str
    description: str
    columns: tuple[Column, ...]

    @property
    def address(self) -> str:
        """Layer and name, for SQL."""
        return f"{IDENTITY}.{self.name}"

    @property
    def column_names(self) -> str:
        """The columns in order, for SQL."""
        return ", ".join(column.name for column in self.columns)

    @property
    def create_if_missing(self) -> str:
        """The statement that makes the empty table."""
        columns = ", ".join(f"{column.name} {column.type}" for column in self.columns)
        return f"create table if not exists {self.address} ({columns})"

    @property
    def schema(self) -> dg.TableSchema:
        """The columns as the Dagster UI shows them."""
        return dg.TableSchema(
            columns=[
                dg.TableColumn(
                    column.name, column.type, column.description, tags={"pii": column.pii}
                )
                for column in self.columns
            ]
        )


def _record(name: str, description: str) -> Column:
    return Column(name, "varchar", description, "pseudonymous")


def _customer(name: str, description: str) -> Column:
    return Column(name, "varchar", description, "pseudonymous")


MATCH_MODEL: Final = IdentityTable(
    "match_model",
    "One row: the version of the model that pairs of records are scored with.",
    (Column("version", "varchar", "The version; the model file says how it was trained."),),
)

TERM_FREQUENCIES: Final = IdentityTable(
    "match_term_frequencies",
    "One row per field and frequent value: how often the model saw it. Rare values have none, so "
    "that no person can be read out of it.",
    (
        Column("field", "varchar", "The field of match_records."),
        Column("value", "varchar", "The folded value."),
        Column("frequency", "double", "Share of the training records, 0 to 1."),
    ),
)

DECISIONS: Final = IdentityTable(
    "identity_decisions",
    "One row per decision of a human about two records: must_link, cannot_link or withdrawn. "
    "A row stays for ever; of several about one pair the newest counts.",
    (
        Column("decision", "varchar", "must_link, cannot_link or withdrawn."),
        _record("left_record_id", "The lesser of the two record ids."),
        _record("right_record_id", "The greater of the two record ids."),
        Column("decided_by", "varchar", "Who decided.", "pseudonymous"),
        Column("decided_at", "timestamp", "When, UTC."),
        Column("note", "varchar", "Why."),
    ),
)

ASSIGNMENTS: Final = IdentityTable(
    "cluster_assignments",
    "One row per record that this run looked at, with the customer it would get: the candidate "
    "that the change gate audits. On a full build every record, else those near a change.",
    (
        _record("record_id", "Identity record."),
        _customer("customer_id", "The customer; NULL when the record is gone or held back."),
        _customer("previous_customer_id", "The customer before; NULL for a new record."),
        Column("is_held_back", "boolean", "Its cluster is over the hard cap: nothing changes."),
    ),
)

CHANGES: Final = IdentityTable(
    "customer_id_changes",
    "One row per change to a customer id that applying cluster_assignments would make.",
    (
        Column("event", "varchar", "merge, rename, split or retire."),
        _customer("customer_id", "The id that lives on, or the one that ends (retire)."),
        _customer("other_customer_id", "The id that gave records."),
        _record("record_id", "The record whose link caused it, where one link did."),
        Column("rule", "varchar", "The rule of that link."),
        Column("rule_version", "varchar", "The version of the rules."),
    ),
)

REFUSED_MERGES: Final = IdentityTable(
    "refused_merges",
    "One row per link that was refused because the two clusters contradict each other, because "
    "more speaks against it than for it, or because the cluster would be too large.",
    (
        _record("left_record_id", "Record of the link."),
        _record("right_record_id", "Record of the link."),
        Column(
            "reason",
            "varchar",
            "cannot_link, unique_id_conflict, vetoed, weights_against, incompatible_first_names, "
            "birth_date_conflict or over_soft_cap.",
        ),
        Column("rule", "varchar", "The rule of the link."),
        Column("rule_version", "varchar", "The version of the rules."),
        Column("tier", "integer", "The tier of the rule; 0 is a human decision."),
    ),
)

REFUSALS: Final = IdentityTable(
    "cluster_refusals",
    "One row per link that cluster_assignments refuses: once it is applied, refused_merges has "
    "these in place of what it had of its records.",
    REFUSED_MERGES.columns,
)

HELD_BACK: Final = IdentityTable(
    "held_back_before",
    "One row per record that the last applied candidate held back, or one since then that "
    "cluster_assignments replaced; none once that is applied, for it lists its own.",
    (_record("record_id", "Identity record."),),
)

MAP: Final = IdentityTable(
    "customer_map",
    "One row per identity record, with the customer it belongs to.",
    (
        _record("record_id", "Identity record."),
        _customer("customer_id", "The customer it belongs to now."),
    ),
)

HISTORY: Final = IdentityTable(
    "customer_map_history",
    "One row per record and customer it belonged to, with the time from when until when (SCD2).",
    (
        _record("record_id", "Identity record."),
        _customer("customer_id", "The customer it belonged to."),
        Column("valid_from", "timestamp", "Since when, UTC; the time of the run."),
        Column("valid_to", "timestamp", "Until when, UTC; NULL while it is so."),
        Column("run_id", "varchar", "The Dagster run that began it."),
    ),
)

EVENTS: Final = IdentityTable(
    "customer_id_events",
    "One row per thing that happened to a customer id: it began, merged, split or ended.",
    (
        Column("event", "varchar", "mint, restore, merge, rename, split or retire."),
        _customer("customer_id", "The id that began, lives on or (retire) ended."),
        _customer("other_customer_id", "The id that gave records (merge, rename, split)."),
        _record("record_id", "The record whose link caused it, where one link did."),
        Column("rule", "varchar", "The rule of that link."),
        Column("rule_version", "varchar", "The version of the rules."),
        Column("run_id", "varchar", "The Dagster run that applied it."),
        Column("occurred_at", "timestamp", "When it was applied, UTC."),
    ),
)

REDIRECTS: Final = IdentityTable(
    "customer_redirects",
    "One row per customer id that ended in another, with the id that lives now.",
    (
        _customer("old_customer_id", "An id that was published once."),
        _customer("customer_id", "The living customer that has its records."),
    ),
)

TOUCHED: Final = IdentityTable(
    "touched_customers",
    "One row per customer, alive or gone, whose records changed since the last publish: the "
    "profiles to write again.",
    (_customer("customer_id", "A customer id."),),
)

# What one resolution leaves of what it looked at, to be audited and applied.
CANDIDATE: Final = (ASSIGNMENTS, CHANGES, REFUSALS, HELD_BACK)

# What one application of the assignments writes, in one transaction.
APPLIED: Final = (MAP, HISTORY, EVENTS, REDIRECTS, TOUCHED)


def to_write(*names: str) -> list[TableAddress]:
    """What a Python stage has to hold that writes these tables of identity."""
    return [*((IDENTITY, name) for name in names), TRANSACTIONS]


WRITTEN_BY_RESOLVE: Final = to_write(
    "pairs_to_score",
    *(table.name for table in (*CANDIDATE, DECISIONS, MAP, REFUSED_MERGES)),
)

# Settling also clears what dbt's models keep for the next run.
WRITTEN_BY_APPLY: Final = to_write(
    "applied_loads",
    "applied_rules",
    "identifiers",
    "match_records",
    "oversized_blocks",
    *(table.name for table in (*APPLIED, ASSIGNMENTS, CHANGES, HELD_BACK, REFUSED_MERGES)),
)
