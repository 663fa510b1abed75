"""Handing work out: one SQL statement finds it, locks it, leases it and writes it down.

It is one statement because a fleet asks for little else. It lies in a function of the database, because PostgreSQL
keeps the plan of what is in one as long as the connection lives, behind PgBouncer too: planning it anew for each claim
takes longer than the claim. A migration holds the function, and a test that it is this text. What its parts settle:

- `running` asks only campaigns on which work may start and where there is some, so that a backlog on paused ones costs
  nothing. It takes their gates (`locks.py`) without waiting, so that no claim overtakes an operator who waits for one.
- `candidates` looks ahead further than is asked for, because other workers may be taking the first ones right now.
- `picked` locks just as many as are asked for and skips what others have: a task goes to one caller only.
- `ready` looks at the campaigns again under their locks: what was read before may be a pause ago. Where money is
  reserved the lock is one that claims wait for, and the budget is the one that is left now.
- `claimed` leases them. The table's trigger stamps the epoch and reserves the money.
- The rest is the audit log: one row for each task, one for the context that its worker is given.
"""

from collections.abc import Collection
from contextlib import nullcontext
from datetime import timedelta
from typing import Any, TypeVar

from django.db import IntegrityError, OperationalError, connection, transaction

from agents.models import Agent
from audit import statement as audit
from audit.base import AuditedModel
from audit.context import Actor
from audit.errors import broken_rule, sqlstate
from audit.statement import insert_audit
from campaigns.choices import PRIORITY_RANK, TaskType
from campaigns.models import RUNS, Task
from campaigns.services.locks import GATE

PATIENCE = "2s"  # how long a claim waits for whoever writes for the same campaign


def running(work: str) -> str:
    """The campaigns on which work may start and where there is some (`work`: a condition on c), with their gates.

    Every claim begins with it. Gates of other campaigns are left alone: no claim stands in the way of their operators.
    """
    return f"""running AS MATERIALIZED (
        SELECT campaign_id, budget_left
        FROM (
            SELECT c.campaign_id, c.budget_cap_etb - c.reserved_etb - c.spent_etb AS budget_left
            FROM campaign c CROSS JOIN system_control s WHERE {RUNS} AND EXISTS ({work}) OFFSET 0
        ) c
        WHERE (SELECT set_config('lock_timeout', '{PATIENCE}', true)) IS NOT NULL
          AND (SELECT pg_try_advisory_xact_lock_shared({GATE}, 0))
          AND pg_try_advisory_xact_lock_shared({GATE}, hashtext(campaign_id::text))
    )"""


# As the index idx_task_pending has it.
RANKS = " ".join(f"WHEN priority = '{priority}' THEN {rank}" for priority, rank in PRIORITY_RANK.items())
RANK = f"(CASE {RANKS} ELSE NULL END)"
COLUMNS = [str(field.column) for field in Task._meta.concrete_fields]
PENDING = "SELECT FROM task WHERE agent_id = %(agent)s AND campaign_id = c.campaign_id AND status = 'pending'"
SHA256 = "encode(sha256(convert_to(context::text, 'UTF8')), 'hex')"
CLAIM = f"""
    WITH {running(PENDING)}, candidates AS MATERIALIZED (
        SELECT t.*
        FROM running r
        CROSS JOIN LATERAL (
            SELECT task_id, {RANK} AS rank, created_at FROM task
            WHERE agent_id = %(agent)s AND campaign_id = r.campaign_id AND status = 'pending'
              AND deleted_at IS NULL AND (not_before IS NULL OR not_before <= statement_timestamp())
              AND reserve_etb <= r.budget_left AND task_type = ANY (%(types)s)
            ORDER BY {RANK}, created_at, task_id LIMIT %(look)s
        ) t
        ORDER BY rank, created_at, task_id LIMIT %(look)s
    ), picked AS MATERIALIZED (
        SELECT t.task_id, t.campaign_id, t.reserve_etb, k.rank, k.created_at
        FROM candidates k JOIN task t USING (task_id)
        WHERE t.status = 'pending' AND t.deleted_at IS NULL AND EXISTS (
            SELECT FROM agent WHERE agent_id = %(agent)s AND status = 'active')
        ORDER BY k.rank, k.created_at, k.task_id LIMIT %(most)s
        FOR UPDATE OF t SKIP LOCKED
    ), ready AS MATERIALIZED (
        SELECT c.campaign_id, NULL AS budget_left
        FROM campaign c CROSS JOIN system_control s
        WHERE c.campaign_id IN (SELECT campaign_id FROM picked WHERE reserve_etb = 0) AND {RUNS}
        FOR KEY SHARE OF c, s
    ), paying AS MATERIALIZED (
        SELECT c.campaign_id, c.budget_cap_etb - c.reserved_etb - c.spent_etb AS budget_left
        FROM campaign c CROSS JOIN system_control s
        WHERE c.campaign_id IN (SELECT campaign_id FROM picked WHERE reserve_etb > 0) AND {RUNS}
        ORDER BY c.campaign_id
        FOR NO KEY UPDATE OF c FOR KEY SHARE OF s
    ), affordable AS MATERIALIZED (
        SELECT task_id, rank FROM picked JOIN ready USING (campaign_id) WHERE reserve_etb = 0
        UNION ALL
        SELECT task_id, rank
        FROM (
            SELECT p.*, y.budget_left, sum(p.reserve_etb) OVER (
                PARTITION BY campaign_id ORDER BY p.rank, p.created_at, p.task_id) AS wanted
            FROM picked p JOIN paying y USING (campaign_id) WHERE p.reserve_etb > 0
        ) p
        WHERE wanted <= budget_left
    ), claimed AS (
        UPDATE task t
        SET status = 'in_progress', lease_id = gen_random_uuid(),
            lease_expires_at = clock_timestamp() + %(lease)s
        FROM affordable a WHERE t.task_id = a.task_id
        RETURNING NEW.*, NEW AS task, a.rank, to_jsonb(OLD) AS before, to_jsonb(NEW) AS after
    ), written AS ({insert_audit(Task, "claim", trace="trace_id", campaign="campaign_id", rows="claimed")} RETURNING 1
    ), given AS (
        INSERT INTO audit_log (inputs_hash, {audit.COLUMNS})
        SELECT {SHA256}, trace_id, {audit.ACTOR}, 'context_snapshot', lease_id::text, 'give', campaign_id,
               jsonb_build_object('task_id', jsonb_build_array(NULL, task_id),
                                  'context', jsonb_build_array(NULL, context)), clock_timestamp()
        FROM claimed WHERE (SELECT count(*) FROM written) > 0  -- after them, in the log too
    )
    SELECT task, {SHA256} FROM claimed ORDER BY rank, created_at, task_id
"""
GIVEN = ("agent", "types", "most", "lease", "actor_type", "actor_id", "tool")
FUNCTION = f"""
    CREATE FUNCTION claim_tasks(
        agent text, types text[], most integer, lease interval, actor_type text, actor_id text, tool text
    ) RETURNS TABLE (claimed task, context_sha256 text) LANGUAGE plpgsql
    SET search_path = public, pg_temp SET plan_cache_mode = force_generic_plan AS $$
    #variable_conflict use_column
    DECLARE look integer;
    BEGIN
        -- Further ahead where others hold all that comes first.
        FOREACH look IN ARRAY ARRAY[4 * most + 8, 16 * most + 64] LOOP
            RETURN QUERY{CLAIM % {"look": "look", **{name: f"claim_tasks.{name}" for name in GIVEN}}};
            EXIT WHEN FOUND;
        END LOOP;
    END $$
"""
CALL = f"""
    SELECT {", ".join(f"(claimed).{column}" for column in COLUMNS)}, context_sha256
    FROM claim_tasks(%(agent)s, %(types)s, %(most)s, %(lease)s, %(actor_type)s, %(actor_id)s, %(tool)s)
"""


def claim_tasks(
    *,
    agent: Agent,
    actor: Actor,
    types: Collection[str] = TaskType.values,
    limit: int = 1,
    lease_seconds: int = 300,
) -> list[Task]:
    """Hand out the agent's most urgent work on campaigns that run now; each task goes to one caller only.

    Empty when there is nothing, the agent is not active, everything is halted, or what there is would pass a campaign's
    budget. Each task has its lease and `context_sha256`, the hash under which what the worker is given was recorded.
    """
    parameters = {
        "agent": agent.pk,
        "types": list(types),
        "most": limit,
        "lease": timedelta(seconds=lease_seconds),
        **audit.actor_parameters(actor),
    }
    return hand_out(CALL, parameters, Task)


M = TypeVar("M", bound=AuditedModel)
LOST_A_RACE = {"task_campaign_runs", "task_agent_active", "publish_record_campaign_runs"}
LOCK_TIMEOUT = "55P03"


def hand_out(claim: str, parameters: dict[str, Any], model: type[M]) -> list[M]:
    """What the claim hands out.

    A campaign that stopped running, an agent that was suspended, or somebody who does not finish, at this very moment,
    is no error. The second time it is seen beforehand; otherwise there is nothing to hand out just now.
    """
    for _ in range(2):
        try:
            # A statement is a transaction already; within another it is undone alone.
            with transaction.atomic() if connection.in_atomic_block else nullcontext():
                return list(model._base_manager.raw(claim, parameters))
        except IntegrityError as error:
            if broken_rule(error) not in LOST_A_RACE:
                raise
        except OperationalError as error:
            if sqlstate(error) != LOCK_TIMEOUT:
                raise
    return []
