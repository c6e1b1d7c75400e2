"""Laws that every shipped source contract keeps."""

from __future__ import annotations

import pytest

from cdp_assets.naming import CHANNELS
from cdp_assets.sources.contracts import Contract, load_contracts
from cdp_assets.sources.refusal import RULES
from cdp_assets.sources.rules import checks
from cdp_assets.sources.tables import raw_schema

CONTRACTS = load_contracts()


@pytest.fixture(params=CONTRACTS.values(), ids=["__".join(key) for key in CONTRACTS])
def contract(request: pytest.FixtureRequest) -> Contract:
    return request.param


def test_every_channel_has_a_contract() -> None:
    assert {source for source, _ in CONTRACTS} == set(CHANNELS)


def test_a_contract_says_what_a_row_is_and_who_owns_it(contract: Contract) -> None:
    assert "One row per" in contract.description
    assert contract.owner.startswith("team:")


def test_a_row_can_be_told_from_another(contract: Contract) -> None:
    assert all(contract.by_name[name].is_required for name in contract.dedup_key)
    assert contract.by_name[contract.event_time].is_required


def test_what_reaches_a_person_is_classed_as_personal(contract: Contract) -> None:
    for column in contract.columns:
        if column.type in ("email", "phone"):
            assert column.pii == "direct_identifier", column.name


def test_derived_columns_carry_the_class_of_their_source(contract: Contract) -> None:
    for column in contract.columns:
        if column.derived_name:
            assert contract.pii[column.derived_name] == column.pii


def test_raw_columns_come_in_the_agreed_order(contract: Contract) -> None:
    names = raw_schema(contract).names
    declared = [column.name for column in contract.columns]
    derived = [column.derived_name for column in contract.columns if column.derived_name]
    assert names == [
        *declared,
        *derived,
        "_extra",
        "_row_hash",
        "_object_key",
        "_object_version",
        "_line",
        "_load_id",
        "_loaded_at",
        "_contract_version",
    ]


def test_every_rule_it_can_break_has_its_advice(contract: Contract) -> None:
    assert {check.rule for check in checks(contract)} <= set(RULES)


@pytest.mark.fault("F19")
def test_an_unknown_table_or_a_missing_column_stops_an_object(contract: Contract) -> None:
    assert contract.drift.table == "freeze"
