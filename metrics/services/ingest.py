"""Observations become metric events.

A batch is copied into a staging table, checked as a set, and merged in one statement, which also brings the running
totals, the corrections, the hourly sums and the audit log up to date: all of it commits, or none.

Platforms report running totals. An event's value is the increase over the highest total seen before, so that the sum of
increases is the highest total whatever the order of arrival, and the same observation twice adds nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import connection, transaction

from audit.context import Actor, current
from content.choices import PublishStatus
from content.post_file import Reject
from metrics.choices import MetricType
from metrics.partitions import EARLIEST, EVENTS, Month, closed, existing, this_month


@dataclass(frozen=True)
class Observation:
    """What a platform said about one of its posts at one time; `line` is where it stands in the file."""

    line: int
    platform_post_id: str
    observed_at: datetime
    metric_type: MetricType
    total: int


@dataclass(frozen=True)
class BatchResult:
    """`events` is how many were new; an observation that brought no increase is in neither number."""

    events: int
    corrections: int
    rejects: list[Reject]


STAGING = """
    CREATE TEMPORARY TABLE metric_staging (
        line bigint, platform_post_id text, observed_at timestamptz, metric_type text, total bigint
    ) ON COMMIT DROP
"""

# Two ingests lock the posts that they share in one order: the second waits, and then sees the totals of the first.
LOCK_POSTS = """
    SELECT platform_post_id FROM publish_record
    WHERE platform = %(platform)s AND status = %(published)s
      AND platform_post_id IN (SELECT platform_post_id FROM metric_staging)
    ORDER BY publish_id FOR NO KEY UPDATE
"""

MERGE = """
    WITH observed AS MATERIALIZED (
        SELECT s.*, p.publish_id, p.campaign_id, p.artifact_id AS content_id, t.agent_id, t.trace_id, k.highest_total,
               k.last_total AS known_total, k.last_observed_at AS known_at,
               max(s.total) OVER (post ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS highest_in_batch,
               lag(s.total) OVER post AS previous_total, lag(s.observed_at) OVER post AS previous_at
        FROM metric_staging s
        JOIN publish_record p ON p.platform = %(platform)s AND p.platform_post_id = s.platform_post_id
                             AND p.status = %(published)s
        JOIN artifact a ON a.artifact_id = p.artifact_id
        JOIN task t ON t.task_id = a.task_id
        LEFT JOIN metric_counter k
               ON k.publish_id = p.publish_id AND k.metric_type = s.metric_type AND k.source = %(source)s
        WINDOW post AS (PARTITION BY p.publish_id, s.metric_type ORDER BY s.observed_at, s.total, s.line)
    ), risen AS MATERIALIZED (
        SELECT o.*, total - COALESCE(GREATEST(highest_total, highest_in_batch), 0) AS increase,
               -- Shaped like a UUIDv7 of the observation, so that a replay is recognised and the index stays local.
               (lpad(to_hex(floor(extract(epoch FROM observed_at) * 1000)::bigint), 12, '0')
                || '7' || substr(digest, 1, 3) || '8' || substr(digest, 4, 15))::uuid AS event_id
        FROM observed o
        CROSS JOIN LATERAL (
            SELECT encode(sha256(convert_to(concat_ws(chr(31), %(platform)s, platform_post_id, metric_type, %(source)s,
                                                      total::text), 'UTF8')), 'hex') AS digest) d
        WHERE total > COALESCE(GREATEST(highest_total, highest_in_batch), -1)
    ), events AS (
        INSERT INTO metric_event (event_id, campaign_id, agent_id, content_id, platform, metric_type, metric_value,
                                  observed_at, source)
        SELECT event_id, campaign_id, agent_id, content_id, %(platform)s, metric_type, increase, observed_at, %(source)s
        FROM risen
        ON CONFLICT (event_id, observed_at) DO NOTHING
        RETURNING event_id, campaign_id, agent_id, content_id, platform, metric_type, metric_value, observed_at, source
    ), rollups AS (
        INSERT INTO metric_rollup AS r (bucket, campaign_id, content_id, agent_id, platform, metric_type,
                                        sum, count, max, last_observed_at)
        SELECT date_trunc('hour', observed_at, 'UTC'), campaign_id, content_id, agent_id, platform, metric_type,
               sum(metric_value), count(*), max(metric_value), max(observed_at)
        FROM events GROUP BY 1, 2, 3, 4, 5, 6 ORDER BY 2, 3, 4, 5, 6, 1
        ON CONFLICT (campaign_id, content_id, agent_id, platform, metric_type, bucket) DO UPDATE
        SET sum = r.sum + EXCLUDED.sum, count = r.count + EXCLUDED.count, max = GREATEST(r.max, EXCLUDED.max),
            last_observed_at = GREATEST(r.last_observed_at, EXCLUDED.last_observed_at)
    ), counters AS (
        INSERT INTO metric_counter AS k (publish_id, metric_type, source, highest_total, last_total, last_observed_at)
        SELECT publish_id, metric_type, %(source)s, max(total),
               (array_agg(total ORDER BY observed_at DESC, total DESC))[1], max(observed_at)
        FROM observed GROUP BY publish_id, metric_type ORDER BY publish_id, metric_type
        ON CONFLICT (publish_id, metric_type, source) DO UPDATE
        SET highest_total = GREATEST(k.highest_total, EXCLUDED.highest_total),
            last_total = CASE WHEN EXCLUDED.last_observed_at > k.last_observed_at
                              THEN EXCLUDED.last_total ELSE k.last_total END,
            last_observed_at = GREATEST(k.last_observed_at, EXCLUDED.last_observed_at)
    ), corrections AS (
        -- A total that arrives late is lower than what we know, but has not fallen: only newer ones count.
        INSERT INTO metric_correction (publish_id, metric_type, source, from_total, to_total, observed_at)
        SELECT publish_id, metric_type, %(source)s, f.before, total, observed_at
        FROM observed
        CROSS JOIN LATERAL (SELECT CASE WHEN known_at IS NULL OR previous_at > known_at THEN previous_total
                                        ELSE known_total END AS before) f
        WHERE total < f.before AND observed_at > COALESCE(known_at, '-infinity')
          AND observed_at > COALESCE(previous_at, '-infinity')
        ON CONFLICT (publish_id, metric_type, source, observed_at) DO NOTHING
        RETURNING 1
    ), audited AS (
        INSERT INTO audit_log (trace_id, actor_type, actor_id, entity_type, entity_id, action, tool_name, severity,
                               campaign_id, changes, created_at)
        SELECT r.trace_id, %(actor_type)s, %(actor_id)s, 'metric_event', e.event_id::text, 'ingest', %(tool)s, 'info',
               e.campaign_id, audit_changes('{}', to_jsonb(e), '{}', '{}'), clock_timestamp()
        FROM events e JOIN risen r USING (event_id, observed_at)
    )
    SELECT (SELECT count(*) FROM events), (SELECT count(*) FROM corrections)
"""


@transaction.atomic
def ingest_batch(*, observations: Sequence[Observation], platform: str, source: str, actor: Actor) -> BatchResult:
    """Take the running totals of one batch; returns what was new, and what could not be taken and why.

    Idempotent: a batch that was taken already adds nothing, so that a run that was killed is simply started again.
    """
    observations, rejects = _with_month(observations)
    parameters = {
        "platform": platform,
        "source": source,
        "published": PublishStatus.PUBLISHED,
        "actor_type": actor.type,
        "actor_id": actor.id,
        "tool": current().tool_name,
    }
    with connection.cursor() as cursor:
        cursor.execute(STAGING)
        _stage(observations)
        cursor.execute(LOCK_POSTS, parameters)
        known = {post for (post,) in cursor.fetchall()}
        unknown = {row.line: row.platform_post_id for row in observations if row.platform_post_id not in known}
        rejects += [
            Reject(line, f"no published {platform} post has the id {post!r}; adopt it first (adopt_posts).")
            for line, post in unknown.items()
        ]
        cursor.execute(MERGE, parameters)
        events, corrections = cursor.fetchone()
        cursor.execute("DROP TABLE metric_staging")
    return BatchResult(events, corrections, sorted(rejects, key=lambda reject: reject.line))


def _stage(observations: Sequence[Observation]) -> None:
    with (
        connection.cursor() as cursor,
        cursor.copy(
            "COPY metric_staging (line, platform_post_id, observed_at, metric_type, total) FROM STDIN (FORMAT BINARY)"
        ) as copy,
    ):
        copy.set_types(["int8", "text", "timestamptz", "text", "int8"])
        for row in observations:
            copy.write_row((row.line, row.platform_post_id, row.observed_at, str(row.metric_type), row.total))


def _with_month(observations: Sequence[Observation]) -> tuple[list[Observation], list[Reject]]:
    """Those whose month exists. One row outside every month would refuse the whole batch, so that we look first."""
    present, gone = existing(EVENTS), closed(EVENTS)
    good, bad = [], {}
    for row in observations:
        month = Month.of(row.observed_at)
        if month in present and month not in gone:  # a month that is being archived is still there
            good.append(row)
        else:
            bad[row.line] = Reject(row.line, _why_not(month, gone))
    return good, list(bad.values())


def _why_not(month: Month, gone: set[Month]) -> str:
    if month in gone:
        return f"{month} is closed, since it was or is being archived; restore it first."
    if month < EARLIEST:
        return f"{month} lies before {EARLIEST.year}."
    if month > this_month().plus(EVENTS.ahead):
        return f"{month} lies in the future."
    return f"there is no month {month} yet; make it: manage.py rotate_partitions --from {min(month, this_month())}"
