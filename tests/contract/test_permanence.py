"""What is never deleted, never changed, never emptied, and what does not help against that.

TRUNCATE is tried in a database that is nobody's test database: in one that is, tests may empty tables.
"""

from collections.abc import Callable
from unittest.mock import ANY

import pytest
from psycopg import sql as q

from tests.contract import spec
from tests.contract.conftest import AGENT, OWNER, READONLY, embedded_only
from tests.contract.rows import (
    Sql,
    column,
    column_of,
    complete,
    fresh,
    in_state,
    insert,
    key_of,
    now,
    one,
    real,
    refused,
    update,
)
from tests.contract.spec import TABLES

Connect = Callable[..., Sql]

DOMAIN = sorted(spec.DOMAIN_TABLES)
EVERY = sorted(spec.DOMAIN_TABLES | spec.PURGED_TABLES)
MUTABLE = sorted(spec.DOMAIN_TABLES - spec.IMMUTABLE_TABLES - spec.DERIVED_TABLES)
AGENTS_UPDATE = {"campaign", "agent", "task", "video_asset", "publish_record"}
LEAVES = "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = ANY (%s::regclass[]) ORDER BY 1"


def stored(sql: Sql, table: str) -> object:
    """The key of a row of that table."""
    return 1 if table == "system_control" else insert(sql, table)[key_of(table)]


def another_key(sql: Sql, table: str) -> object:
    return fresh() if table in {"agent", "cron_job"} else one(sql, "SELECT uuidv7()")


def do(verb: str, table: str) -> q.Composed:
    key = q.Identifier(next((key_of(name) for name in EVERY if table in (name, f"{name}{table[-8:]}")), "none"))
    return q.SQL(
        {
            "SELECT": "SELECT 1 FROM {table}",
            "INSERT": "INSERT INTO {table} DEFAULT VALUES",
            "UPDATE": "UPDATE {table} SET {key} = {key}",
            "DELETE": "DELETE FROM {table}",
            "TRUNCATE": "TRUNCATE {table} CASCADE",
        }[verb]
    ).format(table=real(table), key=key)


def current_leaf(sql: Sql, table: str) -> str:
    return str(one(sql, "SELECT %s || to_char(now() AT TIME ZONE 'UTC', '_YYYY_MM')", table))


# --- Deletion --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("table", DOMAIN)
def test_owner_deletes_nothing(owner: Sql, table: str) -> None:
    stored(owner, table)
    with refused(owner, "23514", f"{table}_no_delete"):
        owner.execute(do("DELETE", table))


@pytest.mark.parametrize("table", DOMAIN)
def test_agents_delete_nothing(agent: Sql, table: str) -> None:
    with refused(agent, "42501"):
        agent.execute(do("DELETE", table))


@pytest.mark.parametrize("table", DOMAIN)
def test_owner_empties_no_table(production: Sql, table: str) -> None:
    with refused(production, "23514", f"{table}_no_truncate"):
        production.execute(do("TRUNCATE", table))


@pytest.mark.parametrize("table", DOMAIN)
def test_agents_empty_no_table(agent: Sql, table: str) -> None:
    with refused(agent, "42501"):
        agent.execute(do("TRUNCATE", table))


@pytest.mark.parametrize("table", sorted(spec.PURGED_TABLES))
def test_the_application_forgets_what_is_kept_for_a_day_only(connect: Connect, table: str) -> None:
    app = connect("gatehouse_app")
    key = stored(app, table)
    app.execute(do("DELETE", table))
    assert column_of(app, table, key_of(table), key) is None


def test_a_merge_deletes_nothing(owner: Sql) -> None:
    key = stored(owner, "task")
    with refused(owner, "23514", "task_no_delete"):
        owner.execute("MERGE INTO task USING (VALUES (%s)) AS g (id) ON task_id = id WHEN MATCHED THEN DELETE", [key])


@pytest.mark.parametrize("table", ["campaign", "task"])
def test_soft_deletion_is_there_instead(sql: Sql, table: str) -> None:
    assert update(sql, table, stored(sql, table), deleted_at=now())["deleted_at"] is not None


# --- Immutable tables ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("table", sorted(spec.IMMUTABLE_TABLES))
def test_owner_changes_no_immutable_row(owner: Sql, table: str) -> None:
    key = stored(owner, table)
    columns = column(
        owner,
        "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped",
        table,
    )
    for name in columns:
        with refused(owner, "23514", f"{table}_immutable"):
            update(owner, table, key, **{name: column_of(owner, table, name, key)})


@pytest.mark.parametrize("table", sorted(spec.IMMUTABLE_TABLES))
def test_agents_change_no_immutable_row(agent: Sql, table: str) -> None:
    with refused(agent, "42501"):
        agent.execute(do("UPDATE", table))


@pytest.mark.parametrize("table", sorted(spec.IMMUTABLE_TABLES & set(TABLES)))
def test_an_upsert_changes_no_immutable_row(sql: Sql, table: str) -> None:
    row = {**insert(sql, table)}
    conflict = q.SQL(", ").join(map(q.Identifier, TABLES[table].key))
    key = q.Identifier(key_of(table))
    statement = q.SQL(
        "INSERT INTO {0} SELECT * FROM {0} WHERE {1} = %s ON CONFLICT ({2}) DO UPDATE SET {1} = excluded.{1}"
    )
    expected = ("42501", None) if one(sql, "SELECT current_user") == AGENT else ("23514", f"{table}_immutable")
    with refused(sql, *expected):
        sql.execute(statement.format(q.Identifier(table), key, conflict), [row[key_of(table)]])


# --- Months ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("table", sorted(spec.PARTITIONED_TABLES))
def test_owner_changes_and_deletes_nothing_in_a_month(owner: Sql, table: str) -> None:
    insert(owner, table)
    leaf = current_leaf(owner, table)
    with refused(owner, "23514", f"{table}_immutable"):
        owner.execute(do("UPDATE", leaf))
    with refused(owner, "23514", f"{table}_no_delete"):
        owner.execute(do("DELETE", leaf))


@pytest.mark.parametrize("table", sorted(spec.PARTITIONED_TABLES))
def test_owner_empties_no_month(production: Sql, table: str) -> None:
    leaves = column(production, LEAVES, [table])
    assert len(leaves) >= 7
    for leaf in leaves:
        with refused(production, "23514", f"{table}_no_truncate"):
            production.execute(do("TRUNCATE", leaf))


def test_the_owner_meets_every_rule_of_metric_events_in_a_month_too(owner: Sql) -> None:
    row = complete(owner, "metric_event")
    leaf = current_leaf(owner, "metric_event")
    for name, value, sqlstate, constraint in [
        ("metric_value", -1, "23514", "metric_event_metric_value_check"),
        ("metric_type", "loves", "23514", "metric_event_metric_type_check"),
        ("content_id", row["campaign_id"], "23503", "metric_event_content_id_fkey"),
        ("source", None, "23502", None),
    ]:
        with refused(owner, sqlstate, constraint):
            owner.execute(
                q.SQL("INSERT INTO {} ({}) VALUES ({})").format(
                    q.Identifier(leaf),
                    q.SQL(", ").join(map(q.Identifier, row)),
                    q.SQL(", ").join([q.Placeholder()] * len(row)),
                ),
                list({**row, name: value}.values()),
            )


# --- Keys and clocks -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("table", sorted(set(MUTABLE) - {"system_control"}))
def test_keys_are_read_only(owner: Sql, table: str) -> None:
    key = stored(owner, table)
    with refused(owner, "23514", f"{table}_key_readonly"):
        update(owner, table, key, **{key_of(table): another_key(owner, table)})


@pytest.mark.parametrize("table", sorted(AGENTS_UPDATE))
def test_keys_are_read_only_for_agents(agent: Sql, table: str) -> None:
    key = stored(agent, table)
    with refused(agent, "23514", f"{table}_key_readonly"):
        update(agent, table, key, **{key_of(table): another_key(agent, table)})


def test_the_key_of_the_one_row_is_read_only(owner: Sql) -> None:
    with refused(owner, "23514", "system_control_key_readonly"):
        owner.execute("UPDATE system_control SET system_control_id = 2")


@pytest.mark.parametrize("table", MUTABLE)
def test_a_plain_update_keeps_updated_at(owner: Sql, table: str) -> None:
    key = stored(owner, table)
    assert update(owner, table, key, updated_at="2000-01-01T00:00:00Z")["updated_at"] == one(owner, "SELECT now()")


@pytest.mark.parametrize("table", sorted(AGENTS_UPDATE))
def test_a_plain_update_by_an_agent_keeps_updated_at(agent: Sql, table: str) -> None:
    old = insert(agent, table, updated_at="2000-01-01T00:00:00Z")
    assert old["updated_at"].year == 2000
    created = update(agent, table, old[key_of(table)], created_at=old["created_at"])
    assert created["updated_at"] == one(agent, "SELECT now()")


# --- Settings that must not help -------------------------------------------------------------------------------------


def every_trigger(sql: Sql) -> list[str]:
    """Each trigger by each name that the escape of pgtrigger knows: URIs, and names on their own."""
    return column(
        sql,
        "SELECT DISTINCT n FROM pg_trigger t JOIN pg_class c ON c.oid = tgrelid,"
        " LATERAL (VALUES (tgname::text), (regexp_replace(tgname, '^pgtrigger_(.*)_[0-9a-f]{5}$', '\\1')),"
        " (relname || ':' || tgname), (relname || ':' || regexp_replace(tgname, '^pgtrigger_(.*)_[0-9a-f]{5}$', '\\1'))"
        ") v (n) WHERE NOT tgisinternal",
    )


def shadow_tables(sql: Sql) -> None:
    """Temporary tables are looked at before all others, unless a function says where it looks."""
    for name in sorted(TABLES):
        sql.execute(q.SQL("CREATE TEMPORARY TABLE {0} AS SELECT * FROM public.{0} LIMIT 0").format(q.Identifier(name)))


def ignore_every_trigger(sql: Sql) -> None:
    sql.execute("SELECT set_config('pgtrigger.ignore', %s, false)", ["{" + ",".join(every_trigger(sql)) + "}"])


ESCAPES = [ignore_every_trigger, shadow_tables]


@pytest.mark.parametrize("escape", ESCAPES)
def test_rules_hold_whatever_a_session_sets(sql: Sql, escape: Callable[[Sql], None]) -> None:
    escape(sql)
    done = in_state(sql, "task", "failed")
    with refused(sql, "23514", "task_status_transition"):
        update(sql, "task", done, status="pending")
    with refused(sql, "23514", "video_asset_status_transition"):
        insert(sql, "video_asset", status="ready")
    with refused(sql, "23514", "task_key_readonly"):
        update(sql, "task", done, task_id=one(sql, "SELECT uuidv7()"))
    assert update(sql, "task", done, updated_at="2000-01-01T00:00:00Z")["updated_at"].year > 2000
    artifact = insert(sql, "artifact")
    assert artifact["content_sha256"].strip()
    with refused(sql, "23514", "review_decision_artifact_sha256_match"):
        insert(sql, "review_decision", artifact_id=artifact["artifact_id"], artifact_sha256="f" * 64)
    with refused(sql, "23514", "publish_record_content_sha256_match"):
        insert(sql, "publish_record", artifact_id=artifact["artifact_id"], content_sha256="f" * 64)
    begun = in_state(sql, "task", "in_progress")
    update(sql, "campaign", column_of(sql, "task", "campaign_id", begun), epoch=1)
    with refused(sql, "23514", "artifact_epoch_fence"):
        insert(sql, "artifact", task_id=begun)


@pytest.mark.parametrize("escape", ESCAPES)
def test_owner_keeps_rows_whatever_a_session_sets(owner: Sql, escape: Callable[[Sql], None]) -> None:
    escape(owner)
    key = insert(owner, "artifact")["artifact_id"]
    with refused(owner, "23514", "artifact_immutable"):
        update(owner, "artifact", key, version=2)
    with refused(owner, "23514", "artifact_no_delete"):
        owner.execute("DELETE FROM public.artifact")


@pytest.mark.parametrize("escape", ESCAPES)
def test_changes_are_audited_whatever_a_session_sets(sql: Sql, escape: Callable[[Sql], None]) -> None:
    escape(sql)
    key = insert(sql, "campaign")["campaign_id"]
    update(sql, "campaign", key, name="Another name")
    found = one(sql, "SELECT count(*) FROM public.audit_log WHERE entity_id = %s", str(key))
    assert found == 2


@pytest.mark.parametrize("path", ["", "pg_temp", "pg_catalog, pg_temp, public"])
def test_a_search_path_is_no_way_around_the_audit(sql: Sql, path: str) -> None:
    sql.execute("CREATE TEMPORARY TABLE audit_log AS SELECT * FROM public.audit_log LIMIT 0")
    sql.execute("SELECT set_config('search_path', %s, false)", [path])
    sql.execute("INSERT INTO public.agent (agent_id, status) VALUES ('pathfinder', 'active')")
    assert one(sql, "SELECT count(*) FROM public.audit_log WHERE entity_id = 'pathfinder'") == 1


def test_tables_are_not_emptied_whatever_a_session_sets(production: Sql) -> None:
    ignore_every_trigger(production)
    with refused(production, "23514", "task_no_truncate"):
        production.execute("TRUNCATE task CASCADE")


def test_the_mark_of_a_test_database_cannot_be_forged_by_temporary_tables(production: Sql) -> None:
    production.execute(
        "CREATE TEMPORARY TABLE pg_database AS SELECT d.oid, current_database() AS datname"
        " FROM pg_catalog.pg_database d JOIN pg_catalog.pg_shdescription s ON s.objoid = d.oid"
    )
    with refused(production, "23514", "task_no_truncate"):
        production.execute("TRUNCATE task CASCADE")


@pytest.mark.parametrize("role", [AGENT, READONLY])
def test_only_its_owner_marks_a_database(connect: Connect, role: str) -> None:
    sql = connect(role)
    with refused(sql, "42501"):
        sql.execute(
            q.SQL("COMMENT ON DATABASE {} IS 'Gatehouse test database: may be emptied'").format(
                q.Identifier(sql.info.dbname)
            )
        )


@pytest.mark.parametrize("role", [AGENT, READONLY, OWNER])
@pytest.mark.parametrize(
    "statement",
    [
        "SET session_replication_role = replica",
        "SET SESSION session_replication_role = 'local'",
        "SELECT set_config('session_replication_role', 'replica', true)",
        "ALTER ROLE CURRENT_USER SET session_replication_role = 'replica'",
    ],
)
@embedded_only
def test_nobody_becomes_a_replica(connect: Connect, role: str, statement: str) -> None:
    sql = connect(role)
    with refused(sql, "42501"):
        sql.execute(statement)  # type: ignore[arg-type]


@pytest.mark.parametrize("statement", ["SET ROLE gatehouse_app", "SET ROLE gatehouse_migrator", "SET ROLE postgres"])
@pytest.mark.parametrize("role", [AGENT, READONLY])
@embedded_only
def test_nobody_becomes_another_role(connect: Connect, role: str, statement: str) -> None:
    sql = connect(role)
    with refused(sql, "42501"):
        sql.execute(statement)  # type: ignore[arg-type]


SWITCHES = ["DISABLE TRIGGER USER", "DISABLE TRIGGER ALL", "DISABLE TRIGGER {}", "ENABLE REPLICA TRIGGER {}"]


def trigger_of(sql: Sql, table: str) -> q.Identifier:
    name = one(
        sql, "SELECT min(tgname) FROM pg_trigger WHERE NOT tgisinternal AND tgrelid = %s::regclass", f'"{table}"'
    )
    return q.Identifier(name)


@pytest.mark.parametrize("switch", SWITCHES)
@pytest.mark.parametrize("table", DOMAIN)
def test_agents_switch_no_trigger_off(agent: Sql, table: str, switch: str) -> None:
    with refused(agent, "42501"):
        agent.execute(
            q.SQL("ALTER TABLE {} {}").format(q.Identifier(table), q.SQL(switch).format(trigger_of(agent, table)))
        )


@pytest.mark.parametrize("switch", SWITCHES)
@pytest.mark.parametrize("table", DOMAIN)
@embedded_only
def test_owner_switches_no_trigger_off(owner: Sql, table: str, switch: str) -> None:
    with refused(owner, "42501", ANY):
        owner.execute(
            q.SQL("ALTER TABLE {} {}").format(q.Identifier(table), q.SQL(switch).format(trigger_of(owner, table)))
        )


@pytest.mark.parametrize("table", sorted(spec.PARTITIONED_TABLES))
@embedded_only
def test_owner_switches_no_trigger_of_a_month_off(owner: Sql, table: str) -> None:
    leaf = q.Identifier(current_leaf(owner, table))
    name = one(
        owner,
        "SELECT min(tgname) FROM pg_trigger WHERE tgrelid = %s::regclass AND NOT tgisinternal",
        current_leaf(owner, table),
    )
    for switch in (f"DISABLE TRIGGER {name}", "DISABLE TRIGGER USER"):
        with refused(owner, "42501", "gatehouse_triggers_enabled"):
            owner.execute(q.SQL("ALTER TABLE {} {}").format(leaf, q.SQL(switch)))


@embedded_only
def test_owner_switches_no_trigger_off_in_a_block(owner: Sql) -> None:
    with refused(owner, "42501", "gatehouse_triggers_enabled"):
        owner.execute("DO $$ BEGIN EXECUTE 'ALTER TABLE task DISABLE TRIGGER USER'; DELETE FROM task; END $$")


@pytest.mark.parametrize(
    "statement",
    [
        "ALTER EVENT TRIGGER gatehouse_triggers_enabled DISABLE",
        "DROP EVENT TRIGGER gatehouse_triggers_enabled",
        "DROP SCHEMA gatehouse_guard CASCADE",
        "DROP FUNCTION gatehouse_guard.refuse_disabled_triggers() CASCADE",
        "CREATE OR REPLACE FUNCTION gatehouse_guard.refuse_disabled_triggers() RETURNS event_trigger LANGUAGE plpgsql"
        " AS 'BEGIN END'",
        "SET event_triggers = off",
    ],
)
@embedded_only
def test_owner_does_not_remove_the_guard(owner: Sql, statement: str) -> None:
    with refused(owner, "42501"):
        owner.execute(statement)  # type: ignore[arg-type]


def test_every_trigger_is_enabled(agent: Sql) -> None:
    assert column(agent, "SELECT tgname FROM pg_trigger WHERE NOT tgisinternal AND tgenabled NOT IN ('O', 'A')") == []
