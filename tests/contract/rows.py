"""Rows with nothing but the columns that the specifications ask for, written in plain SQL.

`insert(sql, "artifact")` writes an artifact and the parents that it needs; whatever is given is written as it is.
"""

import hashlib
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql as q
from psycopg.types.json import Jsonb

from tests.contract.spec import DERIVED_TABLES, MACHINES

Sql = psycopg.Connection[Any]
Row = dict[str, Any]
CONTENT = hashlib.sha256(b"what is behind the reference").hexdigest()
KEYS = {
    "publish_record": "publish_id",
    "review_decision": "review_id",
    "metric_event": "event_id",
    "audit_log": "audit_id",
    "cron_job": "name",
    # Sums have no id of their own; in the tests each has an agent of its own.
    **dict.fromkeys(DERIVED_TABLES, "agent_id"),
}


def key_of(table: str) -> str:
    return KEYS.get(table, f"{table}_id")


def real(table: str) -> q.Identifier:
    """The table itself, whatever the session has put before it."""
    return q.Identifier("public", table)


def fresh(prefix: str = "name") -> str:
    return f"{prefix}-{uuid4().hex}"


def now() -> datetime:
    return datetime.now(UTC)


def column_of(sql: Sql, table: str, column: str, key: Any) -> Any:
    """One value of one row; None when there is no such row."""
    found = sql.execute(
        q.SQL("SELECT {} FROM {} WHERE {} = %s").format(q.Identifier(column), real(table), q.Identifier(key_of(table))),
        [key],
    ).fetchone()
    return found[0] if found else None


def parent(table: str) -> Callable[[Sql, Row], Any]:
    """A new parent row's key."""
    return lambda sql, row: insert(sql, table)[key_of(table)]


def same_as(table: str, via: str, column: str) -> Callable[[Sql, Row], Any]:
    """What the row behind `via` has in `column`; a new parent's key when there is no such row."""

    def value(sql: Sql, row: Row) -> Any:
        found = column_of(sql, table, column, row[via]) if row[via] is not None else None
        return found if found is not None else insert(sql, column.removesuffix("_id"))[column]

    return value


# In the order in which they are made: a callable sees what stands above it and what was given.
MINIMAL: dict[str, Row] = {
    "campaign": {
        "campaign_id": uuid4,
        "name": "Coffee harvest",
        "goal": "A thousand visitors from Addis Ababa",
        "target_platforms": ["youtube", "tiktok"],
        "budget_cap_etb": Decimal("1000.00"),
        "status": "active",
    },
    "agent": {"agent_id": lambda: fresh("writer"), "status": "active"},
    "task": {
        "task_id": uuid4,
        "campaign_id": parent("campaign"),
        "agent_id": parent("agent"),
        "task_type": "draft_post",
        "priority": "high",
        "status": "pending",
        "context": {"goal_description": "A post about the harvest"},
    },
    "artifact": {
        "artifact_id": uuid4,
        "task_id": parent("task"),
        "campaign_id": same_as("task", "task_id", "campaign_id"),
        "artifact_type": "text",
        "version": 1,
        "content_ref": lambda: f"https://content.example/{uuid4()}",
    },
    "review_decision": {
        "review_id": uuid4,
        "artifact_id": parent("artifact"),
        "task_id": same_as("artifact", "artifact_id", "task_id"),
        "decision": "approve",
        "confidence_score": Decimal("0.900"),
        "reasons": ["on brand"],
        "next_action": "publish",
        "reviewer_type": "judge",
    },
    "publish_record": {
        "publish_id": uuid4,
        "artifact_id": parent("artifact"),
        "campaign_id": same_as("artifact", "artifact_id", "campaign_id"),
        "platform": "youtube",
        "disclosure_level": "automated",
        "status": "queued",
    },
    "metric_event": {
        "event_id": uuid4,
        "content_id": parent("artifact"),
        "campaign_id": same_as("artifact", "content_id", "campaign_id"),
        "agent_id": parent("agent"),
        "platform": "youtube",
        "metric_type": "views",
        "metric_value": 7,
        "observed_at": now,
        "source": "youtube-api",
    },
    "audit_log": {
        "audit_id": uuid4,
        "trace_id": lambda: uuid4().hex,
        "actor_type": "worker",
        "entity_type": "task",
        "entity_id": lambda: str(uuid4()),
        "action": "read",
        "severity": "info",
    },
    "video_asset": {
        "video_asset_id": uuid4,
        "agent_id": parent("agent"),
        "task_id": parent("task"),
        "platform": "tiktok",
        "tier": "standard",
        "character_reference_id": "amara-v2",
        "status": "pending",
        "metadata": {"duration": 12},
    },
    # Gatehouse's own
    "system_control": {"system_control_id": 1},
    "user": {"email": lambda: f"{fresh()}@example.org", "password": "!", "is_superuser": False},
    "api_token": {
        "name": "worker at the press",
        "role": "worker",
        "prefix": "gh_123456789",
        "token_sha256": lambda: hashlib.sha256(uuid4().bytes).hexdigest(),
    },
    "idempotency_key": {
        "api_token_id": parent("api_token"),
        "key": lambda: fresh("request"),
        "request_sha256": CONTENT,
        "status": 201,
        "answer": "{}",
    },
    "notification": {"user_id": parent("user"), "type": "review_due", "payload_json": {}, "happened_at": now},
    "cron_job": {"name": lambda: fresh("job"), "started_at": now},
    "judge_lease": {
        "artifact_id": parent("artifact"),
        "agent_id": parent("agent"),
        "lease_id": uuid4,
        "lease_expires_at": now,
        "lease_epoch": 0,
    },
    "review_item": {
        "artifact_id": parent("artifact"),
        "task_id": same_as("artifact", "artifact_id", "task_id"),
        "campaign_id": same_as("artifact", "artifact_id", "campaign_id"),
        "reason": "escalated",
        "status": "open",
        "opened_at": now,
    },
    "metric_archive": {
        "table_name": lambda: fresh("table"),
        "range_start": datetime(2020, 1, 1, tzinfo=UTC),
        "range_end": datetime(2020, 2, 1, tzinfo=UTC),
        "row_count": 0,
        "byte_count": 0,
        "files": [],
        "schema_fingerprint": "none",
        "state": "exporting",
        "created_by": "test",
    },
    "metric_rollup": {
        "bucket": datetime(2020, 1, 1, tzinfo=UTC),
        "content_id": parent("artifact"),
        "campaign_id": same_as("artifact", "content_id", "campaign_id"),
        "agent_id": parent("agent"),
        "platform": "youtube",
        "metric_type": "views",
        "sum": 7,
        "count": 1,
        "max": 7,
        "last_observed_at": now,
    },
    "metric_rollup_daily": {
        "bucket": datetime(2020, 1, 1, tzinfo=UTC),
        "content_id": parent("artifact"),
        "campaign_id": same_as("artifact", "content_id", "campaign_id"),
        "agent_id": parent("agent"),
        "platform": "youtube",
        "metric_type": "views",
        "sum": 7,
        "count": 1,
        "max": 7,
        "last_observed_at": now,
    },
    "metric_rollup_campaign": {
        "bucket": datetime(2020, 1, 1, tzinfo=UTC),
        "campaign_id": parent("campaign"),
        "agent_id": parent("agent"),
        "platform": "youtube",
        "metric_type": "views",
        "sum": 7,
        "count": 1,
        "max": 7,
        "last_observed_at": now,
    },
    "metric_ingest": {
        "head_sha256": lambda: hashlib.sha256(fresh("input").encode()).hexdigest(),
        "name": "views.csv",
        "state": "running",
        "sha256": "0" * 64,
        **dict.fromkeys(("position", "line", "rejects_bytes", "row_count", "accepted"), 0),
        **dict.fromkeys(("duplicates", "corrections", "rejected"), 0),
        "created_by": "test",
    },
    "metric_counter": {
        "publish_id": parent("publish_record"),
        "campaign_id": parent("campaign"),
        "agent_id": parent("agent"),
        "platform": "youtube",
        "metric_type": "views",
        "source": "youtube-api",
        "highest_total": 7,
        "last_total": 7,
        "last_observed_at": now,
        "first_total": 7,
        "first_observed_at": now,
    },
    "metric_correction": {
        "publish_id": parent("publish_record"),
        "metric_type": "views",
        "source": "youtube-api",
        "from_total": 7,
        "to_total": 5,
        "observed_at": now,
    },
}


def complete(sql: Sql, table: str, **given: Any) -> Row:
    """The columns of a minimal row, its parents written; `...` leaves a column out."""
    row = dict(given)
    for column, value in MINIMAL[table].items():
        if column in row:
            continue
        if not callable(value):
            row[column] = value
        elif value in (uuid4, now) or value.__code__.co_argcount == 0:
            row[column] = value()
        else:
            row[column] = value(sql, row)
    return {column: value for column, value in row.items() if value is not ...}


def write(sql: Sql, table: str, row: Row) -> Row:
    """One INSERT of exactly these columns; returns the row as it is stored."""
    statement = q.SQL("INSERT INTO {} ({}) VALUES ({})").format(
        real(table),
        q.SQL(", ").join(map(q.Identifier, row)),
        q.SQL(", ").join([q.Placeholder()] * len(row)),
    )
    values = [Jsonb(value) if isinstance(value, dict | list) else value for value in row.values()]
    return returned(sql, statement, values)


def insert(sql: Sql, table: str, **given: Any) -> Row:
    return write(sql, table, complete(sql, table, **given))


def update(sql: Sql, table: str, key: Any, **values: Any) -> Row:
    """One UPDATE of one row; returns it as it is stored then."""
    statement = q.SQL("UPDATE {} SET {} WHERE {} = %s").format(
        real(table),
        q.SQL(", ").join(q.SQL("{} = %s").format(q.Identifier(column)) for column in values),
        q.Identifier(key_of(table)),
    )
    given = [Jsonb(value) if isinstance(value, dict | list) else value for value in values.values()]
    return returned(sql, statement, [*given, key])


def returned(sql: Sql, statement: q.Composed, values: list[Any]) -> Row:
    cursor = sql.execute(q.SQL("{} RETURNING *").format(statement), values)
    stored = cursor.fetchone()
    assert stored is not None, "no row was written"
    assert cursor.description is not None
    return dict(zip([column.name for column in cursor.description], stored, strict=True))


def advance(sql: Sql, table: str, key: Any, *states: str) -> Row:
    """Through the given states, one UPDATE each."""
    row: Row = {}
    for state in states:
        row = update(sql, table, key, **{MACHINES[table].column: state})
    return row


def in_state(sql: Sql, table: str, state: str, **given: Any) -> Any:
    """The key of a new row that came to `state` on a legal way."""
    machine = MACHINES[table]
    first, *rest = machine.way_to(state)
    key = insert(sql, table, **{machine.column: first, **given})[key_of(table)]
    advance(sql, table, key, *rest)
    return key


def approved(sql: Sql, **given: Any) -> tuple[Row, Row]:
    """An artifact whose content is known, and the approval of it."""
    artifact = insert(sql, "artifact", **{"content_sha256": CONTENT, **given})
    return artifact, insert(sql, "review_decision", artifact_id=artifact["artifact_id"])


def leased(**given: Any) -> Row:
    return {"lease_id": uuid4(), "lease_expires_at": now() + timedelta(minutes=5), **given}


@contextmanager
def refused(sql: Sql, sqlstate: str, constraint: Any = None, *, column: str | None = None) -> Iterator[None]:
    """What is inside is refused with exactly this SQLSTATE and name (mock.ANY: any name); the transaction goes on."""
    sql.execute("SAVEPOINT before_refusal")
    with pytest.raises(psycopg.Error) as caught:
        yield
    sql.execute("ROLLBACK TO SAVEPOINT before_refusal")
    found = caught.value.diag
    # A month of a partitioned table names its own copy of the primary key.
    name = re.sub(r"_\d{4}_\d{2}_", "_", found.constraint_name) if found.constraint_name else None
    told = (found.sqlstate, name, found.column_name if column else None)
    assert told == (sqlstate, constraint, column), found.message_primary


def count(sql: Sql, table: str, **where: Any) -> int:
    conditions = [q.SQL("true"), *(q.SQL("{} = %s").format(q.Identifier(column)) for column in where)]
    statement = q.SQL("SELECT count(*) FROM {} WHERE {}").format(real(table), q.SQL(" AND ").join(conditions))
    found = sql.execute(statement, list(where.values())).fetchone()
    assert found is not None
    return int(found[0])


def one(sql: Sql, statement: str, *values: Any) -> Any:
    """The first value of the first row."""
    found = sql.execute(statement, values).fetchone()  # type: ignore[arg-type]
    assert found is not None
    return found[0]


def column(sql: Sql, statement: str, *values: Any) -> list[Any]:
    """The first value of every row."""
    return [row[0] for row in sql.execute(statement, values).fetchall()]  # type: ignore[arg-type]
