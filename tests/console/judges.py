"""Some weeks of two judges and the people after them, written in whole sets: the verbs would take long."""

from typing import Any

import psycopg
from django.db import connection

from agents.models import Agent
from campaigns.models import Campaign
from tests import factories
from tests.conftest import address

# By judge, band and how people saw it: how many they approved, how many they rejected. Some passed unseen.
PAIRS = [
    ("judge-2", "0.55", "low_confidence", 13, 11),
    ("judge-2", "0.66", "low_confidence", 31, 14),
    ("judge-2", "0.74", "low_confidence", 40, 12),
    ("judge-2", "0.82", "low_confidence", 52, 11),
    ("judge-2", "0.88", "blind_sample", 24, 4),
    ("judge-2", "0.93", "blind_sample", 37, 4),
    ("judge-2", "0.97", "blind_sample", 46, 2),
    ("judge-2", "0.97", "policy_hit", 5, 9),
    ("judge-7", "0.62", "low_confidence", 17, 2),
    ("judge-7", "0.78", "low_confidence", 29, 1),
    ("judge-7", "0.92", "blind_sample", 8, 0),
]
UNSEEN = [("judge-2", "0.88", 500), ("judge-2", "0.93", 760), ("judge-2", "0.97", 900), ("judge-7", "0.92", 150)]

PASSED = """
    WITH t AS (
        INSERT INTO task (campaign_id, agent_id, task_type, priority, status, title, context)
        SELECT %(campaign)s, 'singer-1', 'draft_post', 'medium', 'pending', 'Caption ' || n, '{}'
        FROM generate_series(1, %(amount)s) n RETURNING task_id
    ), a AS (
        INSERT INTO artifact (task_id, campaign_id, artifact_type, version, content_ref, content_sha256)
        SELECT task_id, %(campaign)s, 'text', 1, 'text', encode(sha256('x'), 'hex') FROM t
        RETURNING artifact_id, task_id
    )
    INSERT INTO review_decision (task_id, artifact_id, decision, confidence_score, reasons, policy_hits, next_action,
                                 reviewer_type, reviewer_id, created_at)
    SELECT task_id, artifact_id, 'approve', %(confidence)s, '["on brief"]', %(hits)s, %(action)s, 'judge', %(judge)s,
           now() - interval '3 hours' FROM a
    RETURNING task_id, artifact_id
"""
DECIDED = """
    WITH d AS (
        INSERT INTO review_decision (task_id, artifact_id, decision, confidence_score, reasons, next_action,
                                     reviewer_type, reviewer_id)
        SELECT t, a, CASE WHEN n <= %(approved)s THEN 'approve' ELSE 'reject' END, 1, '["read"]',
               CASE WHEN n <= %(approved)s THEN 'publish' ELSE 'retry' END, 'human', 'user:' || %(person)s
        FROM unnest(%(tasks)s::uuid[], %(artifacts)s::uuid[]) WITH ORDINALITY AS given (t, a, n)
        RETURNING task_id, artifact_id, review_id
    ), i AS (
        INSERT INTO review_item (task_id, artifact_id, campaign_id, reason, opened_at)
        SELECT task_id, artifact_id, %(campaign)s, %(reason)s, now() - interval '2 hours' FROM d
        RETURNING review_item_id, artifact_id
    )
    SELECT review_item_id, review_id FROM i JOIN d USING (artifact_id)
"""


def judges_at_work() -> Campaign:
    """A campaign with a threshold of 0.85, in which judge-7 is more careful than it needs to be."""
    person = factories.make_user("Reviewer")
    policy = {"approve_threshold": 0.85, "blind_share": 0.05}
    campaign = factories.make_campaign(name="Harvest songs", constraints={"review_policy": policy})
    for agent in ("singer-1", "judge-2", "judge-7"):
        if not Agent.objects.filter(pk=agent).exists():
            factories.make_agent(agent)
    with connection.cursor() as cursor:
        for judge, confidence, reason, approved, rejected in PAIRS:
            hits = '["medical claims"]' if reason == "policy_hit" else None
            made = _judged(cursor, campaign, judge, confidence, approved + rejected, "human_review", hits)
            given = {"campaign": campaign.pk, "reason": reason, "approved": approved, "person": str(person.pk)}
            tasks, artifacts = map(list, zip(*made, strict=True))
            cursor.execute(DECIDED, {**given, "tasks": tasks, "artifacts": artifacts})
            cursor.executemany(
                "UPDATE review_item SET status = 'decided', decision_id = %s WHERE review_item_id = %s",
                [(decision, item) for item, decision in cursor.fetchall()],
            )
        for judge, confidence, amount in UNSEEN:
            _judged(cursor, campaign, judge, confidence, amount, "publish", None)
        for status in ("in_progress", "review", "done"):
            cursor.execute("UPDATE task SET status = %s WHERE campaign_id = %s", [status, campaign.pk])
    counted_by_postgresql()
    return campaign


def counted_by_postgresql() -> None:
    """Until somebody has counted new rows, PostgreSQL takes their tables for empty, and joins them by reading all of
    one for each row of the other: minutes, where a server that runs for a while needs milliseconds.
    """
    if connection.in_atomic_block:  # nobody else can see these rows, to count them
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL enable_seqscan = off")
    else:
        with psycopg.connect(**address("migrator"), autocommit=True) as owner:
            owner.execute("ANALYZE task, artifact, review_decision, review_item, publish_record")


def _judged(cursor: Any, campaign: Campaign, judge: str, confidence: str, amount: int, action: str, hits: Any) -> Any:
    given = {"campaign": campaign.pk, "judge": judge, "confidence": confidence, "amount": amount}
    cursor.execute(PASSED, {**given, "action": action, "hits": hits})
    return cursor.fetchall()
