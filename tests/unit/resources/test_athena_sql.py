"""How the statements of the Python stages are spelled for Athena."""

import base64
import json

import pytest

from cdp_assets.resources import athena_sql as spelling


def of_tenant(layer: str) -> str:
    return f"acme_{layer}"


def test_a_layer_becomes_the_database_of_the_tenant():
    sql = "select m.record_id from identity.customer_map as m join profile.x on x.id = m.id"
    assert spelling.with_databases(sql, of_tenant) == (
        "select m.record_id from acme_identity.customer_map as m join acme_profile.x on x.id = m.id"
    )


@pytest.mark.parametrize(
    "sql",
    [
        "select 'identity.customer_map'",
        "select 'it''s identity.customer_map'",
        "select t.identity.x from t",
        "select my_identity.x from my_identity",
        "select sources from t",
    ],
)
def test_what_only_looks_like_a_layer_stays(sql):
    assert spelling.with_databases(sql, of_tenant) == sql


@pytest.mark.parametrize(
    ("sql", "target"),
    [
        ("insert into identity.customer_map select 1", ("identity", "customer_map")),
        ("\n    delete from identity.applied_loads", ("identity", "applied_loads")),
        ("update identity.x set a = 1", ("identity", "x")),
        ("create table if not exists identity.x (a varchar)", ("identity", "x")),
        ("select * from identity.x", None),
        ("drop table if exists scope_records", None),
    ],
)
def test_the_table_that_a_statement_writes_is_known(sql, target):
    assert spelling.target_of(sql) == target


def test_a_table_is_created_with_the_types_of_iceberg():
    columns = spelling.created_columns(
        "create table if not exists identity.x (a varchar, b integer, c decimal(18,2), d double)"
    )
    assert columns == "a string, b int, c decimal(18,2), d double"
    assert spelling.created_columns("select 1") is None


def test_a_temporary_table_is_its_name_and_its_rows():
    assert spelling.kept_table("create temporary table t as\n select 1 as a") == (
        "t",
        " select 1 as a",
    )
    assert spelling.kept_table("create table t as select 1") is None


def view(sql: str, database: str) -> str:
    content = {"originalSql": sql, "catalog": "awsdatacatalog", "schema": database, "columns": []}
    return f"/* Presto View: {base64.b64encode(json.dumps(content).encode()).decode()} */"


@pytest.mark.parametrize(
    ("sql", "moved"),
    [
        ('select * from "awsdatacatalog"."a_identity"."x"', '"awsdatacatalog"."p_identity"."x"'),
        ("select * from a_identity.x", "p_identity.x"),
        ("select * from ( a_identity . x )", "( p_identity . x )"),
        ("select * from aa_identity.x", "aa_identity.x"),
        ("select a_identity from x", "select a_identity from x"),
        ("select 'a_identity.x' from y", "'a_identity.x'"),
        ("select 1 -- it's\nfrom a_identity.x", "it's\nfrom p_identity.x"),
    ],
)
def test_a_view_reads_the_tables_of_other_databases(sql, moved):
    databases = {"a_identity": "p_identity", "a_profile": "p_profile"}
    text = spelling.view_of_databases(view(sql, "a_profile"), databases)
    content = json.loads(base64.b64decode(text.split()[3]))
    assert moved in content["originalSql"]
    assert content["schema"] == "p_profile"


def test_what_is_no_view_is_not_moved():
    with pytest.raises(ValueError, match="no view"):
        spelling.view_of_databases("select 1", {})
