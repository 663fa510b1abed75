"""A server, and databases that look like after months of work, filled by SQL that works on whole sets.

Rows are written by the superuser with triggers off: a million of them in their final state, in a minute.
"""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from django.core.management import call_command
from django.db import connections

from config import embedded

AGENT = "writer-1"
RUNNING, PAUSED, OVER = 10, 10, 20  # campaigns
OPTIONS = {"autovacuum": "off", "max_wal_size": "4GB"}  # neither begins in the middle of a measurement

CAMPAIGNS = f"""
    INSERT INTO agent (agent_id, status) VALUES ('{AGENT}', 'active');
    INSERT INTO campaign (name, goal, target_platforms, budget_cap_etb, status)
    SELECT status || ' ' || n, 'Five thousand sign-ups by Christmas.', '["tiktok", "instagram"]', 1000000, status
    FROM (VALUES ('active', {RUNNING}), ('paused', {PAUSED}), ('completed', {OVER})) AS s (status, amount),
         generate_series(1, amount) n;
"""
# Campaigns in turn, one task a minute back from now; one audit entry for each finished one.
TASKS = f"""
    WITH c AS (SELECT array_agg(campaign_id ORDER BY campaign_id) AS ids FROM campaign WHERE status = %(campaigns)s),
    t AS (
        INSERT INTO task (campaign_id, agent_id, task_type, priority, status, title, context, created_at, claimed_at,
                          completed_at)
        SELECT ids[1 + n %% cardinality(ids)], '{AGENT}',
               (ARRAY['draft_post', 'generate_media', 'trend_fetch'])[1 + n %% 3],
               (ARRAY['medium', 'low', 'medium', 'high'])[1 + n / 7 %% 4], %(status)s, 'Task ' || n,
               jsonb_build_object('brief', repeat('Three fees to avoid. ', 10), 'number', n),
               now() - n * interval '1 minute', finished, finished
        FROM c, generate_series(1, %(amount)s) n,
             LATERAL (SELECT CASE WHEN %(status)s = 'done' THEN now() - n * interval '1 minute' END AS finished) f
        RETURNING *
    )
    INSERT INTO audit_log (trace_id, actor_type, actor_id, entity_type, entity_id, action, severity, campaign_id,
                           changes)
    SELECT trace_id, 'worker', agent_id, 'task', task_id::text, 'complete', 'info', campaign_id,
           '{{"status": ["in_progress", "done"]}}'
    FROM t WHERE status = 'done'
"""
# What was handed out is pending again, and the indexes are as if it had never been.
GIVE_BACK = """
    UPDATE task SET status = 'pending', lease_id = NULL, lease_expires_at = NULL, lease_epoch = NULL, claimed_at = NULL
    WHERE status = 'in_progress'
"""
TIDY = "VACUUM (INDEX_CLEANUP ON) task"


@contextmanager
def server() -> Iterator[None]:
    """The embedded server as `make run` has it, fsync and all, with the schema in the database `gatehouse`."""
    with embedded.running(options=OPTIONS):
        call_command("create_roles", verbosity=0, stdout=io.StringIO())
        call_command("migrate", verbosity=0)
        connections.close_all()
        yield


def administrator(database: str) -> psycopg.Connection[Any]:
    return psycopg.connect(
        embedded.url("postgres", database), autocommit=True, options="-c session_replication_role=replica"
    )


def copy_database(source: str, target: str) -> None:
    with administrator("postgres") as connection:
        connection.execute(f'CREATE DATABASE "{target}" TEMPLATE "{source}"')


def fill(database: str, *, finished: int = 0, pending: int = 0, paused: int = 0) -> None:
    """Add finished and pending tasks on running campaigns, and a backlog of pending ones on paused campaigns."""
    with administrator(database) as connection:
        if connection.execute("SELECT NOT EXISTS (SELECT FROM agent)").fetchone() == (True,):
            connection.execute(CAMPAIGNS)
        for campaigns, status, amount in (
            ("completed", "done", finished // 2),
            ("active", "done", finished - finished // 2),
            ("active", "pending", pending),
            ("paused", "pending", paused),
        ):
            if amount:
                connection.execute(TASKS, {"campaigns": campaigns, "status": status, "amount": amount})
        connection.execute("VACUUM ANALYZE")


def give_back(database: str) -> None:
    """The same world for the next measurement."""
    with administrator(database) as connection:
        connection.execute(GIVE_BACK)
        connection.execute(TIDY)
        connection.execute("CHECKPOINT")


def handed_out(database: str) -> int:
    with administrator(database) as connection:
        (amount,) = connection.execute("SELECT count(*) FROM task WHERE status = 'in_progress'").fetchone() or (0,)
    return int(amount)
