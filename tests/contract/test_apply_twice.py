"""Applying the schema again, to an empty database and to a filled one, changes nothing and loses nothing."""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from tests.conftest import TEST_DATABASE, address
from tests.contract import spec
from tests.contract.conftest import embedded_only, migrate, new_database
from tests.contract.rows import Sql, advance, approved, column, insert, now, one, update

SCHEMA = """
    SELECT 'column', c.relname, a.attname, format_type(a.atttypid, a.atttypmod) || ' ' || a.attnotnull,
           pg_get_expr(d.adbin, d.adrelid)
    FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
    LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v') AND attnum > 0 AND NOT attisdropped
    UNION ALL
    SELECT 'constraint', conrelid::regclass::text, conname, pg_get_constraintdef(oid), convalidated::text
    FROM pg_constraint WHERE connamespace = 'public'::regnamespace
    UNION ALL
    SELECT 'index', indrelid::regclass::text, indexrelid::regclass::text, pg_get_indexdef(indexrelid), indisvalid::text
    FROM pg_index JOIN pg_class c ON c.oid = indexrelid WHERE c.relnamespace = 'public'::regnamespace
    UNION ALL
    SELECT 'trigger', tgrelid::regclass::text, tgname, pg_get_triggerdef(t.oid), tgenabled::text
    FROM pg_trigger t WHERE NOT tgisinternal
    UNION ALL
    SELECT 'function', proname, pg_get_function_arguments(oid), pg_get_functiondef(oid), proacl::text
    FROM pg_proc WHERE pronamespace = 'public'::regnamespace
    UNION ALL
    SELECT 'view', relname, '', pg_get_viewdef(oid), '' FROM pg_class
    WHERE relnamespace = 'public'::regnamespace AND relkind = 'v'
    UNION ALL
    SELECT 'relation', relname, relkind::text, COALESCE(pg_get_expr(relpartbound, oid), ''), relowner::regrole::text
           || ' ' || ARRAY(SELECT acl::text FROM unnest(relacl) acl ORDER BY 1)::text
    FROM pg_class WHERE relnamespace = 'public'::regnamespace
    ORDER BY 1, 2, 3, 4
"""
Content = dict[str, list[str]]


def owner_of(database: str) -> Sql:
    return psycopg.connect(**address("migrator", dbname=database), autocommit=True)


@pytest.fixture
def committed(unmarked: str) -> Iterator[Sql]:
    with owner_of(unmarked) as connection:
        yield connection


def schema(sql: Sql) -> list[Any]:
    return sql.execute(SCHEMA).fetchall()


def contents(sql: Sql) -> Content:
    """Every row of every table, as text."""
    tables = column(
        sql,
        "SELECT oid::regclass::text FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')"
        " AND NOT relispartition ORDER BY 1",
    )
    return {table: column(sql, f"SELECT t::text FROM {table} t ORDER BY 1") for table in tables}


def fill(sql: Sql) -> None:
    """Rows in every table of the domain, through the whole life of a post."""
    task = insert(sql, "task", title="ቡና")
    update(sql, "task", task["task_id"], status="in_progress")
    artifact, decision = approved(sql, task_id=task["task_id"], sources=[{"url": "https://example.org"}])
    item = insert(sql, "review_item", artifact_id=artifact["artifact_id"])
    update(sql, "review_item", item["review_item_id"], status="decided", decision_id=decision["review_id"])
    advance(sql, "task", task["task_id"], "review", "done")
    insert(sql, "task", parent_task_id=task["task_id"], attempt=1)
    insert(sql, "video_asset", task_id=task["task_id"], artifact_id=artifact["artifact_id"])
    record = insert(sql, "publish_record", artifact_id=artifact["artifact_id"], decision_id=decision["review_id"])
    update(sql, "publish_record", record["publish_id"], status="published", published_at=now())
    for value in range(5):
        insert(sql, "metric_event", content_id=artifact["artifact_id"], metric_value=value)
    insert(sql, "judge_lease", artifact_id=artifact["artifact_id"])
    for table in ("metric_ingest", "metric_archive", "user", "idempotency_key", "cron_job", "notification"):
        insert(sql, table)
    for table in ("metric_counter", "metric_correction"):
        insert(sql, table, publish_id=record["publish_id"])


def test_empty_database(django_db_setup: None) -> None:
    with new_database(f"{TEST_DATABASE}_empty") as name, owner_of(name) as sql:
        migrate(name)
        before = schema(sql), contents(sql)
        assert "No migrations to apply" in migrate(name)
        assert (schema(sql), contents(sql)) == before


def test_filled_database(committed: Sql) -> None:
    fill(committed)
    before = schema(committed), contents(committed)
    assert all(
        before[1][f'"{table}"' if table == "user" else table] for table in spec.DOMAIN_TABLES | spec.PURGED_TABLES
    )
    assert "No migrations to apply" in migrate(committed.info.dbname)
    assert (schema(committed), contents(committed)) == before


def test_twice_makes_what_once_makes(committed: Sql) -> None:
    """The tests' own database was migrated once, and has the same schema."""
    with psycopg.connect(**address("migrator", dbname=TEST_DATABASE)) as once:
        assert schema(committed) == schema(once)


def test_a_missing_month_comes_back_with_the_next_migrate(committed: Sql) -> None:
    last = one(
        committed, "SELECT max(inhrelid::regclass::text) FROM pg_inherits WHERE inhparent = 'metric_event'::regclass"
    )
    before = schema(committed)
    committed.execute(f"DROP TABLE {last}")
    migrate(committed.info.dbname)
    assert schema(committed) == before


def test_every_migration_is_recorded_once(committed: Sql) -> None:
    recorded = column(committed, "SELECT version FROM schema_migrations ORDER BY 1")
    assert recorded == sorted(set(recorded))
    migrate(committed.info.dbname)
    assert column(committed, "SELECT version FROM schema_migrations ORDER BY 1") == recorded


@embedded_only
def test_whoever_owns_nothing_applies_nothing(unmarked: str) -> None:
    with pytest.raises(AssertionError, match="gatehouse_agent may not change the schema"):
        migrate(unmarked, owner="gatehouse_agent")
