"""The keys of metric events are checked once a statement, and are as strict as if each row were checked by itself."""

import threading
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from psycopg import sql as q

from tests.contract.rows import Sql, column, complete, insert, refused
from tests.contract.spec import TABLES
from tests.contract.test_permanence import current_leaf

Connect = Callable[..., Sql]
PARENTS = TABLES["metric_event"].parents
KEYS = {"campaign_id": "campaign_id", "agent_id": "agent_id", "content_id": "artifact_id"}
UNKNOWN = {name: "nobody" if name == "agent_id" else "00000000-0000-0000-0000-000000000007" for name in PARENTS}


def put(sql: Sql, table: str, *rows: dict[str, Any]) -> None:
    """All rows in one statement."""
    names = q.SQL(", ").join(map(q.Identifier, rows[0]))
    line = q.SQL("({})").format(q.SQL(", ").join([q.Placeholder()] * len(rows[0])))
    values = q.SQL(", ").join([line] * len(rows))
    sql.execute(
        q.SQL("INSERT INTO {} ({}) VALUES {}").format(q.Identifier(table), names, values),
        [value for row in rows for value in row.values()],
    )


def copy(sql: Sql, table: str, *rows: dict[str, Any]) -> None:
    names = q.SQL(", ").join(map(q.Identifier, rows[0]))
    with sql.cursor().copy(q.SQL("COPY {} ({}) FROM STDIN").format(q.Identifier(table), names)) as stream:
        for row in rows:
            stream.write_row(list(row.values()))


def twin(owner: Sql) -> None:
    """The same table with keys that PostgreSQL enforces row by row, and no trigger."""
    owner.execute("CREATE TABLE twin (LIKE metric_event INCLUDING DEFAULTS INCLUDING CONSTRAINTS)")
    for name, parent in PARENTS.items():
        owner.execute(
            f"ALTER TABLE twin ADD CONSTRAINT metric_event_{name}_fkey FOREIGN KEY ({name})"
            f" REFERENCES {parent} ({KEYS[name]})"
        )


@pytest.mark.parametrize("way", [put, copy])
@pytest.mark.parametrize("name", PARENTS)
def test_one_unknown_parent_among_many_rows_refuses_the_statement_as_an_enforced_key_does(
    owner: Sql, name: str, way: Any
) -> None:
    twin(owner)
    good = complete(owner, "metric_event")
    bad = {**good, name: UNKNOWN[name]}
    rows = [{**row, "event_id": f"00000000-0000-7000-8000-{n:012}"} for n, row in enumerate([good, good, bad, good])]
    said = []
    for table in ("metric_event", "twin"):
        owner.execute("SAVEPOINT before")
        with pytest.raises(psycopg.errors.ForeignKeyViolation) as caught:
            way(owner, table, *rows)
        owner.execute("ROLLBACK TO SAVEPOINT before")
        told = caught.value.diag
        said.append((told.sqlstate, told.constraint_name, told.message_detail))
        assert told.message_primary == (
            f'insert or update on table "{table}" violates foreign key constraint "metric_event_{name}_fkey"'
        )
    assert said[0] == said[1]
    way(owner, "metric_event", *(row for row in rows if row[name] != UNKNOWN[name]))


def test_a_statement_that_adds_nothing_is_no_violation(agent: Sql) -> None:
    stored = insert(agent, "metric_event")
    done = agent.execute(
        "INSERT INTO metric_event SELECT * FROM metric_event WHERE event_id = %s ON CONFLICT DO NOTHING",
        [stored["event_id"]],
    )
    assert done.rowcount == 0


def test_the_owner_who_writes_straight_into_a_month_meets_the_check_too(owner: Sql) -> None:
    row = complete(owner, "metric_event")
    for name in PARENTS:
        with refused(owner, "23503", f"metric_event_{name}_fkey"):
            put(owner, current_leaf(owner, "metric_event"), {**row, name: UNKNOWN[name]})


def test_nobody_but_the_owner_writes_into_a_month(connect: Connect) -> None:
    for role in ("gatehouse_app", "gatehouse_agent", "gatehouse_readonly"):
        sql = connect(role)
        assert (
            column(
                sql,
                "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'metric_event'::regclass"
                " AND has_table_privilege(inhrelid, 'INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER')",
            )
            == []
        )


def test_no_role_creates_objects_that_would_stand_in_for_a_parent(connect: Connect) -> None:
    """The check runs as the owner with a fixed path: a temporary table of the writer's is not looked at."""
    sql = connect("gatehouse_app")
    row = complete(sql, "metric_event")
    sql.execute("CREATE TEMPORARY TABLE artifact (artifact_id uuid)")
    sql.execute("INSERT INTO pg_temp.artifact VALUES (%s)", [UNKNOWN["content_id"]])
    with refused(sql, "23503", "metric_event_content_id_fkey"):
        put(sql, "metric_event", {**row, "content_id": UNKNOWN["content_id"]})


def test_what_events_point_to_never_goes_and_never_changes_its_key(owner: Sql) -> None:
    """This is what makes one look at each parent enough."""
    stored = insert(owner, "metric_event")
    for name, parent in PARENTS.items():
        where = q.SQL(" WHERE {} = %s").format(q.Identifier(KEYS[name]))
        with refused(owner, "23514", f"{parent}_no_delete"):
            owner.execute(q.SQL("DELETE FROM {}").format(q.Identifier(parent)) + where, [stored[name]])
        constraint = "artifact_immutable" if parent == "artifact" else f"{parent}_key_readonly"
        with refused(owner, "23514", constraint):
            owner.execute(
                q.SQL("UPDATE {} SET {} = %s").format(q.Identifier(parent), q.Identifier(KEYS[name])) + where,
                [UNKNOWN[name], stored[name]],
            )


@pytest.mark.parametrize("isolation", ["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"])
def test_a_parent_that_is_not_committed_is_none(connect: Connect, isolation: str) -> None:
    """As with an enforced key: what another transaction has not committed cannot be pointed to, and nobody waits."""
    parent, child = connect("gatehouse_agent"), connect("gatehouse_agent")
    child.execute(f"SET TRANSACTION ISOLATION LEVEL {isolation}")
    insert(parent, "agent", agent_id="not-yet")
    row = complete(child, "metric_event")
    finished = threading.Event()

    def write() -> None:
        with refused(child, "23503", "metric_event_agent_id_fkey"):
            put(child, "metric_event", {**row, "agent_id": "not-yet"})
        finished.set()

    writer = threading.Thread(target=write, daemon=True)
    writer.start()
    writer.join(60)
    assert finished.is_set()
