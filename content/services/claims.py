"""Handing posts to publishers and artifacts to judges: one statement each, made as `campaigns.services.claims` is."""

from collections.abc import Collection
from datetime import timedelta

from agents.models import Agent
from audit.context import Actor
from audit.statement import actor_parameters, insert_audit
from campaigns.models import RUNS
from campaigns.services.claims import RANK, hand_out, running
from content.choices import ArtifactType
from content.models import JudgeLease, PublishRecord

POST_COLUMNS = ", ".join(f"k.{field.column}" for field in PublishRecord._meta.concrete_fields)
# What may leave, as far as the post itself says. Its task is done besides (so that the time to take the approval back
# is over), and its campaign runs.
DUE = "COALESCE(scheduled_for, created_at)"
LEAVES = f"""platform = %(platform)s AND status = 'queued' AND hold IS NULL AND lease_id IS NULL
             AND decision_id IS NOT NULL AND {DUE} <= statement_timestamp()"""
POSTS_WRITTEN = insert_audit(
    PublishRecord,
    "claim",
    trace="t.trace_id",
    campaign="k.campaign_id",
    rows="claimed k JOIN artifact a USING (artifact_id) JOIN task t USING (task_id)",
)
CLAIM_POSTS = f"""
    WITH {running(f"SELECT FROM publish_record p WHERE p.campaign_id = c.campaign_id AND {LEAVES}")},
    candidates AS MATERIALIZED (
        SELECT p.*
        FROM running r
        CROSS JOIN LATERAL (
            SELECT publish_id, {DUE} AS due FROM publish_record p
            WHERE campaign_id = r.campaign_id AND {LEAVES}
              AND EXISTS (SELECT FROM artifact a JOIN task t USING (task_id)
                          WHERE a.artifact_id = p.artifact_id AND t.status = 'done')
            ORDER BY {DUE}, publish_id LIMIT %(look)s
        ) p
        ORDER BY due, publish_id LIMIT %(look)s
    ), picked AS MATERIALIZED (
        SELECT p.publish_id, p.campaign_id, k.due
        FROM candidates k JOIN publish_record p USING (publish_id)
        WHERE p.status = 'queued' AND p.hold IS NULL AND p.lease_id IS NULL
          AND (%(agent)s::text IS NULL OR EXISTS (
              SELECT FROM agent WHERE agent_id = %(agent)s AND status = 'active'))
        ORDER BY k.due, k.publish_id LIMIT %(limit)s
        FOR UPDATE OF p SKIP LOCKED
    ), ready AS MATERIALIZED (
        SELECT c.campaign_id FROM campaign c CROSS JOIN system_control s
        WHERE c.campaign_id IN (SELECT campaign_id FROM picked) AND {RUNS}
        FOR KEY SHARE OF c, s
    ), claimed AS (
        UPDATE publish_record p
        SET lease_id = gen_random_uuid(), lease_expires_at = clock_timestamp() + %(lease)s
        FROM picked k JOIN ready USING (campaign_id) WHERE p.publish_id = k.publish_id
        RETURNING NEW.*, k.due, to_jsonb(OLD) AS before, to_jsonb(NEW) AS after
    ), written AS ({POSTS_WRITTEN})
    SELECT {POST_COLUMNS} FROM claimed k ORDER BY due, publish_id
"""


def claim_posts(
    *, platform: str, actor: Actor, agent: Agent | None = None, limit: int = 1, lease_seconds: int = 300
) -> list[PublishRecord]:
    """Hand out posts for one platform that may leave now, those due first; each to one publisher only.

    `agent` is the one that publishes, where it is known: one that is not active is given nothing.
    """
    parameters = {
        "platform": platform,
        "agent": agent.pk if agent else None,
        "limit": limit,
        "look": 16 * limit + 64,  # others may be taking the first ones right now
        "lease": timedelta(seconds=lease_seconds),
        **actor_parameters(actor),
    }
    return hand_out(CLAIM_POSTS, parameters, PublishRecord)


MOST_LOOKS = 20
LEASE_COLUMNS = ", ".join(f"l.{field.column}" for field in JudgeLease._meta.concrete_fields)
LEASES_WRITTEN = insert_audit(
    JudgeLease,
    "claim",
    trace="p.trace_id",
    campaign="p.campaign_id",
    rows="claimed JOIN picked p USING (artifact_id)",
)
# Judging ends what has begun, so that a pause lets it go on; a halt does not. The newest version alone is judged. What
# settles a race for one artifact is the upsert: only one finds the lease free, and the others a row without a lease.
CLAIM_ARTIFACTS = f"""
    WITH candidates AS MATERIALIZED (
        SELECT a.artifact_id, a.campaign_id, t.task_id, t.trace_id, {RANK} AS rank, t.completed_at,
               c.epoch + s.epoch AS present
        FROM task t
        JOIN campaign c USING (campaign_id) CROSS JOIN system_control s
        JOIN artifact a ON a.task_id = t.task_id
        WHERE t.status = 'review' AND t.deleted_at IS NULL AND t.agent_id <> %(agent)s
          AND c.status IN ('active', 'paused') AND c.halted_at IS NULL AND c.deleted_at IS NULL AND NOT s.halted
          AND a.artifact_type = ANY (%(types)s)
          AND EXISTS (SELECT FROM agent WHERE agent_id = %(agent)s AND status = 'active')
          AND NOT EXISTS (SELECT FROM artifact n WHERE n.task_id = a.task_id AND n.artifact_type = a.artifact_type
                                                   AND n.version > a.version)
          AND NOT EXISTS (SELECT FROM review_decision d WHERE d.artifact_id = a.artifact_id)
          AND NOT EXISTS (SELECT FROM review_item i WHERE i.artifact_id = a.artifact_id AND i.status <> 'withdrawn')
          AND NOT EXISTS (SELECT FROM judge_lease l
                          WHERE l.artifact_id = a.artifact_id AND l.lease_expires_at > clock_timestamp()
                            AND l.lease_epoch >= c.epoch + s.epoch)
        ORDER BY rank, t.completed_at, a.artifact_id LIMIT %(look)s
    ), picked AS MATERIALIZED (
        SELECT k.* FROM candidates k JOIN task t USING (task_id)
        WHERE t.status = 'review'
        ORDER BY k.rank, k.completed_at, k.artifact_id LIMIT %(limit)s
        FOR NO KEY UPDATE OF t SKIP LOCKED
    ), claimed AS (
        INSERT INTO judge_lease AS l (artifact_id, agent_id, lease_id, lease_expires_at, lease_epoch)
        SELECT artifact_id, %(agent)s, gen_random_uuid(), clock_timestamp() + %(lease)s, present FROM picked
        ON CONFLICT (artifact_id) DO UPDATE
        SET agent_id = EXCLUDED.agent_id, lease_id = EXCLUDED.lease_id, lease_epoch = EXCLUDED.lease_epoch,
            lease_expires_at = EXCLUDED.lease_expires_at
        WHERE l.lease_expires_at <= clock_timestamp() OR l.lease_epoch < EXCLUDED.lease_epoch
        RETURNING NEW.*, to_jsonb(OLD) AS before, to_jsonb(NEW) AS after
    ), written AS ({LEASES_WRITTEN})
    SELECT {LEASE_COLUMNS} FROM picked p LEFT JOIN claimed l USING (artifact_id)
    ORDER BY p.rank, p.completed_at, p.artifact_id
"""


def claim_artifacts(
    *,
    judge: Agent,
    actor: Actor,
    types: Collection[str] = ArtifactType.values,
    limit: int = 1,
    lease_seconds: int = 300,
) -> list[JudgeLease]:
    """Hand out artifacts in review that nobody judges yet; each to one judge, and none to the agent that made it."""
    parameters = {
        "agent": judge.pk,
        "types": list(types),
        "limit": limit,
        "look": 16 * limit + 64,  # others may be taking the first ones right now
        "lease": timedelta(seconds=lease_seconds),
        **actor_parameters(actor),
    }
    for _ in range(MOST_LOOKS):
        picked = hand_out(CLAIM_ARTIFACTS, parameters, JudgeLease)
        leases = [lease for lease in picked if lease.pk]
        if leases or not picked:
            return leases
        # Others were faster at all of them; the next look sees their leases.
    return []
