"""Every table, column, default, check, key, foreign key and index of the specifications, under its specified name."""

import re

import pytest

from tests.contract import spec
from tests.contract.rows import Sql, column, one
from tests.contract.spec import TABLES

EACH_TABLE = pytest.mark.parametrize("table", TABLES)
EACH_PARTITIONED_TABLE = pytest.mark.parametrize("table", sorted(spec.PARTITIONED_TABLES))
LEAVES = "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = %s::regclass ORDER BY 1"


def constraints(sql: Sql, table: str, kind: str) -> dict[str, str]:
    return dict(
        sql.execute(
            "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint"
            " WHERE conrelid = %s::regclass AND contype = %s",
            [f'"{table}"', kind],
        ).fetchall()
    )


def indexes(sql: Sql, table: str) -> dict[str, tuple[str, ...]]:
    """The columns of each index of a table; an expression shows as it is written."""
    return dict(
        sql.execute(
            "SELECT i.indexrelid::regclass::text,"
            " ARRAY(SELECT pg_get_indexdef(i.indexrelid, n, true) FROM generate_series(1, i.indnkeyatts) n)"
            " FROM pg_index i WHERE i.indrelid = %s::regclass",
            [f'"{table}"'],
        ).fetchall()
    )


@EACH_TABLE
def test_table_exists_and_only_the_rivers_are_partitioned(agent: Sql, table: str) -> None:
    expected = "p" if table in spec.PARTITIONED_TABLES else "r"
    kind = one(agent, "SELECT relkind::text FROM pg_class WHERE oid = to_regclass('public.' || %s)", table)
    assert kind == expected


@EACH_TABLE
def test_columns_have_their_types_nullability_and_defaults(agent: Sql, table: str) -> None:
    found = agent.execute(
        "SELECT a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, pg_get_expr(d.adbin, d.adrelid)"
        " FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum"
        " WHERE a.attrelid = %s::regclass AND a.attnum > 0 AND NOT a.attisdropped",
        [table],
    ).fetchall()
    described = {name: (type_, not not_null, default) for name, type_, not_null, default in found}
    assert described == {
        name: (column.type, column.null, column.default) for name, column in TABLES[table].all_columns.items()
    }


@EACH_TABLE
def test_what_gatehouse_adds_asks_nothing_of_a_writer(table: str) -> None:
    for name, added in TABLES[table].added_columns.items():
        assert added.null or added.default or added.filled, f"{table}.{name}"


@EACH_TABLE
def test_checks_carry_their_names(agent: Sql, table: str) -> None:
    assert set(constraints(agent, table, "c")) == TABLES[table].checks | TABLES[table].added_checks


@pytest.mark.parametrize(("table", "column_name"), spec.VALUES)
def test_enumerations_have_exactly_their_values(agent: Sql, table: str, column_name: str) -> None:
    definition = constraints(agent, table, "c")[f"{table}_{column_name}_check"]
    assert set(re.findall(r"'([^']+)'::text", definition)) == spec.VALUES[table, column_name]


def test_audited_entities_include_those_of_core(agent: Sql) -> None:
    definition = constraints(agent, "audit_log", "c")["audit_log_entity_type_check"]
    assert set(re.findall(r"'([^']+)'::text", definition)) >= spec.CORE_ENTITY_TYPES


@EACH_TABLE
def test_primary_key(agent: Sql, table: str) -> None:
    assert constraints(agent, table, "p") == {f"{table}_pkey": f"PRIMARY KEY ({', '.join(TABLES[table].key)})"}


@EACH_TABLE
def test_foreign_keys_carry_their_names_and_never_cascade(agent: Sql, table: str) -> None:
    """Neither CASCADE nor SET NULL, and not deferrable: PostgreSQL would write either at the definition's end."""
    parents = {**TABLES[table].parents, **TABLES[table].added_parents}
    expected = {}
    for column_name, parent in parents.items():
        target = '"user"(user_id)' if parent == "user" else f"{parent}({TABLES[parent].key[0]})"
        how = " NOT ENFORCED" if table in spec.SET_CHECKED_TABLES else ""
        expected[f"{table}_{column_name}_fkey"] = f"FOREIGN KEY ({column_name}) REFERENCES {target}{how}"
    assert constraints(agent, table, "f") == expected


def test_no_foreign_key_anywhere_is_deferrable(agent: Sql) -> None:
    assert (
        column(
            agent,
            "SELECT conname FROM pg_constraint WHERE condeferrable AND conrelid::regclass::text = ANY (%s)",
            [f'"{table}"' if table == "user" else table for table in spec.DOMAIN_TABLES],
        )
        == []
    )


@EACH_TABLE
def test_unique_constraints(agent: Sql, table: str) -> None:
    assert constraints(agent, table, "u") == {
        name: f"UNIQUE ({', '.join(columns)})" for name, columns in TABLES[table].unique.items()
    }


@EACH_TABLE
def test_specified_indexes_exist_as_plain_indexes_on_their_columns(agent: Sql, table: str) -> None:
    found = indexes(agent, table)
    for name, columns in TABLES[table].indexes.items():
        assert tuple(found[name]) == columns
    plain = agent.execute(
        "SELECT i.indexrelid::regclass::text FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid"
        " JOIN pg_am m ON m.oid = c.relam WHERE i.indrelid = %s::regclass"
        " AND m.amname = 'btree' AND i.indpred IS NULL AND NOT i.indisunique AND i.indisvalid",
        [table],
    ).fetchall()
    assert set(TABLES[table].indexes) <= {name for (name,) in plain}


@EACH_TABLE
def test_no_index_stands_beside_the_specified_ones(agent: Sql, table: str) -> None:
    expected = {f"{table}_pkey", *TABLES[table].indexes, *TABLES[table].unique, *TABLES[table].added_indexes}
    assert set(indexes(agent, table)) == expected


@EACH_TABLE
def test_no_two_indexes_of_a_table_are_the_same(agent: Sql, table: str) -> None:
    definitions = column(
        agent,
        "SELECT regexp_replace(pg_get_indexdef(indexrelid), 'INDEX \\S+ ON', 'INDEX ON') FROM pg_index"
        " WHERE indrelid = %s::regclass",
        table,
    )
    assert sorted(definitions) == sorted(set(definitions))


@pytest.mark.parametrize(
    ("table", "name", "columns", "condition"),
    [
        (
            "task",
            "idx_task_pending",
            ("agent_id", "campaign_id", "rank", "created_at", "task_id"),
            "status = 'pending'::text",
        ),
        ("task", "idx_task_lease", ("lease_expires_at",), "lease_expires_at IS NOT NULL"),
        (
            "publish_record",
            "idx_publish_queued",
            ("platform", "campaign_id", "COALESCE(scheduled_for, created_at)"),
            "hold IS NULL AND status = 'queued'::text",
        ),
        ("publish_record", "idx_publish_lease", ("lease_expires_at",), "lease_expires_at IS NOT NULL"),
    ],
)
def test_what_is_handed_out_next_and_what_runs_out_next_are_found_by_index(
    agent: Sql, table: str, name: str, columns: tuple[str, ...], condition: str
) -> None:
    """The rank is an expression of some lines, of which only what it reads is compared."""
    found = indexes(agent, table)[name]
    assert tuple("rank" if "WHEN priority = 'high'" in each else each for each in found) == columns
    predicate = one(
        agent, "SELECT pg_get_expr(indpred, indrelid, true) FROM pg_index WHERE indexrelid = %s::regclass", name
    )
    assert predicate == condition


@EACH_PARTITIONED_TABLE
def test_partitioned_by_range_on_its_time(agent: Sql, table: str) -> None:
    expected = f"RANGE ({TABLES[table].partition_key})"
    assert one(agent, "SELECT pg_get_partkeydef(%s::regclass)", table) == expected


@EACH_PARTITIONED_TABLE
def test_each_partition_is_one_month_and_none_is_the_default(agent: Sql, table: str) -> None:
    bounds = agent.execute(
        "SELECT c.relname, pg_get_expr(c.relpartbound, c.oid) FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid"
        " WHERE i.inhparent = %s::regclass",
        [table],
    ).fetchall()
    assert bounds
    for name, bound in bounds:
        found = re.fullmatch(r"FOR VALUES FROM \('(\S+) 00:00:00\+00'\) TO \('(\S+) 00:00:00\+00'\)", bound)
        assert found, bound
        assert one(agent, "SELECT %s::date + interval '1 month' = %s::date", *found.groups())
        assert found[1].endswith("-01")
        assert name == f"{table}_{found[1][:7].replace('-', '_')}"


@EACH_PARTITIONED_TABLE
def test_this_month_and_the_six_after_it_exist(agent: Sql, table: str) -> None:
    wanted = column(
        agent,
        "SELECT to_char(date_trunc('month', now() AT TIME ZONE 'UTC') + n * interval '1 month', 'YYYY_MM')"
        " FROM generate_series(0, 6) n",
    )
    assert {f"{table}_{month}" for month in wanted} <= set(column(agent, LEAVES, table))


@EACH_PARTITIONED_TABLE
def test_months_have_every_rule_of_their_table(agent: Sql, table: str) -> None:
    checks, foreign = set(constraints(agent, table, "c")), set(constraints(agent, table, "f"))
    for leaf in column(agent, LEAVES, table):
        assert set(constraints(agent, leaf, "c")) == checks
        assert set(constraints(agent, leaf, "f")) == foreign
        assert len(indexes(agent, leaf)) == len(indexes(agent, table))


def test_schema_version_is_recorded_in_one_place(agent: Sql) -> None:
    columns = agent.execute(
        "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute"
        " WHERE attrelid = 'schema_migrations'::regclass AND attnum > 0"
    ).fetchall()
    assert columns == [("version", "text"), ("applied_at", "timestamp with time zone")]
    versions = agent.execute("SELECT version, applied_at FROM schema_migrations").fetchall()
    assert "campaigns.0001_campaign_and_task" in dict(versions)
    assert len(dict(versions)) == len(versions)
    assert all(applied_at is not None for _, applied_at in versions)


def test_every_table_is_known_to_these_tests(agent: Sql) -> None:
    found = column(
        agent,
        "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')"
        " AND NOT relispartition",
    )
    assert {name for name in found if not name.startswith(spec.DJANGO_PREFIXES)} == (
        spec.DOMAIN_TABLES | spec.PURGED_TABLES
    )
