"""Every status column is a state machine, and the database itself refuses what the machine does not allow.

The machines of `spec.MACHINES` were written from the data model; every illegal pair follows from the legal ones.
"""

from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

from agents import choices as agents_choices
from campaigns import choices as campaigns_choices
from content import choices as content_choices
from metrics import choices as metrics_choices
from tests.contract import spec
from tests.contract.conftest import AGENT, OWNER
from tests.contract.rows import Sql, advance, column, complete, in_state, insert, key_of, refused, update, write
from tests.contract.spec import MACHINES

# Each machine as each role that may write it.
WRITERS = [(AGENT, table) for table, machine in MACHINES.items() if machine.agents_write_it]
WRITERS += [(OWNER, table) for table in MACHINES]
ILLEGAL = [(role, table, old, new) for role, table in WRITERS for old, new in MACHINES[table].illegal_pairs]
LEGAL = [(role, table, old, new) for role, table in WRITERS for old, new in MACHINES[table].pairs]
STATES = [(role, table, state) for role, table in WRITERS for state in sorted(MACHINES[table].legal)]
# A type whose tasks may take every legal step, or that is in the way of none.
FREEST = {"task": {"task_type": "collect_metrics"}}

Connect = Callable[..., Sql]


def transition(table: str) -> str:
    return f"{table}_{MACHINES[table].column}_transition"


@pytest.mark.parametrize(("role", "table", "old", "new"), LEGAL)
def test_legal_transition(connect: Connect, role: str, table: str, old: str, new: str) -> None:
    sql = connect(role)
    key = in_state(sql, table, old, **FREEST.get(table, {}))
    assert advance(sql, table, key, new)[MACHINES[table].column] == new


@pytest.mark.parametrize(("role", "table", "old", "new"), ILLEGAL)
def test_illegal_transition_is_refused(connect: Connect, role: str, table: str, old: str, new: str) -> None:
    sql = connect(role)
    key = in_state(sql, table, old, **FREEST.get(table, {}))
    with refused(sql, "23514", transition(table)):
        update(sql, table, key, **{MACHINES[table].column: new})


@pytest.mark.parametrize(("role", "table", "state"), STATES)
def test_rows_begin_only_in_an_initial_state(connect: Connect, role: str, table: str, state: str) -> None:
    sql = connect(role)
    row = complete(sql, table, **{MACHINES[table].column: state})
    if state in MACHINES[table].initial:
        assert write(sql, table, row)[MACHINES[table].column] == state
    else:
        with refused(sql, "23514", transition(table)):
            write(sql, table, row)


@pytest.mark.parametrize(("role", "table", "state"), STATES)
def test_a_status_set_to_itself_is_no_transition(connect: Connect, role: str, table: str, state: str) -> None:
    sql = connect(role)
    key = in_state(sql, table, state, **FREEST.get(table, {}))
    assert advance(sql, table, key, state)[MACHINES[table].column] == state


@pytest.mark.parametrize("task_type", sorted(spec.VALUES["task", "task_type"]))
def test_only_what_no_audience_sees_is_done_without_a_review(sql: Sql, task_type: str) -> None:
    key = in_state(sql, "task", "in_progress", task_type=task_type)
    if task_type in spec.UNREVIEWED:
        assert advance(sql, "task", key, "done")["status"] == "done"
    else:
        with refused(sql, "23514", "task_status_transition"):
            update(sql, "task", key, status="done")
        assert advance(sql, "task", key, "review", "done")["status"] == "done"


def test_many_rows_at_once_are_refused_for_one(sql: Sql) -> None:
    allowed, not_allowed = in_state(sql, "task", "in_progress"), in_state(sql, "task", "failed")
    with refused(sql, "23514", "task_status_transition"):
        sql.execute("UPDATE task SET status = 'review' WHERE task_id = ANY (%s)", [[allowed, not_allowed]])


def test_an_upsert_is_no_way_around(sql: Sql) -> None:
    key = in_state(sql, "agent", "retired")
    with refused(sql, "23514", "agent_status_transition"):
        sql.execute(
            "INSERT INTO agent (agent_id, status) VALUES (%s, 'active') ON CONFLICT (agent_id)"
            " DO UPDATE SET status = excluded.status",
            [key],
        )


def test_a_merge_is_no_way_around(sql: Sql) -> None:
    key = in_state(sql, "agent", "retired")
    with refused(sql, "23514", "agent_status_transition"):
        sql.execute(
            "MERGE INTO agent USING (VALUES (%s)) AS given (id) ON agent_id = id"
            " WHEN MATCHED THEN UPDATE SET status = 'active'",
            [key],
        )


def test_copy_is_no_way_around(sql: Sql) -> None:
    with (
        refused(sql, "23514", "agent_status_transition"),
        sql.cursor().copy("COPY agent (agent_id, status) FROM STDIN") as copy,
    ):
        copy.write_row(("copied", "retired"))


def test_every_status_column_is_a_state_machine(agent: Sql) -> None:
    found = column(
        agent,
        "SELECT relname FROM pg_attribute JOIN pg_class c ON c.oid = attrelid WHERE attname IN ('status', 'state')"
        " AND relkind IN ('r', 'p') AND relname = ANY (%s)",
        list(spec.DOMAIN_TABLES),
    )
    assert set(found) == set(MACHINES)


@pytest.mark.parametrize(
    ("table", "module", "prefix"),
    [
        ("campaign", campaigns_choices, "CAMPAIGN"),
        ("task", campaigns_choices, "TASK"),
        ("agent", agents_choices, "AGENT"),
        ("video_asset", content_choices, "VIDEO"),
        ("review_item", content_choices, "REVIEW_ITEM"),
        ("publish_record", content_choices, "PUBLISH"),
        ("metric_archive", metrics_choices, "ARCHIVE"),
        ("metric_ingest", metrics_choices, "INGEST"),
    ],
)
def test_the_application_has_the_same_table(table: str, module: ModuleType, prefix: str) -> None:
    def plain(states: Any) -> set[str]:
        return {str(state) for state in states}

    assert plain(getattr(module, f"{prefix}_INITIAL")) == MACHINES[table].initial
    assert {str(old): plain(targets) for old, targets in getattr(module, f"{prefix}_TRANSITIONS").items()} == MACHINES[
        table
    ].legal


def test_the_application_has_the_same_types_without_a_review() -> None:
    assert {str(each) for each in campaigns_choices.UNREVIEWED_TYPES} == spec.UNREVIEWED


def test_every_table_of_the_tests_has_a_key(owner: Sql) -> None:
    for table in sorted(spec.DOMAIN_TABLES - {"system_control"}):
        assert insert(owner, table)[key_of(table)]
