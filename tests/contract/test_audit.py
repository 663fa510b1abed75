"""Plain SQL is audited by the database: one audit row for each changed row, whatever the door."""

import hashlib
import re
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from tests.contract import spec
from tests.contract.conftest import AGENT, APP, OWNER
from tests.contract.rows import (
    CONTENT,
    MINIMAL,
    Row,
    Sql,
    advance,
    approved,
    column,
    column_of,
    complete,
    insert,
    key_of,
    now,
    one,
    update,
    write,
)
from tests.contract.test_permanence import current_leaf

Connect = Callable[..., Sql]

CAMPAIGN, ARTIFACT, TASK = "campaign_id", "artifact_id", "task_id"
# What hangs on a task is on its trace: through which column, and the artifact between, if any.
ON_A_TASK = {
    "task": None,
    "artifact": None,
    "video_asset": None,
    "review_decision": None,
    "review_item": None,
    "publish_record": "artifact_id",
    "metric_event": "content_id",
    "judge_lease": "artifact_id",
}
IN_A_CAMPAIGN = {"campaign", "agent", *ON_A_TASK}
AGENTS_WRITE = {
    "campaign",
    "agent",
    "task",
    "artifact",
    "video_asset",
    "review_decision",
    "publish_record",
    "metric_event",
}
# For each table that has updates, a column to change and two values for it.
CHANGES: dict[str, tuple[str, Any, Any]] = {
    "campaign": ("budget_cap_etb", Decimal("10.00"), Decimal("20.50")),
    "agent": ("display_name", None, "Amara"),
    "task": ("title", "ርዕስ", None),
    "video_asset": ("metadata", {"duration": 1}, {"duration": 2, "parts": [1, {"a": None}]}),
    "publish_record": ("error", None, 'it said "no"\n'),
    "review_item": ("level", 1, 2),
    "judge_lease": ("lease_expires_at", datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC)),
    "metric_archive": ("row_count", 1, 2**40),
    "api_token": ("name", "one", "two"),
    "user": ("is_active", True, False),
    "system_control": ("control_reason", None, "a drill"),
}
UNREPEATED = {"user": {"password", "email", "display_name"}, "api_token": {"token_sha256"}}
WRITERS = [(AGENT, table) for table in sorted(AGENTS_WRITE)] + [(OWNER, table) for table in sorted(spec.AUDITED_TABLES)]


class Log:
    """The audit rows that were written since it was begun."""

    def __init__(self, sql: Sql) -> None:
        self.sql = sql
        self.seen = set(column(sql, "SELECT audit_id FROM audit_log"))

    def new(self) -> list[Row]:
        cursor = self.sql.execute(
            "SELECT *, encode(sha256(convert_to(changes::text, 'UTF8')), 'hex') AS expected_hash FROM audit_log"
            " ORDER BY created_at, audit_id"
        )
        names = [each.name for each in cursor.description or []]
        rows = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
        return [row for row in rows if row["audit_id"] not in self.seen]

    def only(self) -> Row:
        rows = self.new()
        assert len(rows) == 1, rows
        return rows[0]


def in_json(sql: Sql, table: str, key: Any) -> Row:
    """The stored row as PostgreSQL writes it in JSON."""
    return dict(one(sql, f'SELECT to_jsonb(t) FROM "{table}" t WHERE {key_of(table)} = %s', key))


def of_task(sql: Sql, table: str, row: Row, name: str) -> Any:
    """What the task of that row has in a column."""
    through = ON_A_TASK[table]
    task = column_of(sql, "artifact", "task_id", row[through]) if through else row[TASK]
    return column_of(sql, "task", name, task)


def check(sql: Sql, entry: Row, table: str, row: Row, action: str, changes: Row) -> None:
    """`entry` tells this change of this row, whole and nothing else."""
    assert (entry["entity_type"], entry["entity_id"], entry["action"]) == (table, str(row[key_of(table)]), action)
    assert (entry["actor_type"], entry["actor_id"]) == ("system", f"sql:{one(sql, 'SELECT session_user')}")
    assert entry["severity"] == "info"
    # When it was done, and not when the transaction began: the log is read in the order of events.
    assert one(sql, "SELECT now()") < entry["created_at"] < one(sql, "SELECT clock_timestamp()")
    assert entry["changes"] == changes
    assert entry["inputs_hash"] == entry["expected_hash"]
    assert re.fullmatch("[0-9a-f]{32}", entry["trace_id"])
    if table in ON_A_TASK:
        assert entry["trace_id"] == of_task(sql, table, row, "trace_id")
    if table in IN_A_CAMPAIGN:
        assert entry["campaign_id"] == (row[CAMPAIGN] if CAMPAIGN in row else of_task(sql, table, row, CAMPAIGN))
    else:
        assert entry["campaign_id"] is None


def redacted(table: str, changes: Row) -> Row:
    hidden = UNREPEATED.get(table, set()) & set(changes)
    told = {name: ["[redacted]"] * 2 if name in hidden else values for name, values in changes.items()}
    return {**told, "_redaction": 1} if hidden else told


# --- Every table and every door --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("role", "table"), [pair for pair in WRITERS if pair[1] != "system_control"])
def test_an_insert_leaves_one_audit_row(connect: Connect, role: str, table: str) -> None:
    sql = connect(role)
    given = complete(sql, table)
    log = Log(sql)
    row = write(sql, table, given)
    stored = in_json(sql, table, row[key_of(table)])
    untold = {"updated_at"} | spec.COUNTED_COLUMNS.get(table, set())
    changes = {name: [None, value] for name, value in stored.items() if value is not None and name not in untold}
    check(sql, log.only(), table, row, "create", redacted(table, changes))


@pytest.mark.parametrize(("role", "table"), [pair for pair in WRITERS if pair[1] not in spec.IMMUTABLE_TABLES])
def test_an_update_leaves_one_audit_row(connect: Connect, role: str, table: str) -> None:
    sql = connect(role)
    name, before, after = CHANGES[table]
    key = 1 if table == "system_control" else insert(sql, table, **{name: before})[key_of(table)]
    old, log = in_json(sql, table, key), Log(sql)
    row = update(sql, table, key, **{name: after})
    new = in_json(sql, table, key)
    assert old[name] != new[name]
    changes = {each: [old[each], new[each]] for each in new if old[each] != new[each] and each != "updated_at"}
    assert set(changes) == {name}
    check(sql, log.only(), table, row, "update", redacted(table, changes))


@pytest.mark.parametrize("table", sorted(set(spec.MACHINES) & spec.AUDITED_TABLES))
def test_every_status_change_leaves_one_audit_row(owner: Sql, table: str) -> None:
    machine = spec.MACHINES[table]
    state = max(machine.legal, key=lambda each: len(machine.way_to(each)))
    first, *rest = machine.way_to(state)
    key = insert(owner, table, **{machine.column: first})[key_of(table)]
    for old, new in zip([first, *rest], rest, strict=False):
        log = Log(owner)
        advance(owner, table, key, new)
        assert log.only()["changes"][machine.column] == [old, new]


def test_what_triggers_fill_in_is_audited_with_the_change_that_caused_it(sql: Sql) -> None:
    task = insert(sql, "task")
    log = Log(sql)
    advance(sql, "task", task[TASK], "in_progress")
    assert set(log.only()["changes"]) == {"status", "lease_epoch", "claimed_at"}


def test_every_audited_table_is_walked(owner: Sql) -> None:
    with_triggers = column(
        owner,
        "SELECT DISTINCT relname FROM pg_trigger JOIN pg_class c ON c.oid = tgrelid"
        " WHERE tgname LIKE 'pgtrigger_audit_%%' AND NOT relispartition",
    )
    assert set(with_triggers) == spec.AUDITED_TABLES
    assert set(CHANGES) == spec.AUDITED_TABLES - spec.IMMUTABLE_TABLES
    assert set(MINIMAL) == spec.DOMAIN_TABLES | spec.PURGED_TABLES


@pytest.mark.parametrize("secret", ["password", "email", "display_name"])
def test_what_the_log_must_not_repeat_is_not_in_it(owner: Sql, secret: str) -> None:
    log = Log(owner)
    key = insert(owner, "user", **{secret: "Amara Bekele"})["user_id"]
    update(owner, "user", key, **{secret: "Amara Tadesse"})
    entries = log.new()
    assert [entry["changes"][secret] for entry in entries] == [["[redacted]"] * 2] * 2
    assert {entry["changes"]["_redaction"] for entry in entries} == {1}
    assert "Amara" not in str(entries)


# --- Doors -----------------------------------------------------------------------------------------------------------


def many_at_once(sql: Sql) -> None:
    sql.execute("INSERT INTO agent (agent_id, status) VALUES ('one', 'active'), ('two', 'active'), ('three', 'active')")


def from_a_query(sql: Sql) -> None:
    sql.execute("INSERT INTO agent (agent_id, status) SELECT n, 'active' FROM unnest('{one,two,three}'::text[]) n")


def in_a_cte(sql: Sql) -> None:
    sql.execute(
        "WITH a AS (INSERT INTO agent (agent_id, status) VALUES ('one', 'active') RETURNING agent_id),"
        " b AS (INSERT INTO agent (agent_id, status) VALUES ('two', 'active') RETURNING agent_id)"
        " INSERT INTO agent (agent_id, status) SELECT 'three', 'active' FROM a, b"
    )


def by_copy(sql: Sql) -> None:
    with sql.cursor().copy("COPY agent (agent_id, status) FROM STDIN") as copy:
        for name in ("one", "two", "three"):
            copy.write_row((name, "active"))


def by_upsert(sql: Sql) -> None:
    sql.execute(
        "INSERT INTO agent (agent_id, status) VALUES ('one', 'active'), ('two', 'active'), ('three', 'active')"
        " ON CONFLICT (agent_id) DO UPDATE SET display_name = 'again'"
    )


def by_merge(sql: Sql) -> None:
    sql.execute(
        "MERGE INTO agent USING unnest('{one,two,three}'::text[]) AS g (n) ON agent_id = n"
        " WHEN NOT MATCHED THEN INSERT (agent_id, status) VALUES (n, 'active')"
        " WHEN MATCHED THEN UPDATE SET display_name = 'again'"
    )


def in_a_block(sql: Sql) -> None:
    sql.execute(
        "DO $$ DECLARE n text; BEGIN FOREACH n IN ARRAY ARRAY['one', 'two', 'three'] LOOP"
        " INSERT INTO agent (agent_id, status) VALUES (n, 'active'); END LOOP; END $$"
    )


def by_a_prepared_statement(sql: Sql) -> None:
    sql.execute("PREPARE door AS INSERT INTO agent (agent_id, status) VALUES ($1, 'active')")
    for name in ("one", "two", "three"):
        sql.execute(f"EXECUTE door ('{name}')")  # type: ignore[arg-type]


INSERT_DOORS = [
    many_at_once,
    from_a_query,
    in_a_cte,
    by_copy,
    by_upsert,
    by_merge,
    in_a_block,
    by_a_prepared_statement,
]


@pytest.mark.parametrize("door", INSERT_DOORS)
def test_each_inserted_row_has_one_audit_row_through_every_door(sql: Sql, door: Callable[[Sql], None]) -> None:
    log = Log(sql)
    door(sql)
    assert sorted((e["entity_type"], e["entity_id"], e["action"]) for e in log.new()) == [
        ("agent", "one", "create"),
        ("agent", "three", "create"),
        ("agent", "two", "create"),
    ]


@pytest.mark.parametrize("door", [by_upsert, by_merge])
def test_a_statement_that_inserts_and_updates_leaves_one_audit_row_for_each_row(
    sql: Sql, door: Callable[[Sql], None]
) -> None:
    insert(sql, "agent", agent_id="two")
    log = Log(sql)
    door(sql)
    assert sorted((e["entity_id"], e["action"]) for e in log.new()) == [
        ("one", "create"),
        ("three", "create"),
        ("two", "update"),
    ]


def test_each_updated_row_has_one_audit_row(sql: Sql) -> None:
    keys = [insert(sql, "campaign", name=f"campaign {n}")[CAMPAIGN] for n in range(3)]
    log = Log(sql)
    sql.execute("UPDATE campaign SET name = name || '!' WHERE campaign_id = ANY (%s)", [keys])
    assert {e["entity_id"]: e["changes"] for e in log.new()} == {
        str(key): {"name": [f"campaign {n}", f"campaign {n}!"]} for n, key in enumerate(keys)
    }


def test_a_row_that_does_not_change_leaves_none(sql: Sql) -> None:
    keys = [insert(sql, "campaign", goal=goal)[CAMPAIGN] for goal in ("this", "that")]
    log = Log(sql)
    sql.execute("UPDATE campaign SET goal = 'that' WHERE campaign_id = ANY (%s)", [keys])
    assert log.only()["entity_id"] == str(keys[0])
    sql.execute("UPDATE campaign SET goal = 'nothing' WHERE false")
    sql.execute("INSERT INTO agent (agent_id, status) SELECT 'nobody', 'active' WHERE false")
    assert len(log.new()) == 1


def test_an_upsert_that_does_nothing_leaves_none(sql: Sql) -> None:
    key = insert(sql, "agent")["agent_id"]
    log = Log(sql)
    sql.execute("INSERT INTO agent (agent_id, status) VALUES (%s, 'active') ON CONFLICT DO NOTHING", [key])
    assert log.new() == []


def test_metric_events_of_several_months_are_audited_by_one_statement(sql: Sql) -> None:
    row = complete(sql, "metric_event", event_id=...)
    log = Log(sql)
    names = ", ".join(row)
    sql.execute(
        f"INSERT INTO metric_event ({names}) SELECT {', '.join(['%s'] * len(row))} FROM generate_series(1, 2)",
        list(row.values()),
    )
    later = {**row, "observed_at": one(sql, "SELECT now() + interval '40 days'")}
    sql.execute(f"INSERT INTO metric_event ({names}) VALUES ({', '.join(['%s'] * len(row))})", list(later.values()))
    assert [(e["entity_type"], e["action"]) for e in log.new()] == [("metric_event", "create")] * 3


def test_events_written_straight_into_a_month_are_audited_too(owner: Sql) -> None:
    row = complete(owner, "metric_event")
    log = Log(owner)
    owner.execute(
        f"INSERT INTO {current_leaf(owner, 'metric_event')} ({', '.join(row)}) VALUES ({', '.join(['%s'] * len(row))})",
        list(row.values()),
    )
    entry = log.only()
    assert (entry["entity_type"], entry["entity_id"]) == ("metric_event", str(row["event_id"]))


def test_what_is_rolled_back_leaves_none(sql: Sql) -> None:
    log = Log(sql)
    sql.execute("SAVEPOINT here")
    insert(sql, "campaign")
    sql.execute("ROLLBACK TO SAVEPOINT here")
    assert log.new() == []


def test_the_application_audits_itself(connect: Connect) -> None:
    """The triggers stand aside for its role, so that no change has two audit rows."""
    sql = connect(APP)
    log = Log(sql)
    key = insert(sql, "campaign")[CAMPAIGN]
    update(sql, "campaign", key, name="Another")
    assert log.new() == []


# --- Entries of agents' own ------------------------------------------------------------------------------------------


def test_an_agent_writes_entries_of_its_own(sql: Sql) -> None:
    log = Log(sql)
    given = insert(sql, "audit_log", entity_type="context_snapshot", action="read", tool_name="search")
    entry = log.only()
    assert entry["audit_id"] == given["audit_id"]
    assert (entry["inputs_hash"], entry["changes"]) == (None, None)


def test_the_hash_of_given_changes_is_computed_when_none_is_given(sql: Sql) -> None:
    stored = insert(sql, "audit_log", changes={"b": [1, 2], "a": [None, "ሰላም"]})
    as_text = one(sql, "SELECT changes::text FROM audit_log WHERE audit_id = %s", stored["audit_id"])
    assert stored["inputs_hash"] == hashlib.sha256(as_text.encode()).hexdigest()
    assert insert(sql, "audit_log", changes={"a": [1, 2]}, inputs_hash="mine")["inputs_hash"] == "mine"


# --- One trace -------------------------------------------------------------------------------------------------------


def test_from_task_to_metric_event_is_one_trace(sql: Sql) -> None:
    task = insert(sql, "task")
    log = Log(sql)
    update(sql, "task", task[TASK], status="in_progress")
    artifact, decision = approved(sql, task_id=task[TASK])
    advance(sql, "task", task[TASK], "review", "done")
    insert(sql, "video_asset", task_id=task[TASK], agent_id=task["agent_id"], artifact_id=artifact[ARTIFACT])
    record = insert(sql, "publish_record", artifact_id=artifact[ARTIFACT], decision_id=decision["review_id"])
    update(sql, "publish_record", record["publish_id"], status="published", published_at=now())
    insert(sql, "metric_event", content_id=artifact[ARTIFACT], agent_id=task["agent_id"])
    entries = log.new()
    assert {entry["trace_id"] for entry in entries} == {task["trace_id"]}
    assert {entry["campaign_id"] for entry in entries} == {task[CAMPAIGN]}
    assert sorted((entry["entity_type"], entry["action"]) for entry in entries) == [
        ("artifact", "create"),
        ("metric_event", "create"),
        ("publish_record", "create"),
        ("publish_record", "update"),
        ("review_decision", "create"),
        ("task", "update"),
        ("task", "update"),
        ("task", "update"),
        ("video_asset", "create"),
    ]


def test_the_trace_goes_on_through_a_retry(sql: Sql) -> None:
    first = insert(sql, "task")
    advance(sql, "task", first[TASK], "in_progress", "failed")
    log = Log(sql)
    retry = insert(sql, "task", parent_task_id=first[TASK], attempt=1, campaign_id=first[CAMPAIGN])
    artifact = insert(sql, "artifact", task_id=retry[TASK], version=2, content_sha256=CONTENT)
    insert(sql, "metric_event", content_id=artifact[ARTIFACT])
    on_trace = {e["trace_id"] for e in log.new() if e["entity_type"] != "agent"}
    assert on_trace == {first["trace_id"]}
